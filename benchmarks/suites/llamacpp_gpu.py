"""Suite `llamacpp_gpu`: what llama-server held on a real machine (benchmarks/measure_gpu.py).

Buffers must agree to the two digits that logs print; what the driver says is in use lies within the
band of the plan, which knows the GPU's context and the kernels' pools as an estimate alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.result import Allowed, CaseResult
from planner.errors import PlannerError
from planner.planning import Plan
from planner.units import MIB

FILES = ("llamacpp_gpu.json",)
PRINTED = Allowed(absolute=0.0051, reason="logs print MiB with two digits")
TERMS = {
    "weights": "weights (text)",
    "kv": "KV cache",
    "state": "recurrent state",
    "compute": "compute buffer",
}


def run(folder: Path) -> Iterator[CaseResult]:
    """Per start its buffers, and what was in use on the GPU."""
    document = json.loads((folder / FILES[0]).read_text("utf-8"))
    for case in document["cases"]:
        flags = " ".join(f"{key}={value}" for key, value in case["options"].items())
        name = f"{case['model']} {case['type']} on {case['on']}: {case['concurrency']} x"
        name += f" {case['context']} {case['kv_cache_dtype']} {flags}".rstrip()
        try:
            plan = planner.plan(
                case["model"],
                on=case["on"],
                engine="llamacpp",
                precision=f"{case['type'].lower()}-nomtp",
                context=case["context"],
                concurrency=case["concurrency"],
                kv_cache_dtype=case["kv_cache_dtype"],
                options={**case["options"], "version": document["origin"]["version"]},
            )
        except PlannerError as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
            continue
        yield from _compare(name, case, plan)


def _compare(name: str, case: Mapping[str, Any], plan: Plan) -> Iterator[CaseResult]:
    terms = {term.name: term for rank in plan.ranks for term in rank.terms}
    expected, answered = {}, {}
    for place, buffers in case["buffers"].items():
        for kind, mib in buffers.items():
            term = terms.get(TERMS[kind] + (" on the host" if place == "host" else ""))
            expected[f"{place}.{kind}"] = mib
            answered[f"{place}.{kind}"] = term.nbytes / MIB if term else 0.0
    yield CaseResult(
        name=f"{name}: buffers",
        expected=expected,
        answered=answered,
        allowed=dict.fromkeys(expected, PRINTED),
        group="buffers",
    )
    if case.get("used_mib") is not None:
        held = [term for name, term in terms.items() if not name.endswith("on the host")]
        held = [term for term in held if term.name in (*TERMS.values(), CONTEXT)]
        context = next(term.band for term in held if term.name == CONTEXT)
        assert context is not None
        total, truth = sum(term.nbytes for term in held), case["used_mib"] * MIB
        yield CaseResult(
            name=f"{name}: in use",
            expected={"used": truth},
            answered={"used": total},
            within_band=total - context.below <= truth <= total + context.above,
            group="in use",
        )


CONTEXT = "GPU context and kernel pools"

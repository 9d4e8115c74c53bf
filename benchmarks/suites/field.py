"""Suite `field`: what engines printed on real machines, and whether it ran.

A case gives as many results as it has kinds of figures; each kind is a group:

- tokens, concurrency: of the pool, given the KV memory that was printed; within one block
- weights loaded: per accelerator; within the rounding of the print
- KV memory: from the utilization, and the weights loaded where the log tells them
- KV needed: for one request
- verdicts: ran, or did not
- SGLang's pools, llama.cpp's buffers
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suites.field_cases import GIB, ask, release
from benchmarks.suites.result import CaseResult
from planner.errors import PlannerError
from planner.memory.breakdown import Kind
from planner.planning import Plan

FILES = ("cases.json",)
MIB = 2**20
PRINTED = 0.005
"""Half of the last printed digit: GiB and concurrency are printed with two decimals."""
ONE_SLOT = 4096
"""Tokens of a slot where a case tells none: the state does not depend on them."""

_NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(\s*[kK]\b)?")
_WORDS = (
    ("does_not_fit", False),
    ("does_not_start", False),
    ("fits", True),
    ("validated", True),
    ("boots", True),
)
_SETTING = re.compile(r"\b(\w+)=(\d+)\b")


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per kind of figure of every case that has figures of memory or a verdict."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        for group, check in _checks(case):
            try:
                yield check(case, folder)
            except (PlannerError, LookupError) as error:
                yield CaseResult(name=case["id"], failure=str(error), group=group)
        yield from _verdicts(case, folder)


def _checks(case: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    measured, engine = case["measured"] or {}, case["engine"]
    if engine == "vLLM":
        if measured.get("kv_tokens"):
            yield "tokens from KV memory" + _untold(case), _tokens
        if measured.get("max_concurrency"):
            yield "concurrency from KV memory" + _untold(case), _concurrency
        if measured.get("available_kv_gib") and case["gpu_memory_utilization"]:
            yield "KV memory from utilization", _kv_memory
        if measured.get("kv_needed_gib"):
            yield "KV needed", _needed
        if measured.get("model_loading_gib"):
            yield "weights loaded", _weights
    if engine == "SGLang":
        if measured.get("weights_gib"):
            yield "weights loaded", _sglang_weights
        if measured.get("max_total_num_tokens"):
            yield "SGLang pools", _sglang_pools
    if engine == "llama.cpp" and (measured.get("rs_buffer_mib") or measured.get("kv_buffer_mib")):
        yield "llama.cpp KV and state", _llamacpp_cache
        if measured.get("model_buffer_mib"):
            yield "llama.cpp weights", _llamacpp_weights
            yield "llama.cpp compute", _llamacpp_compute


def _pools(case: dict[str, Any], folder: Path) -> list[Mapping[str, Any]]:
    """The pool's figures for KV memory that rounds to what was printed: middle, least and most."""
    printed = case["measured"].get("available_kv_gib")
    if printed is None:
        raise LookupError("the KV memory is not told")
    found: list[Mapping[str, Any]] = []
    for size in (printed, printed - PRINTED, printed + PRINTED):
        plan = ask(case, folder, any_weights=True, kv_cache_memory_bytes=int(size * GIB))
        if not plan.figures:
            raise LookupError(plan.verdict)
        found.append(plan.figures)
    return found


def _tokens(case: dict[str, Any], folder: Path) -> CaseResult:
    """Tokens of the pool, within one block."""
    pools, truth = _pools(case, folder), case["measured"]["kv_tokens"]
    return CaseResult(
        name=case["id"],
        expected={"kv_tokens": truth},
        answered={"kv_tokens": _nearest((pool["kv_cache_size_tokens"] for pool in pools), truth)},
        tolerance=1 / max(1, pools[0]["num_blocks"]),
        group="tokens from KV memory" + _untold(case),
    )


def _concurrency(case: dict[str, Any], folder: Path) -> CaseResult:
    pools, truth = _pools(case, folder), case["measured"]["max_concurrency"]
    nearest = _nearest((pool["max_concurrency"] for pool in pools), truth)
    return CaseResult(
        name=case["id"],
        expected={"max_concurrency": truth},
        answered={"max_concurrency": round(nearest, 2)},
        tolerance=1 / max(1, pools[0]["num_blocks"]) + PRINTED / truth,
        group="concurrency from KV memory" + _untold(case),
    )


def _nearest(answers: Iterable[float], truth: float) -> float:
    return min(answers, key=lambda answer: abs(answer - truth))


def _untold(case: dict[str, Any]) -> str:
    """What a figure of the pool depends on and the case does not tell."""
    return "" if release(case["engine_version"]) else ", release not told"


def _kv_memory(case: dict[str, Any], folder: Path) -> CaseResult:
    """What is left of the utilization for the cache, given the weights where the log tells them."""
    loaded = case["measured"].get("model_loading_gib")
    told = {} if loaded is None else {"model_memory_gib": loaded}
    plan = ask(case, folder, any_weights=loaded is not None, **told)
    if plan.allocation is None:
        raise LookupError(plan.verdict)
    available, band = min(plan.figures["available_bytes"]), plan.ranks[0].band
    truth = case["measured"]["available_kv_gib"] * GIB
    return CaseResult(
        name=case["id"],
        expected={"available_kv_gib": case["measured"]["available_kv_gib"]},
        answered={"available_kv_gib": round(available / GIB, 2)},
        tolerance=PRINTED / case["measured"]["available_kv_gib"],
        within_band=available - band.above <= truth <= available + band.below,
        group="KV memory from utilization",
    )


def _needed(case: dict[str, Any], folder: Path) -> CaseResult:
    details = ask(case, folder, any_weights=True).figures
    if not details:
        raise LookupError("it cannot run")
    truth = case["measured"]["kv_needed_gib"]
    return CaseResult(
        name=case["id"],
        expected={"kv_needed_gib": truth},
        answered={"kv_needed_gib": round(max(details["needed_bytes_for_one_request"]) / GIB, 2)},
        tolerance=PRINTED / truth,
        group="KV needed",
    )


def _weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _loaded(case, ask(case, folder), "model_loading_gib")


def _sglang_weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _loaded(case, ask(case, folder), "weights_gib")


def _loaded(case: dict[str, Any], plan: Plan, field: str) -> CaseResult:
    """Weights on the fullest accelerator; a drafter that the case counts apart is left out."""
    if not plan.ranks:
        raise LookupError(plan.verdict)
    apart = ("MTP draft worker",) if case["measured"].get("draft_load_gib") else ()
    terms = [
        term for term in plan.ranks[0].terms if term.kind is Kind.WEIGHTS and term.name not in apart
    ]
    size = sum(term.nbytes for term in terms)
    below = sum(term.band.below for term in terms if term.band)
    above = sum(term.band.above for term in terms if term.band)
    truth = case["measured"][field]
    return CaseResult(
        name=f"{case['id']} ({plan.deployment.checkpoint.scheme.name})",
        expected={field: truth},
        answered={field: round(size / GIB, 2)},
        tolerance=PRINTED / truth,
        within_band=(size - below) / GIB - PRINTED <= truth <= (size + above) / GIB + PRINTED,
        group="weights loaded",
    )


def _sglang_pools(case: dict[str, Any], folder: Path) -> CaseResult:
    plan = ask(case, folder)
    measured = case["measured"]
    if not plan.figures:
        raise LookupError(plan.verdict)
    allocated = plan.figures["allocated_bytes"]
    sizes = {
        "mamba_state_gib": allocated["conv_state"] + allocated["ssm_state"],
        "mamba_intermediate_gib": allocated["intermediate_ssm"] + allocated["intermediate_conv"],
        "kv_gib": allocated["k_cache"] + allocated["v_cache"],
        "draft_kv_gib": allocated["draft_kv"],
    }
    expected: dict[str, Any] = {"max_total_num_tokens": measured["max_total_num_tokens"]}
    answered: dict[str, Any] = {"max_total_num_tokens": plan.figures["max_total_num_tokens"]}
    for field, size in sizes.items():
        if measured.get(field):
            expected[field], answered[field] = measured[field], round(size / GIB, 2)
    return CaseResult(name=case["id"], expected=expected, answered=answered, group="SGLang pools")


def _llamacpp_plan(case: dict[str, Any], folder: Path, *, any_weights: bool = False) -> Plan:
    """llama.cpp divides its context over the slots; the planner is asked for that of one slot."""
    slots, length = case["max_num_seqs"] or 1, case["max_model_len"]
    plan = ask(
        case,
        folder,
        any_weights=any_weights,
        context=length // slots if length else ONE_SLOT,
        concurrency=slots,
    )
    if not plan.ranks:
        raise LookupError(plan.verdict)
    return plan


def _llamacpp_cache(case: dict[str, Any], folder: Path) -> CaseResult:
    ranks = _llamacpp_plan(case, folder, any_weights=True).ranks
    sizes = dict.fromkeys(("kv_buffer_mib", "rs_buffer_mib"), 0)
    buffers = {"KV cache": "kv_buffer_mib", "recurrent state": "rs_buffer_mib"}
    for term in (term for rank in ranks for term in rank.terms if term.name in buffers):
        sizes[buffers[term.name]] += term.nbytes
    return _in_mib(case, sizes, "llama.cpp KV and state")


def _llamacpp_weights(case: dict[str, Any], folder: Path) -> CaseResult:
    return _buffers(case, folder, "model", "model_buffer_mib", "llama.cpp weights")


def _llamacpp_compute(case: dict[str, Any], folder: Path) -> CaseResult:
    return _buffers(case, folder, "compute", "compute_mib", "llama.cpp compute")


def _buffers(case: dict[str, Any], folder: Path, ours: str, theirs: str, group: str) -> CaseResult:
    """A buffer on the device (the first that is not the host's)."""
    buffers = _llamacpp_plan(case, folder).figures["buffers"]
    device = next(sizes[ours] for name, sizes in buffers.items() if name != "host")
    truth = next(
        size for name, size in case["measured"][theirs].items() if not name.endswith("Host")
    )
    return CaseResult(
        name=case["id"],
        expected={theirs: truth},
        answered={theirs: round(device / MIB, 2)},
        tolerance=PRINTED / truth,
        group=group,
    )


def _in_mib(case: dict[str, Any], sizes: dict[str, int], group: str) -> CaseResult:
    known = {field: case["measured"].get(field) for field in sizes}
    known = {field: value for field, value in known.items() if value}
    return CaseResult(
        name=case["id"],
        expected=known,
        answered={field: round(sizes[field] / MIB, 2) for field in known},
        tolerance=PRINTED / min(float(value) for value in known.values() if value),
        group=group,
    )


def _verdicts(case: dict[str, Any], folder: Path) -> Iterator[CaseResult]:
    """One result per clause of the verdict that says whether something ran."""
    for clause in re.split(r";|, ", case["verdict"] or ""):
        truth = next((fits for word, fits in _WORDS if word in clause), None)
        if truth is None:
            continue
        name = f"{case['id']}: {clause.strip()}"
        changes: dict[str, Any] = {option: int(text) for option, text in _SETTING.findall(clause)}
        if (context := _context(clause)) is not None:
            changes["context"] = context
        try:
            plan = ask(case, folder, **changes)
        except (PlannerError, LookupError) as error:
            yield CaseResult(name=name, failure=str(error), group="verdicts")
            continue
        wrong = plan.fits is not truth
        yield CaseResult(
            name=f"{name} [{plan.verdict}]" if wrong else name,
            expected={"fits": truth},
            answered={"fits": plan.fits},
            group="verdicts",
        )


def _context(clause: str) -> int | None:
    """Tokens that a clause names: "262,144", "160K", "36,608 ctx"; sizes and settings are none."""
    for number, thousands in _NUMBER.findall(clause):
        if thousands:
            return int(number.replace(",", "")) * 1000
        if "," in number:
            return int(number.replace(",", ""))
    return None

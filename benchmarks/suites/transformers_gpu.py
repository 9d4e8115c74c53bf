"""Suite `transformers_gpu`: what PyTorch's allocator held on a GPU (benchmarks/measure_gpu.py).

Weights and cache must agree to the byte; the peak (cache and activations together) within the
band that the plan states.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.result import Allowed, CaseResult
from hardware_db import Accelerator, Figure, System
from planner.errors import PlannerError
from planner.memory.breakdown import Kind
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.units import GIB, MIB

FILES = ("transformers_gpu.json",)
CACHE = (Kind.KV_CACHE, Kind.RECURRENT_STATE)
ROUNDING = Allowed(relative=1e-4, reason="PyTorch's allocator rounds every tensor up to 512 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan's answer to one case.

    Attributes:
        weights: bytes of weights.
        kv: bytes of KV cache.
        state: bytes of recurrent state.
        peak: bytes of cache and activation peak together.
        below: how much less the peak may be.
        above: how much more it may be.
    """

    weights: int
    kv: int
    state: int
    peak: int
    below: int
    above: int

    @property
    def need(self) -> int:
        """Bytes beside the weights, at the far end of the band."""
        return self.peak + self.above


def planned(run: Mapping[str, Any], case: Mapping[str, Any]) -> Planned:
    """What the planner answers to the measured question.

    Raises:
        PlannerError: the question cannot be asked.
    """
    plan = _ask(run, case)
    rank = plan.ranks[0]
    peak = [term for term in rank.terms if term.kind is Kind.ACTIVATIONS]
    cache = rank.of_kind(*CACHE)
    band = peak[0].band
    assert band is not None
    return Planned(
        weights=rank.of_kind(Kind.WEIGHTS),
        kv=rank.of_kind(Kind.KV_CACHE),
        state=rank.of_kind(Kind.RECURRENT_STATE),
        peak=cache + peak[0].nbytes,
        below=band.below,
        above=band.above,
    )


def _checkpoint(name: str) -> Checkpoint:
    """A bundled model or a config of this machine: nothing is looked up elsewhere."""
    if find(name) is None and not Path(name).exists():
        raise LookupError(f"model {name} is neither bundled nor a file")
    return planner.load_checkpoint(name)


def _ask(run: Mapping[str, Any], case: Mapping[str, Any]) -> Plan:
    return planner.plan(
        _checkpoint(run["model"]),
        on=_system(run),
        engine="transformers",
        context=case["tokens"],
        concurrency=case["batch"],
        options={
            "auto_class": run["auto_class"],
            "device_map": "cuda",
            "flash_linear_attention": run["flash_linear_attention"],
        },
    )


def _system(run: Mapping[str, Any]) -> System:
    """A device with the memory that was measured; a CPU counts as endless."""
    total = run["total_bytes"] or 64 * 1024 * GIB
    device = Accelerator(
        id="measured",
        name=str(run["device"]),
        vendor="custom",
        architecture="unknown",
        memory_cuda_mib=Figure(value=total // MIB, source="the driver", grade="A"),
    )
    return System(id="measured", name=device.name, accelerator=device, accelerators_per_node=1)


def run(folder: Path) -> Iterator[CaseResult]:
    """Per run its weights, and per case its cache and peak."""
    for measured in json.loads((folder / FILES[0]).read_text("utf-8")):
        for case in measured["cases"]:
            name = f"{measured['model']} {measured['device']} batch {case['batch']}"
            name += f", {case['tokens']} tokens"
            try:
                yield from _compare(name, measured, case)
            except LookupError as error:
                yield CaseResult(name=name, unasked=str(error))
            except PlannerError as error:
                yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _compare(name: str, run: Mapping[str, Any], case: Mapping[str, Any]) -> Iterator[CaseResult]:
    answer = planned(run, case)
    yield CaseResult(
        name=f"{name}: weights and cache",
        expected={
            "weights": run["weight_bytes"],
            "kv": case["kv_bytes"],
            "state": case["state_bytes"],
        },
        answered={"weights": answer.weights, "kv": answer.kv, "state": answer.state},
        allowed=dict.fromkeys(("weights", "kv", "state"), ROUNDING),
        group="weights and cache",
    )
    if case["peak_bytes"] is not None:
        truth = case["peak_bytes"]
        yield CaseResult(
            name=f"{name}: peak",
            expected={"peak": truth},
            answered={"peak": answer.peak},
            within_band=answer.peak - answer.below <= truth <= answer.peak + answer.above,
            group="peak",
        )


def summary_lines(run: Mapping[str, Any]) -> Iterator[str]:
    """Measured against planned, a line per case, in GiB."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    yield f"{run['model']} on {run['device']} ({run['method']}; {versions})"
    if run["outside_bytes"] is not None:
        yield f"beside tensors (context, libraries): {run['outside_bytes'] / GIB:.3f} GiB"
    yield f"{'':28}{'measured':>12}{'planned':>12}  GiB"
    for case in run["cases"]:
        answer = planned(run, case)
        name = f"batch {case['batch']}, {case['tokens']:,} tokens"
        rows = [
            ("weights", run["weight_bytes"], answer.weights),
            ("KV", case["kv_bytes"], answer.kv),
            ("state", case["state_bytes"], answer.state),
        ]
        if case["peak_bytes"] is not None:
            rows.append(("peak with cache", case["peak_bytes"], answer.peak))
        yield name
        if case.get("seconds_per_step"):
            yield f"  {'decoding':26}{1000 * case['seconds_per_step']:12.1f} ms per step"
        for what, truth, plan in rows:
            yield f"  {what:26}{truth / GIB:12.4f}{plan / GIB:12.4f}  {plan / truth - 1:+.2%}"
    for reason in run["left_out"]:
        yield f"left out: {reason}"

"""Put the question behind a measurement of PyTorch to the planner, and set both side by side.

A run is plain data in the form of the suite `transformers_gpu`: what `planner.measuring.pytorch`
writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import planner
from hardware_db import Accelerator, Figure, System
from hardware_db.records import frozen
from planner.memory.breakdown import Kind
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.units import GIB, MIB

CACHE = (Kind.KV_CACHE, Kind.RECURRENT_STATE)


@frozen
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

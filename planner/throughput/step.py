"""The time of one decode step.

    t = max(bytes / (BW e), FLOPs / (peak f)) + c L + o L B + n a + ring bytes / (link r)

with bytes in streams of their own efficiency, L layers, B sequences and n = 2 L + 1 all-reduces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hardware_db import Accelerator, System
from planner.layout import Layout
from planner.model.spec import ModelSpec
from planner.throughput.constants import (
    Constants,
    Link,
    compute_dtypes,
    link,
    link_bandwidth,
)
from planner.throughput.traffic import Traffic

CEILING = 0.9
"""Share of nominal bandwidth that no estimate passes; no measured point of 981 passes 0.89."""

SIXTEEN_BITS = ("bf16", "fp16")
"""Dtypes that every other one is measured against."""

_ACTIVATION_BYTES = 2


class UnknownFigureError(LookupError):
    """The database lacks a figure without which there is no estimate; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTerm:
    """One part of a time.

    Attributes:
        name: what it is, in words.
        seconds: how long it takes.
        formula: the rule in symbols.
        values: the numbers put into the rule, by symbol.
        hidden: it passes while a longer one runs and adds nothing.
    """

    name: str
    seconds: float
    formula: str
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    hidden: bool = False


def total(terms: Iterable[StepTerm]) -> float:
    """Seconds of all terms that are not hidden."""
    return sum(term.seconds for term in terms if not term.hidden)


def bandwidth(accelerator: Accelerator) -> float:
    """Nominal bytes per second.

    Raises:
        UnknownFigureError: the database has none.
    """
    if accelerator.bandwidth_gb_s is None:
        raise UnknownFigureError(f"the memory bandwidth of {accelerator.name} is not known")
    return accelerator.bandwidth_gb_s.value * 1e9


def dtype(accelerator: Accelerator, kernel: str) -> str:
    """The dtype in which weights of this kernel family are multiplied there.

    Raises:
        UnknownFigureError: the database has no rate for any dtype that would do.
    """
    dtypes = compute_dtypes(kernel)
    for name in dtypes:
        if name in accelerator.tflops:
            return name
    raise UnknownFigureError(f"the {' or '.join(dtypes)} rate of {accelerator.name} is not known")


def peak(accelerator: Accelerator, kernel: str) -> float:
    """Dense FLOP/s at which weights of this kernel family are multiplied.

    Raises:
        UnknownFigureError: the database has no such rate.
    """
    return accelerator.tflops[dtype(accelerator, kernel)].value * 1e12


def compute_seconds(
    accelerator: Accelerator, flops: Mapping[str, float], *, efficiency: float
) -> float:
    """Seconds of `flops` (by kernel family) at `efficiency` of each one's peak."""
    return sum(count / (peak(accelerator, name) * efficiency) for name, count in flops.items())


def memory_terms(traffic: Traffic, *, rate: float, constants: Constants) -> tuple[StepTerm, ...]:
    """Seconds of each stream of bytes; `rate` is nominal bytes per second."""
    streams = (
        ("weights", traffic.dense + traffic.lm_head, constants.bandwidth),
        ("routed experts", traffic.experts, constants.experts),
        ("KV cache", traffic.kv, constants.kv),
        ("recurrent state", traffic.state, constants.state),
    )
    return tuple(
        StepTerm(
            name=name,
            seconds=nbytes / (rate * share),
            formula="bytes / (BW x e)",
            values=MappingProxyType({"bytes": nbytes, "BW": rate, "e": share}),
        )
        for name, nbytes, share in streams
        if nbytes
    )


def overhead_terms(
    layers: int, *, sequences: float, constants: Constants, stages: int = 1
) -> tuple[StepTerm, ...]:
    """Time that no byte and no FLOP accounts for: launches and small kernels per layer."""
    launch = StepTerm(
        name="per-layer overhead",
        seconds=constants.layer_us * 1e-6 * layers,
        formula="c x layers",
        values=MappingProxyType({"c": constants.layer_us * 1e-6, "layers": layers}),
    )
    if not constants.sequence_us:
        return (launch,)
    values = {"o": constants.sequence_us * 1e-6, "layers": layers, "B": sequences}
    per_sequence = StepTerm(
        name="per-sequence overhead",
        seconds=constants.sequence_us * 1e-6 * layers * sequences,
        formula="o x layers x B",
        values=MappingProxyType(values),
    )
    return (launch, per_sequence)


def communication_terms(
    model: ModelSpec,
    system: System,
    layout: Layout,
    *,
    tokens: float,
    layers: int,
    constants: Constants,
) -> tuple[StepTerm, ...]:
    """All-reduces of tensor parallelism and hand-overs between pipeline stages.

        n a + n x 2 (tp-1)/tp x T x hidden x 2 bytes / (link x r),  n = 2 layers + 1

    Raises:
        UnknownFigureError: the bandwidth of the link is not known.
    """
    tp, pp = layout.tensor_parallel, layout.pipeline_parallel
    message = tokens * model.hidden_size * _ACTIVATION_BYTES
    terms: list[StepTerm] = []
    if tp > 1:
        over, rate = _link(system, ranks=tp)
        count = 2 * layers + 1
        ring = count * 2 * (tp - 1) / tp * message
        latency = over.latency(tp) * constants.collective
        terms.append(
            StepTerm(
                name="all-reduce",
                seconds=count * latency + ring / (rate * over.efficiency),
                formula="n x a + ring bytes / (link x r)",
                values=MappingProxyType(
                    {
                        "n": count,
                        "a": latency,
                        "ring bytes": ring,
                        "link": rate,
                        "r": over.efficiency,
                    }
                ),
            )
        )
    if pp > 1:
        over, rate = _link(system, ranks=tp * pp)
        terms.append(
            StepTerm(
                name="hand-over between stages",
                seconds=(pp - 1) * (over.latency(2) + message / (rate * over.efficiency)),
                formula="(pp - 1) x (a + message / (link x r))",
                values=MappingProxyType({"pp": pp, "a": over.latency(2), "message": message}),
            )
        )
    return tuple(terms)


def _link(system: System, *, ranks: int) -> tuple[Link, float]:
    over, rate = link(system, ranks=ranks), link_bandwidth(system, ranks=ranks)
    if over is None or rate is None:
        raise UnknownFigureError(f"the link between the accelerators of {system.name} is not known")
    return over, rate

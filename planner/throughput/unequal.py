"""Unequal accelerators whose parts of a model work one after the other, seen as one kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hardware_db import Accelerator, Figure, System
from planner.memo import remembered
from planner.memory.placement import Placement
from planner.throughput.consistent import NOISE
from planner.throughput.part import WIDE


def seen_as_one_kind(system: System, placement: Placement | None) -> System:
    """Return `system` with the accelerator that its unequal ones come to together.

        bandwidth = 1 / sum of (share / bandwidth), and so with every rate of products

    Each reads and multiplies the share of the weights that it holds, one after the other. The rest
    is that of the one that holds most; the link to the host is the slowest.

    Args:
        system: the machine.
        placement: what each accelerator holds; where it does not say, all hold equal parts and the
            machine is returned as it is.
    """
    held = _held(system, placement)
    return _blended(system, held) if held else system


def longest_stage(system: System, placement: Placement | None, stages: int) -> float:
    """Return the share of a prompt's time that the slowest of `stages` takes."""
    held = _held(system, placement)
    figures = next(iter(_rates(system.mixed).values()), [])
    rates = [figure.value for figure in figures if figure is not None]
    if not held or len(rates) < len(held):
        return 1 / stages
    times = [part / rate for part, rate in zip(held, rates, strict=True)]
    return max(times) / sum(times)


def slowed(system: System, placement: Placement | None) -> tuple[str, ...]:
    """Say which accelerators make it slower than the fastest kind alone, where some clearly do."""
    held, kinds = _held(system, placement), system.mixed
    rates = [kind.bandwidth_gb_s.value for kind in kinds if kind.bandwidth_gb_s is not None]
    if not held or len(rates) < len(kinds):
        return ()
    seconds = [part / rate for part, rate in zip(held, rates, strict=True)]
    if sum(seconds) <= NOISE * sum(held) / max(rates):
        return ()
    slow = [place for place, rate in enumerate(rates) if NOISE * rate < max(rates)]
    names = " and ".join(dict.fromkeys(kinds[place].short_name for place in slow))
    part, time = (
        100 * sum(whole[place] for place in slow) / sum(whole) for whole in (held, seconds)
    )
    read, them = ("reads", "it") if len(slow) == 1 else ("read", "them")
    return (
        f"{names} {read} {part:.0f} % of the weights in {time:.0f} % of the time: faster without"
        f" {them} where the rest holds the model",
    )


def _held(system: System, placement: Placement | None) -> tuple[int, ...]:
    held = placement.of_accelerators if placement is not None else ()
    return held if len(held) == len(system.mixed) and sum(held) > 0 else ()


@remembered(lambda system, held: ((system,), held))
def _blended(system: System, held: tuple[int, ...]) -> System:
    kinds = system.mixed
    most = kinds[max(range(len(kinds)), key=lambda place: held[place])]
    links = [kind.pcie_gb_s for kind in kinds if kind.pcie_gb_s is not None]
    seen: Accelerator = replace(
        most,
        bandwidth_gb_s=_together([kind.bandwidth_gb_s for kind in kinds], held),
        tflops={
            dtype: figure
            for dtype, rates in _rates(kinds).items()
            if (figure := _together(rates, held)) is not None
        },
        pcie_gb_s=min(links, key=lambda link: link.value, default=None),
    )
    return replace(system, accelerator=seen)


def _together(rates: Sequence[Figure | None], held: Sequence[int]) -> Figure | None:
    """The rate of all for the whole of what they hold; None where one that holds any is unknown."""
    seconds = 0.0
    for rate, part in zip(rates, held, strict=True):
        if part and rate is None:
            return None
        seconds += part / rate.value if rate is not None else 0.0
    return Figure(value=sum(held) / seconds, source="each by the share it holds", grade="C")


def _rates(kinds: Sequence[Accelerator]) -> dict[str, list[Figure | None]]:
    """Return the rates of all by dtype, of those that all know; of none, each by its own widest.

    A GTX 1080 Ti computes in FP32 what an RTX 3090 beside it computes in INT8.
    """
    common = _common(kind.tflops for kind in kinds)
    if common:
        return {dtype: [kind.tflops[dtype] for kind in kinds] for dtype in common}
    own = [
        next((kind.tflops[name] for name in WIDE if name in kind.tflops), None) for kind in kinds
    ]
    every = dict.fromkeys(dtype for kind in kinds for dtype in kind.tflops)
    return {
        dtype: [kind.tflops.get(dtype, widest) for kind, widest in zip(kinds, own, strict=True)]
        for dtype in every
    }


def _common(tables: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """The dtypes that all know a rate for, the wide ones first."""
    known = [set(table) for table in tables]
    both = set.intersection(*known) if known else set()
    return (*(name for name in WIDE if name in both), *sorted(both - {*WIDE}))

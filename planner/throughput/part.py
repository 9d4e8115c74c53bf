"""Parts of a time: an amount that the hardware's nominal figures give, and the constants it waits for.

    seconds = amount x product of its multiples / product of its shares

The amounts know nothing of constants, so calibration and planning use the same law.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.throughput.constants import compute_dtypes

CEILING = 0.9
"""Share of nominal bandwidth that no estimate passes; no measured point of 981 passes 0.89."""

WIDE = ("bf16", "fp16", "fp32")
"""Dtypes that every narrower one is measured against."""

MEMORY, COMPUTE = "memory", "compute"
"""Sides of a roof: the longer of both counts."""


class UnknownFigureError(LookupError):
    """The database lacks a figure without which there is no estimate; the text names it."""


@frozen
class Part:
    """One summand of a time, before its constants.

    Attributes:
        name: what it is, in words.
        amount: seconds at nominal figures (or a count, times 1e-6 where a constant is in us).
        over: names of the constants that divide it: shares of a nominal figure.
        times: names of the constants that multiply it.
        formula: the rule in symbols.
        values: the numbers put into the rule, by symbol.
        roof: (which roof, which side) where it runs beside others and only the longer side counts.
        bound: it streams bytes, and no machine is faster than its nominal bandwidth.
    """

    name: str
    amount: float
    over: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    formula: str
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    roof: tuple[str, str] | None = None
    bound: bool = False

    def seconds(self, constants: Mapping[str, float]) -> float:
        """How long it takes with these constants."""
        seconds = self.amount
        for name in self.times:
            seconds *= constants[name]
        for name in self.over:
            seconds /= constants[name]
        return seconds

    def scaled(self, factor: float, *times: str) -> Part:
        """`factor` of it, with further multiples."""
        if factor == 1 and not times:
            return self
        return replace(self, amount=self.amount * factor, times=(*self.times, *times))


@frozen
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


def terms(parts: Sequence[Part], constants: Mapping[str, float]) -> tuple[StepTerm, ...]:
    """Evaluate `parts`; on every roof the shorter side is hidden."""
    seconds = [part.seconds(constants) for part in parts]
    sides: dict[tuple[str, str], float] = {}
    for part, time in zip(parts, seconds, strict=True):
        if part.roof is not None:
            sides[part.roof] = sides.get(part.roof, 0.0) + time
    return tuple(
        StepTerm(
            name=part.name,
            seconds=time,
            formula=part.formula,
            values=MappingProxyType(
                dict(part.values) | {name: constants[name] for name in (*part.over, *part.times)}
            ),
            hidden=part.roof is not None and _beaten(part.roof, sides),
        )
        for part, time in zip(parts, seconds, strict=True)
        if part.amount
    )


def _beaten(roof: tuple[str, str], sides: Mapping[tuple[str, str], float]) -> bool:
    """Whether the other side of the roof is longer (memory wins where both are equal)."""
    name, side = roof
    other = sides.get((name, COMPUTE if side == MEMORY else MEMORY), 0.0)
    return other > sides[roof] if side == MEMORY else other >= sides[roof]


def seconds_of(parts: Iterable[Part], constants: Mapping[str, float]) -> float:
    """Seconds of `parts` together; on every roof the longer side counts."""
    whole, sides = 0.0, dict[str, dict[str, float]]()
    for part in parts:
        seconds = part.seconds(constants)
        if part.roof is None:
            whole += seconds
        else:
            roof = sides.setdefault(part.roof[0], {})
            roof[part.roof[1]] = roof.get(part.roof[1], 0.0) + seconds
    return whole + sum(max(roof.values()) for roof in sides.values())


def least_seconds(parts: Iterable[Part]) -> float:
    """Seconds that no machine beats: all streams at the ceiling of their nominal bandwidth."""
    return sum(part.amount for part in parts if part.bound) / CEILING


def bandwidth(accelerator: Accelerator) -> float:
    """Nominal bytes per second.

    Raises:
        UnknownFigureError: the database has none.
    """
    if accelerator.bandwidth_gb_s is None:
        raise UnknownFigureError(
            _only_memory(accelerator) or f"the memory bandwidth of {accelerator.name} is not known"
        )
    return accelerator.bandwidth_gb_s.value * 1e9


def dtype(accelerator: Accelerator, kernel: str) -> str:
    """The dtype in which weights of this kernel family are multiplied there.

    Raises:
        UnknownFigureError: the database has no rate for any dtype that would do.
    """
    dtypes = compute_dtypes(kernel, accelerator.vendor)
    for name in dtypes:
        if name in accelerator.tflops:
            return name
    raise UnknownFigureError(
        _only_memory(accelerator) or f"the {dtypes[0]} speed of {accelerator.name} is not known"
    )


def _only_memory(accelerator: Accelerator) -> str:
    """Why nothing is estimated of a GPU of which somebody told the memory alone; empty for any other."""
    return "only the memory of this GPU is known" if accelerator.vendor == "custom" else ""


def peak(accelerator: Accelerator, kernel: str) -> float:
    """Dense FLOP/s at which weights of this kernel family are multiplied.

    Raises:
        UnknownFigureError: the database has no such rate.
    """
    return accelerator.tflops[dtype(accelerator, kernel)].value * 1e12

"""Judge the figures of a start-up log against those that a plan expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hardware_db.records import frozen
from planner.engines.engine import Allocation
from planner.engines.log_figure import Basis, Reading, estimate_band

OUTSIDE = "outside its band"
RANGE = "at most: a mapped range of the file, with what lies between"
IN_ALL = ", in all"
"""Behind the name of a figure that is the sum over devices."""


@frozen
class LogRow:
    """One figure.

    Attributes:
        figure: what it is.
        unit: of the numbers.
        planned: the least and the most that the plan allows it to be; None: it has no word on it.
        logged: what the log says.
        basis: what the figure follows from.
        agrees: whether they agree to the last printed digit; of an estimate, False where the log
            lies outside its band and None where it does not; None where the plan has no word on it.
        note: why there is no verdict, or what to know.
    """

    figure: str
    unit: str
    planned: tuple[float, float] | None
    logged: float
    basis: Basis
    agrees: bool | None
    note: str = ""

    @property
    def difference(self) -> float | None:
        """Logged less planned; zero within the planned range; None where nothing was planned."""
        if self.planned is None:
            return None
        least, most = self.planned
        return self.logged - min(max(self.logged, least), most)

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "figure": self.figure,
            "unit": self.unit,
            "planned": list(self.planned) if self.planned is not None else None,
            "logged": self.logged,
            "difference": self.difference,
            "basis": self.basis.value,
            "agrees": self.agrees,
            "note": self.note,
        }


def rows_of(
    names: Sequence[str],
    planned: Mapping[str, Reading],
    logged: Mapping[str, Reading],
    ends: tuple[Mapping[str, Reading], Mapping[str, Reading]] | None,
    allocation: Allocation,
    soft: frozenset[str],
) -> list[LogRow]:
    """Return one row per logged figure, in the order of `names`, and sums that are off.

    Args:
        names: the order.
        planned: what the plan expects.
        logged: what the log says.
        ends: what it expects at either end of what the log's digits of memory allow, if it says.
        allocation: the plan's, for the bands of its terms.
        soft: figures that are estimates for this deployment, whatever their basis.
    """
    rows = [
        _row(name, planned, logged, ends, allocation, soft=name in soft)
        for name in names
        if name in logged
    ]
    return [*rows, *_sums(planned, logged, allocation, soft)]


def _row(
    name: str,
    planned: Mapping[str, Reading],
    logged: Mapping[str, Reading],
    ends: tuple[Mapping[str, Reading], Mapping[str, Reading]] | None,
    allocation: Allocation,
    *,
    soft: bool,
) -> LogRow:
    value, range_ = logged[name], _range(planned.get(name))
    figure = value.figure
    basis = Basis.ESTIMATE if soft else figure.basis
    agrees: bool | None = None
    note = ""
    if basis is Basis.MEMORY and ends is not None:
        low, high = ends[0].get(name), ends[1].get(name)
        if low is not None and high is not None:
            range_ = min(low.value, high.value), max(low.value, high.value)
        else:
            range_, agrees = None, False
            note = "with the logged memory the plan has no room for it"
    elif basis is Basis.MEMORY:
        basis = Basis.ESTIMATE
        note = "the log does not state the memory that it follows from"
    if range_ is not None and basis is Basis.ASKED:  # the log repeats it, whatever runs there
        agrees = None if _within(value, range_) else False
    elif range_ is not None and basis is not Basis.ESTIMATE:
        agrees = _within(value, range_)
    elif figure.whole:  # what lies where is the engine's choice; the sum is judged
        if value.at_most and range_ is not None and value.value > range_[1]:
            note = RANGE
    elif range_ is not None and (band := estimate_band(figure, range_[0], allocation)) is not None:
        least = range_[0] - band[0]  # what is left over may be planned as less than nothing
        range_ = least if range_[0] < 0 else max(0.0, least), range_[1] + band[1]
        agrees = None if _within(value, range_) else False
        note = note or ("" if agrees is None else OUTSIDE)
    return LogRow(
        figure=name,
        unit=figure.unit,
        planned=range_,
        logged=value.value,
        basis=basis,
        agrees=agrees,
        note=note,
    )


def _sums(
    planned: Mapping[str, Reading],
    logged: Mapping[str, Reading],
    allocation: Allocation,
    soft: frozenset[str],
) -> Iterator[LogRow]:
    """Yield the sum over devices of figures that may lie anywhere, where it is off.

    An estimate whose parts are off is shown with its band, even where the band holds it.

    What lies where is the engine's choice by free memory; how much there is in all is not.
    """
    for figure in {reading.figure.name: reading.figure for reading in logged.values()}.values():
        parts = [reading for reading in logged.values() if reading.figure is figure]
        if not figure.whole or not all(reading.name in soft for reading in parts):
            continue
        if any(reading.name not in planned for reading in parts):
            continue  # a buffer of another kind, which the plan has no word on
        least = most = sum(planned[reading.name].value for reading in parts)
        value, step = sum(reading.value for reading in parts), sum(r.step for r in parts) * 1.001
        band = estimate_band(figure, least, allocation)
        if band is not None:
            least, most = least - band[0], most + band[1]
        lowest = value - sum(
            max(0.0, each.value - planned[each.name].value) for each in parts if each.at_most
        )
        held = least - step <= value and lowest <= most + step
        apart = any(not _within(each, _both_ends(planned[each.name])) for each in parts)
        if not held or (apart and band is not None):
            reason = RANGE if lowest < value and held else ""
            yield LogRow(
                figure=f"{figure.name}{IN_ALL}",
                unit=figure.unit,
                planned=(least, most),
                logged=value,
                basis=figure.basis if band is None else Basis.ESTIMATE,
                agrees=None if held else False,
                note=OUTSIDE if band is not None and not held else reason,
            )


def _range(reading: Reading | None) -> tuple[float, float] | None:
    return None if reading is None else _both_ends(reading)


def _both_ends(reading: Reading) -> tuple[float, float]:
    return reading.value, reading.value


def _within(value: Reading, range_: tuple[float, float]) -> bool:
    """Within the range; of decimals the last one may be rounded the other way."""
    slack = value.step * 1.001 if value.figure.step < 1 else 0.0
    return range_[0] - slack <= value.value <= range_[1] + slack

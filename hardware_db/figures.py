"""Numbers that know where they come from, their sources, and the read-only mapping that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeVar

from hardware_db.errors import HardwareError
from hardware_db.records import frozen
from hardware_db.regex import pattern

__all__ = ["Cited", "Figure", "FrozenMap", "Grade", "Price", "PriceKind"]

Grade = Literal["A", "B", "C", "D"]
PriceKind = Literal["launch", "list", "street", "used", "hourly"]

V = TypeVar("V")


class FrozenMap(Mapping[str, V]):
    """A read-only, hashable, picklable mapping with string keys, in the order given."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, V] | Iterable[tuple[str, V]] = ()) -> None:
        pairs = dict(items)
        object.__setattr__(self, "_items", tuple(pairs.items()))

    _items: tuple[tuple[str, V], ...]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("FrozenMap is read-only")

    def __getitem__(self, key: str) -> V:
        for name, value in self._items:
            if name == key:
                return value
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items))

    def __repr__(self) -> str:
        return f"FrozenMap({dict(self._items)!r})"

    def __reduce__(self) -> tuple[type[FrozenMap[V]], tuple[tuple[tuple[str, V], ...]]]:
        return type(self), (self._items,)


def fill_slots(self: Any, state: Iterable[object]) -> None:
    """Set the fields of an object that is being unpickled, in their order.

    The way of `dataclasses` looks the fields up for every object, which takes most of the time in
    which the compiled database is read.
    """
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


GIVEN = "given by the user"
"""How the source of a figure begins that somebody named."""


@frozen
class Figure:
    """One number, its origin, and the other readings of it.

    `grade`: A machine output, or a file in the vendor's own repository; B public database, two
    third parties that agree, or derived and confirmed by another source; C derived by a stated
    rule, or a single third party; D unverified.
    `date` is the date that the source bears, or else the day on which it was read (ISO 8601, or
    only its year or month). `note` says under which condition the number holds, and, where there
    are `alternatives`, why this one was chosen. The unit is in the name of the field that holds
    the figure; counts of MiB stay `int`.
    """

    value: float
    source: str
    grade: Grade
    date: str | None = None
    note: str | None = None
    alternatives: tuple[Figure, ...] = ()

    __setstate__ = fill_slots

    @property
    def is_given(self) -> bool:
        """Somebody named it, in place of the database."""
        return self.source.startswith(GIVEN)


@frozen
class Price:
    """What one unit costs, when and where. Prices move: `volatile` is true for all of them.

    `launch` is what the maker asked at first, a label and never an offer; `list` what the maker
    asks on `date`, `street` what shops do, `used` what a second hand does, `hourly` rent. On an
    accelerator, prices to buy are per card (for a system on a chip, per machine) and `hourly` is
    per accelerator and hour. On a system, every price is for the whole system. `value` is in
    `currency`; where the source has a range, it is the lower end and `high` the upper.
    """

    value: float
    currency: str
    kind: PriceKind
    source: str
    date: str | None = None
    volatile: bool = True
    provider: str | None = None
    region: str | None = None
    note: str | None = None
    high: float | None = None

    __setstate__ = fill_slots


_CITED = pattern(r"\{([a-z0-9-]+)\}")


@frozen
class Cited:
    """Sources that a file refers to by a short name, and the day on which it was read."""

    cites: Mapping[str, tuple[str, str | None]]
    accessed: str | None

    def resolve(self, text: str, where: str) -> tuple[str, str | None]:
        """`text` with each {name} written out, and the date that the figure bears."""
        dates: list[str] = []

        def written_out(match: re.Match[str]) -> str:
            if match[1] not in self.cites:
                raise HardwareError(f"{where}: [sources] has no {match[1]!r}")
            cite, date = self.cites[match[1]]
            if date:
                dates.append(date)
            return cite

        full = _CITED.sub(written_out, text)
        return full, dates[0] if dates else self.accessed

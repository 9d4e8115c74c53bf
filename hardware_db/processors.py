"""Processors by name: which RAM stands beside them where nobody says its kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from hardware_db.figures import Figure
from hardware_db.memory import HostMemory, MemoryKind, bandwidth_of
from hardware_db.records import frozen
from hardware_db.regex import pattern

__all__ = ["CHANNEL_BITS", "Processor", "named", "ram_beside", "sockets"]

_TWO = pattern(
    r"\b(?:dual|two|pair of|2\s?[x×p]|[x×]\s?2|2[- ]?(?:sockets?|cpus?))\b|\bzwei\b", re.I
)
_BIT = 8
_FEW = 2
CHANNEL_BITS = 64
"""Width of a channel of DDR memory, ECC aside."""


@frozen
class Processor:
    """A line of processors with the RAM that its makers list for it, every slot filled.

    `match` finds the line in what people type and in what a system calls it; `bits` is the width of
    the memory of one socket; `usual_gb` a size of RAM that such a machine often has.
    """

    id: str
    name: str
    match: str
    kind: MemoryKind
    bits: int
    usual_gb: int
    source: str
    date: str | None = None

    @property
    def is_soldered(self) -> bool:
        """Whether its RAM has no slots: nobody fills fewer channels."""
        return (self.kind.type or "").startswith("lp")

    def less(self, told: MemoryKind) -> str:
        """Return a slower RAM in words, as an example of what may be said."""
        channels = self.kind.channels or 1
        if channels > _FEW and told.channels is None:
            return f"{channels // 2} channels"
        return "DDR4-2133" if self.kind.type == "ddr4" else "DDR4-3200"

    def is_told_by(self, told: MemoryKind) -> bool:
        """Return whether enough was said of the RAM: nobody fills one slot of two."""
        few = (self.kind.channels or 1) <= _FEW
        return told.mt_s is not None and (told.channels is not None or few)

    def bandwidth(self, told: MemoryKind, sockets: int = 1) -> Figure:
        """Return what the RAM of one socket streams at nominal (GB/s).

        Args:
            told: what was said of the RAM; the rest is the line's own. Grade D: nobody said it all.
            sockets: over how many the channels that were said are spread.
        """
        bits = self.bits
        if told.channels is not None:
            spread = sockets if told.channels * CHANNEL_BITS > self.bits else 1
            bits = told.channels * CHANNEL_BITS // spread
        kind = self.filled(told)
        rate = kind.mt_s or _SLOWEST.get(kind.type or "", _SLOW)
        known = told.type is not None and told.mt_s is not None and told.channels is not None
        return Figure(
            value=bits // _BIT * rate / 1000,
            source=f"derived: {bits} bit x {rate:,} MT/s; {self.source}",
            grade="A" if known else "D",
            date=self.date,
        )

    def filled(self, told: MemoryKind) -> MemoryKind:
        """Return the kind of RAM with what nobody said taken from the line's own."""
        own = told.type in (None, self.kind.type)
        return MemoryKind(
            type=told.type or self.kind.type,
            mt_s=told.mt_s or (self.kind.mt_s if own else None),
            channels=told.channels or self.kind.channels,
        )


_SLOWEST = {"ddr2": 667, "ddr3": 1333, "ddr4": 2400, "ddr5": 4800, "ddr6": 8800, "mrdimm": 8000}
_SLOWEST |= {"lpddr3": 1600, "lpddr4": 3200, "lpddr4x": 3733, "lpddr5": 5500, "lpddr5x": 7500}
"""MT/s of a type that is not the line's own, where nobody said how fast it is: a slow common module."""
_SLOW = 3200
"""The same of a type that is not listed: "ddr5x"."""


def named(text: str | None, known: Iterable[Processor]) -> Processor | None:
    """Return the line whose id `text` holds, or the first that it names; None where none does."""
    if text is None:
        return None
    plain = " ".join(re.split(r"[\s\-_]+", text.casefold()))
    lines = tuple(known)
    for one in lines:
        if plain.endswith(one.id.replace("-", " ")):
            return one
    return next((one for one in lines if _pattern(one.match).search(plain)), None)


def ram_beside(
    cpu: str | None, told: MemoryKind, known: Iterable[Processor], memories: Iterable[HostMemory]
) -> tuple[MemoryKind, Figure | None]:
    """Return the kind of RAM and its GB/s: as it was said, the rest as the processor has it.

    Args:
        cpu: the processor as it was named; None where none was.
        told: what was said of the RAM.
        known: the lines of processors.
        memories: the classes of RAM, for a processor of no known line.
    """
    line = named(cpu, known)
    if line is None:
        return told, bandwidth_of(told, memories)
    return line.filled(told), line.bandwidth(told, sockets(cpu))


def sockets(text: str | None) -> int:
    """Return how many processors a name says: "dual epyc 9654" → 2."""
    return 2 if text is not None and _TWO.search(text) else 1


@lru_cache(maxsize=512)
def _pattern(match: str) -> re.Pattern[str]:
    return re.compile(match)

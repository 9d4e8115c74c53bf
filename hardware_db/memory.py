"""RAM beside the accelerators: its kinds with their speed, and what the system leaves of it."""

from __future__ import annotations

from collections.abc import Iterable

from hardware_db.accelerator import MIB
from hardware_db.figures import Figure
from hardware_db.records import frozen

__all__ = [
    "HostMemory",
    "MemoryKind",
    "bandwidth_of",
    "left_by_system",
    "system_reserve_mib",
    "with_system",
]

SYSTEM_RESERVE_MIB = 4096
_BYTES_PER_TRANSFER = 8


def system_reserve_mib(total_mib: int) -> int:
    """Return the MiB that the system itself takes of a machine's RAM.

    4 GiB, and at most a quarter: Strix Halo machines give 124 of 128 GiB away, DGX Sparks have 4
    to 5 GiB in use without a desktop, an M2 Max about 4. A desktop with a browser takes more.
    """
    return min(SYSTEM_RESERVE_MIB, total_mib // 4)


def left_by_system(total: int) -> int:
    """Return the bytes of a machine's RAM that a server may take: what the system leaves of it.

    The same with accelerators beside it as without: an assumption, see `system_reserve_mib`.
    """
    return total - system_reserve_mib(total // MIB) * MIB


def with_system(needed: int) -> int:
    """Return the bytes of RAM of the smallest machine that leaves a server so many."""
    whole = needed * 4 // 3 + MIB
    return whole if whole < 4 * SYSTEM_RESERVE_MIB * MIB else needed + SYSTEM_RESERVE_MIB * MIB


@frozen
class MemoryKind:
    """RAM as people name it: "DDR5-6000, 2 channels"; None where it was not said."""

    type: str | None = None
    mt_s: int | None = None
    channels: int | None = None

    def __str__(self) -> str:
        """Return the name in words; empty where nothing is known."""
        name = (self.type or "").upper()
        if self.mt_s is not None:
            name = f"{name or 'RAM'}-{self.mt_s}"
        if self.channels is not None:
            count = f"{self.channels} channel{'s' if self.channels > 1 else ''}"
            name = f"{name}, {count}" if name else count
        return name


@frozen
class HostMemory:
    """One class of RAM.

    `theoretical_gb_s` is channels x 8 bytes x transfers; `plan_gb_s` what decoding on the
    processor reaches, with every loss in it. `type` is "ddr4", "ddr5", "lpddr5x", "mrdimm".
    """

    id: str
    name: str
    type: str
    mt_s: int
    channels: int
    plan_gb_s: Figure
    theoretical_gb_s: Figure | None = None
    notes: tuple[str, ...] = ()


def bandwidth_of(kind: MemoryKind, known: Iterable[HostMemory]) -> Figure | None:
    """Return what such RAM streams at nominal (GB/s); None if not even its type was said.

        channels x 8 bytes x transfers per second

    Two channels where their number was not said, the slowest known rate of the type where that was
    not said. How much of it a processor reaches is the business of whoever estimates speed.
    """
    channels = kind.channels or 2
    alike = [m for m in known if m.type == kind.type]
    rates = [m.mt_s for m in alike if m.channels == channels] or [m.mt_s for m in alike]
    rate = min(rates, default=None) if kind.mt_s is None else kind.mt_s
    if kind.type is None or rate is None:
        return None
    return Figure(
        value=channels * _BYTES_PER_TRANSFER * rate / 1000,
        source=f"derived: {channels} x 64-bit x {rate:,} MT/s",
        grade="A",
    )

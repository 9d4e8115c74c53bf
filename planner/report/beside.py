"""What the accelerators and the RAM beside the fullest one hold, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from planner.memory.breakdown import HOST_RANK, Rank
from planner.units import format_gib


def beside(ranks: Sequence[Rank]) -> tuple[str, ...]:
    """Return what every rank but the first holds: accelerators by their place, then the RAM.

    Those that read the same share a line.

    Args:
        ranks: as in a plan, the fullest first.
    """
    alike: dict[str, list[str]] = {}
    for rank in sorted(ranks[1:], key=lambda rank: (rank.name == HOST_RANK, rank.name)):
        count = f" ({rank.count} alike)" if rank.count > 1 else ""
        held = f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable"
        alike.setdefault(held, []).append(f"{rank.label}{count}")
    return tuple(f"{', '.join(names)}: {held}" for held, names in alike.items())

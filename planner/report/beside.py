"""What the accelerators and the RAM beside the fullest one hold, one line each."""

from __future__ import annotations

import re
from collections.abc import Sequence

from planner.memory.breakdown import HOST_RANK, Rank
from planner.units import format_gib


def beside(ranks: Sequence[Rank]) -> tuple[str, ...]:
    """Return what every rank but the first holds: accelerators by their place, then the RAM.

    Those that read the same share a line. Of many the first are named: --explain lists all.

    Args:
        ranks: as in a plan, the fullest first.
    """
    alike: dict[str, list[str]] = {}
    for rank in sorted(ranks[1:], key=_place):
        count = f" ({rank.count} alike)" if rank.count > 1 else ""
        held = f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable"
        alike.setdefault(held, []).append(f"{rank.label}{count}")
    lines = [f"{_some(names)}: {held}" for held, names in alike.items()]
    if len(lines) > MOST_LINES:
        left = len(lines) - MOST_LINES + 1
        lines[MOST_LINES - 2 : -1] = [f"and {left} kinds more, none of them fuller (--explain)"]
    return tuple(lines)


MOST_NAMED, MOST_LINES = 4, 6
"""Accelerators that a line names, and lines."""


def _place(rank: Rank) -> tuple[bool, list[tuple[int, str]]]:
    """Return what sorts ranks: the RAM last, "stage 2" before "stage 10"."""
    parts = re.split(r"([0-9]+)", rank.name)
    return rank.name == HOST_RANK, [(int(p), "") if p.isdigit() else (0, p) for p in parts]


def _some(names: list[str]) -> str:
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: MOST_NAMED - 1])} and {len(names) - MOST_NAMED + 1} more"

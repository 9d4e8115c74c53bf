"""Leave out blocks that only repeat what the blocks before them did.

Blocks of a model come in periods (three of linear attention, one of full), and periods of a device
are alike. Where the allocator is found in the same state before and after a period, any number of
further such periods changes nothing: so most of them need not be built. Which blocks are left out
is proposed here; the state is looked at when the events are run.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardware_db.records import frozen

LONGEST_PERIOD = 12
"""Blocks of the longest period that is looked for (4 of attention times 3 of a mix's types)."""


@frozen
class Cut:
    """A place at which periods were left out.

    Attributes:
        at: kept blocks before it, those that are repeated included.
        period: blocks of what is repeated.
        times: how often it was left out.
    """

    at: int
    period: int
    times: int


@frozen
class Selection:
    """The blocks of a graph that is to be built.

    Attributes:
        blocks: their indices, in order.
        cuts: where periods were left out.
    """

    blocks: tuple[int, ...]
    cuts: tuple[Cut, ...] = ()


def select(signatures: Sequence[int], *, unit: int, spare: int) -> Selection:
    """Return the blocks to build: of every run of alike periods the first and the last few.

    What is kept of a run: `spare` periods, the `unit` periods that are repeated, `spare` periods and
    whatever does not fill a unit.

    Args:
        signatures: numbers for what a block's part of the graph follows from, per block.
        unit: periods that are left out together: after two of a dense model, not after one, the
            residual is back in its place.
        spare: periods that are kept at either end.
    """
    blocks: list[int] = []
    cuts: list[Cut] = []
    at = 0
    while at < len(signatures):
        period, periods = _run(signatures, at, 2 * spare + unit)
        times = (periods - 2 * spare) // unit - 1
        if times <= 0:
            blocks.append(at)
            at += 1
            continue
        kept = (spare + unit) * period
        blocks += range(at, at + kept)
        cuts.append(Cut(at=len(blocks), period=unit * period, times=times))
        at += kept + times * unit * period
        rest = (periods - spare - (1 + times) * unit) * period
        blocks += range(at, at + rest)
        at += rest
    return Selection(blocks=tuple(blocks), cuts=tuple(cuts))


def _run(signatures: Sequence[int], at: int, kept: int) -> tuple[int, int]:
    """Return (blocks of the period, periods) of the run from `at` that spares the most blocks."""
    best, spared = (1, 1), 0
    for period in range(1, min(LONGEST_PERIOD, (len(signatures) - at) // (kept + 1)) + 1):
        end = at + period
        while end < len(signatures) and signatures[end] == signatures[end - period]:
            end += 1
        periods = (end - at) // period
        if (periods - kept) * period > spared:
            best, spared = (period, periods), (periods - kept) * period
    return best

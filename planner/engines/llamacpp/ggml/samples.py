"""Choose a few blocks of a model whose graph shows all that the whole graph does.

What a block takes and gives back in which order follows from its own tensors, from where they lie,
from where its neighbours lie, and from which inputs are needed before and after it, on its device
and on others. That is its situation; blocks in one situation have the same events but for the
numbers of slots and of devices (see `pieces`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby, takewhile

from hardware_db.records import frozen


@frozen
class Spot:
    """A block as far as its events depend on it.

    Attributes:
        piece: a number for what it is.
        device: its backend.
        mixed: not all that it works with lies on a GPU of its own: splits begin and end within it.
    """

    piece: int
    device: int
    mixed: bool


Situation = tuple[Hashable, ...]
"""What a block's events follow from: equal tuples, equal events."""


def sample_of(
    spots: Sequence[Spot], situations: Sequence[Situation], *, host: int, kept: bool
) -> tuple[int, ...] | None:
    """Return as few blocks as are found to show every situation; None if all are needed.

    Args:
        spots: the model's blocks.
        situations: theirs.
        host: index of the host's backend.
        kept: see `situations_of`.
    """
    runs = [
        [at for at, _ in members]
        for _, members in groupby(enumerate(spots), key=lambda member: member[1].device)
    ]
    built, seen = set[int](), set[Situation]()
    for run in runs:
        first_of_each = {situations[at]: at for at in reversed(run)}
        new = {at for situation, at in first_of_each.items() if situation not in seen}
        if new:
            built |= {run[0], *new}
            seen |= first_of_each.keys()
    while len(built) < len(spots):
        blocks = tuple(sorted(built))
        shown = set(situations_of([spots[block] for block in blocks], host=host, kept=kept))
        missing = next((at for at, found in enumerate(situations) if found not in shown), None)
        if missing is None:
            return blocks
        run = next(run for run in runs if missing in run)
        in_run = {situations[at]: at for at in reversed(run)}.values()
        for more in (
            {missing},
            {missing, min(missing + 1, run[-1])},
            {missing, run[-1]},
            {missing, run[0], run[-1], *in_run},
            set(run),
        ):
            if not more <= built:
                built |= more
                break
        else:
            return None
    return None


def situations_of(spots: Sequence[Spot], *, host: int, kept: bool) -> list[Situation]:
    """Return the situation of each block.

    Args:
        spots: the blocks.
        host: index of the host's backend.
        kept: inputs are kept to the end on every device: on which what comes after a block does not count.
    """
    before, after = _company(spots), _company(spots[::-1])[::-1]
    found: list[Situation] = []
    for at, spot in enumerate(spots):
        own = spot.device
        previous = spots[at - 1].device if at else None
        if kept:
            later = after[at][0] | after[at][1]
            found.append((spot.piece, previous == own, *before[at], later))
            continue
        following: Situation = ()
        if at + 1 < len(spots):
            next_ = spots[at + 1]
            following = (next_.device == own, next_.device == host)
            if spot.mixed or next_.mixed:
                known = (next_.piece in pieces for pieces in before[at + 1])
                following = (*following, next_.piece, *known)
        neighbours = (previous == own, previous == 0, previous == host, following)
        elsewhere, here = after[at]
        order = (
            None if previous == own else tuple(_of_device(spots[at:]))
        )  # in which it copies inputs
        found.append(
            (spot.piece, own == 0, own == host, neighbours, *before[at], elsewhere, here, order)
        )
    return found


def _of_device(spots: Sequence[Spot]) -> dict[int, None]:
    """Return the pieces on the first block's device, in the order in which they come."""
    return dict.fromkeys(
        spot.piece for spot in takewhile(lambda spot: spot.device == spots[0].device, spots)
    )


def _company(spots: Sequence[Spot]) -> list[tuple[frozenset[int], frozenset[int]]]:
    """Return the pieces that stand before each block: on other devices, on its own."""
    elsewhere, here, device = frozenset[int](), frozenset[int](), -1
    found = []
    for spot in spots:
        if spot.device != device:
            elsewhere, here, device = elsewhere | here, frozenset(), spot.device
        found.append((elsewhere, here))
        if spot.piece not in here:
            here |= {spot.piece}
    return found

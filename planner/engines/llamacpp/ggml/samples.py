"""Choose a few blocks of a model whose graph shows all that the whole graph does.

What a block takes and gives back in which order follows from its own tensors, from where they lie,
from where its neighbours lie, and from which inputs are needed before and after it, on its device
and on others. That is its situation; blocks in one situation have the same events but for the
numbers of slots and of devices (see `pieces`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import groupby

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


@frozen
class Sample:
    """Blocks in which every situation of a model's blocks occurs.

    Attributes:
        blocks: their indices, in order.
        like: per block of the model the place among `blocks` of one in the same situation.
    """

    blocks: tuple[int, ...]
    like: tuple[int, ...]


def sample_of(spots: Sequence[Spot], *, host: int, kept: bool) -> Sample | None:
    """Return as few blocks as are found to show every situation; None if all are needed.

    Args:
        spots: the model's blocks.
        host: index of the host's backend.
        kept: inputs are kept to the end on every device: on which what comes after a block does not count.
    """
    situations = _situations(spots, host=host, kept=kept)
    runs = [
        [at for at, _ in members]
        for _, members in groupby(enumerate(spots), key=lambda member: member[1].device)
    ]
    built, seen = set[int](), set[Hashable]()
    for run in runs:
        first_of_each = {situations[at]: at for at in reversed(run)}
        new = {at for situation, at in first_of_each.items() if situation not in seen}
        if new:
            built |= {run[0], *new}
            seen |= first_of_each.keys()
    while len(built) < len(spots):
        blocks = sorted(built)
        shown = _situations([spots[block] for block in blocks], host=host, kept=kept)
        places = {situation: place for place, situation in enumerate(shown)}
        missing = next((at for at, found in enumerate(situations) if found not in places), None)
        if missing is None:
            like = tuple(places[situation] for situation in situations)
            return Sample(blocks=tuple(blocks), like=like)
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


def _situations(spots: Sequence[Spot], *, host: int, kept: bool) -> list[tuple[Hashable, ...]]:
    """Return what each block's events follow from: equal tuples, equal events."""
    before, after = _company(spots), _company(spots[::-1])[::-1]
    found: list[tuple[Hashable, ...]] = []
    for at, spot in enumerate(spots):
        own = spot.device
        previous = spots[at - 1].device if at else None
        if kept:
            later = after[at][0] | after[at][1]
            found.append((spot.piece, at and previous == own, *before[at], later))
            continue
        following: tuple[Hashable, ...] = ()
        if at + 1 < len(spots):
            next_ = spots[at + 1]
            following = (next_.device == own, next_.device == host)
            if spot.mixed or next_.mixed:
                known = 1 << next_.piece
                following = (*following, next_.piece, *(known & bits for bits in before[at + 1]))
        neighbours = (previous == own, previous == 0, previous == host, following)
        found.append((spot.piece, own == 0, own == host, neighbours, before[at], after[at]))
    return found


def _company(spots: Sequence[Spot]) -> list[tuple[int, int]]:
    """Return which pieces stand before each block, on other devices and on its own, as bits."""
    elsewhere, here, device = 0, 0, -1
    found = []
    for spot in spots:
        if spot.device != device:
            elsewhere, here, device = elsewhere | here, 0, spot.device
        found.append((elsewhere, here))
        here |= 1 << spot.piece
    return found

"""Choose a few blocks of a model whose graph shows all that the whole graph does.

What a block takes and gives back in which order follows from its own tensors, from where they lie,
from where its neighbours lie, and from which inputs are needed before and after it, on its device
and on others. That is its situation; blocks in one situation have the same events but for the
numbers of slots and of devices (see `pieces`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby, takewhile

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.pieces import HOST, OWN


@frozen
class Spot:
    """A block as far as its events depend on it.

    Attributes:
        piece: a number for what it is.
        needs: a number for what it is as far as it shares inputs with others.
        device: its backend.
        mixed: not all that it works with lies on a GPU of its own: splits begin and end within it.
        backends: where it may need inputs that it shares with others; its device is one of them.
    """

    piece: int
    needs: int
    device: int
    mixed: bool
    backends: frozenset[int]


Situation = tuple[Hashable, ...]
"""What a block's events follow from: equal tuples, equal events."""


def sample_of(
    spots: Sequence[Spot],
    situations: Sequence[Situation],
    wanted: Sequence[int],
    *,
    host: int,
    kept: bool,
) -> tuple[int, ...] | None:
    """Return as few blocks as are found to show the situations that are wanted; None if all are needed.

    Args:
        spots: the model's blocks.
        situations: theirs.
        wanted: blocks whose situations are to be shown.
        host: index of the host's backend.
        kept: see `situations_of`.
    """

    def shown(blocks: Sequence[int]) -> set[Situation]:
        return set(situations_of([spots[block] for block in blocks], host=host, kept=kept))

    needed = dict.fromkeys(situations[at] for at in wanted)
    if len(needed) <= _FEW:
        firsts = map(situations.index, needed)
        few = sorted(set[int]().union(*(_around(spots, at, host) for at in firsts)))
        if needed.keys() <= shown(few):
            return tuple(few)
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
        there = shown(blocks)
        missing = next((at for at, found in enumerate(situations) if found not in there), None)
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


def _around(spots: Sequence[Spot], at: int, host: int) -> Iterator[int]:
    """Yield a block, its neighbours, and the first and the last of each kind that count for it."""
    yield from range(max(0, at - 1), min(at + 2, len(spots)))
    own = spots[at].device
    for side in (range(at), range(len(spots) - 1, at, -1)):
        seen = set[Hashable]()
        for block in side:
            device = spots[block].device
            kind = spots[block].needs, device if device in (own, 0, host) else _ELSEWHERE
            if kind not in seen:
                seen.add(kind)
                yield block


_FEW = 4
"""Situations that are shown by what stands around them; more, by some of all runs of blocks."""


def situations_of(spots: Sequence[Spot], *, host: int, kept: bool) -> list[Situation]:
    """Return the situation of each block.

    Args:
        spots: the blocks.
        host: index of the host's backend.
        kept: inputs are kept to the end on every device: on which what comes after a block does not count.
    """
    before, after = _company(spots, host), _company(spots[::-1], host)[::-1]
    found: list[Situation] = []
    for at, spot in enumerate(spots):
        own = spot.device
        previous = spots[at - 1].device if at else None
        if kept:
            later = frozenset[int]().union(*after[at].values())
            found.append((spot.piece, previous == own, *before[at].items(), later))
            continue
        following: Situation = ()
        if at + 1 < len(spots):
            next_ = spots[at + 1]
            following = (next_.device == own, next_.device == host)
            if spot.mixed or next_.mixed:
                likes = [(next_.needs, its) for its in (False, True)]
                seen = before[at + 1].items()
                known = ((role, *(like in there for like in likes)) for role, there in seen)
                following = (*following, next_.piece, *known)
        neighbours = (previous == own, previous == 0, previous == host, following)
        # in which order it copies inputs
        order = None if previous == own else tuple(_of_device(spots[at:]))
        company = (*before[at].items(), *after[at].items())
        found.append((spot.piece, own == 0, own == host, neighbours, company, order))
    return found


def _of_device(spots: Sequence[Spot]) -> dict[int, None]:
    """Return the pieces on the first block's device, in the order in which they come."""
    return dict.fromkeys(
        spot.needs for spot in takewhile(lambda spot: spot.device == spots[0].device, spots)
    )


_Company = dict[int, frozenset[tuple[int, bool]]]
"""Backend, as a block knows it -> pieces on it, and whether it is their device."""


def _company(spots: Sequence[Spot], host: int) -> list[_Company]:
    """Return the pieces that stand before each block: on its backends, and elsewhere."""
    there: _Company = {}
    shared = frozenset[int]().union(*(spot.backends - {spot.device} for spot in spots))
    found, known = [], dict[tuple[int, frozenset[int]], _Company]()
    for spot in spots:
        kind = spot.device, spot.backends
        if kind not in known:
            company: _Company = {_ELSEWHERE: frozenset()}
            told = shared | spot.backends
            for backend, pieces in there.items():
                role = _role(backend, spot, host) if backend in told else _ELSEWHERE
                company[role] = company.get(role, frozenset()) | pieces
            known[kind] = dict(sorted(company.items()))
        found.append(known[kind])
        for backend in spot.backends:
            used = spot.needs, backend == spot.device
            if used not in there.get(backend, ()):
                there[backend] = there.get(backend, frozenset()) | {used}
                known = {}
    return found


def _role(backend: int, spot: Spot, host: int) -> int:
    """Return a backend as a block knows it: its own, the host's, or one by number."""
    return OWN if backend == spot.device else HOST if backend == host else backend


_ELSEWHERE = -4
"""Beside the backends as `pieces` knows them: all others together."""

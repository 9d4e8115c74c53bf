"""Put a whole model's events together from a graph of a few of its blocks.

The graph is one in which every situation of a block occurs (see `samples`). It is cut into what
comes before the blocks, each block, and what comes behind them; the model's blocks are written down
one by one, each like the sample's in its situation, with its own slots and devices. Slots of other
parts are found by name. Nothing of it depends on sizes.

That the result is the whole graph's, event by event, is held by `benchmarks.llamacpp_graphs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import GIVE, INHERIT, TAKE

Part = int | str
"""Where a tensor belongs: before the blocks, behind them, among what shows inputs, or to a block.

Blocks of one kind have tensors of the same sizes, so that a kind stands for its blocks; where the
block itself counts (a weight's type), its place among the blocks that were built.
"""

LISTS = 3
"""Of what is taken ahead of the first node: inputs that are kept, their copies, other inputs."""

BEFORE, BEHIND, SHOWN = "before", "behind", "shown"

Label = tuple[str, Part, int | str]
"""What a slot holds: ("node", part, place in it), ("copy", part, place), ("leaf", part, name)."""


@frozen
class Built:
    """A graph of some blocks, run through the recorder.

    Its parts: what comes before the blocks, each block, what comes behind them.

    Attributes:
        events: as in `allocator.Record`, for all parts but the last up to its mark.
        marks: numbers in `events` before each part but the first.
        arenas: the backend of each slot.
        labels: what each slot holds.
        owners: the part that what each slot holds belongs to.
        lengths: per block the nodes that its labels count.
        counts: per part its nodes and splits.
        ahead: for the slots that are taken ahead of the first node, which are the first: the list they
            stand in, and the part that is the first to need them.
        devices: backend of each block.
    """

    events: Sequence[int]
    marks: Sequence[int]
    arenas: Sequence[int]
    labels: Sequence[Label]
    owners: Sequence[int]
    lengths: Sequence[int]
    counts: Sequence[tuple[int, int]]
    ahead: Sequence[tuple[int, int]]
    devices: Sequence[int]


@frozen
class Block:
    """Where a block begins.

    Attributes:
        alike: blocks of equal numbers have the same events, but for the numbers of slots.
        start: numbers in `events` before it.
        slot: its first slot.
    """

    alike: int
    start: int
    slot: int


@dataclass(slots=True)
class Whole:
    """The events of a whole model while they are put together; see `Built`.

    Attributes:
        events: as in `Built`.
        arenas: likewise.
        labels: likewise.
        blocks: where blocks begin, and what comes behind them.
        nodes: of the whole graph.
        splits: likewise.
    """

    events: list[int] = field(default_factory=list)
    arenas: list[int] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    nodes: int = 0
    splits: int = 0


class _UnknownError(Exception):
    """A part refers to something that its name does not tell from others."""


def put_together(built: Built, like: Sequence[int], devices: Sequence[int]) -> Whole | None:
    """Return the events of a whole model; None if they cannot be told from the sample's.

    Args:
        built: the graph of a sample.
        like: per block of the model a place in the sample.
        devices: backend of each block of the model.
    """
    try:
        return _Joiner(built, devices).run(like)
    except _UnknownError:
        return None


_Name = tuple[str, Part, int | str, int]
"""What tells a slot from others on its backend.

Of a block's own tensors: places of nodes counted from its end, and how far behind the block it is made.
"""

_OUTSIDE = frozenset({BEFORE, BEHIND, SHOWN})
_ITS = "its"
"""Part of names of a block's own tensors."""


_EARLY = "early"
"""Part of names of a block's own inputs, which are taken ahead of the first node."""


@dataclass(slots=True)
class _Piece:
    """One part of the sample's graph.

    Attributes:
        events: its events. Slots are places in a list: zero, its own slots, from the end those of others.
        slots: its own slots, as the sample counts them.
        others: names and backends of the slots of other parts that it refers to.
        ahead: per list, slots that are taken on its behalf ahead of the first node.
        shown: its own slots that others may refer to, and their names.
    """

    events: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    others: list[tuple[_Name, int]] = field(default_factory=list)
    ahead: list[list[int]] = field(default_factory=lambda: [[] for _ in range(LISTS)])
    shown: list[tuple[int, _Name]] = field(default_factory=list)


class _Joiner:
    """Cut the events of a sample into its parts, and join parts."""

    def __init__(self, built: Built, devices: Sequence[int]) -> None:
        self.built, self.devices = built, devices
        self.whole = Whole()
        self.wanted = set[_Name]()
        self.pieces = self.cut()
        # slots that later parts may refer to, by name and backend; a block's own: the next part alone
        self.known: dict[tuple[_Name, int], int] = {}
        self.last: dict[tuple[_Name, int], int] = {}
        self.early: dict[tuple[int, int], int] = {}

    def cut(self) -> list[_Piece]:
        """Return the parts."""
        built = self.built
        ahead = len(built.ahead)
        marks = (3 * ahead, *built.marks, len(built.events))
        pieces = [_Piece() for _ in marks[1:]]
        made = [-1] * len(built.labels)
        for slot, (list_, part) in enumerate(built.ahead):
            pieces[part].ahead[list_].append(slot)
        if any(a > b for a, b in pairwise(built.ahead)):
            raise _UnknownError
        for at, (piece, (start, end)) in enumerate(zip(pieces, pairwise(marks), strict=True)):
            places: dict[int, int] = {}
            numbers = iter(built.events[start:end])
            for what, slot, other in zip(numbers, numbers, numbers, strict=True):
                if what != GIVE:
                    made[slot] = at
                    piece.slots.append(slot)
                    places[slot] = len(piece.slots)
                elif slot not in places:
                    self.refer(piece, places, slot, made[slot], at)
                if what != INHERIT:
                    piece.events += (what, places[slot], 0)
                    continue
                if other not in places:
                    self.refer(piece, places, other, made[other], at)
                piece.events += (what, places[slot], places[other])
        for at, piece in enumerate(pieces):
            named = ((slot, self.name(slot, at)) for slot in piece.slots)
            piece.shown = [(slot, name) for slot, name in named if name in self.wanted]
        return pieces

    def refer(self, piece: _Piece, places: dict[int, int], slot: int, maker: int, at: int) -> None:
        """Let part `at` refer to a slot that another made."""
        if maker < 0 and self.built.ahead[slot][1] == at and self.is_its(slot):
            name: _Name = (_EARLY, _EARLY, slot, 0)
        else:
            name = self.name(slot, maker)
            if name[1] == _ITS and maker != at - 1:
                raise _UnknownError
            self.wanted.add(name)
        piece.others.append((name, self.built.arenas[slot]))
        places[slot] = -len(piece.others)

    def is_its(self, slot: int) -> bool:
        """Say whether a slot holds a block's own tensor."""
        return self.built.labels[slot][1] not in _OUTSIDE

    def name(self, slot: int, part: int) -> _Name:
        """Return the name of a slot that a part made."""
        what, of, which = self.built.labels[slot]
        if of in _OUTSIDE:
            return what, of, which, 0
        owner = self.built.owners[slot]
        if isinstance(which, int):
            which = self.built.lengths[owner - 1] - which
        return what, _ITS, which, part - owner

    def run(self, like: Sequence[int]) -> Whole:
        """Return the parts joined, each block's by the one that it is like."""
        whole, counts, last = self.whole, self.built.counts, len(self.pieces) - 1
        parts = [0, *(1 + place for place in like), last]
        for list_ in range(LISTS):
            for at, part in enumerate(parts, -1):
                if self.pieces[part].ahead[list_]:
                    self.begin(at, part, self.pieces[part].ahead[list_])
        alike: dict[object, int] = {}
        for at, part in enumerate(parts, -1):
            if at >= 0:
                kind = part, tuple(self.moved(at, part).items())
                number = alike.setdefault(kind, len(alike))
                whole.blocks.append(
                    Block(alike=number, start=len(whole.events), slot=len(whole.arenas))
                )
            self.join(at, part)
        whole.nodes = sum(counts[part][0] for part in parts)
        whole.splits = sum(counts[part][1] for part in parts)
        return whole

    def begin(self, at: int, part: int, slots: Sequence[int]) -> None:
        """Take slots ahead of the first node on behalf of block `at`."""
        moved = self.moved(at, part)
        for slot in slots:
            number = self.add(slot, moved, 0)
            self.whole.events += (TAKE, number, 0)
            if self.is_its(slot):
                self.early[at, slot] = number
            elif (name := self.name(slot, part)) in self.wanted:
                self.show(name, self.whole.arenas[number], number, self.known)

    def add(self, slot: int, moved: Mapping[int, int], shift: int) -> int:
        """Add a slot like one of the sample's; return its number."""
        whole, backend = self.whole, self.built.arenas[slot]
        what, of, which = self.built.labels[slot]
        whole.labels.append((what, of + shift if isinstance(of, int) else of, which))
        whole.arenas.append(moved.get(backend, backend))
        return len(whole.arenas) - 1

    def moved(self, at: int, part: int) -> dict[int, int]:
        """Return the model's backends by the sample's: of a block and the one before it."""
        here, there = self.built.devices, self.devices
        if not 0 <= at < len(there):
            return {}
        found = {here[part - 2]: there[at - 1]} if at else {}
        found[here[part - 1]] = there[at]
        return found

    def join(self, at: int, part: int) -> None:
        """Add the events of block `at`, or of what comes before or behind the blocks."""
        piece, whole, moved = self.pieces[part], self.whole, self.moved(at, part)
        others = []
        for name, backend in piece.others:
            if name[0] == _EARLY:
                slot = self.early.get((at, int(name[2])))
            else:
                known = self.last if name[1] == _ITS else self.known
                slot = known.get((name, moved.get(backend, backend)))
            if slot is None:
                raise _UnknownError
            others.append(slot)
        shift = at - (part - 1)
        own = [self.add(slot, moved, shift) for slot in piece.slots]
        numbers = [0, *own, *reversed(others)]
        events = piece.events.copy()
        events[1::3] = [numbers[place] for place in events[1::3]]
        events[2::3] = [numbers[place] for place in events[2::3]]
        whole.events += events
        places = dict(zip(piece.slots, own, strict=True))
        self.last = {}
        for slot, name in piece.shown:
            into = self.last if name[1] == _ITS else self.known
            self.show(name, whole.arenas[places[slot]], places[slot], into)

    def show(
        self, name: _Name, backend: int, slot: int, into: dict[tuple[_Name, int], int]
    ) -> None:
        """Let later parts refer to a slot."""
        if (name, backend) in into:
            raise _UnknownError
        into[name, backend] = slot

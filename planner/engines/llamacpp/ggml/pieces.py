"""Put a whole model's events together from pieces: what a block takes and gives back in its situation.

A graph is built in which every situation of a block occurs (see `samples`) and cut into what comes
before the blocks, each block, and what comes behind them (`cut`). The model's blocks are written down
one by one, each by the piece of its situation, with its own slots and devices (`put_together`). Slots
of other parts are found by name. Nothing of it depends on sizes, on how many devices there are, or on
which of them a block lies.

That the result is the whole graph's, event by event, is held by `benchmarks.llamacpp_graphs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import GIVE, INHERIT, TAKE

Part = int | str
"""Where a tensor belongs: before the blocks, behind them, among what is made of inputs, or to a block.

Blocks of one kind have tensors of the same sizes, so that a kind stands for its blocks; where the
block itself counts (a weight's type), its index.
"""

LISTS = 3
"""Of what is taken ahead of the first node: inputs that are kept, their copies, other inputs."""

BEFORE, BEHIND, SHOWN = "before", "behind", "shown"

Label = tuple[str, Part, int | str]
"""What a slot holds: ("node", part, place in it), ("copy", part, place), ("leaf", part, name)."""

Class = tuple[Label, bool]
"""Slots of one size: what they hold, and whether that lies on a GPU."""


@frozen
class Built:
    """A graph of some blocks, run through the recorder.

    Its parts: what comes before the blocks, each block, what comes behind them.

    Attributes:
        events: as in `allocator.Record`.
        marks: numbers in `events` before each part but the first.
        arenas: the backend of each slot.
        labels: what each slot holds; a weight's block as its place among those that were built.
        owners: the part that what each slot holds belongs to.
        lengths: per block the nodes that its labels count.
        counts: per part its nodes and splits.
        ahead: for the slots that are taken ahead of the first node, which are the first: the list they
            stand in, and the part that is the first to need them.
        devices: backend of each block.
        host: the host's backend.
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
    host: int


@frozen
class Block:
    """Where a block begins, or what comes behind the last.

    Attributes:
        alike: blocks of equal numbers have the same events, but for the numbers of slots.
        start: numbers in `events` before it.
        slot: its first slot.
    """

    alike: int
    start: int
    slot: int


class Whole:
    """The events of a whole model.

    Attributes:
        events: as in `Built`.
        arenas: likewise.
        classes: slots by their sizes, and their places in that order.
        slots: the class of each slot, by its place.
        blocks: where blocks begin; none if that is not known.
        nodes: of the whole graph.
        splits: likewise.
    """

    def __init__(self) -> None:
        self.events: list[int] = []
        self.arenas: list[int] = []
        self.classes: dict[Class, int] = {}
        self.slots: list[int] = []
        self.blocks: list[Block] = []
        self.nodes = self.splits = 0

    def class_of(self, label: Label, *, on_gpu: bool) -> int:
        """Return the place of a class of slots."""
        return self.classes.setdefault((label, on_gpu), len(self.classes))


class UnknownError(Exception):
    """A part refers to something that its name does not tell from others."""


OWN, PREVIOUS, HOST = -1, -2, -3
"""Backends as a piece knows them: its block's, that of the block before, the host's. Others by number."""

Name = tuple[str, Part, int | str, int]
"""What tells a slot from others on its backend.

Of a block's own tensors: places of nodes counted from its end, and how far behind the block it is made.
"""

_OUTSIDE = frozenset({BEFORE, BEHIND, SHOWN})
_ITS = "its"
"""Part of names of a block's own tensors."""
_EARLY = "early"
"""Of those that are taken ahead of the first node, by their place among what is taken for the block."""


class Piece:
    """One part of a graph.

    Attributes:
        events: its events. Slots are places in a list: zero, its own slots, from the end those of others.
        backends: of its own slots, as a piece knows them.
        labels: what they hold; a weight's block counted from its own.
        on_gpu: whether they lie on a GPU.
        weights: some are weights.
        others: names and backends of the slots of other parts that it refers to.
        ahead: what is taken on its behalf ahead of the first node: list, backend, label, whether that
            is a GPU's.
        early: their names, if anything may refer to them.
        shown: its own slots that are held when it ends, which others may refer to: places, names.
        nodes: of the graph.
        splits: that begin in it.
    """

    def __init__(self, *, nodes: int, splits: int) -> None:
        self.events: list[int] = []
        self.backends: list[int] = []
        self.labels: list[Label] = []
        self.on_gpu: list[bool] = []
        self.weights = False
        self.others: list[tuple[Name, int]] = []
        self.ahead: list[tuple[int, int, Label, bool]] = []
        self.early: list[Name | None] = []
        self.shown: list[tuple[int, Name]] = []
        self.nodes, self.splits = nodes, splits


def cut(built: Built) -> list[Piece]:
    """Return the parts of a graph.

    Raises:
        UnknownError: some part refers to what is not told by its name.
    """
    return _Cutter(built).run()


class _Cutter:
    def __init__(self, built: Built) -> None:
        self.built = built
        self.made = [-1] * len(built.labels)

    def run(self) -> list[Piece]:
        built = self.built
        if any(a > b for a, b in pairwise(built.ahead)):
            raise UnknownError
        marks = (3 * len(built.ahead), *built.marks, len(built.events))
        pieces = [Piece(nodes=nodes, splits=splits) for nodes, splits in built.counts]
        for slot, (list_, part) in enumerate(built.ahead):
            piece = pieces[part]
            place = self.role(slot, part), built.labels[slot], built.arenas[slot] != built.host
            piece.ahead.append((list_, *place))
            kept = list_ < LISTS - 1  # never given back, so nothing refers to it
            piece.early.append(None if kept else self.name(slot, part, len(piece.early)))
        for part, (piece, (start, end)) in enumerate(zip(pieces, pairwise(marks), strict=True)):
            self.fill(piece, part, built.events[start:end])
        return pieces

    def fill(self, piece: Piece, part: int, events: Sequence[int]) -> None:
        """Write down the events of a part."""
        own, places, held = list[int](), dict[int, int](), dict[int, None]()
        numbers = iter(events)
        for what, slot, other in zip(numbers, numbers, numbers, strict=True):
            if what != GIVE:
                self.made[slot] = part
                own.append(slot)
                places[slot] = len(own)
                held[slot] = None
            elif slot not in places:
                places[slot] = self.refer(piece, part, slot)
            else:
                held.pop(slot, None)
            if what != INHERIT:
                piece.events += (what, places[slot], 0)
                continue
            if other not in places:
                places[other] = self.refer(piece, part, other)
            held.pop(other, None)
            piece.events += (what, places[slot], places[other])
        labels, arenas, host = self.built.labels, self.built.arenas, self.built.host
        piece.backends = [self.role(slot, part) for slot in own]
        piece.on_gpu = [arenas[slot] != host for slot in own]
        for slot in own:
            what_, of, which = labels[slot]
            if isinstance(of, int):
                piece.weights, of = True, of - (part - 1)
            piece.labels.append((what_, of, which))
        piece.shown = [(places[slot], self.name(slot, part, 0)) for slot in held]

    def refer(self, piece: Piece, part: int, slot: int) -> int:
        """Let a part refer to a slot that another made; return its place."""
        maker = self.made[slot]
        if maker < 0 and self.built.ahead[slot][1] == part and self.is_its(slot):
            early = [other for other, (_, of) in enumerate(self.built.ahead) if of == part]
            name = self.name(slot, part, early.index(slot))
        elif maker < 0 and self.is_its(slot):
            raise UnknownError
        else:
            name = self.name(slot, maker, 0)
            if name[1] == _ITS and maker != part - 1:
                raise UnknownError
        piece.others.append((name, self.role(slot, part)))
        return -len(piece.others)

    def role(self, slot: int, part: int) -> int:
        """Return the backend of a slot as a part knows it."""
        backend, devices = self.built.arenas[slot], self.built.devices
        if 0 < part <= len(devices) and backend == devices[part - 1]:
            return OWN
        if part > 1 and backend == devices[part - 2]:
            return PREVIOUS
        return HOST if backend == self.built.host else backend

    def is_its(self, slot: int) -> bool:
        """Say whether a slot holds a block's own tensor."""
        return self.built.labels[slot][1] not in _OUTSIDE

    def name(self, slot: int, part: int, place: int) -> Name:
        """Return the name of a slot that a part made, or that is taken ahead on its behalf."""
        what, of, which = self.built.labels[slot]
        if of in _OUTSIDE:
            return what, of, which, 0
        if self.made[slot] < 0:
            return what, _EARLY, place, 0
        owner = self.built.owners[slot]
        if isinstance(which, int):
            which = self.built.lengths[owner - 1] - which
        return what, _ITS, which, part - owner


def put_together(pieces: Sequence[Piece], devices: Sequence[int], host: int) -> Whole:
    """Return the events of a whole model.

    Args:
        pieces: what comes before the blocks, each block's, what comes behind them.
        devices: backend of each block.
        host: the host's backend.

    Raises:
        UnknownError: some part refers to what is not told by its name.
    """
    return _Joiner(pieces, devices, host).run()


class _Joiner:
    def __init__(self, pieces: Sequence[Piece], devices: Sequence[int], host: int) -> None:
        self.pieces, self.host = pieces, host
        self.devices = (host, *devices, host)
        self.whole = Whole()
        # slots that later parts may refer to, by name and backend; a block's own: the next part alone
        self.known: dict[tuple[Name, int], int] = {}
        self.last: dict[tuple[Name, int], int] = {}
        self.early: dict[tuple[int, Name], int] = {}
        self.classes: dict[int, list[int]] = {}

    def run(self) -> Whole:
        """Return the parts joined."""
        whole = self.whole
        for list_ in range(LISTS):
            for part, piece in enumerate(self.pieces):
                if piece.ahead:
                    self.begin(part, piece, list_)
        alike: dict[object, int] = {}
        for part, piece in enumerate(self.pieces):
            if part:
                kind = id(piece), self.devices[part], self.devices[part - 1]
                number = alike.setdefault(kind, len(alike))
                whole.blocks.append(
                    Block(alike=number, start=len(whole.events), slot=len(whole.arenas))
                )
            self.join(part, piece)
        whole.nodes = sum(piece.nodes for piece in self.pieces)
        whole.splits = sum(piece.splits for piece in self.pieces)
        return whole

    def backend(self, part: int, role: int) -> int:
        """Return the backend that a part knows by a role."""
        if role == OWN:
            return self.devices[part]
        if role == PREVIOUS:
            return self.devices[part - 1]
        return self.host if role == HOST else role

    def begin(self, part: int, piece: Piece, list_: int) -> None:
        """Take slots ahead of the first node on behalf of a part."""
        whole = self.whole
        for (of, role, label, on_gpu), name in zip(piece.ahead, piece.early, strict=True):
            if of != list_:
                continue
            slot, backend = len(whole.arenas), self.backend(part, role)
            whole.events += (TAKE, slot, 0)
            whole.arenas.append(backend)
            whole.slots.append(whole.class_of(label, on_gpu=on_gpu))
            if name is not None and name[1] == _EARLY:
                self.early[part, name] = slot
            elif name is not None:
                self.show(name, backend, slot, self.known)

    def join(self, part: int, piece: Piece) -> None:
        """Add the events of a part."""
        whole, first = self.whole, len(self.whole.arenas)
        numbers = [0, *range(first, first + len(piece.backends))]
        numbers += (self.found(part, *other) for other in reversed(piece.others))
        events = piece.events.copy()
        events[1::3] = [numbers[place] for place in events[1::3]]
        events[2::3] = [numbers[place] for place in events[2::3]]
        whole.events += events
        whole.slots += self.classes_of(part, piece)
        roles = {role: self.backend(part, role) for role in set(piece.backends)}
        whole.arenas += [roles[role] for role in piece.backends]
        self.last = {}
        for place, name in piece.shown:
            into = self.last if name[1] == _ITS else self.known
            self.show(name, roles[piece.backends[place - 1]], numbers[place], into)

    def found(self, part: int, name: Name, role: int) -> int:
        """Return the slot of another part by its name."""
        if name[1] == _EARLY:
            slot = self.early.get((part, name))
        else:
            known = self.last if name[1] == _ITS else self.known
            slot = known.get((name, self.backend(part, role)))
        if slot is None or slot < 0:
            raise UnknownError
        return slot

    def classes_of(self, part: int, piece: Piece) -> list[int]:
        """Return the classes of a part's own slots, by their places."""
        found = self.classes.get(id(piece))
        if found is None:
            labels, shift = piece.labels, part - 1
            if piece.weights:
                labels = [
                    (what, of + shift if isinstance(of, int) else of, which)
                    for what, of, which in labels
                ]
            class_of = self.whole.class_of
            found = [
                class_of(label, on_gpu=on_gpu)
                for label, on_gpu in zip(labels, piece.on_gpu, strict=True)
            ]
            if not piece.weights:
                self.classes[id(piece)] = found
        return found

    def show(self, name: Name, backend: int, slot: int, into: dict[tuple[Name, int], int]) -> None:
        """Let later parts refer to a slot; of two with one name to neither."""
        into[name, backend] = -1 if (name, backend) in into else slot

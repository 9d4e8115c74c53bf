"""Build a graph once and keep what it tells at any size: its events, and what each slot holds."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import alloc_bytes, kept_once, record
from planner.engines.llamacpp.ggml.architecture import unnamed
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.homes import Homes, decides, graph_of
from planner.engines.llamacpp.ggml.inputs import Weights
from planner.engines.llamacpp.ggml.pieces import (
    BEFORE,
    BEHIND,
    SHOWN,
    Built,
    Class,
    Label,
    Part,
    Piece,
    UnknownError,
    Whole,
    cut,
    put_together,
)
from planner.engines.llamacpp.ggml.samples import Situation, situations_of
from planner.engines.llamacpp.ggml.scheduler import schedule
from planner.engines.llamacpp.ggml.setting import Setting
from planner.engines.llamacpp.ggml.tensor import MADE_ONCE, GgmlTensor, Graph
from planner.memo import Key, drop_oldest, forgettable, remembered


@frozen
class Structure:
    """The events of one graph, whatever the sizes.

    Attributes:
        events: see `allocator.Record`.
        arenas: likewise.
        classes: slots by their sizes.
        slots: the class of each slot, as its place in `classes`.
        blocks: where blocks begin, if that is known: see `pieces.Block`, number after number.
        nodes: tensors of the graph.
        splits: parts of it that run on one backend each.
    """

    events: array[int]
    arenas: array[int]
    classes: tuple[Class, ...]
    slots: array[int]
    blocks: array[int]
    nodes: int
    splits: int


def structure_of(
    homes: Homes, setting: Setting, batch: Batch, *, whole: bool = False
) -> tuple[Structure, list[int]]:
    """Return the events of a graph, and the bytes of each class of slots.

    The events are put together from pieces of graphs of a few blocks, if that can be; with `whole` every
    block is built.
    """
    if not (setting.mtp or whole or homes.by_hand):
        try:
            return _put_together(homes, setting, batch)
        except UnknownError:
            pass
    run = _Run(homes, setting, batch, range(len(homes.blocks)))
    return _structure(run.whole(), homes, setting, batch, run.sizes())


def _structure(
    whole: Whole, homes: Homes, setting: Setting, batch: Batch, sizes: Mapping[Class, int]
) -> tuple[Structure, list[int]]:
    structure = Structure(
        events=kept_once(whole.events),
        arenas=kept_once(whole.arenas),
        classes=_classes(tuple(whole.classes)),
        slots=kept_once(whole.slots),
        blocks=kept_once(
            [number for block in whole.blocks for number in (block.alike, block.start, block.slot)]
        ),
        nodes=whole.nodes,
        splits=whole.splits,
    )
    weights, found = homes.weights(), list[int]()
    for known in whole.classes:
        (what, part, which), on_gpu = known
        if what == "weight":
            found.append(_weight_bytes(weights, str(which), int(part), on_gpu=on_gpu))
        elif known in sizes:
            found.append(sizes[known])
        else:
            return structure, sizes_of(structure, homes, setting, batch)
    return structure, found


_KEPT = 64
"""Kinds of graphs of which pieces are kept: some 200 kB each."""

_PIECES: dict[Hashable, dict[Hashable, Piece]] = forgettable({})
"""Kind of graph -> what stands where -> piece."""


def _put_together(homes: Homes, setting: Setting, batch: Batch) -> tuple[Structure, list[int]]:
    """Return the same from pieces: those that are known, or those of a graph of a few blocks.

    Raises:
        UnknownError: that cannot be.
    """
    # what is made of inputs is given back in the end, its copies are not
    kept = setting.pipeline and (batch.half_mask or not batch.flash_attn)
    kind = unnamed(homes.model), homes.ends, setting, decides(batch)
    known = _PIECES.pop(kind, None) or {}
    _PIECES[kind] = known
    if len(_PIECES) > _KEPT:
        drop_oldest(_PIECES)
    places = _places(homes.situations(kept=kept))
    sizes: Mapping[Class, int] = {}
    last = len(homes.blocks) - 1
    # the first and the last place stand for what comes before and behind the blocks
    lacking = [at - 1 for at, place in enumerate(places) if place not in known]
    if lacking:
        wanted = sorted({min(max(at, 0), last) for at in lacking})
        blocks = homes.sample(wanted, kept=kept)
        if blocks is None:
            raise UnknownError
        run = _Run(homes, setting, batch, blocks)
        spots, host = homes.spots, homes.backends - 1
        built = [spots[block] for block in blocks]
        pieces = cut(run.built([spot.device for spot in built]))
        found = situations_of(built, host=host, kept=kept)
        known |= dict(zip(_places(found), pieces, strict=True))
        sizes = run.sizes()
    devices = list(map(homes.device, range(len(homes.blocks))))
    whole = put_together([known[place] for place in places], devices, homes.backends - 1)
    return _structure(whole, homes, setting, batch, sizes)


def _places(situations: Sequence[Situation]) -> list[Hashable]:
    """Return what tells the pieces of a graph: situations, and those at either end."""
    return [("first", situations[0]), *situations, ("last", situations[-1])]


def _weight_bytes(weights: Weights, key: str, block: int, *, on_gpu: bool) -> int:
    """Return the bytes of a weight that is copied."""
    return _copy_bytes(*weights.types(key, block), on_gpu=on_gpu)


@lru_cache(maxsize=4096)
def _copy_bytes(type_: str, ne: tuple[int, ...], *, on_gpu: bool) -> int:
    """Return the bytes of a copy of a weight."""
    return alloc_bytes(GgmlTensor("none", type_, ne), on_gpu=on_gpu)


class _Run:
    """The graph of some blocks, scheduled and recorded."""

    def __init__(self, homes: Homes, setting: Setting, batch: Batch, blocks: Sequence[int]) -> None:
        graph = graph_of(homes, setting, batch, blocks)
        self.host = homes.backends - 1
        self.ends, self.nodes, self.parts = _ends(graph), len(graph.nodes), _parts(graph)
        self.leafs = _first_needed(graph, self.ends)
        labels = _labels(graph, self.parts, homes, setting, blocks)
        self.plan = schedule(
            graph,
            backends=homes.backends,
            op_offload=setting.op_offload,
            pipeline=setting.pipeline,
        )
        self.made = record(self.plan.leafs, self.plan.nodes, marked=graph.marks)
        copied = self.plan.copied
        owners = {id(node): at for at, part in enumerate(self.parts[:-1]) for node in part}
        self.labels: list[Label] = []
        self.owners: list[int] = []
        for tensor in self.made.slots:
            label = labels.get(id(tensor))
            if label is None:
                tensor = copied[id(tensor)]
                what, part, which = labels[id(tensor)]
                label = ("copy" if what == "node" else what, part, which)
            self.labels.append(label)
            self.owners.append(owners.get(id(tensor)) or self.leafs.get(id(tensor), 0))

    def sizes(self) -> dict[Class, int]:
        """Return the bytes of each class of slots."""
        found: dict[Class, int] = {}
        for tensor, label, arena in zip(
            self.made.slots, self.labels, self.made.arenas, strict=True
        ):
            on_gpu = arena != self.host
            if (label, on_gpu) not in found:
                found[label, on_gpu] = alloc_bytes(tensor, on_gpu=on_gpu)
        return found

    def place_ahead(self, tensor: GgmlTensor) -> tuple[int, int] | None:
        """Return the list in which a tensor is taken ahead of the first node, and who needs it first."""
        plan = self.plan
        node = plan.asked.get(id(tensor))
        if node is not None:
            return 1, bisect_right(self.ends, node)
        of = plan.copied.get(id(tensor), tensor) if tensor.is_output else tensor
        if id(of) not in self.leafs:
            return None
        return (0 if tensor.is_output else 2), self.leafs[id(of)]

    def whole(self) -> Whole:
        """Return the events as they are."""
        made, whole = self.made, Whole()
        whole.events, whole.arenas = list(made.events), list(made.arenas)
        whole.nodes, whole.splits = self.nodes, self.plan.splits
        whole.slots = [
            whole.class_of(label, on_gpu=arena != self.host)
            for label, arena in zip(self.labels, made.arenas, strict=True)
        ]
        return whole

    def built(self, devices: Sequence[int]) -> Built:
        """Return what a whole model's events are put together from."""
        made, plan, ends = self.made, self.plan, self.ends
        ahead = []
        for tensor in made.slots:
            place = self.place_ahead(tensor)
            if place is None:
                break
            ahead.append(place)
        begun = Counter(bisect_right(ends, start) for start in plan.starts)
        return Built(
            events=made.events,
            marks=made.marks,
            arenas=made.arenas,
            labels=self.labels,
            owners=self.owners,
            lengths=[len(part) for part in self.parts[1:-2]],
            counts=[
                (high - low, begun[part])
                for part, (low, high) in enumerate(pairwise((0, *ends, self.nodes)))
            ],
            ahead=ahead,
            devices=devices,
            host=self.host,
        )


@lru_cache(maxsize=256)
def _classes(found: tuple[Class, ...]) -> tuple[Class, ...]:
    """Return these classes; of two tuples that are equal, the first."""
    return found


def _first_needed(graph: Graph, ends: Sequence[int]) -> dict[int, int]:
    """Return the part of the graph that is the first to need each leaf, by its id."""
    found = dict.fromkeys(map(id, graph.leafs), -1)
    part, bounds = 0, (*ends, len(graph.nodes))
    for index, node in enumerate(graph.nodes):
        if index == bounds[part]:
            part += 1
        for operand in node.src:
            if found.get(id(operand)) == -1:
                found[id(operand)] = part
    return {leaf: max(part, 0) for leaf, part in found.items()}


def _labels(
    graph: Graph,
    parts: Sequence[Sequence[GgmlTensor]],
    homes: Homes,
    setting: Setting,
    blocks: Sequence[int],
) -> dict[int, Label]:
    """Return what every tensor of a graph is, by its id."""
    kinds: list[Part] = [homes.kind(block) for block in blocks]
    names: list[Part] = [BEFORE, *([] if setting.mtp else [*kinds, BEHIND]), SHOWN]
    labels: dict[int, Label] = {
        id(node): ("node", part, index)
        for part, members in zip(names, parts, strict=True)
        for index, node in enumerate(members)
    }
    place = {} if setting.mtp else {str(b): at for at, b in enumerate(blocks)}
    for leaf in graph.leafs:
        base, _, block = leaf.name.rpartition(".")
        if not base or block not in place:
            labels[id(leaf)] = ("leaf", BEFORE, leaf.name)
        elif leaf.is_weight:
            labels[id(leaf)] = ("weight", place[block], base)
        else:
            labels[id(leaf)] = ("leaf", kinds[place[block]], base)
    return labels


def sizes_of(structure: Structure, homes: Homes, setting: Setting, batch: Batch) -> list[int]:
    """Return the bytes of each class of slots for another batch, or for another placement."""
    weights, stand = homes.weights(), _stands_of(homes, setting, batch)
    return [
        _weight_bytes(weights, str(which), int(part), on_gpu=on_gpu)
        if what == "weight"
        else stand.nbytes((what, part, which), on_gpu=on_gpu)
        for (what, part, which), on_gpu in structure.classes
    ]


class _Stands:
    """One block of each kind, whose tensors stand for all of their kind: by what they are, their bytes.

    Sizes follow from the model and the batch, wherever something lies and however weights are stored.
    """

    def __init__(self, homes: Homes, setting: Setting, batch: Batch) -> None:
        stands: dict[Part, int] = {}
        for block in range(len(homes.blocks)):
            stands.setdefault(homes.kind(block), block)
        graph = graph_of(homes, setting, batch, tuple(stands.values()))
        names: list[Part] = [BEFORE, *([] if setting.mtp else [*stands, BEHIND]), SHOWN]
        self._parts = dict(zip(names, _parts(graph), strict=True))
        self._leafs = {leaf.name: leaf for leaf in graph.leafs}
        self._stands = stands
        self._found: dict[Class, int] = {}

    def nbytes(self, label: Label, *, on_gpu: bool) -> int:
        """Return the bytes of what a slot holds, weights aside."""
        found = self._found.get((label, on_gpu))
        if found is None:
            found = self._found[label, on_gpu] = alloc_bytes(self._tensor(*label), on_gpu=on_gpu)
        return found

    def _tensor(self, what: str, part: Part, which: int | str) -> GgmlTensor:
        if what == "leaf":
            name = str(which) if part == BEFORE else f"{which}.{self._stands[part]}"
            return self._leafs[name]
        tensor = self._parts[part][int(which)]
        if what == "copy":
            return GgmlTensor("none", tensor.type, tensor.ne, nb=tensor.nb)
        return tensor


def _of_sizes(homes: Homes, setting: Setting, batch: Batch) -> Key:
    """Return what the sizes of everything but weights follow from."""
    return (), (unnamed(homes.model), homes.arch, setting.mtp, batch)


@remembered(_of_sizes, most=128)
def _stands_of(homes: Homes, setting: Setting, batch: Batch) -> _Stands:
    return _Stands(homes, setting, batch)


def _ends(graph: Graph) -> list[int]:
    """Return the places behind the marks among the graph's nodes."""
    marks = set(map(id, graph.marks))
    places = {id(node): at for at, node in enumerate(graph.nodes, 1) if id(node) in marks}
    return [places[id(mark)] for mark in graph.marks]


def _parts(graph: Graph) -> list[list[GgmlTensor]]:
    """Return the nodes before the blocks, of each block, behind them, and what is made of inputs.

    The latter is made once and stands in the block that is the first to use it.
    """
    ends = [0, *_ends(graph), len(graph.nodes)]
    parts, shown = list[list[GgmlTensor]](), list[GgmlTensor]()
    for start, end in pairwise(ends):
        part: list[GgmlTensor] = []
        for node in graph.nodes[start:end]:
            (shown if node.name == MADE_ONCE else part).append(node)
        parts.append(part)
    return [*parts, shown]

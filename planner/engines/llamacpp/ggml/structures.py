"""Build a graph once and keep what it tells at any size: its events, and what each slot holds."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import pairwise

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import Record, alloc_bytes, kept_once, record
from planner.engines.llamacpp.ggml.architecture import Architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.model import block_kind, mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.repeats import Cut, Selection, select
from planner.engines.llamacpp.ggml.scheduler import OFFLOAD_MIN_BATCH, schedule
from planner.engines.llamacpp.ggml.tensor import GgmlTensor, Graph, block_type
from planner.model.spec import ModelSpec

OUTSIDE = -1
"""Block index of tensors outside the blocks."""

ATTEMPTS = ((1, 1), (2, 1), (2, 2))
"""(periods of a unit, periods kept at either end); if no attempt is proved, all are built."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Homes:
    """Where the weights and caches of a model lie, as far as its graph depends on it.

    Two placements whose blocks and outside tensors have equal numbers have equal graphs, whatever
    the file's types.

    Attributes:
        model: the model.
        arch: llama.cpp's architecture of it.
        backends: GPUs and the host, which is the last.
        blocks: per block of the trunk a number for what its part of the graph follows from.
        frames: the same without the types of weights, which tell sizes and nothing else.
        outside: the same of the tensors outside the blocks.
        mtp: the same of the MTP block; None where the file has none.
        weights: makes the weights of one graph. It looks the file's tensors up when it is called: what
            is kept of a placement must not keep its file's whole table.
        cache: block -> backend of its cache.
        device: block -> backend of the block.
        selections: blocks to build per attempt, once found.
    """

    model: ModelSpec
    arch: Architecture
    backends: int
    blocks: tuple[int, ...]
    frames: tuple[int, ...]
    outside: int
    mtp: int | None
    weights: Callable[[], Weights]
    cache: Callable[[int], int]
    device: Callable[[int], int]
    selections: dict[int, Selection] = field(default_factory=dict)

    def kind(self, block: int) -> str:
        """Return what a block of the trunk is made of."""
        return block_kind(self.model, self.arch, block)

    def selection(self, attempt: int) -> Selection:
        """Return the blocks to build in an attempt to leave periods out."""
        found = self.selections.get(attempt)
        if found is None:
            if attempt == len(ATTEMPTS):
                found = Selection(blocks=tuple(range(len(self.blocks))))
            else:
                unit, spare = ATTEMPTS[attempt]
                found = select(self.blocks, unit=unit, spare=spare)
            self.selections[attempt] = found
        return found


@frozen
class Setting:
    """How a graph is made, beside the model, its placement and the batch.

    Attributes:
        mtp: it is the MTP block's.
        op_offload: large batches compute on a GPU even where their weights are on the host.
        pipeline: every input is kept several times.
        pinned: norms are tied to their block's backend.
        tied: attention is tied to the host, where caches are kept there.
    """

    mtp: bool
    op_offload: bool
    pipeline: bool
    pinned: bool
    tied: bool


Part = int | str
"""Where a tensor belongs: before the blocks, behind them, among what shows inputs, or to a block.

Blocks of one kind have tensors of the same sizes, so that a kind stands for its blocks; where the
block itself counts (a weight's type), its place among the blocks that were built.
"""

BEFORE, BEHIND, SHOWN = "before", "behind", "shown"

Label = tuple[str, Part, int | str]
"""What a slot holds: ("node", part, place in it), ("copy", part, place), ("leaf", part, name)."""

Class = tuple[Label, bool]
"""Slots of one size: what they hold, and whether that lies on a GPU."""


@frozen
class Structure:
    """The events of one graph, whatever the sizes.

    Attributes:
        record: see `allocator`.
        classes: slots by their sizes.
        slots: the class of each slot, as its place in `classes`.
        nodes: tensors of the graph that was built.
        splits: parts of it that run on one backend each.
        repeated: per cut, the nodes and splits of the period that is repeated.
    """

    record: Record
    classes: tuple[Class, ...]
    slots: array[int]
    nodes: int
    splits: int
    repeated: tuple[tuple[int, int], ...]


def decides(batch: Batch) -> tuple[object, ...]:
    """Return what of a batch the order of events follows from, the sizes aside."""
    return (
        batch.flash_attn,
        *((block_type(kind).elements > 1, kind == "f32") for kind in (batch.type_k, batch.type_v)),
        batch.n_stream == 1,
        batch.n_seqs == 1,
        batch.n_rs_seq,
        min(batch.n_seq_tokens, batch.n_rs_seq + 1),
        min(batch.n_seq_tokens, OFFLOAD_MIN_BATCH),
        min(batch.n_tokens, OFFLOAD_MIN_BATCH),
        batch.n_outputs >= OFFLOAD_MIN_BATCH,
        batch.n_outputs == batch.n_tokens,
        batch.half_mask,
        batch.scratch,
        batch.mixed,
    )


def graph_of(homes: Homes, setting: Setting, batch: Batch, blocks: Sequence[int]) -> Graph:
    """Return the graph of these blocks, or that of the MTP block."""
    host = homes.backends - 1 if setting.tied else None
    inputs = Inputs(homes.model, homes.arch, batch, homes.cache, host=host)
    weights = homes.weights()

    def pin(block: int) -> int | None:
        return homes.device(block) if setting.pinned else None

    if setting.mtp:
        return mtp_graph(inputs, weights, pin)
    return trunk_graph(inputs, weights, pin, blocks)


def structure_of(
    homes: Homes, setting: Setting, batch: Batch, selection: Selection
) -> tuple[Structure, list[int]]:
    """Return the events of the graph of these blocks, and the bytes of each class of slots."""
    graph = graph_of(homes, setting, batch, selection.blocks)
    ends, nodes = _ends(graph), len(graph.nodes)
    labels = _labels(graph, homes, setting, selection)
    plan = schedule(
        graph,
        backends=homes.backends,
        op_offload=setting.op_offload,
        pipeline=setting.pipeline,
    )
    made = record(plan.leafs, plan.nodes, marked=graph.marks)
    host = homes.backends - 1
    classes: dict[Class, int] = {}
    slots, sizes = [], []
    for tensor, arena in zip(made.slots, made.arenas, strict=True):
        label = labels.get(id(tensor))
        if label is None:
            what, part, which = labels[id(plan.copied[id(tensor)])]
            label = ("copy" if what == "node" else what, part, which)
        known = (label, arena != host)
        if known not in classes:
            classes[known] = len(classes)
            sizes.append(alloc_bytes(tensor, on_gpu=arena != host))
        slots.append(classes[known])

    def period(cut: Cut) -> tuple[int, int]:
        low, high = ends[cut.at - cut.period], ends[cut.at]
        return high - low, sum(low <= start < high for start in plan.starts)

    structure = Structure(
        record=replace(made, slots=()),
        classes=_classes(tuple(classes)),
        slots=kept_once(slots),
        nodes=nodes,
        splits=len(plan.starts),
        repeated=tuple(map(period, selection.cuts)),
    )
    return structure, sizes


@lru_cache(maxsize=256)
def _classes(found: tuple[Class, ...]) -> tuple[Class, ...]:
    """Return these classes; of two tuples that are equal, the first."""
    return found


def _labels(graph: Graph, homes: Homes, setting: Setting, selection: Selection) -> dict[int, Label]:
    """Return what every tensor of a graph is, by its id."""
    kinds: list[Part] = [homes.kind(block) for block in selection.blocks]
    names: list[Part] = [BEFORE, *([] if setting.mtp else [*kinds, BEHIND]), SHOWN]
    labels: dict[int, Label] = {
        id(node): ("node", part, index)
        for part, members in zip(names, _parts(graph), strict=True)
        for index, node in enumerate(members)
    }
    place = {} if setting.mtp else {str(b): at for at, b in enumerate(selection.blocks)}
    for leaf in graph.leafs:
        base, _, block = leaf.name.rpartition(".")
        if not base or block not in place:
            labels[id(leaf)] = ("leaf", BEFORE, leaf.name)
        elif leaf.is_weight:
            labels[id(leaf)] = ("weight", place[block], base)
        else:
            labels[id(leaf)] = ("leaf", kinds[place[block]], base)
    return labels


def sizes_of(
    structure: Structure, homes: Homes, setting: Setting, batch: Batch, blocks: Sequence[int]
) -> list[int]:
    """Return the bytes of each class of slots for another batch, from one block of each kind."""
    stands: dict[Part, int] = {}
    for block in blocks:
        stands.setdefault(homes.kind(block), block)
    graph = graph_of(homes, setting, batch, tuple(stands.values()))
    names: list[Part] = [BEFORE, *([] if setting.mtp else [*stands, BEHIND]), SHOWN]
    parts = dict(zip(names, _parts(graph), strict=True))
    leafs = {leaf.name: leaf for leaf in graph.leafs}
    weights = homes.weights()
    sizes = []
    for (what, part, which), on_gpu in structure.classes:
        if what == "weight":
            type_, ne = weights.types(str(which), blocks[int(part)])
            tensor = GgmlTensor("none", type_, ne)
        elif what == "leaf":
            tensor = leafs[f"{which}.{stands[part]}" if part != BEFORE else str(which)]
        else:
            tensor = parts[part][int(which)]
        if what == "copy":
            tensor = GgmlTensor("none", tensor.type, tensor.ne, nb=tensor.nb)
        sizes.append(alloc_bytes(tensor, on_gpu=on_gpu))
    return sizes


def _ends(graph: Graph) -> list[int]:
    """Return the places behind the marks among the graph's nodes."""
    marks = set(map(id, graph.marks))
    places = {id(node): at for at, node in enumerate(graph.nodes, 1) if id(node) in marks}
    return [places[id(mark)] for mark in graph.marks]


def _parts(graph: Graph) -> list[list[GgmlTensor]]:
    """Return the nodes before the blocks, of each block, behind them, and what shows inputs.

    Views of inputs are made once and stand in the block that is the first to use them.
    """
    ends = [0, *_ends(graph), len(graph.nodes)]
    parts, shown = list[list[GgmlTensor]](), list[GgmlTensor]()
    for start, end in pairwise(ends):
        part: list[GgmlTensor] = []
        for node in graph.nodes[start:end]:
            shows_input = node.view_src is not None and node.view_src.is_input
            (shown if shows_input else part).append(node)
        parts.append(part)
    return [*parts, shown]

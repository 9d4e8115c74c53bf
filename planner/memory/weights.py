"""Weights that one rank holds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import field
from math import gcd
from types import MappingProxyType

from hardware_db.records import frozen
from planner.formats import NumberFormat, get_format
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.memory.kv_cache import heads_per_rank
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import Stored
from planner.model.tensors import NGRAM_TABLE, Part, Split, Tensor
from planner.units import ceil_div, round_up


@frozen
class LoadRules:
    """What an engine changes when it loads a checkpoint.

    Attributes:
        formats: stored format -> format in memory, where they differ.
        expert_formats: the same for routed experts, where they differ from the other matrices.
        float32: components that are kept in FP32 whatever the checkpoint stores.
        replicated: components that every rank holds whole (patterns are not needed: full names
            ``part.component``).
        vocab_padding: the vocabulary is padded to a multiple of this before it is divided.
        embed_on_every_stage: the embedding table is loaded on every pipeline stage.
        head_on_every_stage: so is the output head.
        shared_expert_replicated: the shared expert is not divided.
        row_multiples: last part of a tensor's name -> its rows are padded to a multiple of this.
        refined: where a rank's experts cut the blocks of a format in two: edge of the largest
            block that they do not cut -> format in memory.
        regrouped: format -> where a rank's experts cut its groups: the largest group that they hold
            whole -> the format that they are loaded in.
        experts_over_replicas: without expert parallelism, routed experts are cut over tensor x
            data parallel ranks, so that replicas share one set of them.
        expert_padding: 16-bit routed experts that are cut are padded to a multiple of so many
            columns.
    """

    formats: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    expert_formats: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    float32: tuple[str, ...] = ()
    replicated: tuple[str, ...] = ()
    vocab_padding: int = 1
    embed_on_every_stage: bool = False
    head_on_every_stage: bool = False
    shared_expert_replicated: bool = False
    row_multiples: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    refined: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    regrouped: Mapping[str, Mapping[int, str]] = field(default_factory=lambda: MappingProxyType({}))
    experts_over_replicas: bool = False
    expert_padding: int = 1

    def expert_cuts(self, layout: Layout) -> int:
        """Into how many parts each routed expert is cut (1 under expert parallelism)."""
        if layout.expert_parallel:
            return 1
        replicas = layout.data_parallel if self.experts_over_replicas else 1
        return layout.tensor_parallel * replicas


def rank_shape(tensor: Tensor, *, tensor_parallel: int, rules: LoadRules) -> tuple[int, ...]:
    """The shape of `tensor` on one of `tensor_parallel` ranks.

    KV projections keep whole heads: beyond `kv_heads` ranks each holds one, replicated.
    """
    tp, shape = tensor_parallel, tensor.shape
    if f"{tensor.part}.{tensor.component}" in rules.replicated:
        return shape
    match tensor.split:
        case Split.COLUMN | Split.EXPERT_COLUMN:
            return (ceil_div(shape[0], tp), *shape[1:])
        case Split.ROW | Split.EXPERT_ROW:
            return (*shape[:-1], ceil_div(shape[-1], tp))
        case Split.VOCAB:
            return (ceil_div(round_up(shape[0], rules.vocab_padding), tp), *shape[1:])
        case Split.KV:
            heads = heads_per_rank(tensor.kv_heads, tensor_parallel=tp)
            return (shape[0] // tensor.kv_heads * heads, *shape[1:])
        case Split.REPLICATED:
            name = tensor.name.removesuffix(".weight").rpartition(".")[2]
            return (round_up(shape[0], rules.row_multiples.get(name, 1)), *shape[1:])


def memory_format(row: Stored, rules: LoadRules, shape: tuple[int, ...]) -> NumberFormat:
    """The format that `row` has once loaded, in `shape` on a rank."""
    if row.tensor.component in rules.float32:
        return get_format("float32")
    if row.format.block is not None and rules.refined:
        edge = whole_edge(row.tensor, shape, row.format.block[0])
        if edge in rules.refined:
            return get_format(rules.refined[edge])
    name = row.format.name
    if row.format.block is not None and (groups := rules.regrouped.get(name)):
        group = whole_edge(row.tensor, shape, row.format.block[1])
        if group in groups and group < row.format.block[1]:
            return get_format(groups[group])
    own = rules.expert_formats.get(name) if row.tensor.is_routed else None
    changed = own or rules.formats.get(name)
    return get_format(changed) if changed is not None else row.format


def whole_edge(tensor: Tensor, shape: tuple[int, ...], block: int) -> int:
    """Return the edge of the largest square block that a rank's share of routed experts holds whole.

    gcd(rows or columns that are cut, block);  `block` for everything else
    """
    match tensor.split:
        case Split.EXPERT_COLUMN:
            return gcd(shape[0], block)
        case Split.EXPERT_ROW:
            return gcd(shape[-1], block)
        case _:
            return block


def rank_bytes(row: Stored, *, layout: Layout, rules: LoadRules) -> int:
    """Bytes of one row of the table of tensors on one rank, for each layer that the rank holds.

    Routed experts are cut by tensor parallelism, or shared out whole under expert parallelism (a
    remainder goes to the first ranks: this is the largest share).
    """
    tensor, tp, experts = row.tensor, layout.tensor_parallel, row.tensor.experts
    if tensor.is_routed:
        tp, experts = rules.expert_cuts(layout), ceil_div(experts, layout.expert_ranks)
    elif tensor.component == "moe.shared_expert" and rules.shared_expert_replicated:
        tp = 1
    shape = rank_shape(tensor, tensor_parallel=tp, rules=rules)
    if rules.expert_padding > 1 and row.format.bits == 16:
        shape = _padded(tensor, shape, rules.expert_padding)
    return experts * memory_format(row, rules, shape).nbytes(shape)


def _padded(tensor: Tensor, shape: tuple[int, ...], multiple: int) -> tuple[int, ...]:
    """Return the shape of a tensor whose experts' inner width is padded to a multiple."""
    match tensor.split:
        case Split.EXPERT_COLUMN:
            return (round_up(shape[0], multiple), *shape[1:])
        case Split.EXPERT_ROW:
            return (*shape[:-1], round_up(shape[-1], multiple))
        case _:
            return shape


def weight_bytes(
    checkpoint: Checkpoint,
    *,
    layout: Layout,
    rules: LoadRules,
    parts: tuple[Part, ...],
    stage: int = 0,
    stage_layers: range | None = None,
) -> dict[str, int]:
    """Bytes by ``part.component`` of the weights on one rank of one pipeline stage.

    Tables of n-grams are left out, because engines place them apart (`table_bytes`), and so are
    constants, which are no weights.

        sum over tensors of count on this stage x bytes(format, shape on this rank)

    Args:
        checkpoint: what is loaded.
        layout: how it is spread.
        rules: what the engine changes on loading.
        parts: the parts that are loaded at all.
        stage: index of the pipeline stage.
        stage_layers: trunk layers on the stage; None for all.

    Source: the table of tensors; vLLM 0.33.0's own modules agree to the byte (suite `vllm`).
    """
    model = checkpoint.model
    layers = stage_layers if stage_layers is not None else range(model.num_hidden_layers)
    last = stage == layout.pipeline_parallel - 1
    sizes: dict[str, int] = {}
    for name, tensor, each in _cuts(checkpoint, layout, rules, parts):
        held = _layers_held(
            tensor, layers, stage=stage, last=last, rules=rules, tied=model.tie_word_embeddings
        )
        if held:
            sizes[name] = sizes.get(name, 0) + held * each
    return sizes


def _cuts_of(
    checkpoint: Checkpoint, layout: Layout, rules: LoadRules, parts: tuple[Part, ...]
) -> Key:
    cut = layout.tensor_parallel, rules.expert_cuts(layout), layout.expert_ranks
    return (checkpoint, rules), (cut, parts)


@remembered(_cuts_of)
def _cuts(
    checkpoint: Checkpoint, layout: Layout, rules: LoadRules, parts: tuple[Part, ...]
) -> tuple[tuple[str, Tensor, int], ...]:
    """Return ``part.component``, one tensor and the bytes per layer of those that lie together.

    How many stages there are does not count: they hold the same share of different layers.
    """
    stand: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    for row in checkpoint.rows(*parts):
        tensor = row.tensor
        if tensor.component == NGRAM_TABLE or tensor.constant is not None:
            continue
        kind = f"{tensor.part}.{tensor.component}", tensor.layers
        stand.setdefault(kind, tensor)
        sizes[kind] = sizes.get(kind, 0) + rank_bytes(row, layout=layout, rules=rules)
    return tuple((kind[0], stand[kind], size) for kind, size in sizes.items())


def _itself(checkpoint: Checkpoint) -> Key:
    return (checkpoint,), ()


@remembered(_itself)
def is_packed(checkpoint: Checkpoint) -> bool:
    """Say whether matrices of the text model have less than 8 bits: engines may repack those."""
    return any(
        row.format.bits_per_weight < 8 and row.tensor.is_matrix for row in checkpoint.rows("text")
    )


def _cut(checkpoint: Checkpoint, *, cuts: int = 1) -> Key:
    return (checkpoint,), cuts


@remembered(_cut)
def table_bytes(checkpoint: Checkpoint, *, cuts: int = 1) -> int:
    """Return the bytes of the model's tables of n-grams on one of `cuts` ranks that share them.

    sum over tables of bytes(format, ceil(rows / cuts) x row)
    """
    return sum(
        len(row.tensor.layers)
        * row.format.nbytes((ceil_div(row.tensor.shape[0], cuts), *row.tensor.shape[1:]))
        for row in checkpoint.stored
        if row.tensor.component == NGRAM_TABLE
    )


def _layers_held(
    tensor: Tensor, layers: range, *, stage: int, last: bool, rules: LoadRules, tied: bool
) -> int:
    """How many layers of `tensor` a pipeline stage holds; 1 or 0 for what is no layer's."""
    if tensor.part == "vision":
        return max(1, len(tensor.layers)) if stage == 0 else 0
    if tensor.part == "mtp":
        return max(1, len(tensor.layers)) if last else 0
    if tensor.layers:
        # Both count upwards: the stage's layers are one run of the tensor's.
        return bisect_left(tensor.layers, layers.stop) - bisect_left(tensor.layers, layers.start)
    if tensor.component == "embed_tokens":
        return int(stage == 0 or rules.embed_on_every_stage or (last and tied))
    return int(last or (tensor.component == "lm_head" and rules.head_on_every_stage))

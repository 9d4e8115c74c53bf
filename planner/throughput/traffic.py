"""What one decode step moves and computes on one rank: bytes by stream, FLOPs by number format.

Every rank of a tensor-parallel group moves its share at the same time; pipeline stages work one
after the other, so a step counts the layers of all stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from math import prod
from types import MappingProxyType

from hardware_db.records import frozen
from planner.formats import CacheFormat
from planner.layout import Layout
from planner.memo import remembered
from planner.memory.kv_cache import heads_per_rank, index_bytes, kv_bytes_per_token
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE, Split

PLAIN = "plain"
"""Kernel family of weights that everything multiplies as they are."""

_EXPERTS = "moe.routed_experts"
_INDEX_KEY_BYTES = 2
"""Indexers keep their keys in 16 bits unless asked otherwise."""

_CONV_STATE_BYTES = 2
"""Engines keep the convolution state in the model's 16-bit dtype."""


@frozen
class Weights:
    """Weights that one rank holds of some part of a model.

    Attributes:
        nbytes: their bytes.
        elements: their elements by kernel family of the number format (`NumberFormat.kernel`,
            `PLAIN` where there is none): each does 2 FLOPs per token.
    """

    nbytes: float = 0.0
    elements: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def in_sixteen_bits(self) -> Weights:
        """The same elements, each in two bytes."""
        count = sum(self.elements.values())
        return Weights(nbytes=2.0 * count, elements=MappingProxyType({PLAIN: count}))


@frozen
class RankWeights:
    """The weights of one rank by how a step reads them.

    Attributes:
        dense: read whole in every step: attention, DeltaNet, norms, router, shared expert, MLP.
        experts: all routed experts that the rank holds; a step reads those that tokens chose.
        lm_head: the output head (the embedding table where it is tied).
        draft_dense: the MTP module without routed experts and head.
        draft_experts: the routed experts of the MTP module.
    """

    dense: Weights
    experts: Weights
    lm_head: Weights
    draft_dense: Weights
    draft_experts: Weights

    @property
    def in_sixteen_bits(self) -> RankWeights:
        """The same elements, each in two bytes."""
        return RankWeights(
            **{part.name: getattr(self, part.name).in_sixteen_bits for part in fields(self)}
        )


@frozen
class Traffic:
    """One decode step on one rank.

    Attributes:
        dense: bytes of weights that every step reads, without the head.
        lm_head: bytes of the output head.
        experts: bytes of the routed experts that the batch is expected to hit.
        kv: bytes of KV cache read.
        state: bytes of recurrent state read and written.
        flops: floating-point operations by kernel family of the weights; products with K and
            V are plain.
    """

    dense: float
    lm_head: float
    experts: float
    kv: float
    state: float
    flops: Mapping[str, float]

    @property
    def nbytes(self) -> float:
        """All bytes of the step on this rank."""
        return self.dense + self.lm_head + self.experts + self.kv + self.state


@remembered(lambda checkpoint: ((checkpoint,), None))
def width_of(checkpoint: Checkpoint) -> int:
    """Return the bits that most matrices of the trunk have, rounded to 16, 8 or 4.

    All quantized GGUF types count as 8: one family of kernels multiplies them, with 8-bit
    activations.
    """
    rows = [row for row in checkpoint.rows("text") if row.tensor.is_matrix]
    kept = [row for row in rows if row.tensor.component not in ("embed_tokens", "lm_head")]
    bits = 8 * sum(row.nbytes for row in kept) / sum(row.tensor.parameters for row in kept)
    if bits > _WIDE:
        return 16
    return 8 if bits > _NARROW or "ggml" in checkpoint.kernels else 4


_WIDE, _NARROW = 12.0, 6.2
"""Bits per weight between which formats count as 8-bit ones."""


_POPULARITY = (
    (0.01125741, 0.0738608),
    (0.22207592, 0.24549027),
    (0.53333334, 0.72615121),
    (0.22207592, 2.14792861),
    (0.01125741, 7.13904496),
)
"""(share of the experts, how often they are chosen over the mean): five points of a lognormal law
whose logs spread by 0.8. Kernels timed under power-law routing (aiconfigurator 0.12.0) read 0.81 to
0.98 of what even routing would, which this meets within 8 %."""


def distinct_experts(num_experts: int, per_token: int, tokens: float) -> float:
    """Return the experts that at least one of `tokens` tokens chooses, expected.

        E x sum over groups g of share_g x (1 - (1 - k/E x m_g)^T)

    Routing is uneven: some experts are chosen m times as often as others.
    """
    mean = per_token / num_experts
    missed = sum(share * (1.0 - min(1.0, mean * times)) ** tokens for share, times in _POPULARITY)
    return float(num_experts * (1.0 - missed))


@remembered(lambda checkpoint, layout: ((checkpoint,), layout))
def rank_weights(checkpoint: Checkpoint, layout: Layout) -> RankWeights:
    """The weights of one rank, all pipeline stages together."""
    model = checkpoint.model
    groups: dict[str, list[Stored]] = {
        "dense": [],
        "experts": [],
        "lm_head": [],
        "draft_dense": [],
        "draft_experts": [],
    }
    head = "embed_tokens" if model.tie_word_embeddings else "lm_head"
    for row in checkpoint.rows("text", "mtp"):
        tensor = row.tensor
        prefix = "draft_" if tensor.part == "mtp" else ""
        if tensor.component == _EXPERTS:
            groups[f"{prefix}experts"].append(row)
        elif tensor.component == head and not prefix:
            groups["lm_head"].append(row)
        elif tensor.component not in ("embed_tokens", "lm_head", NGRAM_TABLE):
            groups[f"{prefix}dense"].append(row)
    sums = {name: _sum(rows, model, layout) for name, rows in groups.items()}
    return RankWeights(**sums)


def decode_traffic(
    model: ModelSpec,
    layout: Layout,
    *,
    weights: RankWeights,
    sequences: float,
    depth: float,
    cache_format: CacheFormat,
    ssm_bytes: int,
    tokens_per_sequence: int = 1,
    shared_prefix: float = 0,
) -> Traffic:
    """One decode step of `sequences` sequences on one replica.

        dense/tp + lm_head/tp + experts x E(1-(1-k/E)^T)/E / ranks + B x depth x KV per token
        + B x (1 + tokens per sequence) x state

    The state is read once and written once per token: a rejected draft must be undone.

    Args:
        model: the architecture.
        layout: how it is spread.
        weights: of `rank_weights`.
        sequences: sequences in the step on one data-parallel replica.
        depth: mean tokens of context per sequence.
        cache_format: number format of the KV cache.
        ssm_bytes: bytes per element of the SSM state.
        tokens_per_sequence: tokens verified per sequence (1 without speculation).
        shared_prefix: tokens of the context that are read once for all sequences.
    """
    tokens = sequences * tokens_per_sequence
    routed = _routed(model, layout, tokens=tokens)
    flops: dict[str, float] = {}
    _add_flops(flops, weights.dense, tokens)
    _add_flops(flops, weights.lm_head, tokens)
    _add_flops(flops, weights.experts, routed.tokens)
    attention = tokens * _attention_flops(model, layout, depth=depth)
    flops[PLAIN] = flops.get(PLAIN, 0.0) + attention
    per_token = kv_bytes_per_token(
        model, cache_format=cache_format, tensor_parallel=layout.tensor_parallel
    )
    read = shared_prefix + sequences * (depth - shared_prefix)
    if model.attention.indexer is not None:
        read = sequences * model.attention.tokens_read(depth)
    state = state_bytes(model, layout, ssm_bytes=ssm_bytes)
    return Traffic(
        dense=weights.dense.nbytes,
        lm_head=weights.lm_head.nbytes,
        experts=weights.experts.nbytes * routed.share,
        kv=read * per_token + sequences * _index_bytes(model, depth),
        state=sequences * (1 + tokens_per_sequence) * state,
        flops=MappingProxyType(flops),
    )


def draft_traffic(
    model: ModelSpec, layout: Layout, *, weights: RankWeights, sequences: float
) -> Traffic:
    """One draft: the MTP module and the head for one token of each sequence.

    Its own KV cache is one layer and left out.
    """
    routed = _routed(model, layout, tokens=sequences)
    return Traffic(
        dense=weights.draft_dense.nbytes,
        lm_head=weights.lm_head.nbytes,
        experts=weights.draft_experts.nbytes * routed.share,
        kv=0.0,
        state=0.0,
        flops=MappingProxyType({}),
    )


@frozen
class _Routed:
    """Share of the experts that is read, and tokens that each of them sees on average."""

    share: float
    tokens: float


def _routed(model: ModelSpec, layout: Layout, *, tokens: float) -> _Routed:
    if model.moe is None:
        return _Routed(share=1.0, tokens=0.0)
    experts, per_token = model.moe.num_experts, model.moe.num_experts_per_tok
    # With expert parallelism the tokens of all replicas meet at the experts.
    meeting = tokens * (layout.data_parallel if layout.expert_parallel else 1)
    return _Routed(
        share=distinct_experts(experts, per_token, meeting) / experts,
        tokens=meeting * per_token / experts,
    )


def state_bytes(model: ModelSpec, layout: Layout, *, ssm_bytes: int) -> float:
    """Bytes of one sequence's recurrent state on one rank, all linear-attention layers together."""
    if model.linear is None:
        return 0.0
    tp, layers = layout.tensor_parallel, len(model.linear_attention_layers)
    whole = ssm_state_bytes(model.linear, dtype_bytes=ssm_bytes)
    whole += conv_state_bytes(model.linear, dtype_bytes=_CONV_STATE_BYTES)
    return layers * whole / tp


def prefill_attention_flops(model: ModelSpec, layout: Layout, *, start: float, end: float) -> float:
    """FLOPs of the products with K and V for prompt tokens `start` to `end`, causal, on one rank.

    4 x query heads x head_dim per pair of tokens and layer; a token sees the mean of its span.
    """
    return (end - start) * _attention_flops(model, layout, depth=(start + end) / 2)


def linear_flops(
    weights: RankWeights, model: ModelSpec, layout: Layout, *, tokens: float
) -> dict[str, float]:
    """FLOPs of all weights but the head for `tokens` prompt tokens on one rank, by kernel family."""
    flops: dict[str, float] = {}
    _add_flops(flops, weights.dense, tokens)
    if model.moe is not None:
        replicas = layout.data_parallel if layout.expert_parallel else 1
        share = model.moe.num_experts_per_tok / model.moe.num_experts
        _add_flops(flops, weights.experts, tokens * replicas * share)
    return flops


def _sum(rows: list[Stored], model: ModelSpec, layout: Layout) -> Weights:
    nbytes, elements = 0.0, dict[str, float]()
    for row in rows:
        share = _rank_share(row, model, layout)
        nbytes += row.nbytes * share
        if row.tensor.is_matrix:
            name = row.format.kernel or PLAIN
            elements[name] = elements.get(name, 0.0) + row.tensor.parameters * share
    return Weights(nbytes=nbytes, elements=MappingProxyType(elements))


def _rank_share(row: Stored, model: ModelSpec, layout: Layout) -> float:
    """Which share of a row one rank reads."""
    match row.tensor.split:
        case Split.REPLICATED:
            return 1.0
        case Split.KV:
            heads = row.tensor.kv_heads
            return heads_per_rank(heads, tensor_parallel=layout.tensor_parallel) / heads
        case Split.EXPERT_COLUMN | Split.EXPERT_ROW if layout.expert_parallel:
            return 1.0 / layout.expert_ranks
        case _:
            return 1.0 / layout.tensor_parallel


def _add_flops(flops: dict[str, float], part: Weights, tokens: float) -> None:
    for name, count in part.elements.items():
        flops[name] = flops.get(name, 0.0) + 2.0 * count * tokens


def _index_bytes(model: ModelSpec, depth: float) -> float:
    """Keys of an indexer that one sequence's query reads, all layers; every rank has all of them."""
    indexer = model.attention.indexer
    if indexer is None:
        return 0.0
    keys = index_bytes(indexer, tokens=int(depth), dtype_bytes=_INDEX_KEY_BYTES)
    return float(len(model.full_attention_layers) * keys)


def _attention_flops(model: ModelSpec, layout: Layout, *, depth: float) -> float:
    """Per token on one rank: q.K and weights.V over the tokens read of `depth`, attention layers."""
    attention = model.attention
    read = attention.tokens_read(depth)
    pairs = prod((4.0, attention.num_attention_heads, attention.head_dim, read))
    return len(model.full_attention_layers) * pairs / layout.tensor_parallel

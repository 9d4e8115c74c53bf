"""Say how long contexts are, how many, and what their caches take.

Source: llama.cpp 0c1e570 src/llama-context.cpp, src/llama-kv-cache.cpp,
src/llama-memory-recurrent.cpp, src/llama-memory-hybrid-idx.cpp; tools/server/server.cpp (the
server's defaults).
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Literal

from hardware_db.records import frozen_with_cache
from planner.columns import choose, smaller
from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.cells import STEP
from planner.engines.llamacpp.ggml.tensor import row_bytes
from planner.engines.llamacpp.placement import Placement
from planner.memory.recurrent_state import ngram_window_bytes
from planner.model.spec import ModelSpec
from planner.units import ceil_div, round_up

CELLS_PADDING = STEP
MAX_SEQUENCES = 256
"""n_seq_max goes no further (LLAMA_MAX_SEQ)."""

SMALL_UBATCH = 128
"""The smaller micro-batch (-ub) that is proposed where memory is short."""

_F32 = 4


@frozen_with_cache
class Context:
    """One llama_context: the trunk's, or the MTP block's; cells and sequences may be columns.

    Attributes:
        kind: "trunk" or "mtp".
        n_ctx: cells in all, as asked (-c).
        n_seq_max: sequences (-np).
        kv_unified: all sequences share one stream of cells.
        n_batch: logical batch (-b).
        n_ubatch: micro-batch (-ub).
        n_outputs_max: tokens of a batch whose logits may be asked for; 0: all of them.
        n_rs_seq: rollback states per sequence.
        flash_attn: fused attention (-fa).
        type_k: K cache type (-ctk).
        type_v: V cache type (-ctv).
        half_mask: see `releases`.
        scratch: likewise.
        mixed: likewise.
    """

    kind: Literal["trunk", "mtp"] = "trunk"
    n_ctx: int
    n_seq_max: int = 1
    kv_unified: bool = False
    n_batch: int = 2048
    n_ubatch: int = 512
    n_outputs_max: int = 0
    n_rs_seq: int = 0
    flash_attn: bool = True
    type_k: str = "f16"
    type_v: str = "f16"
    half_mask: bool = True
    scratch: bool = True
    mixed: bool = False

    @property
    def batch_size(self) -> int:
        """n_batch as resolved: no longer than the context."""
        length: int = smaller(self.n_ctx, self.n_batch)
        return length

    @property
    def n_streams(self) -> int:
        """Streams of the KV cache."""
        return 1 if self.kv_unified else self.n_seq_max

    @cached_property
    def n_ctx_seq(self) -> int:
        """Cells of one stream: the whole, or each sequence's share, padded."""
        cells = round_up(self.n_ctx, CELLS_PADDING)
        if self.kv_unified:
            return cells
        return round_up(cells // self.n_seq_max, CELLS_PADDING)

    @cached_property
    def cells(self) -> int:
        """Cells in all; padding of the shares can make it more than `n_ctx`."""
        return self.n_ctx_seq * self.n_streams

    def rollback(self, model: ModelSpec) -> int:
        """`n_rs_seq` as far as the architecture supports it."""
        arch = architecture(model)
        return self.n_rs_seq if arch is not None and arch.rollback else 0

    def batch(self, model: ModelSpec, *, generation: bool = False) -> Batch:
        """The batch that compute buffers are reserved for, or one token per sequence."""
        tokens = smaller(smaller(self.cells, self.batch_size), self.n_ubatch)
        outputs = choose(self.n_outputs_max == 0, self.batch_size, self.n_outputs_max)
        if generation:
            tokens = outputs = self.n_seq_max
        return Batch(
            n_tokens=ceil_div(tokens, self.n_seq_max) * self.n_seq_max,
            n_seqs=self.n_seq_max,
            n_outputs=smaller(tokens, outputs),
            n_kv=self.n_ctx_seq,
            n_stream=self.n_streams,
            n_rs_seq=self.rollback(model),
            flash_attn=self.flash_attn,
            type_k=self.type_k,
            type_v=self.type_v,
            half_mask=self.half_mask,
            scratch=self.scratch,
            mixed=self.mixed,
        )

    def attention_blocks(self, model: ModelSpec) -> tuple[int, ...]:
        """Return the blocks with a KV cache in this context."""
        return attention_blocks(model, self.kind)


def kv_bytes_per_block(model: ModelSpec, context: Context) -> tuple[int, int]:
    """Bytes of one block's K and V.

    cells x row(type, KV heads x head_dim)
    """
    attention = model.attention
    width = attention.num_key_value_heads * attention.head_dim
    return (
        context.cells * row_bytes(context.type_k, width),
        context.cells * row_bytes(context.type_v, width),
    )


def index_bytes_per_block(model: ModelSpec, context: Context) -> int:
    """Bytes of the raw keys that one block's indexer keeps, in the type of the K cache.

    cells x row(type_k, key heads x head_dim)
    """
    indexer = model.attention.indexer
    if indexer is None or context.kind == "mtp":
        return 0
    return context.cells * row_bytes(context.type_k, indexer.key_elements)


def window_bytes_per_block(model: ModelSpec, context: Context) -> int:
    """Bytes of the window that a block with an n-gram embedding keeps, always F32.

    4 x (kernel - 1) x ngram_size x width of the streams x n_seq_max x (1 + n_rs_seq)
    """
    if model.ngrams is None or context.kind == "mtp":
        return 0
    copies = context.n_seq_max * (1 + context.rollback(model))
    return ngram_window_bytes(model.ngrams, width=model.stream_width, dtype_bytes=_F32) * copies


def state_bytes_per_block(model: ModelSpec, context: Context) -> tuple[int, int]:
    """Bytes of one linear-attention block's conv (R) and SSM (S) states, always F32.

    4 x (kernel - 1) x conv_dim x n_seq_max x (1 + n_rs_seq);  4 x ssm_elements x the same
    """
    if model.linear is None or context.kind == "mtp":
        return (0, 0)
    linear = model.linear
    copies = context.n_seq_max * (1 + context.rollback(model))
    conv = (linear.linear_conv_kernel_dim - 1) * linear.conv_dim
    return _F32 * conv * copies, _F32 * linear.ssm_elements * copies


def cache_bytes(
    model: ModelSpec, context: Context, placement: Placement
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return KV cache and recurrent state in bytes per backend, the host last.

    An indexer's keys count as KV cache, the windows of n-gram embeddings as recurrent state.
    """
    attention, linear, ngrams = cached_blocks(model, placement, context.kind)
    kv = sum(kv_bytes_per_block(model, context)) + index_bytes_per_block(model, context)
    states = sum(state_bytes_per_block(model, context))
    window = window_bytes_per_block(model, context)
    return (
        tuple(kv * count for count in attention),
        tuple(states * a + window * b for a, b in zip(linear, ngrams, strict=True)),
    )


@lru_cache(maxsize=1024)
def cached_blocks(model: ModelSpec, placement: Placement, kind: str) -> tuple[tuple[int, ...], ...]:
    """Return how many blocks have a KV cache, a state, an n-gram window on each backend."""
    counts = []
    for blocks in (
        attention_blocks(model, kind),
        model.linear_attention_layers,
        model.ngram_layers,
    ):
        homes = [placement.cache_home(block) for block in blocks]
        counts.append(tuple(homes.count(backend) for backend in range(placement.backends)))
    return tuple(counts)


def attention_blocks(model: ModelSpec, kind: str) -> tuple[int, ...]:
    """Return the blocks with a KV cache in a context of this kind."""
    return (model.num_hidden_layers,) if kind == "mtp" else model.full_attention_layers


def output_bytes(model: ModelSpec, context: Context, *, hidden_rows: int = 0) -> int:
    """Bytes of the output buffer, in (pinned) host memory: logits of one token per sequence.

        4 x vocabulary x n_seq_max + 4 x hidden_size x hidden_rows

    `hidden_rows`: hidden states handed to a draft model, one per token of a batch.
    """
    logits = model.vocab_size * context.n_seq_max
    return _F32 * (logits + model.hidden_size * hidden_rows)

"""What a graph is fed: weights, caches, and the inputs written before each run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from planner.engines.llamacpp.ggml.architecture import Architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.tensor import MADE_ONCE, GgmlTensor, block_type, cast, view
from planner.model.layers import Indexer
from planner.model.spec import LinearAttention, ModelSpec

_ROTATION = 64


def cache_is_rotated(type_: str) -> bool:
    """Quantized caches are rotated by a Hadamard matrix before they are stored."""
    return block_type(type_).elements > 1


def _once(tensor: GgmlTensor) -> GgmlTensor:
    tensor.name = MADE_ONCE
    return tensor


class Weights:
    """The weights of a model as tensors with a home.

    Args:
        types: (key, block) -> ggml type and shape, innermost dimension first.
        home: (key, block) -> backend whose buffer holds it.
    """

    def __init__(
        self,
        types: Callable[[str, int], tuple[str, tuple[int, ...]]],
        home: Callable[[str, int], int],
    ) -> None:
        self.types, self.home = types, home
        self._made: dict[tuple[str, int], GgmlTensor] = {}

    def get(self, key: str, block: int = -1) -> GgmlTensor:
        """The weight `key` of a block (-1: outside the blocks), one object per weight."""
        found = self._made.get((key, block))
        if found is None:
            type_, ne = self.types(key, block)
            found = GgmlTensor("none", type_, ne, name=f"{key}.{block}")
            found.home, found.is_weight = self.home(key, block), True
            self._made[key, block] = found
        return found


class Inputs:
    """Inputs and caches of one graph; a tensor counts only once something uses it.

    Source: llama.cpp 0c1e570 src/llama-graph.cpp, llama-kv-cache.cpp, llama-memory-recurrent.cpp.
    """

    def __init__(
        self,
        model: ModelSpec,
        arch: Architecture,
        batch: Batch,
        cache_home: Callable[[int], int],
        *,
        host: int | None = None,
    ) -> None:
        self.model, self.arch, self.batch = model, arch, batch
        # Backend that attention is tied to, where the caches are kept on the host.
        self.attention_pin = host
        self._cache_home = cache_home
        self._caches: dict[tuple[str, int], GgmlTensor] = {}

    def _input(self, name: str, type_: str, *ne: int) -> GgmlTensor:
        tensor = GgmlTensor("none", type_, ne, name=name)
        tensor.is_input = True
        return tensor

    @cached_property
    def tokens(self) -> GgmlTensor:
        """Token ids."""
        return self._input("tokens", "i32", self.batch.n_tokens)

    @cached_property
    def embeddings(self) -> GgmlTensor:
        """Embeddings given instead of tokens; reserved whether used or not."""
        return self._input("embd", "f32", self.model.hidden_size, self.batch.n_tokens)

    @cached_property
    def mixed_tokens(self) -> GgmlTensor:
        """Token ids of a batch that has embeddings as well."""
        return self._input("mixed_tokens", "i32", self.batch.n_tokens)

    @cached_property
    def mixed_slots(self) -> GgmlTensor:
        """The rows of that batch that tokens go to."""
        return self._input("mixed_slots", "i64", self.batch.n_tokens)

    @cached_property
    def mixed_embeddings(self) -> GgmlTensor:
        """The embeddings of that batch."""
        return self._input("mixed_embd", "f32", self.model.hidden_size, self.batch.n_tokens)

    @cached_property
    def hidden(self) -> GgmlTensor:
        """Hidden states of the trunk, input of the MTP block."""
        return self._input("h", "f32", self.model.hidden_size, self.batch.n_tokens)

    @cached_property
    def positions(self) -> GgmlTensor:
        """Positions, several components per token under multimodal RoPE."""
        return self._input("pos", "i32", self.batch.n_tokens * self.arch.positions)

    @cached_property
    def out_ids(self) -> GgmlTensor:
        """Indices of the tokens whose logits are wanted."""
        return self._input("out_ids", "i32", self.batch.n_outputs)

    @cached_property
    def k_idxs(self) -> GgmlTensor:
        """Cells that K goes to."""
        return self._input("k_idxs", "i64", self.batch.n_tokens)

    @cached_property
    def v_idxs(self) -> GgmlTensor:
        """Cells that V goes to; elements instead of rows where V is kept transposed."""
        attention = self.model.attention
        width = attention.num_key_value_heads * attention.head_dim
        rows = 1 if self.batch.flash_attn else width
        return self._input("v_idxs", "i64", self.batch.n_tokens * rows)

    @cached_property
    def mask(self) -> GgmlTensor:
        """Attention mask: cells x tokens, F16 for flash attention and else F32.

        Older builds take it in F32 and convert it for flash attention, once.
        """
        batch = self.batch
        half = batch.flash_attn and batch.half_mask
        rows = batch.n_tokens // batch.n_stream
        shape = (batch.n_kv, rows, 1, batch.n_stream)
        mask = self._input("kq_mask", "f16" if half else "f32", *shape)
        return _once(cast(mask, "f16")) if batch.flash_attn and not half else mask

    @cached_property
    def k_rotation(self) -> GgmlTensor | None:
        """The rotation of K: the largest power of two that divides a head."""
        if not cache_is_rotated(self.batch.type_k):
            return None
        size = _ROTATION
        while self.model.attention.head_dim % (2 * size) == 0:
            size *= 2
        return self._input("k_rot", "f32", size, size)

    @cached_property
    def v_rotation(self) -> GgmlTensor | None:
        """The rotation of V."""
        if not cache_is_rotated(self.batch.type_v):
            return None
        return self._input("v_rot", "f32", _ROTATION, _ROTATION)

    @cached_property
    def states(self) -> GgmlTensor:
        """Which recurrent state each sequence starts from."""
        return self._input("s_copy", "i32", self.batch.n_seqs)

    @cached_property
    def states_main(self) -> GgmlTensor:
        """Those of the sequences in the batch."""
        return _once(view(self.states, (self.batch.n_seqs,)))

    @cached_property
    def states_extra(self) -> GgmlTensor:
        """Those of other sequences: none in the worst case."""
        return _once(view(self.states, (0,)))

    @cached_property
    def table_rows(self) -> GgmlTensor:
        """Rows of the n-gram table, hashed on the CPU: one per hash and token."""
        ngrams = self.model.ngrams
        heads = 0 if ngrams is None else ngrams.heads
        return self._input("ple_rows", "i32", heads * self.batch.n_tokens)

    @property
    def index_blocks(self) -> int:
        """Blocks of cells that an indexer scores."""
        return self.batch.n_kv // self.indexer.compress_ratio

    @cached_property
    def index_idxs(self) -> GgmlTensor:
        """Cells that an indexer's keys go to."""
        return self._input("idx_k_idxs", "i64", self.batch.n_tokens)

    @cached_property
    def cell_blocks(self) -> GgmlTensor:
        """The block that each cell belongs to."""
        return self._input("cell_blk", "i32", self.batch.n_kv, self.batch.n_stream)

    @cached_property
    def block_cells(self) -> GgmlTensor:
        """The cells of each block."""
        return self._input("blk_cells", "i32", self.batch.n_kv, self.batch.n_stream)

    @cached_property
    def block_positions(self) -> GgmlTensor:
        """Where each block's pooled key stands."""
        rows = self.index_blocks * self.batch.n_stream
        return self._input("blk_pos", "i32", self.arch.positions * rows)

    @cached_property
    def block_bias(self) -> GgmlTensor:
        """Which blocks each token may see."""
        batch = self.batch
        shape = (self.index_blocks, batch.n_tokens // batch.n_stream, batch.n_stream)
        return self._input("blk_bias", "f32", *shape)

    def cache(self, kind: str, block: int) -> GgmlTensor:
        """The K, V, index ("i"), conv ("r"), SSM ("s") or n-gram ("p") cache of a block."""
        found = self._caches.get((kind, block))
        if found is None:
            found = self._caches[kind, block] = self._new_cache(kind, block)
            found.home = self._cache_home(block)
        return found

    def _new_cache(self, kind: str, block: int) -> GgmlTensor:
        batch, attention = self.batch, self.model.attention
        name = f"cache_{kind}.{block}"
        if kind in "kv":
            width = attention.num_key_value_heads * attention.head_dim
            type_ = batch.type_k if kind == "k" else batch.type_v
            return GgmlTensor("none", type_, (width, batch.n_kv, batch.n_stream), name=name)
        if kind == "i":
            shape = (self.indexer.key_elements, batch.n_kv, batch.n_stream)
            return GgmlTensor("none", batch.type_k, shape, name=name)
        rows = batch.n_seqs * (1 + batch.n_rs_seq)
        return GgmlTensor("none", "f32", (self._state_width(kind), rows), name=name)

    def _state_width(self, kind: str) -> int:
        if kind == "p":
            ngrams = self.model.ngrams
            return 0 if ngrams is None else ngrams.window * self.model.stream_width
        linear = self.linear
        if kind == "r":
            return (linear.linear_conv_kernel_dim - 1) * linear.conv_dim
        return linear.ssm_elements

    @property
    def indexer(self) -> Indexer:
        """The indexer of the model's attention."""
        if self.model.attention.indexer is None:
            raise ValueError("the model has no indexer")
        return self.model.attention.indexer

    @property
    def linear(self) -> LinearAttention:
        """The linear attention of a hybrid model."""
        if self.model.linear is None:
            raise ValueError("the model has no linear attention")
        return self.model.linear

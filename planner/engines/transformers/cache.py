"""The cache of `generate`: one layer object per layer, KV or state, in the model's dtype.

Attention layers hold K and V of every token, those with an indexer its raw key beside; DeltaNet
layers hold a fixed state per sequence, and one with n-grams the window of their convolution.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from hardware_db.records import frozen
from planner.formats import dtype_bytes, get_cache_format
from planner.memory.kv_cache import index_bytes, kv_bytes_per_token_per_layer
from planner.memory.recurrent_state import (
    conv_state_bytes,
    ngram_window_bytes,
    ssm_state_bytes,
)
from planner.model.spec import LINEAR, ModelSpec

STATE_BYTES = 4
"""The recurrent state is float32 whatever the model's dtype; `mamba_ssm_dtype` is not read."""

POSITION_BYTES = 3 * 8
"""Positions in three dimensions that indexers keep of each token, once for all layers."""

TOKEN_ID_BYTES = 8

CLASS_NAMES = {"dynamic": "DynamicLayer", "static": "StaticLayer"}
INDEXED_NAMES = {"dynamic": "DynamicIndexedLayer", "static": "StaticIndexedLayer"}
LINEAR_CLASS = "LinearAttentionLayer"


@frozen
class CacheBytes:
    """Bytes of a cache, all layers that were asked for together.

    Attributes:
        kv: K and V, and what an indexer keeps of each token.
        conv: convolution states, the windows of n-gram embeddings among them.
        recurrent: recurrent (SSM) states.
    """

    kv: int
    conv: int
    recurrent: int

    @property
    def state(self) -> int:
        """Convolution and recurrent states."""
        return self.conv + self.recurrent

    @property
    def total(self) -> int:
        """All of it."""
        return self.kv + self.state


def kv_token_bytes(model: ModelSpec) -> int:
    """Bytes of one token's K and V in one layer: 2 x KV heads x head_dim x bytes(dtype)."""
    return kv_bytes_per_token_per_layer(model.attention, cache_format=get_cache_format(model.dtype))


def index_token_bytes(model: ModelSpec) -> int:
    """Bytes of one token's raw key in one layer: key heads x head_dim x bytes(dtype).

    Source: transformers 5.24.0 cache_utils.py (DynamicIndexedLayer).
    """
    indexer = model.attention.indexer
    if indexer is None:
        return 0
    return index_bytes(indexer, tokens=1, dtype_bytes=dtype_bytes(model.dtype), compressed=False)


def position_token_bytes(model: ModelSpec, layers: Collection[int]) -> int:
    """Bytes of one token's positions, which the first layer with an indexer keeps for all.

    Source: transformers 5.24.0 models/qwen4_exp/modeling_qwen4_exp.py (indexer_position_ids).
    """
    indexed = model.attention.indexer is not None and model.full_attention_layers[0] in layers
    return POSITION_BYTES if indexed else 0


def window_bytes(model: ModelSpec) -> int:
    """Bytes of one sequence's window in a layer with n-grams, the ids of its last tokens included.

        (kernel - 1) x ngram_size x width of the streams x bytes(dtype) + 8 x (ngram_size - 1)

    Source: transformers 5.24.0 models/qwen4_exp/modeling_qwen4_exp.py (short_conv_state_len).
    """
    ngrams = model.ngrams
    if ngrams is None:
        return 0
    window = ngram_window_bytes(
        ngrams, width=model.stream_width, dtype_bytes=dtype_bytes(model.dtype)
    )
    return window + TOKEN_ID_BYTES * (ngrams.ngram_size - 1)


def sequence_state_bytes(model: ModelSpec) -> tuple[int, int]:
    """(convolution, recurrent) state of one sequence in one DeltaNet layer.

        conv = conv kernel x (2 x key dim + value dim) x bytes(dtype)
        recurrent = value heads x d_k x d_v x 4

    The convolution keeps as many columns as the kernel is wide, one more than it needs.
    """
    linear = model.linear
    if linear is None:
        return 0, 0
    conv = conv_state_bytes(
        linear, dtype_bytes=dtype_bytes(model.dtype), rows=linear.linear_conv_kernel_dim
    )
    return conv, ssm_state_bytes(linear, dtype_bytes=STATE_BYTES)


def cache_bytes(
    model: ModelSpec, *, batch: int, tokens: int, layers: Iterable[int] | None = None
) -> CacheBytes:
    """Bytes of the cache after `tokens` tokens of each of `batch` sequences.

        KV    = batch x tokens x (attention layers x bytes per token and layer + positions)
        state = batch x (DeltaNet layers x (conv + recurrent) + windows of n-grams)

    Args:
        model: whose cache.
        batch: sequences of one call of `generate`.
        tokens: tokens in the cache; with the static cache, its length.
        layers: layers to count; None for all.

    Source: transformers 5.23.0 cache_utils.py (DynamicLayer, LinearAttentionLayer); the model
    classes run on a CPU agree to the byte (suite `transformers`).
    """
    held = tuple(range(model.num_hidden_layers) if layers is None else layers)
    linear = sum(model.layer_types[layer] == LINEAR for layer in held)
    each = kv_token_bytes(model) + index_token_bytes(model)
    positions = position_token_bytes(model, held)
    conv, recurrent = sequence_state_bytes(model)
    windows = window_bytes(model) * sum(layer in model.ngram_layers for layer in held)
    return CacheBytes(
        kv=batch * tokens * ((len(held) - linear) * each + positions),
        conv=batch * (linear * conv + windows),
        recurrent=batch * linear * recurrent,
    )


def cache_layer_classes(model: ModelSpec, implementation: str = "dynamic") -> tuple[str, ...]:
    """Class of each layer's cache."""
    names = CLASS_NAMES if model.attention.indexer is None else INDEXED_NAMES
    attention = names[implementation]
    return tuple(LINEAR_CLASS if kind == LINEAR else attention for kind in model.layer_types)


def state_shapes(model: ModelSpec, batch: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of a DeltaNet layer's convolution and recurrent state; empty without such layers."""
    linear = model.linear
    if linear is None:
        return (), ()
    return (batch, linear.conv_dim, linear.linear_conv_kernel_dim), (
        batch,
        linear.linear_num_value_heads,
        linear.linear_key_head_dim,
        linear.linear_value_head_dim,
    )


def growth_bytes(model: ModelSpec, *, batch: int, tokens: int) -> int:
    """What appending one token takes for a moment: a new copy of one layer's K (or V).

        batch x tokens x KV heads x head_dim x bytes(dtype)

    Source: transformers 5.23.0 cache_utils.py (DynamicLayer.update concatenates).
    """
    return batch * tokens * kv_token_bytes(model) // 2

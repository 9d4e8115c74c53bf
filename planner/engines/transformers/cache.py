"""The cache of `generate`: one layer object per layer, KV or state, in the model's dtype.

Full-attention layers hold K and V of every token; DeltaNet layers hold a fixed state per sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from planner.formats import get_cache_format
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.spec import FULL, LINEAR, ModelSpec

STATE_BYTES = 4
"""The recurrent state is float32 whatever the model's dtype; `mamba_ssm_dtype` is not read."""

CLASS_NAMES = {"dynamic": "DynamicLayer", "static": "StaticLayer"}
LINEAR_CLASS = "LinearAttentionLayer"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheBytes:
    """Bytes of a cache, all layers that were asked for together.

    Attributes:
        kv: K and V.
        conv: convolution states.
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


def sequence_state_bytes(model: ModelSpec) -> tuple[int, int]:
    """(convolution, recurrent) state of one sequence in one DeltaNet layer.

        conv = conv kernel x (2 x key dim + value dim) x bytes(dtype)
        recurrent = value heads x d_k x d_v x 4

    The convolution keeps as many columns as the kernel is wide, one more than it needs.
    """
    linear = model.linear
    if linear is None:
        return 0, 0
    width = int(get_cache_format(model.dtype).bits) // 8
    conv = conv_state_bytes(linear, dtype_bytes=width, rows=linear.linear_conv_kernel_dim)
    return conv, ssm_state_bytes(linear, dtype_bytes=STATE_BYTES)


def cache_bytes(
    model: ModelSpec, *, batch: int, tokens: int, layers: Iterable[int] | None = None
) -> CacheBytes:
    """Bytes of the cache after `tokens` tokens of each of `batch` sequences.

        KV    = batch x tokens x full-attention layers x bytes per token and layer
        state = batch x DeltaNet layers x (conv + recurrent)

    Args:
        model: whose cache.
        batch: sequences of one call of `generate`.
        tokens: tokens in the cache; with the static cache, its length.
        layers: layers to count; None for all.

    Source: transformers 5.23.0 cache_utils.py (DynamicLayer, LinearAttentionLayer); the model
    classes run on a CPU agree to the byte (suite `transformers`).
    """
    held = range(model.num_hidden_layers) if layers is None else layers
    kinds = Counter(model.layer_types[layer] for layer in held)
    full, linear = kinds[FULL], kinds[LINEAR]
    conv, recurrent = sequence_state_bytes(model)
    return CacheBytes(
        kv=batch * tokens * full * kv_token_bytes(model),
        conv=batch * linear * conv,
        recurrent=batch * linear * recurrent,
    )


def cache_layer_classes(model: ModelSpec, implementation: str = "dynamic") -> tuple[str, ...]:
    """Class of each layer's cache."""
    attention = CLASS_NAMES[implementation]
    return tuple(attention if kind == FULL else LINEAR_CLASS for kind in model.layer_types)


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

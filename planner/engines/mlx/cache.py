"""MLX's cache: KV grown in steps of 256 tokens, or quantized; state of two arrays per layer."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hardware_db.records import frozen
from planner.columns import choose
from planner.formats import CacheFormat, dtype_bytes, get_cache_format
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.model.spec import ModelSpec
from planner.units import round_up

STEP = 256
"""Tokens by which a layer's K and V grow."""

STATE_BYTES = 4
"""The recurrent state is float32."""

SCALE_BYTES = 2
"""A scale, and a bias of the same width, in the model's 16-bit dtype."""


@frozen
class SequenceCache:
    """Bytes of one sequence's cache.

    Attributes:
        kv: K and V, whole steps.
        conv: convolution states.
        recurrent: recurrent states.
    """

    kv: int
    conv: int
    recurrent: int

    @property
    def state(self) -> int:
        """Both states."""
        return self.conv + self.recurrent

    @property
    def total(self) -> int:
        """All of it."""
        return self.kv + self.state


def quantized_format(bits: int, group: int) -> CacheFormat:
    """`--kv-bits`: packed elements with a scale and a bias per group: 8.5 and 4.5 bits at 64."""
    return CacheFormat(
        name=f"mlx-{bits}bit-g{group}",
        bits=Fraction(bits),
        group=group,
        scale_bytes=2 * SCALE_BYTES,
    )


def token_bytes(model: ModelSpec, *, kv_bits: int | None, group: int) -> int:
    """Bytes of one token's K and V in one full-attention layer."""
    kept = get_cache_format(model.dtype) if kv_bits is None else quantized_format(kv_bits, group)
    return kv_bytes_per_token_per_layer(model.attention, cache_format=kept)


@frozen
class CacheRule:
    """How the cache of a sequence grows.

        KV    = attention layers x 2 x KV heads x head bytes x 256 ceil(tokens / 256)
        conv  = DeltaNet layers x (kernel - 1) x (2 K + V) x bytes(dtype)
        state = DeltaNet layers x value heads x d_v x d_k x 4

    Growing after a prompt that is no multiple of 256 cuts the spare tokens off first, so up to 255
    tokens more may be held.

    Source: mlx-lm 0.32.2 models/cache.py (KVCache, QuantizedKVCache), models/qwen3_5.py
    (make_cache); sizes of the real model on a CPU agree.

    Attributes:
        layers: attention layers.
        token: bytes of one token's K and V in one of them.
        before: likewise as long as a cache is not quantized.
        quantized_from: tokens from which on it is.
        conv: bytes of the convolution states.
        recurrent: bytes of the recurrent states.
    """

    layers: int
    token: int
    before: int
    quantized_from: int
    conv: int
    recurrent: int

    def kv(self, tokens: Any) -> Any:
        """Return the bytes of K and V, whole steps."""
        each = choose(tokens >= self.quantized_from, self.token, self.before)
        return round_up(tokens, STEP) * (self.layers * each)

    def total(self, tokens: Any) -> Any:
        """Return the bytes of all of a sequence's cache."""
        return self.kv(tokens) + (self.conv + self.recurrent)

    def of(self, tokens: Any) -> SequenceCache:
        """Return the same by kind."""
        return SequenceCache(kv=self.kv(tokens), conv=self.conv, recurrent=self.recurrent)


def cache_rule(
    model: ModelSpec,
    *,
    kv_bits: int | None = None,
    group: int = 64,
    quantized_kv_start: int = 0,
) -> CacheRule:
    """Return how the cache of a sequence grows: without `kv_bits` it is never quantized."""
    plain = token_bytes(model, kv_bits=None, group=group)
    conv = recurrent = 0
    if model.linear is not None:
        layers = len(model.linear_attention_layers)
        conv = layers * conv_state_bytes(model.linear, dtype_bytes=dtype_bytes(model.dtype))
        recurrent = layers * ssm_state_bytes(model.linear, dtype_bytes=STATE_BYTES)
    return CacheRule(
        layers=len(model.full_attention_layers),
        token=token_bytes(model, kv_bits=kv_bits, group=group),
        before=plain,
        quantized_from=quantized_kv_start,
        conv=conv,
        recurrent=recurrent,
    )

"""MLX's cache: KV grown in steps of 256 tokens, or quantized; state of two arrays per layer."""

from __future__ import annotations

from fractions import Fraction

from hardware_db.records import frozen
from planner.columns import choose
from planner.formats import CacheFormat, dtype_bytes, get_cache_format
from planner.memo import Key, remembered
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


def _format_of(model: ModelSpec, *, kv_bits: int | None, group: int) -> Key:
    return (model,), (kv_bits, group)


@remembered(_format_of)
def token_bytes(model: ModelSpec, *, kv_bits: int | None, group: int) -> int:
    """Bytes of one token's K and V in one full-attention layer."""
    kept = get_cache_format(model.dtype) if kv_bits is None else quantized_format(kv_bits, group)
    return kv_bytes_per_token_per_layer(model.attention, cache_format=kept)


def _of_model(model: ModelSpec) -> Key:
    return (model,), None


@remembered(_of_model)
def _states(model: ModelSpec) -> tuple[int, int]:
    """Return the bytes of a sequence's convolution and recurrent states."""
    linear = model.linear
    if linear is None:
        return 0, 0
    width = dtype_bytes(model.dtype)
    layers = len(model.linear_attention_layers)
    conv = layers * conv_state_bytes(linear, dtype_bytes=width)
    return conv, layers * ssm_state_bytes(linear, dtype_bytes=STATE_BYTES)


def sequence_cache(
    model: ModelSpec,
    *,
    tokens: int,
    kv_bits: int | None = None,
    group: int = 64,
    quantized_kv_start: int = 0,
) -> SequenceCache:
    """Bytes of one sequence of `tokens`.

        KV    = attention layers x 2 x KV heads x head bytes x 256 ceil(tokens / 256)
        conv  = DeltaNet layers x (kernel - 1) x (2 K + V) x bytes(dtype)
        state = DeltaNet layers x value heads x d_v x d_k x 4

    A cache is quantized once it holds `quantized_kv_start` tokens. Growing after a prompt that is
    no multiple of 256 cuts the spare tokens off first, so up to 255 tokens more may be held.

    Source: mlx-lm 0.32.2 models/cache.py (KVCache, QuantizedKVCache), models/qwen3_5.py
    (make_cache); sizes of the real model on a CPU agree.
    """
    conv, recurrent = _states(model)
    each = token_bytes(model, kv_bits=kv_bits, group=group)
    if kv_bits is not None:
        whole = token_bytes(model, kv_bits=None, group=group)
        each = choose(tokens >= quantized_kv_start, each, whole)
    per_token = len(model.full_attention_layers) * each
    return SequenceCache(kv=round_up(tokens, STEP) * per_token, conv=conv, recurrent=recurrent)

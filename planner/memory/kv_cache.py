"""KV cache: what one token adds on one rank."""

from __future__ import annotations

from planner.formats import CacheFormat
from planner.model.spec import FullAttention, ModelSpec


def heads_per_rank(heads: int, *, tensor_parallel: int) -> int:
    """Return the KV heads on one rank: split while they last, then one each, replicated."""
    return max(1, heads // tensor_parallel)


def kv_heads_per_rank(attention: FullAttention, *, tensor_parallel: int) -> int:
    """Return the KV heads of `attention` on one rank."""
    return heads_per_rank(attention.num_key_value_heads, tensor_parallel=tensor_parallel)


def kv_bytes_per_token_per_layer(
    attention: FullAttention, *, cache_format: CacheFormat, tensor_parallel: int = 1
) -> int:
    """Bytes that one token adds in one full-attention layer on one rank.

        2 (K and V) x KV heads per rank x bytes(head_dim)

    Source: vLLM 0.33.0 v1/kv_cache_interface.py (FullAttentionSpec); the same in every engine.
    """
    heads = kv_heads_per_rank(attention, tensor_parallel=tensor_parallel)
    return 2 * heads * cache_format.head_bytes(attention.head_dim)


def kv_bytes_per_token(
    model: ModelSpec, *, cache_format: CacheFormat, tensor_parallel: int = 1
) -> int:
    """Return the bytes that one token adds on one rank, all layers together.

    Only attention keeps something per token; see `recurrent_state` for the rest.
    """
    return sum(
        kv_bytes_per_token_per_layer(
            layer.mixer, cache_format=cache_format, tensor_parallel=tensor_parallel
        )
        for layer in model.layers
        if isinstance(layer.mixer, FullAttention)
    )

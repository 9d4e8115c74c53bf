"""KV cache: what one token adds on one rank."""

from __future__ import annotations

from planner.formats import CacheFormat
from planner.model.spec import FullAttention, ModelSpec


def kv_heads_per_rank(attention: FullAttention, *, tensor_parallel: int) -> int:
    """KV heads on one rank: split while they last, then replicated (one each)."""
    return max(1, attention.num_key_value_heads // tensor_parallel)


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
    """Bytes that one token adds on one rank, all full-attention layers together.

    Linear-attention layers add nothing per token; see `recurrent_state`.
    """
    per_layer = kv_bytes_per_token_per_layer(
        model.attention, cache_format=cache_format, tensor_parallel=tensor_parallel
    )
    return len(model.full_attention_layers) * per_layer

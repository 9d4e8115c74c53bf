"""KV cache: what one token adds on one rank."""

from __future__ import annotations

from planner.formats import CacheFormat
from planner.memo import Key, remembered
from planner.model.layers import Indexer
from planner.model.spec import FullAttention, ModelSpec
from planner.units import ceil_div


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


def index_bytes(indexer: Indexer, *, tokens: int, dtype_bytes: int, compressed: bool = True) -> int:
    """Return the bytes of an indexer's keys for `tokens` tokens in one layer, on every rank.

        ceil(tokens / compress_ratio) x key heads x head_dim x bytes;  tokens x ... uncompressed

    Source: vLLM 0.33.0 models/qwen4_exp/common/qsa_cache.py (one key per block of tokens);
    transformers 5.24 and llama.cpp keep one per token.
    """
    keys = ceil_div(tokens, indexer.compress_ratio) if compressed else tokens
    return keys * indexer.key_elements * dtype_bytes


def _of_model(model: ModelSpec, *, cache_format: CacheFormat, tensor_parallel: int = 1) -> Key:
    return (model, cache_format), tensor_parallel


@remembered(_of_model)
def kv_bytes_per_token(
    model: ModelSpec, *, cache_format: CacheFormat, tensor_parallel: int = 1
) -> int:
    """Return the bytes that one token adds on one rank, all layers together.

    Only attention keeps something per token; see `recurrent_state` for the rest. An indexer's keys
    come on top (`index_bytes`).
    """
    return sum(
        kv_bytes_per_token_per_layer(
            layer.mixer, cache_format=cache_format, tensor_parallel=tensor_parallel
        )
        for layer in model.layers
        if isinstance(layer.mixer, FullAttention)
    )

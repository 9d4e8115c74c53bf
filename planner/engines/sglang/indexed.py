"""Sizes of what indexers and n-gram embeddings keep under SGLang (read, not run)."""

from __future__ import annotations

from planner.engines.sglang.options import SGLangOptions
from planner.memory.kv_cache import index_bytes
from planner.memory.recurrent_state import ngram_window_bytes
from planner.model.spec import ModelSpec

TOKEN_ID_BYTES, POSITION_BYTES = 4, 24
"""An id as int32; the three positions of multimodal RoPE as int64."""


def index_bytes_per_token(model: ModelSpec, *, page_size: int, options: SGLangOptions) -> int:
    """Return the bytes of the keys of an indexer beside K and V of one token.

    One key per block of tokens, on every rank.

    Source: SGLang 0.5.23 model_executor/pool_configurator.py (_compute_qsa_cell_size).
    """
    indexer = model.attention.indexer
    if indexer is None:
        return 0
    width = 1 if options.qsa_indexer_dtype == "fp8_e4m3" else 2
    return index_bytes(indexer, tokens=page_size, dtype_bytes=width) // page_size


def window_bytes(model: ModelSpec) -> int:
    """Return the bytes per slot of the window of an n-gram embedding and the ids of its last tokens, whole on a rank.

    Source: SGLang 0.5.23 models/qwen4_exp.py (beside the state pool; no line budgets it).
    """
    return sum(
        ngram_window_bytes(layer.ngrams, width=model.stream_width, dtype_bytes=2)
        + TOKEN_ID_BYTES * (layer.ngrams.ngram_size - 1)
        for layer in model.layers
        if layer.ngrams is not None
    )


def ring_bytes(model: ModelSpec) -> int:
    """Return the bytes per request of the raw keys of a block that is not whole yet.

    All layers together, with three positions per key.

    Source: SGLang 0.5.23 mem_cache/qsa_kv_pool.py.
    """
    indexer = model.attention.indexer
    if indexer is None:
        return 0
    keys = indexer.compress_ratio * indexer.key_elements * 2 * len(model.full_attention_layers)
    return keys + indexer.compress_ratio * POSITION_BYTES

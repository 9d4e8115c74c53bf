"""The cells that an indexer lets a query read, and the mask that keeps it to them.

Keys of the indexer are kept raw, one per cell; each graph pools them by blocks, scores the blocks,
spreads the scores over the cells and takes the best. Its tensors are as long as the cache, in F32:
on long contexts they, and not the attention, make the compute buffer.

Source: llama.cpp 0c1e570 src/models/qwen4exp.cpp (build_qsa_top_k, build_attn_qsa),
src/llama-memory-hybrid-idx.cpp.
"""

from __future__ import annotations

from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.tensor import (
    GgmlTensor,
    Graph,
    cast,
    cont,
    dup,
    get_rows,
    in_view,
    mul_mat,
    norm,
    permute,
    reshape,
    row_bytes,
    store_rows,
    view,
)
from planner.model.layers import Indexer


def cells_read(indexer: Indexer, n_kv: int) -> int:
    """Return the cells that a query reads: whole blocks and the tail, at most all."""
    return min(n_kv, indexer.budget + indexer.compress_ratio - 1)


def chosen_cells(
    graph: Graph,
    inputs: Inputs,
    weights: Weights,
    x: GgmlTensor,
    indexer: Indexer,
    block: int,
    pin: int | None,
) -> GgmlTensor:
    """Return the indices of the cells that each token reads; its own keys are stored on the way."""
    batch, head = inputs.batch, indexer.head_dim
    streams, ratio = batch.n_stream, indexer.compress_ratio
    tokens, blocks = batch.n_tokens // streams, inputs.index_blocks
    raw = reshape(mul_mat(weights.get("indexer.k_proj", block), x), head, 1, batch.n_tokens)
    graph.expand(store_rows(inputs.cache("i", block), raw, inputs.index_idxs))
    members = get_rows(_stored(inputs, head, block), inputs.block_cells)
    members = reshape(members, head, ratio, blocks, streams)
    pooled = cont(view(members, (head, blocks, streams), *members.nb[2:]))
    for _ in range(ratio - 1):
        pooled = dup("add", pooled, cont(view(members, (head, blocks, streams), *members.nb[2:])))
    pooled = reshape(dup("scale", pooled), head, blocks * streams, 1)
    pooled = norm(pooled, weights.get("indexer.k_norm", block), pin=pin)
    pooled = dup("rope", reshape(pooled, head, 1, blocks * streams), inputs.block_positions)
    pooled = reshape(pooled, head, blocks, streams)
    q = mul_mat(weights.get("indexer.q_proj", block), x)
    q = reshape(q, head, indexer.num_heads, batch.n_tokens)
    q = dup("rope", norm(q, weights.get("indexer.q_norm", block), pin=pin), inputs.positions)
    scores = mul_mat(pooled, reshape(q, head, indexer.num_heads * tokens, streams))
    scores = dup("unary", reshape(scores, blocks, indexer.num_heads, tokens, streams))
    score = cont(view(scores, (blocks, tokens, streams), *scores.nb[2:]))
    for _ in range(indexer.num_heads - 1):
        score = dup("add", score, view(scores, (blocks, tokens, streams), *scores.nb[2:]))
    score = dup("add", score, inputs.block_bias)
    spread = get_rows(cont(permute(score, 1, 0, 2, 3)), inputs.cell_blocks)
    spread = cont(permute(spread, 1, 0, 2, 3))
    mask = inputs.mask if inputs.mask.type == "f32" else cast(inputs.mask, "f32")
    spread = dup("add", spread, reshape(mask, batch.n_kv, tokens, streams))
    read = cells_read(indexer, batch.n_kv)
    best = GgmlTensor("top_k", "i32", (read, tokens, streams), src=(spread,))
    return reshape(cont(best), read, tokens, 1, streams)


def mask_of(inputs: Inputs, chosen: GgmlTensor, block: int) -> GgmlTensor:
    """Return the attention mask with everything but the chosen cells closed."""
    mask = inputs.mask
    read, tokens, _, streams = chosen.ne
    closed = dup("fill", mask)
    cells = (1, mask.ne[0], mask.ne[1], mask.ne[3])
    rows = view(closed, cells, *closed.nb[:3])
    where = view(chosen, (read, tokens, streams), *chosen.nb[1:3])
    zeros = GgmlTensor("none", "f32", (1, read, tokens, streams), name=f"zeros.{block}")
    zeros = dup("fill", zeros)
    opened = in_view("set_rows", rows, zeros, where, rows)
    opened = view(
        opened, (mask.ne[0], mask.ne[1], 1, mask.ne[3]), rows.nb[2], rows.nb[3], rows.nb[3]
    )
    return GgmlTensor("add", mask.type, mask.ne, src=(opened, mask))


def _stored(inputs: Inputs, head: int, block: int) -> GgmlTensor:
    """All raw keys: a row per cell, a plane per stream."""
    batch = inputs.batch
    row = row_bytes(batch.type_k, head)
    plane = row * batch.n_kv
    shape = (head, 1, batch.n_kv, batch.n_stream)
    keys = view(inputs.cache("i", block), shape, row, row, plane)
    return view(keys, (head, batch.n_kv, batch.n_stream), row, plane)

"""A residual stream of several, read and written by gates, and the rows of an n-gram table.

Source: llama.cpp 0c1e570 src/models/qwen4exp.cpp (build_hc_mix, build_hc_combine, build_ple,
build_conv_state_at). Backends have the fused operations (CUDA, Metal, Vulkan, CPU).
"""

from __future__ import annotations

from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.state import kept_columns
from planner.engines.llamacpp.ggml.tensor import (
    GgmlTensor,
    Graph,
    cast,
    cont,
    dup,
    get_rows,
    mul_mat,
    repeat,
    reshape,
    transpose,
    view,
)
from planner.model.layers import NgramEmbedding

_F32 = 4


def spread(x: GgmlTensor, streams: int) -> GgmlTensor:
    """Return every token's vector once per stream."""
    hidden, tokens = x.ne[0], x.ne[1]
    return repeat(reshape(x, hidden, 1, tokens), hidden, streams, tokens)


def mixed(x: GgmlTensor, weights: Weights, name: str, block: int) -> tuple[GgmlTensor, GgmlTensor]:
    """Return what a part of a layer reads of the streams, and the weights by which it writes."""
    normed, gate = _gated(x, weights, name, block)
    shape = x.ne[:3]
    read = GgmlTensor(
        "hc_pre", "f32", (x.ne[0], x.ne[2]), src=(reshape(normed, *shape), reshape(gate, *shape))
    )
    return read, mul_mat(weights.get(f"{name}_inject", block), normed)


def last_mixed(x: GgmlTensor, weights: Weights, name: str) -> GgmlTensor:
    """Return the mean of the gated streams, step by step: what the output head reads."""
    normed, gate = _gated(x, weights, name, -1)
    hidden, streams, tokens = x.ne[:3]
    gated = dup("mul", normed, dup("unary", gate))
    gated = reshape(gated, hidden, streams, tokens)
    row = _F32 * hidden * streams
    mean = cont(view(gated, (hidden, tokens), row))
    for _ in range(streams - 1):
        mean = dup("add", mean, view(gated, (hidden, tokens), row))
    return dup("scale", mean)


def written(x: GgmlTensor, part: GgmlTensor, inject: GgmlTensor) -> GgmlTensor:
    """Return the streams with a part's output added to each by its weight."""
    share = dup("scale", dup("unary", dup("scale", inject)))
    return GgmlTensor("hc_post", "f32", x.ne[:3], src=(part, x, share))


def _gated(x: GgmlTensor, weights: Weights, name: str, block: int) -> tuple[GgmlTensor, GgmlTensor]:
    hidden, streams, tokens = x.ne[:3]
    normed = dup("mul", dup("rms_norm", x), weights.get(f"{name}_norm", block))
    normed = reshape(normed, hidden * streams, tokens)
    low = dup("unary", dup("scale", mul_mat(weights.get(f"{name}_down", block), normed)))
    return normed, mul_mat(weights.get(f"{name}_up", block), low)


def looked_up(inputs: Inputs, weights: Weights, ngrams: NgramEmbedding) -> GgmlTensor:
    """Return the rows of the table that each token's n-grams hash to, side by side."""
    rows = get_rows(weights.get("per_layer_token_embd"), inputs.table_rows)
    return reshape(rows, ngrams.embed_dim, inputs.batch.n_tokens)


def with_ngrams(
    graph: Graph,
    inputs: Inputs,
    weights: Weights,
    rows: GgmlTensor,
    x: GgmlTensor,
    ngrams: NgramEmbedding,
    block: int,
) -> GgmlTensor:
    """Return the streams with the rows of their n-grams added, gated and convolved over tokens."""
    hidden, streams, tokens = x.ne[:3]
    width, batch = hidden * streams, inputs.batch

    def normed(part: GgmlTensor, name: str) -> GgmlTensor:
        part = reshape(part, hidden, streams, tokens)
        return dup("mul", dup("rms_norm", part), weights.get(name, block))

    key = mul_mat(weights.get("ple_key", block), rows)
    value = mul_mat(weights.get("ple_value", block), rows)
    key, query = normed(key, "ple_norm_key"), normed(x, "ple_norm_query")
    product = dup("mul", key, query)
    score = GgmlTensor("sum_rows", "f32", (1, streams, tokens), src=(product,))
    score = dup("scale", score)
    size = dup("sqrt", dup("clamp", dup("unary", score)))
    gate = dup("unary", dup("mul", dup("unary", score), size))
    gated = dup("mul", spread(value, streams), gate)
    flat = reshape(normed(reshape(gated, width, tokens), "ple_norm_conv"), width, tokens)
    per_sequence = reshape(flat, width, batch.n_seq_tokens, batch.n_seqs)
    padded = kept_columns(graph, inputs, per_sequence, kind="p", block=block, kept=ngrams.window)
    convolved: GgmlTensor | None = None
    kernel = weights.get("ple_conv1d", block)
    for _ in range(ngrams.conv_kernel):
        shifted = view(padded, (batch.n_seq_tokens, width, batch.n_seqs), *padded.nb[1:3])
        shifted = cont(transpose(shifted))
        column = reshape(cont(view(kernel, (1, width), kernel.nb[1])), width)
        if kernel.type != "f32":
            column = cast(column, "f32")
        tap = dup("mul", shifted, column)
        convolved = tap if convolved is None else dup("add", convolved, tap)
    if convolved is None:
        raise ValueError("a convolution has at least one column")
    convolved = reshape(cont(dup("unary", convolved)), hidden, streams, tokens)
    return dup("add", x, dup("add", gated, convolved))

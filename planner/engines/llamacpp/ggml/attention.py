"""Attention of one block: full attention over the KV cache, and the gated delta net.

Source: llama.cpp 0c1e570 src/models/qwen35.cpp, qwen35moe.cpp, qwen3next.cpp, delta-net-base.cpp,
src/llama-graph.cpp (build_attn, build_attn_mha, build_rs), src/llama-kv-cache.cpp.
"""

from __future__ import annotations

from planner.engines.llamacpp.ggml.indexer import chosen_cells, mask_of
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.state import kept_columns, recurrent_state
from planner.engines.llamacpp.ggml.tensor import (
    NO_SCRATCH,
    GgmlTensor,
    Graph,
    cast,
    cont,
    dup,
    in_view,
    mul_mat,
    norm,
    permute,
    repeat,
    reshape,
    row_bytes,
    store_rows,
    transpose,
    view,
)

_F32 = 4


def rotated(x: GgmlTensor, rotation: GgmlTensor) -> GgmlTensor:
    """`x` with each head multiplied by a Hadamard matrix."""
    n = rotation.ne[0]
    rows = x.elements // n
    flat = reshape(x, n, rows) if x.is_contiguous else cont(x, n, rows)
    return reshape(mul_mat(rotation, flat), *x.ne)


def full_attention(
    graph: Graph, inputs: Inputs, weights: Weights, x: GgmlTensor, block: int, pin: int | None
) -> GgmlTensor:
    """Gated full attention of one block, its cache written and read; an indexer says how far."""
    attention, tokens = inputs.model.attention, inputs.batch.n_tokens
    indexer, chosen = attention.indexer, None
    if indexer is not None:
        chosen = chosen_cells(graph, inputs, weights, x, indexer, block, pin)
    head, heads, kv_heads = (
        attention.head_dim,
        attention.num_attention_heads,
        attention.num_key_value_heads,
    )
    q_full = mul_mat(weights.get("attn_q", block), x)
    k = mul_mat(weights.get("attn_k", block), x)
    v = mul_mat(weights.get("attn_v", block), x)
    gated = attention.attn_output_gate
    width = head * (2 if gated else 1)
    fused = inputs.arch.fused_beta_alpha
    if fused:
        q_full = reshape(q_full, width, heads, tokens, 1)
    strides = (_F32 * width, _F32 * width * heads)
    q = view(q_full, (head, heads, tokens), *strides)
    q = norm(q, weights.get("attn_q_norm", block), pin=pin)
    k = reshape(k, head, kv_heads, tokens)
    k = norm(k, weights.get("attn_k_norm", block), pin=pin)
    gate = view(q_full, (head, heads, tokens), *strides)
    if not fused:
        gate = cont(gate, head * heads, tokens)
    v = reshape(v, head, kv_heads, tokens)
    q = dup("rope", q, inputs.positions)
    k = dup("rope", k, inputs.positions)
    out = cached_attention(graph, inputs, (q, k, v), block, chosen)
    if fused:
        gate = cont(gate, head * heads, tokens)
    out = dup("mul", out, dup("unary", gate))
    return mul_mat(weights.get("attn_output", block), out)


def cached_attention(
    graph: Graph,
    inputs: Inputs,
    qkv: tuple[GgmlTensor, GgmlTensor, GgmlTensor],
    block: int,
    chosen: GgmlTensor | None,
) -> GgmlTensor:
    """Store K and V, attend over the cache: all of it, or the cells that were chosen."""
    q, k, v = qkv
    if inputs.k_rotation is not None:
        q, k = rotated(q, inputs.k_rotation), rotated(k, inputs.k_rotation)
    if inputs.v_rotation is not None:
        v = rotated(v, inputs.v_rotation)
    for tensor in (q, v, k):
        graph.expand(tensor)
    graph.expand(store_rows(inputs.cache("k", block), k, inputs.k_idxs))
    graph.expand(_store_v(inputs, v, block))
    mask = inputs.mask if chosen is None else mask_of(inputs, chosen, block)
    out = _attend(inputs, q, _read_k(inputs, block), _read_v(inputs, block), mask)
    graph.expand(out)
    if inputs.v_rotation is not None:
        out = rotated(out, inputs.v_rotation)
    return out


def _store_v(inputs: Inputs, v: GgmlTensor, block: int) -> GgmlTensor:
    cache = inputs.cache("v", block)
    if inputs.batch.flash_attn:
        return store_rows(cache, v, inputs.v_idxs)
    flat = reshape(v, v.ne[0] * v.ne[1], v.ne[2])
    column = reshape(cache, 1, cache.elements)
    return in_view("set_rows", column, reshape(flat, 1, flat.elements), inputs.v_idxs, column)


def _read_k(inputs: Inputs, block: int) -> GgmlTensor:
    attention, batch = inputs.model.attention, inputs.batch
    head, kv_heads = attention.head_dim, attention.num_key_value_heads
    row = row_bytes(batch.type_k, head * kv_heads)
    return view(
        inputs.cache("k", block),
        (head, kv_heads, batch.n_kv, batch.n_stream),
        row_bytes(batch.type_k, head),
        row,
        row * batch.n_kv,
    )


def _read_v(inputs: Inputs, block: int) -> GgmlTensor:
    attention, batch = inputs.model.attention, inputs.batch
    head, kv_heads, type_ = attention.head_dim, attention.num_key_value_heads, batch.type_v
    cache = inputs.cache("v", block)
    row = row_bytes(type_, head * kv_heads)
    if batch.flash_attn:
        shape = (head, kv_heads, batch.n_kv, batch.n_stream)
        return view(cache, shape, row_bytes(type_, head), row, row * batch.n_kv)
    cells = row_bytes(type_, batch.n_kv)
    shape = (batch.n_kv, kv_heads, head, batch.n_stream)
    return view(cache, shape, cells * head, cells, cells * head * kv_heads)


def _attend(
    inputs: Inputs, q: GgmlTensor, k: GgmlTensor, v: GgmlTensor, mask: GgmlTensor
) -> GgmlTensor:
    streams = k.ne[3]
    transposed = v.nb[1] > v.nb[2]
    rows = q.ne[2] // streams
    q = view(q, (q.ne[0], q.ne[1], rows, streams), q.nb[1], q.nb[2], q.nb[2] * rows)
    q, k, v = (permute(x, 0, 2, 1, 3) for x in (q, k, v))
    if inputs.batch.flash_attn:
        if transposed:
            v = transpose(v)
        k, v = (cast(x, "f16") if x.type == "f32" else x for x in (k, v))
        ne = (v.ne[0], q.ne[2], q.ne[1], q.ne[3])
        name = "" if inputs.batch.scratch else NO_SCRATCH
        out = GgmlTensor("flash_attn", "f32", ne, src=(q, k, v, mask), name=name)
        return reshape(out, out.ne[0] * out.ne[1], out.ne[2] * out.ne[3])
    scores = dup("soft_max", mul_mat(k, q), mask)
    if not transposed:
        v = cont(transpose(v))
    merged = permute(mul_mat(v, scores), 0, 2, 1, 3)
    out = cont(merged, merged.ne[0] * merged.ne[1], merged.ne[2] * merged.ne[3])
    out.pinned = inputs.attention_pin
    return out


def gated_delta_net(
    graph: Graph, inputs: Inputs, weights: Weights, x: GgmlTensor, block: int, pin: int | None
) -> GgmlTensor:
    """Linear attention of one block: convolution, delta rule, gated norm."""
    linear, batch = inputs.linear, inputs.batch
    tokens, seqs = batch.n_seq_tokens, batch.n_seqs
    heads, head = linear.linear_num_value_heads, linear.linear_value_head_dim
    qkv = mul_mat(weights.get("attn_qkv", block), x)
    qkv = reshape(qkv, qkv.ne[0], tokens, seqs)
    z = mul_mat(weights.get("attn_gate", block), x)
    beta, alpha = _beta_alpha(inputs, weights, x, block)
    biased = dup("add", alpha, weights.get("ssm_dt.bias", block))
    gate = dup("mul", dup("unary", biased), weights.get("ssm_a", block))
    if inputs.arch.fused_beta_alpha:
        beta = reshape(beta, 1, heads, tokens, seqs)
    gate = reshape(gate, 1, heads, tokens, seqs)
    kept = linear.linear_conv_kernel_dim - 1
    mixed = kept_columns(graph, inputs, qkv, kind="r", block=block, kept=kept)
    state = recurrent_state(graph, inputs, "s", block)
    state = reshape(state, head, head, heads, seqs)
    mixed = GgmlTensor(
        "ssm_conv",
        "f32",
        (mixed.ne[1], mixed.ne[0] - linear.linear_conv_kernel_dim + 1, mixed.ne[2]),
        src=(mixed, weights.get("ssm_conv1d", block)),
    )
    mixed = dup("unary", mixed)
    q, k, v = _split_heads(inputs, mixed)
    q, k = (dup("scale", dup("rms_norm", part)) for part in (q, k))
    if inputs.arch.fused_beta_alpha and heads != linear.linear_num_key_heads:
        q, k = _repeated(inputs, q, k)
    out = _delta_rule(graph, inputs, (q, k, v, gate, beta, state), block)
    z = reshape(z, head, heads, tokens, seqs)
    out = dup("mul", norm(out, weights.get("ssm_norm", block), pin=pin), dup("unary", z))
    out = reshape(out, head * heads, tokens, seqs)
    out = mul_mat(weights.get("ssm_out", block), out)
    return reshape(out, inputs.model.hidden_size, tokens * seqs)


def _beta_alpha(
    inputs: Inputs, weights: Weights, x: GgmlTensor, block: int
) -> tuple[GgmlTensor, GgmlTensor]:
    linear, batch = inputs.linear, inputs.batch
    tokens, seqs, heads = batch.n_seq_tokens, batch.n_seqs, linear.linear_num_value_heads
    if not inputs.arch.fused_beta_alpha:
        beta = mul_mat(weights.get("ssm_beta", block), x)
        beta = dup("unary", reshape(beta, 1, heads, tokens, seqs))
        alpha = mul_mat(weights.get("ssm_alpha", block), x)
        return beta, reshape(alpha, heads, tokens, seqs)
    keys = linear.linear_num_key_heads
    both = reshape(mul_mat(weights.get("ssm_ba", block), x), 2 * heads // keys, keys, tokens, seqs)
    shape = (heads // keys, keys, tokens, seqs)
    b, a = (view(both, shape, *both.nb[1:]) for _ in range(2))
    return dup("unary", cont(b)), cont(a, heads, tokens, seqs)


def _split_heads(inputs: Inputs, mixed: GgmlTensor) -> tuple[GgmlTensor, ...]:
    linear, batch = inputs.linear, inputs.batch
    row = _F32 * linear.conv_dim
    parts = []
    for heads, head in (
        (linear.linear_num_key_heads, linear.linear_key_head_dim),
        (linear.linear_num_key_heads, linear.linear_key_head_dim),
        (linear.linear_num_value_heads, linear.linear_value_head_dim),
    ):
        shape = (head, heads, batch.n_seq_tokens, batch.n_seqs)
        parts.append(view(mixed, shape, _F32 * head, row, row * batch.n_seq_tokens))
    return tuple(parts)


def _repeated(inputs: Inputs, q: GgmlTensor, k: GgmlTensor) -> tuple[GgmlTensor, ...]:
    """Keys and queries repeated for the value heads that share them."""
    linear, batch = inputs.linear, inputs.batch
    keys, head = linear.linear_num_key_heads, linear.linear_key_head_dim
    times = linear.linear_num_value_heads // keys
    tokens, seqs = batch.n_seq_tokens, batch.n_seqs
    flat = [reshape(part, head, 1, keys, tokens * seqs) for part in (q, k)]
    wide = [repeat(part, head, times, keys, tokens * seqs) for part in flat]
    return tuple(reshape(part, head, keys * times, tokens, seqs) for part in wide)


def _delta_rule(
    graph: Graph, inputs: Inputs, operands: tuple[GgmlTensor, ...], block: int
) -> GgmlTensor:
    """The fused operation: outputs of all tokens, then the states to keep, in one tensor."""
    linear, batch = inputs.linear, inputs.batch
    tokens, seqs = batch.n_seq_tokens, batch.n_seqs
    heads, head = linear.linear_num_value_heads, linear.linear_value_head_dim
    snapshots = batch.n_rs_seq + 1
    result = GgmlTensor(
        "gated_delta_net",
        "f32",
        (head * heads, tokens * seqs + snapshots * head * seqs),
        src=operands,
    )
    row = _F32 * head
    out = view(result, (head, heads, tokens, seqs), row, row * heads, row * heads * tokens)
    cache = inputs.cache("s", block)
    size = linear.ssm_elements
    if batch.n_rs_seq == 0:
        state = view(result, (head, head, heads, seqs), row, row * head, row * head * heads)
        into = view(cache, (size, seqs), cache.nb[1])
    else:
        written = min(tokens, snapshots)
        state = view(result, (size, seqs, written), _F32 * size, _F32 * size * seqs)
        into = view(cache, (size, seqs, written), cache.nb[1], _F32 * size * batch.n_seqs)
    graph.expand(in_view("cpy", into, state, into))
    return out

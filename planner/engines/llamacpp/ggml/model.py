"""The graph of a whole model, and of its MTP block, as llama.cpp builds them.

Source: llama.cpp 0c1e570 src/models/qwen35.cpp, qwen35moe.cpp, qwen3next.cpp, qwen4exp.cpp
(graph, graph_mtp),
src/llama-graph.cpp (build_inp_embd, build_ffn, build_moe_ffn).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.engines.llamacpp.ggml.architecture import Architecture
from planner.engines.llamacpp.ggml.attention import full_attention, gated_delta_net
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.tensor import (
    GgmlTensor,
    Graph,
    concat,
    dup,
    get_rows,
    in_view,
    mul_mat,
    mul_mat_id,
    norm,
    reshape,
    top_k,
    view,
)
from planner.engines.llamacpp.ggml.wide import (
    last_mixed,
    looked_up,
    mixed,
    spread,
    with_ngrams,
    written,
)
from planner.model.layers import LINEAR
from planner.model.spec import ModelSpec, MoE

Pin = Callable[[int], int | None]
Mixing = Callable[[Graph, Inputs, Weights, GgmlTensor, int, int | None], GgmlTensor]


def trunk_graph(
    inputs: Inputs, weights: Weights, pin: Pin, blocks: Sequence[int] | None = None
) -> Graph:
    """Return all blocks of the trunk, the last norm and the output head.

    Args:
        inputs: what it is fed.
        weights: the model's weights.
        pin: backend that a block's norms are tied to; None where nothing is.
        blocks: these blocks alone, in order; None: all.
    """
    graph, model = Graph(), inputs.model
    x = get_rows(weights.get("token_embd"), inputs.tokens)
    graph.expand(x)
    graph.expand(inputs.embeddings)
    last = x
    if inputs.batch.mixed:
        last = _mixed(inputs, weights)
        graph.expand(last)
    built = range(model.num_hidden_layers) if blocks is None else blocks
    if model.streams is not None:
        return _wide_trunk(graph, inputs, weights, pin, x, model.streams.count, built)
    graph.marks.append(last)
    for block in built:
        residual = x
        x = norm(x, weights.get("attn_norm", block), pin=pin(block))
        graph.expand(x)
        x = _mixer(model, block)(graph, inputs, weights, x, block, pin(block))
        x = dup("add", x, residual)
        residual = x
        x = norm(x, weights.get("post_attention_norm", block), pin=pin(block))
        x = dup("add", feed_forward(graph, model, weights, x, block), residual)
        graph.marks.append(x)
    x = norm(x, weights.get("output_norm"))
    chosen = get_rows(x, inputs.out_ids)
    logits = mul_mat(weights.get("output"), chosen)
    # Read by the application (t_h_nextn, t_embd, t_logits): never freed, never written over.
    x.is_output = chosen.is_output = logits.is_output = True
    graph.expand(logits)
    return graph


def _mixed(inputs: Inputs, weights: Weights) -> GgmlTensor:
    """Return the input of tokens among embeddings: the rows of the tokens go into a copy.

    Source: llama.cpp b11434 src/llama-graph.cpp (build_inp_embd).
    """
    given = dup("dup", inputs.mixed_embeddings)
    rows = get_rows(weights.get("token_embd"), inputs.mixed_tokens)
    return in_view("set_rows", given, rows, inputs.mixed_slots, given)


def _wide_trunk(
    graph: Graph,
    inputs: Inputs,
    weights: Weights,
    pin: Pin,
    x: GgmlTensor,
    streams: int,
    blocks: Sequence[int],
) -> Graph:
    """Return the same of a model whose residual stream is several, with mixers in place of norms."""
    model, last = inputs.model, inputs.model.num_hidden_layers - 1
    rows: GgmlTensor | None = None
    if model.ngrams is not None:
        rows = looked_up(inputs, weights, model.ngrams)
        graph.expand(rows)
    x = spread(x, streams)
    graph.expand(x)
    graph.marks.append(x)
    for block in blocks:
        ngrams = model.layers[block].ngrams
        if ngrams is not None and rows is not None:
            x = with_ngrams(graph, inputs, weights, rows, x, ngrams, block)
        part, inject = mixed(x, weights, "hc_attn", block)
        graph.expand(part)
        part = _mixer(model, block)(graph, inputs, weights, part, block, pin(block))
        if block == last and inputs.arch.gathers_early:
            part, inject = get_rows(part, inputs.out_ids), get_rows(inject, inputs.out_ids)
            flat = get_rows(reshape(x, x.ne[0] * streams, x.ne[2]), inputs.out_ids)
            x = reshape(flat, model.hidden_size, streams, flat.ne[1])
        x = written(x, part, inject)
        part, inject = mixed(x, weights, "hc_ffn", block)
        x = written(x, feed_forward(graph, model, weights, part, block), inject)
        graph.marks.append(x)
    chosen = last_mixed(x, weights, "output_hc")
    logits = mul_mat(weights.get("output"), chosen)
    chosen.is_output = logits.is_output = True
    graph.expand(logits)
    return graph


def _mixer(model: ModelSpec, block: int) -> Mixing:
    return gated_delta_net if model.layer_types[block] == LINEAR else full_attention


def block_kind(model: ModelSpec, arch: Architecture, block: int) -> str:
    """Return a name for what a block's part of the trunk's graph is made of."""
    words = [*model.layers[block].kinds]
    if block + 1 in model.ngram_layers:
        words.append("before n-grams")  # whose states are gathered before this block is done
    if arch.gathers_early and block == model.num_hidden_layers - 1:
        words.append("last")
    return " ".join(words)


def mtp_graph(inputs: Inputs, weights: Weights, pin: Pin) -> Graph:
    """The MTP block as a draft model of its own, on the trunk's embedding and head."""
    graph, model = Graph(), inputs.model
    block = model.num_hidden_layers
    embedded = get_rows(weights.get("token_embd"), inputs.tokens)
    hidden = norm(inputs.hidden, weights.get("nextn.hnorm", block), pin=pin(block))
    embedded = norm(embedded, weights.get("nextn.enorm", block), pin=pin(block))
    x = mul_mat(weights.get("nextn.eh_proj", block), concat(embedded, hidden))
    residual = x
    x = norm(x, weights.get("attn_norm", block), pin=pin(block))
    x = full_attention(graph, inputs, weights, x, block, pin(block))
    early = inputs.arch.fused_beta_alpha
    if early:
        x, residual = get_rows(x, inputs.out_ids), get_rows(residual, inputs.out_ids)
    x = dup("add", x, residual)
    residual = x
    x = norm(x, weights.get("post_attention_norm", block), pin=pin(block))
    x = dup("add", feed_forward(graph, model, weights, x, block), residual)
    x = norm(x, weights.get("nextn.shared_head_norm", block))
    chosen = x if early else get_rows(x, inputs.out_ids)
    logits = mul_mat(weights.get("output"), chosen)
    x.is_output = logits.is_output = True
    graph.expand(logits)
    return graph


def feed_forward(
    graph: Graph, model: ModelSpec, weights: Weights, x: GgmlTensor, block: int
) -> GgmlTensor:
    """The dense MLP, or the routed experts and the shared one."""
    if not isinstance(model.mlp, MoE):
        return _gated_mlp(weights, x, block, "")
    routed = _routed_experts(graph, model.mlp, weights, x, block)
    if not model.mlp.shared_expert_intermediate_size:
        return routed
    shared = _gated_mlp(weights, x, block, "_shexp")
    gate = dup("unary", mul_mat(weights.get("ffn_gate_inp_shexp", block), x))
    return dup("add", routed, dup("mul", shared, gate))


def _gated_mlp(weights: Weights, x: GgmlTensor, block: int, suffix: str) -> GgmlTensor:
    up = mul_mat(weights.get(f"ffn_up{suffix}", block), x)
    gate = mul_mat(weights.get(f"ffn_gate{suffix}", block), x)
    return mul_mat(weights.get(f"ffn_down{suffix}", block), dup("glu", gate, up))


def _routed_experts(
    graph: Graph, moe: MoE, weights: Weights, x: GgmlTensor, block: int
) -> GgmlTensor:
    hidden, tokens = x.ne[0], x.ne[1]
    used = moe.num_experts_per_tok
    probabilities = dup("soft_max", mul_mat(weights.get("ffn_gate_inp", block), x))
    chosen = top_k(probabilities, used)
    share = get_rows(reshape(probabilities, 1, moe.num_experts, tokens), chosen)
    share = reshape(share, used, tokens)
    total = GgmlTensor("sum_rows", "f32", (1, tokens), src=(share,))
    share = reshape(dup("div", share, dup("clamp", total)), 1, used, tokens)
    graph.expand(share)
    x = reshape(x, hidden, 1, tokens)
    up = mul_mat_id(weights.get("ffn_up_exps", block), x, chosen)
    gate = mul_mat_id(weights.get("ffn_gate_exps", block), x, chosen)
    experts = mul_mat_id(weights.get("ffn_down_exps", block), dup("glu", gate, up), chosen)
    experts = dup("mul", experts, share)
    graph.expand(experts)
    parts = [view(experts, (hidden, tokens), experts.nb[2]) for _ in range(used)]
    for part in parts:
        graph.expand(part)
    out = parts[0]
    for part in parts[1:]:
        out = dup("add", out, part)
        graph.expand(out)
    return out

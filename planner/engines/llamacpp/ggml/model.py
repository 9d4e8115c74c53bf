"""The graph of a whole model, and of its MTP block, as llama.cpp builds them.

Source: llama.cpp 0c1e570 src/models/qwen35.cpp, qwen35moe.cpp, qwen3next.cpp (graph, graph_mtp),
src/llama-graph.cpp (build_inp_embd, build_ffn, build_moe_ffn).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from planner.engines.llamacpp.ggml.attention import full_attention, gated_delta_net, norm
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.tensor import (
    GgmlTensor,
    Graph,
    concat,
    dup,
    get_rows,
    mul_mat,
    mul_mat_id,
    reshape,
    top_k,
    view,
)
from planner.model.spec import FULL, ModelSpec, MoE

Pin = Callable[[int], int | None]


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
    graph.marks.append(x)
    for block in range(model.num_hidden_layers) if blocks is None else blocks:
        kind = model.layer_types[block]
        residual = x
        x = norm(x, weights.get("attn_norm", block), pin=pin(block))
        graph.expand(x)
        attend = full_attention if kind == FULL else gated_delta_net
        x = attend(graph, inputs, weights, x, block, pin(block))
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

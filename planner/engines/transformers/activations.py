"""The activation peak of one forward pass: which tensors are alive at once.

Counted in the engine's own code and checked by running it on the meta device (every tensor's
birth and death followed): the plain PyTorch path agrees within 1 % for dense and MoE models.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.columns import choose, smaller
from planner.engines.transformers.options import TransformersOptions
from planner.formats import dtype_bytes
from planner.model.spec import LINEAR, DenseMLP, LayerType, ModelSpec
from planner.units import round_up

CHUNK = 64
"""Tokens of one chunk of the gated delta rule; sequences are padded to a multiple."""


def deltanet_bytes_per_token(model: ModelSpec, *, flash_linear_attention: bool) -> int:
    """Bytes per token while a DeltaNet layer prefills; b = bytes of the dtype.

        plain: b (3 H + conv + V) + 4 (5 Hv d_k + 5 V + 3 x 64 Hv + 8 Hv)
        fla:   b (3 H + conv + V + 2 K + Hv d_k + 3 V + Hv d_k d_v / 64) + 64 Hv (4 + b)

    H hidden, conv = 2 K + V channels of the convolution, K key dim, V value dim, Hv value heads.
    Plain PyTorch keeps ten float32 tensors of all value heads; queries and keys are repeated to
    the value heads.

    Source: transformers 5.23.0 models/qwen3_5/modeling_qwen3_5.py (torch_chunk_gated_delta_rule);
    fla: first-order reading of flash-linear-attention's chunk_gated_delta_rule, not measured.
    """
    linear, width, hidden = model.linear, dtype_bytes(model.dtype), model.hidden_size
    if linear is None:
        return 0
    heads, value = linear.linear_num_value_heads, linear.value_dim
    keys = heads * linear.linear_key_head_dim
    outside = width * (3 * hidden + linear.conv_dim + value)
    if flash_linear_attention:
        states = keys * linear.linear_value_head_dim // CHUNK
        inside = width * (2 * linear.key_dim + keys + 3 * value + states)
        return outside + inside + CHUNK * heads * (4 + width)
    return outside + 4 * (5 * keys + 5 * value + 3 * CHUNK * heads + 8 * heads)


def attention_bytes_per_token(model: ModelSpec) -> int:
    """Bytes per token while a full-attention layer normalises its queries.

        b (3 H + 3 Q) + 8 Q;   Q = heads x head_dim; without an output gate b (3 H + Q) + 8 Q

    Source: transformers 5.23.0 models/qwen3_5/modeling_qwen3_5.py (Qwen3_5Attention, RMSNorm in
    float32).
    """
    attention = model.attention
    queries = attention.num_attention_heads * attention.head_dim
    projected = (3 if attention.attn_output_gate else 1) * queries
    return dtype_bytes(model.dtype) * (3 * model.hidden_size + projected) + 8 * queries


def streams_bytes_per_token(model: ModelSpec) -> int:
    """Bytes per token while the residual streams are normalised in float32; zero without streams.

        W (b + 12);   W = streams x H

    Source: transformers 5.24.0 models/qwen4_exp/modeling_qwen4_exp.py (TextGatedResidual,
    TextRMSNorm), read.
    """
    return model.stream_width * (dtype_bytes(model.dtype) + 12) if model.streams else 0


def wider_bytes_per_token(model: ModelSpec) -> int:
    """Bytes per token by which the streams that wait are more than a plain residual: b (W - H)."""
    return dtype_bytes(model.dtype) * (model.stream_width - model.hidden_size)


def selection_bytes(model: ModelSpec, *, batch: int, queries: int, keys: int) -> int:
    """Bytes of an indexer's choice: its indices, and masks of all queries and keys.

        batch x q x (12 (budget + ratio - 1) + 3 k)

    Source: transformers 5.24.0 models/qwen4_exp/modeling_qwen4_exp.py (TextQSAIndexer), read.
    """
    indexer = model.attention.indexer
    if indexer is None:
        return 0
    read = indexer.budget + indexer.compress_ratio - 1
    return batch * queries * (12 * read + 3 * keys)


def mlp_bytes_per_token(model: ModelSpec) -> int:
    """Bytes per token in the MLP or in the routed experts (grouped matrix products).

        dense:   b (4 H + 3 I)
        experts: b (5 H + k max(4 H, H + 4 Im)) + E (b + 4) + 5 x 8 k

    k experts per token of E, Im their width; the tail is router logits, probabilities, indices.

    Source: transformers 5.23.0 models/qwen3_5_moe/modeling_qwen3_5_moe.py, integrations/moe.py
    (grouped_mm_experts_forward).
    """
    width, hidden, mlp = dtype_bytes(model.dtype), model.hidden_size, model.mlp
    if isinstance(mlp, DenseMLP):
        return width * (4 * hidden + 3 * mlp.intermediate_size)
    chosen, inner = mlp.num_experts_per_tok, mlp.moe_intermediate_size
    routed = chosen * max(4 * hidden, hidden + 4 * inner)
    return width * (5 * hidden + routed) + mlp.num_experts * (width + 4) + 40 * chosen


def attention_matrix_bytes(
    model: ModelSpec, *, implementation: str, batch: int, queries: int, keys: int
) -> int:
    """Bytes that grow with queries x keys: scores of eager attention, or a mask.

        eager: batch x (heads x q x k x (2 b + 4) + q x k x b) + repeated K and V
        sdpa, later chunks of a prompt: batch x q x k + repeated K and V
        repeated K and V: batch x 2 k x heads x head_dim x b

    sdpa needs no mask while a pass starts at the first token, no prompt is padded and no indexer
    chooses; flash_attention_2 needs none.

    Source: transformers 5.23.0 integrations/sdpa_attention.py, masking_utils.py,
    models/qwen3_5/modeling_qwen3_5.py (eager_attention_forward).
    """
    attention, width = model.attention, dtype_bytes(model.dtype)
    heads = attention.num_attention_heads
    repeated = batch * 2 * keys * heads * attention.head_dim * width
    pairs = batch * queries * keys
    if implementation == "eager":
        return pairs * (heads * (2 * width + 4) + width) + repeated
    if implementation == "sdpa" and attention.indexer is not None:
        return pairs + repeated
    return choose(queries < keys, pairs + repeated, 0) if implementation == "sdpa" else 0


def logits_bytes(model: ModelSpec, *, batch: int) -> int:
    """Logits of the last token: as computed, a float32 copy, one more while sampling.

        batch x vocabulary x (b + 8)

    Source: transformers 5.23.0 generation/utils.py (logits_to_keep = 1, _sample).
    """
    return batch * model.vocab_size * (dtype_bytes(model.dtype) + 8)


def peak_causes(
    model: ModelSpec,
    options: TransformersOptions,
    *,
    batch: int,
    prompt: int,
    layers: Iterable[LayerType],
    head: bool,
    growth: int,
) -> dict[str, int]:
    """What may set the peak on one device; the largest does. Batch and prompt may be columns.

    Args:
        model: whose layers.
        options: kernels and chunk size.
        batch: sequences of the call.
        prompt: tokens of the prompt of each.
        layers: kinds of layers that run on the device.
        head: logits are computed on it.
        growth: bytes of the copy that one more token makes (see `cache.growth_bytes`).
    """
    kinds = set(layers)
    queries = smaller(prompt, options.prefill_chunk_size or prompt)
    tokens, causes = batch * queries, {}
    wider = tokens * wider_bytes_per_token(model)
    if LINEAR in kinds:
        per_token = deltanet_bytes_per_token(
            model, flash_linear_attention=options.flash_linear_attention
        )
        causes["DeltaNet"] = batch * round_up(queries, CHUNK) * per_token + wider
    if kinds - {LINEAR}:
        causes["attention"] = (
            tokens * attention_bytes_per_token(model)
            + attention_matrix_bytes(
                model,
                implementation=options.attn_implementation,
                batch=batch,
                queries=queries,
                keys=prompt,
            )
            + selection_bytes(model, batch=batch, queries=queries, keys=prompt)
            + wider
        )
        causes["growing the cache"] = growth
    if kinds:
        name = "MLP" if model.moe is None else "experts"
        causes[name] = tokens * mlp_bytes_per_token(model) + wider
    if kinds and model.streams:
        causes["streams"] = tokens * streams_bytes_per_token(model)
    if head:
        causes["logits"] = logits_bytes(model, batch=batch)
    return causes

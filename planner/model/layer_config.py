"""`config.json` -> the kinds of layers that it describes."""

from __future__ import annotations

from typing import Any

from planner.model.config_fields import DTYPES, Fields
from planner.model.layers import (
    DenseMLP,
    FullAttention,
    HyperConnections,
    Indexer,
    LinearAttention,
    MoE,
    NgramEmbedding,
)
from planner.model.ngram_rows import ngram_rows

_MOST_STREAMS, _MOST_HASHES, _MOST_TABLES = 64, 16, 4
"""Hashes and tables are counted one by one."""


def read_attention(text: Fields, *, gate: bool, indexed: bool) -> FullAttention:
    """Return the attention that a config describes.

    Args:
        text: the text model's level of the config.
        gate: attn_output_gate where the config does not say.
        indexed: an indexer picks what a query reads.
    """
    heads = text.whole("num_attention_heads")
    kv_heads = text.whole("num_key_value_heads", heads)
    if heads % kv_heads:
        raise text.refuse("num_key_value_heads", f"({kv_heads}) does not divide {heads} heads")
    head_dim = text.whole("head_dim", text.whole("hidden_size") // heads)
    rope = text.section("rope_parameters") or text.section("rope_scaling")
    factor = text.get("partial_rotary_factor")
    if factor is None and rope is not None:
        factor = rope.get("partial_rotary_factor")
    if factor is None:
        factor = 1.0
    if not 0 < _number(factor) <= 1:
        raise text.refuse("partial_rotary_factor", f"is {factor!r}, not a share up to 1")
    theta = rope.get("rope_theta") if rope is not None else None
    section = (rope.get("mrope_section") if rope is not None else None) or ()
    return FullAttention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        attn_output_gate=text.flag("attn_output_gate", gate),
        attention_bias=text.flag("attention_bias", False),
        rotary_dim=int(head_dim * factor),
        rope_theta=_number(theta) or _number(text.get("rope_theta")),
        mrope_section=_whole_numbers(section),
        mrope_interleaved=bool(rope is not None and rope.get("mrope_interleaved")),
        indexer=_indexer(text) if indexed else None,
    )


def _indexer(text: Fields) -> Indexer:
    return Indexer(
        num_heads=text.whole("indexer_n_heads"),
        num_key_heads=text.whole("indexer_kv_heads"),
        head_dim=text.whole("indexer_head_dim"),
        budget=text.whole("indexer_budget"),
        compress_ratio=text.whole("indexer_compress_ratio"),
    )


def read_linear(text: Fields, *, fused: bool) -> LinearAttention:
    """Return the Gated DeltaNet that a config describes; `fused`: projections share tensors."""
    ssm_dtype = text.get("mamba_ssm_dtype")
    if ssm_dtype is not None and (not isinstance(ssm_dtype, str) or ssm_dtype not in DTYPES):
        raise text.refuse("mamba_ssm_dtype", f"is {ssm_dtype!r}")
    return LinearAttention(
        linear_num_key_heads=text.whole("linear_num_key_heads"),
        linear_num_value_heads=text.whole("linear_num_value_heads"),
        linear_key_head_dim=text.whole("linear_key_head_dim"),
        linear_value_head_dim=text.whole("linear_value_head_dim"),
        linear_conv_kernel_dim=text.whole("linear_conv_kernel_dim", least=2),
        mamba_ssm_dtype=ssm_dtype,
        fused_projections=fused,
    )


def read_mlp(text: Fields, *, experts: bool) -> DenseMLP | MoE:
    """Return the feed-forward part that a config describes."""
    if not experts:
        return DenseMLP(intermediate_size=text.whole("intermediate_size"))
    if text.get("mlp_only_layers") or text.whole("decoder_sparse_step", 1) != 1:
        raise text.refuse("mlp_only_layers", "mixes dense and expert layers: not supported")
    count = text.whole("num_experts")
    chosen = text.whole("num_experts_per_tok")
    if chosen > count:
        raise text.refuse("num_experts_per_tok", f"({chosen}) is more than {count} experts")
    return MoE(
        num_experts=count,
        num_experts_per_tok=chosen,
        moe_intermediate_size=text.whole("moe_intermediate_size"),
        shared_expert_intermediate_size=text.whole("shared_expert_intermediate_size", 0, least=0),
    )


def read_streams(text: Fields) -> HyperConnections:
    """Return the hyper-connections that a config describes."""
    return HyperConnections(
        count=text.whole("hc_count", least=2, most=_MOST_STREAMS), lowrank=text.whole("hc_lowrank")
    )


def read_ngrams(text: Fields, *, layers: int) -> dict[int, NgramEmbedding]:
    """Return the n-gram embeddings that a config describes, by the index of their layer.

    Args:
        text: the text model's level of the config; its `ple_layer_ids` count from 1.
        layers: trunk layers.
    """
    size = text.whole("ngram_size", least=2, most=_MOST_HASHES)
    per_ngram = text.whole("heads_per_ngram", most=_MOST_HASHES)
    heads, width = (size - 1) * per_ngram, text.whole("ple_embed_dim")
    if width % heads:
        raise text.refuse("ple_embed_dim", f"({width}) is not divisible by {heads} hashes")
    base = text.whole("ngram_vocab_size_base")
    multiple = text.whole("make_ngram_vocab_size_divisible_by")
    kernel = text.whole("ple_conv_kernel_size")
    return {
        number - 1: NgramEmbedding(
            embed_dim=width,
            conv_kernel=kernel,
            ngram_size=size,
            heads_per_ngram=per_ngram,
            rows=ngram_rows(base, heads=heads, table=table, multiple=multiple),
        )
        for table, number in enumerate(
            text.whole_numbers("ple_layer_ids", most=layers, entries=_MOST_TABLES)
        )
    }


def _number(value: Any) -> float:
    """A finite number as it stands; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        return 0
    return value


def _whole_numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in value if isinstance(item, int))

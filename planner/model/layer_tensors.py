"""The tensors of each kind of layer.

Layout as in transformers 5.23 `models/qwen3_5*/modeling_*.py` and 5.24
`models/qwen4_exp/modeling_qwen4_exp.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from planner.model.layers import (
    DenseMLP,
    FeedForward,
    FullAttention,
    HyperConnections,
    Indexer,
    Layer,
    LinearAttention,
    Mixer,
    NgramEmbedding,
)
from planner.model.tensor import NGRAM_TABLE, Part, Split, Tensor

Shapes = dict[str, tuple[int, ...]]
Kind = TypeVar("Kind", Mixer, FeedForward, HyperConnections | None)


def layer_tensors(
    layers: tuple[Layer, ...], hidden: int, prefix: str, part: Part
) -> Iterator[Tensor]:
    """Tensors of decoder layers, kind by kind."""
    for mixer, where in sorted(_alike(layer.mixer for layer in layers), key=_is_linear):
        if isinstance(mixer, FullAttention):
            yield from _attention(mixer, hidden, prefix, part, where)
        else:
            yield from _gated_delta_net(mixer, hidden, prefix, part, where)
    for mlp, where in _alike(layer.mlp for layer in layers):
        yield from _mlp(mlp, hidden, prefix, part, where)
    for streams, where in _alike(layer.streams for layer in layers):
        if streams is None:
            yield from _layer_norms(hidden, prefix, part, where)
        else:
            for name in ("attn_hyper_connection", "mlp_hyper_connection"):
                yield from _mixer(streams, hidden, f"{prefix}{name}.", part, where, inject=True)
    for index, layer in enumerate(layers):
        if layer.ngrams is not None:
            wide = hidden * (layer.streams.count if layer.streams else 1)
            yield from _ngrams(layer.ngrams, hidden, wide, f"{prefix}ple.", part, (index,))


def _whole(
    shapes: Mapping[str, tuple[int, ...]],
    prefix: str,
    part: Part,
    component: str,
    layers: tuple[int, ...],
) -> Iterator[Tensor]:
    """Weights that every rank holds whole."""
    for name, shape in shapes.items():
        yield Tensor(
            name=f"{prefix}{name}.weight",
            part=part,
            component=component,
            shape=shape,
            layers=layers,
        )


def _alike(kinds: Iterable[Kind]) -> list[tuple[Kind, tuple[int, ...]]]:
    """Each kind with the indices of the layers that are of it, in order of first appearance."""
    found: dict[Kind, list[int]] = {}
    for index, kind in enumerate(kinds):
        found.setdefault(kind, []).append(index)
    return [(kind, tuple(where)) for kind, where in found.items()]


def _is_linear(found: tuple[Mixer, tuple[int, ...]]) -> bool:
    return isinstance(found[0], LinearAttention)


def _attention(
    attention: FullAttention, hidden: int, prefix: str, part: Part, layers: tuple[int, ...]
) -> Iterator[Tensor]:
    kv_rows = attention.num_key_value_heads * attention.head_dim
    q_width = attention.num_attention_heads * attention.head_dim
    shapes: list[tuple[str, tuple[int, ...], Split]] = [
        ("q_proj", (attention.q_proj_rows, hidden), Split.COLUMN),
        ("k_proj", (kv_rows, hidden), Split.KV),
        ("v_proj", (kv_rows, hidden), Split.KV),
        ("o_proj", (hidden, q_width), Split.ROW),
    ]
    for name, shape, split in shapes:
        yield Tensor(
            name=f"{prefix}self_attn.{name}.weight",
            part=part,
            component=f"full_attn.{name}",
            shape=shape,
            layers=layers,
            split=split,
            kv_heads=attention.num_key_value_heads if split is Split.KV else 1,
        )
        if attention.attention_bias:
            yield Tensor(
                name=f"{prefix}self_attn.{name}.bias",
                part=part,
                component=f"full_attn.{name}",
                shape=shape[:1],
                layers=layers,
                split=Split.REPLICATED if split is Split.ROW else split,
                kv_heads=attention.num_key_value_heads if split is Split.KV else 1,
            )
    if attention.qk_norm:
        norms = dict.fromkeys(("q_norm", "k_norm"), (attention.head_dim,))
        yield from _whole(norms, f"{prefix}self_attn.", part, "full_attn.qk_norm", layers)
    if attention.indexer is not None:
        yield from _indexer(attention.indexer, hidden, f"{prefix}self_attn.indexer.", part, layers)


def _indexer(
    indexer: Indexer, hidden: int, prefix: str, part: Part, layers: tuple[int, ...]
) -> Iterator[Tensor]:
    shapes: Shapes = {
        "index_qk_proj": ((indexer.num_heads + indexer.num_key_heads) * indexer.head_dim, hidden),
        "q_layernorm": (indexer.head_dim,),
        "k_layernorm": (indexer.head_dim,),
    }
    yield from _whole(shapes, prefix, part, "full_attn.qsa_indexer", layers)


def _gated_delta_net(
    linear: LinearAttention, hidden: int, prefix: str, part: Part, layers: tuple[int, ...]
) -> Iterator[Tensor]:
    value_heads = linear.linear_num_value_heads
    if linear.fused_projections:
        projections = {
            "in_proj_qkvz": 2 * linear.key_dim + 2 * linear.value_dim,
            "in_proj_ba": 2 * value_heads,
        }
    else:
        projections = {
            "in_proj_qkv": linear.conv_dim,
            "in_proj_z": linear.value_dim,
            "in_proj_b": value_heads,
            "in_proj_a": value_heads,
        }
    rows: list[tuple[str, str, tuple[int, ...], Split]] = [
        (name, ".weight", (width, hidden), Split.COLUMN) for name, width in projections.items()
    ]
    rows += [
        ("conv1d", ".weight", (linear.conv_dim, 1, linear.linear_conv_kernel_dim), Split.COLUMN),
        ("A_log", "", (value_heads,), Split.COLUMN),
        ("dt_bias", "", (value_heads,), Split.COLUMN),
        ("norm", ".weight", (linear.linear_value_head_dim,), Split.REPLICATED),
        ("out_proj", ".weight", (hidden, linear.value_dim), Split.ROW),
    ]
    for name, suffix, shape, split in rows:
        yield Tensor(
            name=f"{prefix}linear_attn.{name}{suffix}",
            part=part,
            component=f"gdn.{name}",
            shape=shape,
            layers=layers,
            split=split,
        )


def _mlp(
    mlp: FeedForward, hidden: int, prefix: str, part: Part, layers: tuple[int, ...]
) -> Iterator[Tensor]:
    if isinstance(mlp, DenseMLP):
        yield from _gated_mlp(
            prefix + "mlp.", part, "dense_mlp", hidden, mlp.intermediate_size, layers
        )
        return
    moe = mlp
    gate: Shapes = {"gate": (moe.num_experts, hidden)}
    yield from _whole(gate, f"{prefix}mlp.", part, "moe.router", layers)
    width = moe.moe_intermediate_size
    for name, shape, split in (
        ("gate_proj", (width, hidden), Split.EXPERT_COLUMN),
        ("up_proj", (width, hidden), Split.EXPERT_COLUMN),
        ("down_proj", (hidden, width), Split.EXPERT_ROW),
    ):
        yield Tensor(
            name=f"{prefix}mlp.experts.{{expert}}.{name}.weight",
            part=part,
            component="moe.routed_experts",
            shape=shape,
            layers=layers,
            experts=moe.num_experts,
            experts_read=moe.num_experts_per_tok,
            split=split,
        )
    shared = moe.shared_expert_intermediate_size
    if shared:
        yield from _gated_mlp(
            prefix + "mlp.shared_expert.", part, "moe.shared_expert", hidden, shared, layers
        )
        gate = {"shared_expert_gate": (1, hidden)}
        yield from _whole(gate, f"{prefix}mlp.", part, "moe.shared_expert_gate", layers)


def _gated_mlp(
    prefix: str, part: Part, component: str, hidden: int, width: int, layers: tuple[int, ...]
) -> Iterator[Tensor]:
    for name, shape, split in (
        ("gate_proj", (width, hidden), Split.COLUMN),
        ("up_proj", (width, hidden), Split.COLUMN),
        ("down_proj", (hidden, width), Split.ROW),
    ):
        yield Tensor(
            name=f"{prefix}{name}.weight",
            part=part,
            component=component,
            shape=shape,
            layers=layers,
            split=split,
        )


def _layer_norms(hidden: int, prefix: str, part: Part, layers: tuple[int, ...]) -> Iterator[Tensor]:
    norms = dict.fromkeys(("input_layernorm", "post_attention_layernorm"), (hidden,))
    yield from _whole(norms, prefix, part, "layer_norms", layers)


def last_norm_tensors(
    streams: HyperConnections | None, hidden: int, prefix: str, part: Part
) -> Iterator[Tensor]:
    """Yield what stands before the output head: a norm, or the mixer of the residual streams."""
    if streams is not None:
        yield from _mixer(
            streams, hidden, f"{prefix}hyper_connection_mixer.", part, (), inject=False
        )
    else:
        component = "final_norm" if part == "text" else "norms"
        yield from _whole({"norm": (hidden,)}, prefix, part, component, ())


def _mixer(
    streams: HyperConnections,
    hidden: int,
    prefix: str,
    part: Part,
    layers: tuple[int, ...],
    *,
    inject: bool,
) -> Iterator[Tensor]:
    """The gates that read the residual streams and, with `inject`, write to them."""
    wide = streams.count * hidden
    shapes: Shapes = {
        "hc_norm": (wide,),
        "input_mix_weight_down": (streams.lowrank, wide),
        "input_mix_weight_up": (wide, streams.lowrank),
    }
    if inject:
        shapes["block_inject_weight"] = (streams.count, wide)
    yield from _whole(shapes, prefix, part, "hyper_connections", layers)


def _ngrams(
    ngrams: NgramEmbedding,
    hidden: int,
    wide: int,
    prefix: str,
    part: Part,
    layers: tuple[int, ...],
) -> Iterator[Tensor]:
    yield Tensor(
        name=f"{prefix}ple_embedding.ngram_embedding.weight",
        part=part,
        component=NGRAM_TABLE,
        shape=(ngrams.rows, ngrams.row_elements),
        layers=layers,
        split=Split.COLUMN,
    )
    shapes: Shapes = {
        "key_proj": (wide, ngrams.embed_dim),
        "value_proj": (hidden, ngrams.embed_dim),
        "norm_key": (wide,),
        "norm_query": (wide,),
        "norm_conv": (wide,),
        "conv1d": (wide, 1, ngrams.conv_kernel),
    }
    yield from _whole(shapes, prefix, part, "ple.other", layers)
    for name, count in (
        ("layer_multipliers", ngrams.ngram_size),
        ("ngram_heads_offsets", ngrams.heads),
        ("ngram_heads_vocab_sizes", ngrams.heads),
    ):
        yield Tensor(
            name=f"{prefix}ple_embedding.{name}",
            part=part,
            component="ple.hash",
            shape=(count,),
            layers=layers,
            constant="int64",
        )

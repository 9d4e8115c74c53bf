"""`ModelSpec` -> the table of its tensors. Everything said about weights derives from it.

Layout as in transformers 5.23 `models/qwen3_5*/modeling_*.py` (trunk, vision) and vLLM 0.33.0
`model_executor/models/qwen3_5_mtp.py` (MTP module).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import prod
from typing import Literal, TypeVar

from planner.model.layers import (
    DenseMLP,
    FeedForward,
    FullAttention,
    Layer,
    LinearAttention,
    Mixer,
)
from planner.model.spec import ModelSpec, VisionTower

Part = Literal["text", "vision", "mtp"]
Kind = TypeVar("Kind", Mixer, FeedForward)


class Split(Enum):
    """Which axis tensor parallelism divides."""

    REPLICATED = "replicated"
    COLUMN = "output rows"
    ROW = "input columns"
    KV = "KV heads, replicated beyond their number"
    VOCAB = "vocabulary"
    EXPERT_COLUMN = "experts, output rows"
    EXPERT_ROW = "experts, input columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One kind of tensor and how often it occurs.

    Attributes:
        name: its name in a checkpoint; ``{layer}`` and ``{expert}`` stand for indices.
        part: text, vision or mtp.
        component: what it belongs to, such as ``gdn.in_proj_qkv`` or ``moe.routed_experts``.
        shape: [output rows, input columns], or as stored.
        layers: indices of the layers it occurs in, upwards; empty for tensors outside the layers.
        experts: how many of it one layer holds (routed experts), else 1.
        experts_read: how many of them one token is routed to.
        split: what tensor parallelism divides.
        kv_heads: KV heads that the output rows belong to (`Split.KV`), else 1.
    """

    name: str
    part: Part
    component: str
    shape: tuple[int, ...]
    layers: tuple[int, ...] = ()
    experts: int = 1
    experts_read: int = 1
    split: Split = Split.REPLICATED
    kv_heads: int = 1

    @property
    def count(self) -> int:
        """How many tensors of this kind the model has."""
        return max(1, len(self.layers)) * self.experts

    @property
    def parameters(self) -> int:
        """Elements of all of them."""
        return self.count * prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """Two-dimensional: the kind that quantization may touch."""
        return len(self.shape) == 2


@cache
def tensor_table(model: ModelSpec) -> tuple[Tensor, ...]:
    """Every tensor that a checkpoint of `model` holds, in order of parts."""
    return (*_text(model), *_vision(model), *_mtp(model))


def _text(model: ModelSpec) -> Iterator[Tensor]:
    hidden, vocab = model.hidden_size, model.vocab_size
    base = "model.language_model." if model.vision else "model."
    yield Tensor(
        name=f"{base}embed_tokens.weight",
        part="text",
        component="embed_tokens",
        shape=(vocab, hidden),
        split=Split.VOCAB,
    )
    yield from _layers(model.layers, hidden, base + "layers.{layer}.", "text")
    yield Tensor(name=f"{base}norm.weight", part="text", component="final_norm", shape=(hidden,))
    if not model.tie_word_embeddings:
        yield Tensor(
            name="lm_head.weight",
            part="text",
            component="lm_head",
            shape=(vocab, hidden),
            split=Split.VOCAB,
        )


def _layers(layers: tuple[Layer, ...], hidden: int, prefix: str, part: Part) -> Iterator[Tensor]:
    """Tensors of decoder layers, kind by kind."""
    for mixer, where in sorted(_alike(layer.mixer for layer in layers), key=_is_linear):
        if isinstance(mixer, FullAttention):
            yield from _attention(mixer, hidden, prefix, part, where)
        else:
            yield from _gated_delta_net(mixer, hidden, prefix, part, where)
    for mlp, where in _alike(layer.mlp for layer in layers):
        yield from _mlp(mlp, hidden, prefix, part, where)
    yield from _layer_norms(hidden, prefix, part, tuple(range(len(layers))))


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
        for name in ("q_norm", "k_norm"):
            yield Tensor(
                name=f"{prefix}self_attn.{name}.weight",
                part=part,
                component="full_attn.qk_norm",
                shape=(attention.head_dim,),
                layers=layers,
            )


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
    yield Tensor(
        name=f"{prefix}mlp.gate.weight",
        part=part,
        component="moe.router",
        shape=(moe.num_experts, hidden),
        layers=layers,
    )
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
        yield Tensor(
            name=f"{prefix}mlp.shared_expert_gate.weight",
            part=part,
            component="moe.shared_expert_gate",
            shape=(1, hidden),
            layers=layers,
        )


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
    for name in ("input_layernorm", "post_attention_layernorm"):
        yield Tensor(
            name=f"{prefix}{name}.weight",
            part=part,
            component="layer_norms",
            shape=(hidden,),
            layers=layers,
        )


def _vision(model: ModelSpec) -> Iterator[Tensor]:
    if model.vision is None:
        return
    vision: VisionTower = model.vision
    width, inner = vision.hidden_size, vision.intermediate_size
    base, block = "model.visual.", "model.visual.blocks.{layer}."
    every = tuple(range(vision.depth))
    merged = width * vision.spatial_merge_size**2
    patch = (width, vision.in_channels, vision.temporal_patch_size) + (vision.patch_size,) * 2

    def once(name: str, component: str, shape: tuple[int, ...], split: Split) -> Tensor:
        return Tensor(
            name=base + name, part="vision", component=component, shape=shape, split=split
        )

    yield once("patch_embed.proj.weight", "patch_embed", patch, Split.REPLICATED)
    yield once("patch_embed.proj.bias", "patch_embed", (width,), Split.REPLICATED)
    positions = (vision.num_position_embeddings, width)
    yield once("pos_embed.weight", "pos_embed", positions, Split.REPLICATED)
    blocks: list[tuple[str, tuple[int, ...], Split]] = []
    for norm in ("norm1", "norm2"):
        blocks += [(f"{norm}.weight", (width,), Split.REPLICATED)]
        blocks += [(f"{norm}.bias", (width,), Split.REPLICATED)]
    blocks += [
        ("attn.qkv.weight", (3 * width, width), Split.COLUMN),
        ("attn.qkv.bias", (3 * width,), Split.COLUMN),
        ("attn.proj.weight", (width, width), Split.ROW),
        ("attn.proj.bias", (width,), Split.REPLICATED),
        ("mlp.linear_fc1.weight", (inner, width), Split.COLUMN),
        ("mlp.linear_fc1.bias", (inner,), Split.COLUMN),
        ("mlp.linear_fc2.weight", (width, inner), Split.ROW),
        ("mlp.linear_fc2.bias", (width,), Split.REPLICATED),
    ]
    for name, shape, split in blocks:
        yield Tensor(
            name=block + name,
            part="vision",
            component="blocks",
            shape=shape,
            layers=every,
            split=split,
        )
    out = vision.out_hidden_size
    for name, shape, split in (
        ("merger.norm.weight", (width,), Split.REPLICATED),
        ("merger.norm.bias", (width,), Split.REPLICATED),
        ("merger.linear_fc1.weight", (merged, merged), Split.COLUMN),
        ("merger.linear_fc1.bias", (merged,), Split.COLUMN),
        ("merger.linear_fc2.weight", (out, merged), Split.ROW),
        ("merger.linear_fc2.bias", (out,), Split.REPLICATED),
    ):
        yield once(name, "merger", shape, split)


def _mtp(model: ModelSpec) -> Iterator[Tensor]:
    if model.mtp is None or not model.mtp.shipped:
        return
    hidden = model.hidden_size
    yield Tensor(
        name="mtp.fc.weight",
        part="mtp",
        component="fc",
        shape=(hidden, 2 * hidden),
        split=Split.COLUMN,
    )
    for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm"):
        yield Tensor(name=f"mtp.{name}.weight", part="mtp", component="norms", shape=(hidden,))
    yield from _layers(model.mtp.layers, hidden, "mtp.layers.{layer}.", "mtp")

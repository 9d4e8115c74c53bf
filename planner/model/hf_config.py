"""`config.json` -> `ModelSpec`. What is not known is refused by name, never guessed.

Configs in the wild differ: text fields nested under `text_config` or flat, `dtype` or
`torch_dtype`, `layer_types` or `full_attention_interval`, MTP declared here or there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.errors import UnsupportedModelError
from planner.model.architectures import by_model_type
from planner.model.headers import clip
from planner.model.spec import (
    FULL,
    LINEAR,
    DenseMLP,
    FullAttention,
    Layer,
    LayerType,
    LinearAttention,
    ModelSpec,
    MoE,
    MTPModule,
    VisionTower,
)

_DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float32": "float32",
    "half": "float16",
    "float": "float32",
}
_LARGEST = 2**31 - 1
_MOST_LAYERS = 10_000
"""Layers are counted one by one: a slip of the hand must not fill the memory."""


class _Fields:
    """One level of a config document, read with errors that name the field."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = values, where

    def _refuse(self, key: str, problem: str) -> UnsupportedModelError:
        return UnsupportedModelError(f"{self._where}: {key} {problem}")

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def whole(
        self, key: str, default: int | None = None, *, least: int = 1, most: int = _LARGEST
    ) -> int:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            raise self._refuse(key, "is missing")
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._refuse(key, f"is {clip(repr(value))}, not a whole number")
        if not least <= value <= most:
            raise self._refuse(key, f"is {clip(repr(value))}, out of range ({least} to {most:,})")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._refuse(key, f"is {clip(repr(value))}, not true or false")
        return value

    def section(self, key: str) -> _Fields | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self._refuse(key, "is not an object")
        return _Fields(value, f"{self._where} {key}")

    def refuse(self, key: str, problem: str) -> UnsupportedModelError:
        return self._refuse(key, problem)


def read_config(
    config: Mapping[str, Any],
    *,
    name: str,
    mtp_shipped: bool | None = None,
    float32_components: tuple[str, ...] = (),
) -> ModelSpec:
    """The architecture that a `config.json` describes.

    Args:
        config: the parsed document.
        name: what to call the model in answers and errors.
        mtp_shipped: whether the checkpoint holds MTP tensors, where that is known (from headers or
            the catalog); None believes the config.
        float32_components: components known to be stored in FP32.

    Raises:
        UnsupportedModelError: unknown architecture, or a field that is missing or makes no sense.
    """
    if not isinstance(config, Mapping):
        raise UnsupportedModelError(f"{name}: config.json is not a JSON object")
    top = _Fields(config, f"{name}: config.json")
    model_type = config.get("model_type")
    row = by_model_type().get(model_type) if isinstance(model_type, str) else None
    if row is None:
        raise UnsupportedModelError(
            f"{name}: architecture {model_type or config.get('architectures')!r} is not supported;"
            f" known: {', '.join(sorted(by_model_type()))}"
        )
    text = top.section("text_config") or top
    layer_types = _layer_types(text, hybrid=row.hybrid)
    full = Layer(mixer=_attention(text, gate=row.output_gate), mlp=_mlp(text, experts=row.experts))
    of_kind = {FULL: full}
    if LINEAR in layer_types:
        linear = _linear(text, fused=row.fused_projections)
        of_kind[LINEAR] = replace(full, mixer=linear)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        architectures = [""]
    return ModelSpec(
        name=name,
        model_type=str(model_type),
        architecture=str(architectures[0]),
        dtype=_dtype(top, text),
        hidden_size=text.whole("hidden_size"),
        vocab_size=text.whole("vocab_size"),
        tie_word_embeddings=text.flag(
            "tie_word_embeddings", top.flag("tie_word_embeddings", default=False)
        ),
        max_position_embeddings=text.whole("max_position_embeddings"),
        layers=tuple(of_kind[kind] for kind in layer_types),
        vision=_vision(top),
        mtp=_mtp(top, text, mtp_shipped, layer=full),
        float32_components=float32_components,
    )


def _dtype(top: _Fields, text: _Fields) -> str:
    for level in (text, top):
        for key in ("dtype", "torch_dtype"):
            value = level.get(key)
            if value is None:
                continue
            short = str(value).removeprefix("torch.")
            if short not in _DTYPES:
                raise level.refuse(key, f"is {value!r}; known: {', '.join(sorted(_DTYPES))}")
            return _DTYPES[short]
    raise text.refuse("dtype", "(or torch_dtype) is missing")


def _layer_types(text: _Fields, *, hybrid: bool) -> tuple[LayerType, ...]:
    layers = text.whole("num_hidden_layers", most=_MOST_LAYERS)
    if not hybrid:
        return (FULL,) * layers
    listed = text.get("layer_types")
    if listed is None:
        interval = text.whole("full_attention_interval")
        return tuple(FULL if (i + 1) % interval == 0 else LINEAR for i in range(layers))
    if not isinstance(listed, list | tuple) or len(listed) != layers:
        raise text.refuse("layer_types", f"does not list num_hidden_layers ({layers}) entries")
    for kind in listed:
        if kind not in (FULL, LINEAR):
            raise text.refuse("layer_types", f"has {kind!r}; known: {FULL}, {LINEAR}")
    return tuple(listed)


def _attention(text: _Fields, *, gate: bool) -> FullAttention:
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
    )


def _number(value: Any) -> float:
    """A finite number as it stands; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        return 0
    return value


def _whole_numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        return ()
    return tuple(item for item in value if isinstance(item, int))


def _linear(text: _Fields, *, fused: bool) -> LinearAttention:
    ssm_dtype = text.get("mamba_ssm_dtype")
    if ssm_dtype is not None and (not isinstance(ssm_dtype, str) or ssm_dtype not in _DTYPES):
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


def _mlp(text: _Fields, *, experts: bool) -> DenseMLP | MoE:
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


def _vision(top: _Fields) -> VisionTower | None:
    vision = top.section("vision_config")
    if vision is None:
        return None
    return VisionTower(
        depth=vision.whole("depth", most=_MOST_LAYERS),
        hidden_size=vision.whole("hidden_size"),
        intermediate_size=vision.whole("intermediate_size"),
        num_heads=vision.whole("num_heads"),
        out_hidden_size=vision.whole("out_hidden_size"),
        patch_size=vision.whole("patch_size"),
        temporal_patch_size=vision.whole("temporal_patch_size"),
        in_channels=vision.whole("in_channels"),
        spatial_merge_size=vision.whole("spatial_merge_size"),
        num_position_embeddings=vision.whole("num_position_embeddings"),
    )


def _mtp(top: _Fields, text: _Fields, shipped: bool | None, *, layer: Layer) -> MTPModule | None:
    declared = next(
        (
            count
            for level in (text, top)
            if (count := level.whole("mtp_num_hidden_layers", 0, least=0, most=_MOST_LAYERS))
        ),
        0,
    )
    if shipped is None:
        shipped = declared > 0
    if not declared and not shipped:
        return None
    return MTPModule(layers=(layer,) * (declared or 1), shipped=shipped)

"""`config.json` -> `ModelSpec`. What is not known is refused by name, never guessed.

Configs in the wild differ: text fields nested under `text_config` or flat, `dtype` or
`torch_dtype`, `layer_types` or `full_attention_interval`, MTP declared here or there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.errors import UnsupportedModelError
from planner.model.architectures import Architecture, by_model_type
from planner.model.config_fields import DTYPES, Fields
from planner.model.layer_config import (
    read_attention,
    read_linear,
    read_mlp,
    read_ngrams,
    read_streams,
)
from planner.model.spec import LINEAR, Layer, ModelSpec, MTPModule, VisionTower

_MOST_LAYERS = 10_000
"""Layers are counted one by one: a slip of the hand must not fill the memory."""


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
    top = Fields(config, f"{name}: config.json")
    model_type = config.get("model_type")
    row = by_model_type().get(model_type) if isinstance(model_type, str) else None
    if row is None:
        raise UnsupportedModelError(
            f"{name}: architecture {model_type or config.get('architectures')!r} is not supported;"
            f" known: {', '.join(sorted(by_model_type()))}"
        )
    text = top.section("text_config") or top
    absent = [key for key in row.needed if text.get(key) is None]
    if absent:
        raise UnsupportedModelError(
            f"{name}: config.json lacks {', '.join(absent)}; without them it describes another"
            " model: take the file from the model's own repository"
        )
    layers, drafting = _layers(text, row)
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
        layers=layers,
        vision=_vision(top),
        mtp=_mtp(top, text, mtp_shipped, layer=drafting, row=row),
        float32_components=float32_components,
    )


def _dtype(top: Fields, text: Fields) -> str:
    for level in (text, top):
        for key in ("dtype", "torch_dtype"):
            value = level.get(key)
            if value is None:
                continue
            short = str(value).removeprefix("torch.")
            if short not in DTYPES:
                raise level.refuse(key, f"is {value!r}; known: {', '.join(sorted(DTYPES))}")
            return DTYPES[short]
    raise text.refuse("dtype", "(or torch_dtype) is missing")


def _layers(text: Fields, row: Architecture) -> tuple[tuple[Layer, ...], Layer]:
    """The trunk's layers, and the layer that an MTP module is made of."""
    full = Layer(
        mixer=read_attention(text, gate=row.output_gate, indexed=row.indexer),
        mlp=read_mlp(text, experts=row.experts),
        streams=read_streams(text) if row.hyper_connections else None,
    )
    attention = _is_attention(text, row)
    linear = full
    if not all(attention):
        linear = replace(full, mixer=read_linear(text, fused=row.fused_projections))
    layers = [full if attends else linear for attends in attention]
    if row.ngram_embedding:
        for index, ngrams in read_ngrams(text, layers=len(layers)).items():
            layers[index] = replace(layers[index], ngrams=ngrams)
    return tuple(layers), full


def _is_attention(text: Fields, row: Architecture) -> tuple[bool, ...]:
    """For each trunk layer, whether it is attention; else it is linear attention."""
    layers = text.whole("num_hidden_layers", most=_MOST_LAYERS)
    if not row.hybrid:
        return (True,) * layers
    listed = text.get("layer_types")
    if listed is None:
        interval = text.whole("full_attention_interval")
        return tuple((i + 1) % interval == 0 for i in range(layers))
    if not isinstance(listed, list | tuple) or len(listed) != layers:
        raise text.refuse("layer_types", f"does not list num_hidden_layers ({layers}) entries")
    known = (*row.attention_names, LINEAR)
    for kind in listed:
        if kind not in known:
            raise text.refuse("layer_types", f"has {kind!r}; known: {', '.join(known)}")
    return tuple(kind != LINEAR for kind in listed)


def _vision(top: Fields) -> VisionTower | None:
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


def _mtp(
    top: Fields, text: Fields, shipped: bool | None, *, layer: Layer, row: Architecture
) -> MTPModule | None:
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
    return MTPModule(layers=(layer,) * (declared or 1), split_fc=row.split_mtp_fc, shipped=shipped)

"""GGUF metadata -> `ModelSpec`, through the same reader as a `config.json`.

Keys are llama.cpp's (gguf-py constants.py; converters of qwen35, qwen35moe, qwen3next).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from planner.errors import UnsupportedModelError
from planner.model.architectures import by_gguf
from planner.model.catalog import catalog
from planner.model.gguf import LongArray, architecture_facts
from planner.model.headers import StoredCheckpoint
from planner.model.hf_config import read_config
from planner.model.spec import ModelSpec, VisionTower

_FIELDS = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "ssm.conv_kernel": "linear_conv_kernel_dim",
    "ssm.state_size": "linear_key_head_dim",
    "ssm.group_count": "linear_num_key_heads",
    "ssm.time_step_rank": "linear_num_value_heads",
    "full_attention_interval": "full_attention_interval",
}


def read_gguf(stored: StoredCheckpoint, *, name: str) -> ModelSpec:
    """The architecture that a GGUF set's metadata and tensors describe.

    Raises:
        UnsupportedModelError: an unknown architecture, or a key that is missing or makes no sense.
    """
    facts = architecture_facts(stored.metadata)
    architecture = facts.get("architecture")
    row = by_gguf().get(str(architecture))
    if row is None:
        raise UnsupportedModelError(
            f"{name}: GGUF architecture {architecture!r} is not supported;"
            f" known: {', '.join(sorted(by_gguf()))}"
        )
    shapes = {tensor.name: tensor.shape for tensor in stored.tensors}
    mtp = _whole(facts.get("nextn_predict_layers")) or 0
    layers = _whole(facts.get("block_count")) or 0
    config: dict[str, Any] = {
        "model_type": row.text_type,
        "architectures": [str(architecture)],
        "dtype": "bfloat16",
        "num_hidden_layers": layers - mtp,
        "full_attention_interval": 4,
        "mtp_num_hidden_layers": mtp,
        "tie_word_embeddings": "output.weight" not in shapes,
        "vocab_size": _vocabulary(shapes, facts),
        "mamba_ssm_dtype": "float32",
        "rope_theta": facts.get("rope.freq_base"),
    }
    config |= {ours: _whole(facts[key]) for key, ours in _FIELDS.items() if key in facts}
    width, heads = _whole(facts.get("ssm.inner_size")), config.get("linear_num_value_heads")
    if width and heads:
        config["linear_value_head_dim"] = width // heads
    rotary, head = _whole(facts.get("rope.dimension_count")), config.get("head_dim")
    if rotary and head and rotary <= head:
        config["partial_rotary_factor"] = rotary / head
    return read_config(config, name=name, mtp_shipped=_ships_mtp(shapes))


def with_vision(model: ModelSpec) -> ModelSpec:
    """`model` with the vision tower of the bundled model of the same text shapes, if there is one.

    A GGUF's vision tower is a file of its own (mmproj) and says little about its shapes.
    """
    tower = _twin_tower(model)
    return model if tower is None else replace(model, vision=tower)


def _twin_tower(model: ModelSpec) -> VisionTower | None:
    for entry in catalog():
        other = entry.model
        if (
            other.hidden_size == model.hidden_size
            and other.layer_types == model.layer_types
            and other.mlp == model.mlp
            and other.vocab_size == model.vocab_size
            and other.vision is not None
        ):
            return other.vision
    return None


def _ships_mtp(names: Iterable[str]) -> bool:
    return any(".nextn." in name for name in names)


def _vocabulary(shapes: Mapping[str, tuple[int, ...]], facts: Mapping[str, object]) -> object:
    table = shapes.get("token_embd.weight")
    return table[0] if table else facts.get("vocab_size")


def _whole(value: object) -> int | None:
    """A number, or the largest of an array (per-layer head counts have zeros)."""
    if isinstance(value, LongArray):
        return None
    if isinstance(value, tuple):
        numbers = [item for item in value if isinstance(item, int)]
        return max(numbers, default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""Which of llama.cpp's architectures a model is, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from hardware_db.records import frozen
from planner.model.architectures import by_model_type
from planner.model.spec import ModelSpec

SOURCE = "llama.cpp 0c1e570 src/llama-arch.cpp, src/llama-model.cpp"


@frozen
class Architecture:
    """One architecture of llama.cpp.

    Attributes:
        name: ``general.architecture`` in GGUF files.
        positions: position components per token (4: multimodal RoPE).
        rollback: the recurrent state can keep rollback copies, as speculative decoding wants
            (llm_arch_supports_rs_rollback).
        fused_beta_alpha: beta and alpha of the linear attention come from one projection.
        copies_columns: what a convolution keeps is made contiguous before it is stored.
        gathers_early: the last block drops the tokens without output, not the head.
    """

    name: str
    positions: int = 1
    rollback: bool = False
    fused_beta_alpha: bool = False
    copies_columns: bool = False
    gathers_early: bool = False


_BY_NAME: Mapping[str, Architecture] = MappingProxyType(
    {
        row.name: row
        for row in (
            Architecture(name="qwen35", positions=4, rollback=True),
            Architecture(name="qwen35moe", positions=4, rollback=True),
            Architecture(name="qwen3next", fused_beta_alpha=True),
            Architecture(
                name="qwen4exp",
                positions=4,
                rollback=True,
                copies_columns=True,
                gathers_early=True,
            ),
        )
    }
)


def architecture(model: ModelSpec) -> Architecture | None:
    """llama.cpp's architecture of `model`; None if its graph is not modelled here."""
    return _BY_NAME.get(by_model_type()[model.model_type].gguf)


@lru_cache(maxsize=64)
def unnamed(model: ModelSpec) -> ModelSpec:
    """Return a model without what its graph does not follow from.

    Releases of one architecture have the same graphs, also where they differ in what their files store
    (types are those of `Homes.weights`), in their vision tower, or in how far their positions reach.
    """
    return replace(
        model,
        name="",
        architecture="",
        dtype="",
        max_position_embeddings=0,
        vision=None,
        mtp=None,
        float32_components=(),
    )

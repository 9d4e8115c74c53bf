"""Engines by name: who allocates memory, each by its own rules."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planner.engines.base import Engine
from planner.engines.ktransformers import KTRANSFORMERS
from planner.engines.llamacpp import LLAMACPP
from planner.engines.mlx import MLX
from planner.engines.sglang import SGLANG
from planner.engines.tensorrt_llm import TENSORRT_LLM
from planner.engines.transformers import TRANSFORMERS
from planner.engines.vllm import VLLM
from planner.errors import InputError
from planner.units import check_text, shown

ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        engine.name: engine
        for engine in (VLLM, SGLANG, LLAMACPP, TRANSFORMERS, MLX, TENSORRT_LLM, KTRANSFORMERS)
    }
)
"""Every engine, by the name that users type."""


def get_engine(name: str) -> Engine:
    """The engine called `name`.

    Raises:
        InputError: no such engine; the line lists those that exist.
    """
    found = ENGINES.get(check_text(name, what="engine").lower())
    if found is None:
        raise InputError(f"unknown engine {shown(name)}; known: {', '.join(ENGINES)}")
    return found

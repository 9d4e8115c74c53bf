"""Engines whose plans Ollama can follow, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from planner.engines.base import Allocation, Deployment, Launch, Modelfile
from planner.engines.llamacpp.ollama import modelfile

MODELFILES: Mapping[str, Callable[[Deployment, Allocation, Launch], Modelfile | None]] = (
    MappingProxyType({"llamacpp": modelfile})
)
"""Engine -> what Ollama must be told."""

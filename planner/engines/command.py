"""A launch command read back: what the engine was told, as the planner's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from planner.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a command line asks of an engine.

    Attributes:
        model: what is served, as the command names it: repository, path or file.
        options: the engine's options object.
        revision: branch, tag or commit, if one is named.
        precision: which file of a repository that holds several (GGUF), if one is named.
        context: tokens of the longest sequence; None for what the model itself allows.
        slots: sequences that share that length, where the engine divides it (llama.cpp).
        layout: degrees of parallelism; None where the engine takes what it finds.
        kv_cache_dtype: "auto" or the name that the command uses.
        yarn: the context may go beyond the native length.
        quantization: format that the engine is told to load or to make while loading.
        ignored: words that change nothing in the accelerators' memory.
        unplanned: one line per flag that may change memory and that no plan accounts for.
        environment: variables set in front of the command.
    """

    model: str
    options: Any
    revision: str | None = None
    precision: str | None = None
    context: int | None = None
    slots: int = 1
    layout: Layout | None = None
    kv_cache_dtype: str = "auto"
    yarn: bool = False
    quantization: str | None = None
    ignored: tuple[str, ...] = ()
    unplanned: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

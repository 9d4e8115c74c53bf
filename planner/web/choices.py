"""What a visitor can choose from: models, precisions, hardware, engines, cache formats, contexts."""

from __future__ import annotations

import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import hardware_db
from planner.engines import ENGINES
from planner.engines.yarn import LONGEST
from planner.formats import CACHE_FORMATS
from planner.model import catalog
from planner.model.gguf_mix import gguf_schemes
from planner.model.quantization import SCHEMES

OTHER = "other"
"""Instead of a bundled model: a repository that the visitor names."""

CUSTOM = "custom"
"""Instead of known hardware: an accelerator of which only the memory is given."""

LOCAL = "local"
"""The accelerators of the machine that serves this page; offered to its own user alone."""

SHORTEST = 4096
_SIZES = (1, 2, 3, 4, 6)


@cache
def defaults() -> dict[str, Any]:
    """What a first visitor sees (`defaults.toml`)."""
    return tomllib.loads((files("planner.web") / "defaults.toml").read_text("utf-8"))


@cache
def models() -> tuple[str, ...]:
    """Short names of the bundled models, and `OTHER`."""
    return (*(entry.id.rpartition("/")[2] for entry in catalog.catalog()), OTHER)


@cache
def precisions() -> tuple[str, ...]:
    """Names of all ways to store weights, those of whole checkpoints before GGUF types."""
    return (*SCHEMES, *gguf_schemes())


@cache
def hardware() -> tuple[str, ...]:
    """Ids of accelerators, then of systems, and `CUSTOM`."""
    cards = (entry.id for entry in hardware_db.accelerators())
    systems = (entry.id for entry in hardware_db.systems())
    return (*cards, *systems, CUSTOM)


def engines() -> tuple[str, ...]:
    """Names of the engines."""
    return tuple(ENGINES)


@cache
def cache_formats() -> tuple[str, ...]:
    """The word auto and the names of the KV-cache formats, without their aliases."""
    return ("auto", *dict.fromkeys(form.name for form in CACHE_FORMATS.values()))


@lru_cache(maxsize=256)
def contexts(longest: int) -> tuple[int, ...]:
    """Stops of the context slider, evenly spread on a log scale, up to `longest` tokens."""
    stops: set[int] = {longest}
    unit = SHORTEST
    while unit <= longest:
        stops |= {unit * size // 2 for size in _SIZES if SHORTEST <= unit * size // 2 <= longest}
        unit *= 2
    return tuple(sorted(stops))


def longest_context(native: int, *, yarn: bool) -> int:
    """Tokens up to which a context can be asked for."""
    return max(native, LONGEST) if yarn else native


def tokens_label(tokens: int) -> str:
    """Tokens as people type them: ``64k`` for 65,536; others in digits."""
    whole, rest = divmod(tokens, 1024)
    return f"{whole}k" if whole and not rest else str(tokens)

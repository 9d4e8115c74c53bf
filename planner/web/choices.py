"""What a visitor can choose from: models, engines, cache formats, contexts."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from hardware_db import System
from planner.engines import ENGINES, FRONTS, title_of
from planner.engines.choice import engines_for
from planner.engines.yarn import LONGEST
from planner.formats import CACHE_FORMATS
from planner.model import catalog
from planner.shipped import read_toml
from planner.web.asked import BEST

_STEPS = (4, 8, 16, 32, 64, 128, 256)
"""Contexts that are listed, in units of 1,024 tokens."""

_BEYOND = ("512k", "1M")


@cache
def defaults() -> dict[str, Any]:
    """Return what a first visitor sees (`defaults.toml`)."""
    return read_toml("web", "defaults.toml")


@cache
def models() -> tuple[str, ...]:
    """Return `BEST` and the short names of the bundled models, the newest first."""
    known = sorted(
        catalog.catalog(), key=lambda entry: (entry.released or "", entry.id), reverse=True
    )
    return (BEST, *(entry.id.rpartition("/")[2] for entry in known))


@lru_cache(maxsize=512)
def engines(system: System | None) -> tuple[str, ...]:
    """Return `BEST`, then engines and the programs that run one inside: what suits `system` first."""
    suited = [name for name, _ in engines_for(system)] if system is not None else []
    found = [BEST]
    for name in dict.fromkeys([*suited, *ENGINES]):
        found += [name, *(front for front, inside in FRONTS.items() if inside == name)]
    return tuple(found)


def engine_label(name: str) -> str:
    """Return what people read for an engine."""
    return "Best for it" if name == BEST else title_of(name)


def model_label(name: str) -> str:
    """Return what people read for a model."""
    return "Best for it" if name == BEST else name


@cache
def cache_formats() -> tuple[str, ...]:
    """Return the word auto and the names of the KV-cache formats, without their aliases."""
    return ("auto", *dict.fromkeys(form.name for form in CACHE_FORMATS.values()))


def contexts(*, yarn: bool) -> tuple[str, ...]:
    """Return contexts that are listed, as people type them."""
    listed = tuple(f"{step}k" for step in _STEPS)
    return (*listed, *_BEYOND) if yarn else listed


def longest_context(native: int, *, yarn: bool) -> int:
    """Return the tokens up to which a context can be asked for."""
    return max(native, LONGEST) if yarn else native


def tokens_label(tokens: int) -> str:
    """Return tokens as people type them: ``64k`` for 65,536; others in digits."""
    whole, rest = divmod(tokens, 1024)
    return f"{whole}k" if whole and not rest else str(tokens)

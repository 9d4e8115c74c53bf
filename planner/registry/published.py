"""The published checkpoint that stands for a bundled model in a precision that its maker has not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from planner.memo import Key, remembered
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.registry.entry import Entry
from planner.registry.sizing import (
    checkpoint_of,
    recipe_bytes,
    spread_of,
    stored_as,
    tensor_bytes,
)
from planner.registry.store import entries_stored_as
from planner.units import format_gib

NEAR = Fraction(2, 100)
"""How near a published size must be to a recipe for the checkpoint to count as stored so."""


def as_published(found: Checkpoint) -> Checkpoint:
    """Return what is published of a bundled model in a precision; `found` itself where nothing is."""
    row = stored_as(found.id, found.scheme.name)
    if row is None:
        return found
    if isinstance(found.scheme, GgufScheme):
        return _of_files(found, row)
    return checkpoint_of(row) if _is_near(row) else found


def _both(found: Checkpoint, row: Entry) -> Key:
    return (found, row), None


@remembered(_both, most=256)
def _of_files(found: Checkpoint, row: Entry) -> Checkpoint:
    """A GGUF type as published files have it."""
    return replace(
        found,
        hypothetical=False,
        published=True,
        band=spread_of(row.base, found.scheme.name),
        notes=(_files_of_type(row),),
    )


@lru_cache(maxsize=512)
def _files_of_type(row: Entry) -> str:
    """Published files of one type by author, as a note."""
    rows = [
        other
        for other in entries_stored_as(row.base, row.recipe)
        if other.recommendable
        and not other.ollama
        and other.label.lower() == row.label.lower()
        and other.nbytes is not None
    ]
    rows.sort(key=lambda other: (-(other.downloads or 0), other.name))
    named = ", ".join(f"{other.name} ({format_gib(other.nbytes or 0)})" for other in rows[:3])
    return "sizes as llama-quantize makes them" + (f"; files by author: {named}" if named else "")


@lru_cache(maxsize=512)
def _is_near(row: Entry) -> bool:
    if row.nbytes is None:
        return True
    plain = recipe_bytes(row)
    return abs(tensor_bytes(row) - plain) <= max(int(NEAR * plain), row.within)

"""A bundled model in a precision, named as a checkpoint that exists where the registry has one."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from planner.errors import PlannerError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.provenance import Band
from planner.registry.entry import Entry
from planner.registry.sizing import recipe_bytes, spread_of, stored_as, tensor_bytes


def bundled_checkpoint(name: str, *, precision: str | None = None) -> Checkpoint:
    """Return a bundled model's checkpoint; its bytes follow the recipe that the precision names.

    Where the catalog knows no checkpoint of that precision and the registry has a row, it is that
    row's repository that is named, and how far published files are from the recipe is the band.

    Args:
        name: repository id, with or without the organisation.
        precision: scheme name; None takes what the named checkpoint stores.

    Raises:
        UnknownModelError: not bundled.
        InputError: `precision` is not known, or the named checkpoint is already quantized
            differently.
    """
    found = catalog.bundled_checkpoint(name, precision=precision)
    if not found.hypothetical or found.id not in _bases():
        return found
    row = stored_as(found.id, found.scheme.name)
    if row is None:
        return found
    band, note = _beside(found, row)
    return replace(
        found,
        id=row.repo,
        source=f"{found.source}; {row.repo} by the registry, {row.date}",
        hypothetical=False,
        published=True,
        band=band,
        notes=(note,),
        files=((row.file, row.nbytes),) if row.file and row.nbytes else (),
    )


def _bases() -> frozenset[str]:
    """Bundled ids: variants of other weights (Thinking, Base) are none of the rows' models."""
    return frozenset(entry.id for entry in catalog.catalog())


def _beside(found: Checkpoint, row: Entry) -> tuple[Band | None, str]:
    if isinstance(found.scheme, GgufScheme):
        others = "files of this type differ by author; name one for its own size"
        return spread_of(
            row.base, found.scheme.name
        ), f"sizes as llama-quantize makes them: {others}"
    return _away(row), f"sizes follow the recipe ({found.scheme.title}) of {row.repo}"


@lru_cache(maxsize=512)
def _away(row: Entry) -> Band | None:
    """How far a row's published bytes are from its recipe's, rounding included."""
    if row.nbytes is None:
        return None
    try:
        more = tensor_bytes(row) - recipe_bytes(row)
    except PlannerError:
        return None
    below, above = max(0, row.within - more), max(0, row.within + more)
    return Band(below=below, above=above) if below or above else None

"""A bundled model in a precision, named as a checkpoint that exists where the registry has one."""

from __future__ import annotations

from functools import cache

from planner.model import catalog
from planner.model.checkpoint import Checkpoint


def bundled_checkpoint(name: str, *, precision: str | None = None) -> Checkpoint:
    """Return a bundled model's checkpoint in a precision.

    Where the catalog knows none, the registry's stands for it if its size is the recipe's. GGUF files
    of one type differ by author: bytes are llama-quantize's, the band is the spread of published
    files, and the note names some.

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
        return found  # a variant of other weights (Thinking, Base) is none of the rows' models
    from planner.registry.published import as_published

    return as_published(found)


@cache
def _bases() -> frozenset[str]:
    return frozenset(entry.id for entry in catalog.catalog())

"""Which file of a GGUF repository is meant, as its label says it."""

from __future__ import annotations

from planner.registry.entry import Entry


def bare(label: str) -> str:
    """A label without the prefixes that llama.cpp does not ask for: ``UD-Q4_K_XL`` -> ``q4_k_xl``."""
    plain = label.lower()
    return plain[len("ud-") :] if plain.startswith(("ud-", "i1-")) else plain


def file_of(base: str, label: str) -> Entry | None:
    """Return the published GGUF of a bundled model that is called `label` (``UD-Q4_K_XL``), or None.

    Labels that are llama.cpp's own types name no author's file. Of an author's own kind ("UD-") that
    has no row of this label, the size follows the nearest type.
    """
    kind = label.lower().removesuffix(bare(label))
    if not kind:
        return None
    from planner.registry.names import file_of_kind

    return file_of_kind(base, label, kind)

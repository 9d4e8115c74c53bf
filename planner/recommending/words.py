"""Words that the screen, the page and the tables share."""

from __future__ import annotations

from planner.registry import Word


def short_word(word: Word) -> str:
    """Return a class of quality in as few words as a column has room for."""
    return word.text.removesuffix(" loss").replace("as the original", "original")

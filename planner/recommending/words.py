"""Words that the screen, the page and the tables share."""

from __future__ import annotations

from planner.recommending.choice import Choice
from planner.registry import Word


def short_word(word: Word) -> str:
    """Return a class of quality in as few words as a column has room for."""
    return word.text.removesuffix(" loss").replace("as the original", "original")


def listed_name(choice: Choice) -> str:
    """Return a checkpoint as a row names it; with its KV cache where that was made smaller."""
    cache = choice.plan.deployment.kv_cache_dtype
    return choice.entry.name + (f", {cache} KV" if cache != "auto" else "")

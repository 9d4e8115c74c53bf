"""Words that the screen, the page and the tables share."""

from __future__ import annotations

from planner.recommending.choice import Choice
from planner.registry import Word
from planner.throughput.answer import two_digits

TUNED = "tuned"
"""What a row says of a checkpoint that an engine's defaults do not hold."""


def short_word(word: Word) -> str:
    """Return a class of quality in as few words as a column has room for."""
    return word.text.removesuffix(" loss").replace("as the original", "original")


def rate_words(choice: Choice) -> str:
    """Return how fast it is as a clause: "about 32 tok/s each"; empty where that is not known."""
    if choice.per_user is None:
        return ""
    each = " each" if choice.plan.deployment.concurrency > 1 else ""
    return f"about {two_digits(choice.per_user)} tok/s{each}"


def listed_name(choice: Choice) -> str:
    """Return a checkpoint as a row names it, with what was set so that it holds the workload."""
    cache = choice.plan.deployment.kv_cache_dtype
    name = choice.entry.name + (f", {cache} KV" if cache != "auto" else "")
    return name + (f", {TUNED}" if choice.savings else "")

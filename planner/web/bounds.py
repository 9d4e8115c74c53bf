"""How long what a visitor types or sends may be."""

from __future__ import annotations

LOG_FIELD = "trust-log"
"""Key of the one field that takes a long text."""

LONGEST_VALUE = 300
"""Characters of one value of the question; what is longer is cut, and understood by nothing."""

_KEPT = 80
"""Characters of it that are shown."""


def cut(value: str) -> str:
    """Return a value as it stands, or the beginning of one that nobody can have meant."""
    return value if len(value) <= LONGEST_VALUE else f"{value[:_KEPT]}…"

"""Regular expressions that are compiled when they are first asked, and globs that need none.

Most of what a module knows how to read is not in the text that one command is given; to compile it
all took a start longer than to read the database.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

__all__ = ["is_like", "pattern"]

if TYPE_CHECKING:
    pattern = re.compile
else:

    class pattern:  # noqa: N801 - a function to whoever calls it
        """A compiled expression to whoever asks it; takes what `re.compile` takes."""

        def __init__(self, text: str, flags: int = 0) -> None:
            self._said = text, flags

        def __getattr__(self, name: str) -> Any:
            """Return a method of the compiled expression, and keep it."""
            compiled = re.compile(*self._said)
            for method in ("match", "fullmatch", "search", "sub", "split", "findall", "finditer"):
                setattr(self, method, getattr(compiled, method))
            return getattr(compiled, name)


def is_like(text: str, glob: str) -> bool:
    """Say whether a glob describes a text; one with no more than a star needs no expression."""
    head, star, tail = glob.partition("*")
    if "*" in tail or "?" in glob or "[" in glob:
        return fnmatchcase(text, glob)
    if not star:
        return text == glob
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)

"""What can go wrong, and whose turn it is to mend it.

    PlannerError                    expected: one clear line, no traceback
    ├── InputError                  the question is wrong (command line: exit 2)
    │   ├── UnknownModelError       no such model; carries the nearest names
    │   ├── UnsupportedModelError   a model, format or file this planner refuses to guess about
    │   └── LayoutError             this model cannot be split this way; carries the engine's rule
    └── SourceError                 a source could not be reached or refused (command line: exit 4)
        └── OfflineError            there is no network: a cache or the bundled catalog may still answer

Anything else that escapes is a bug of ours (command line: exit 1, with traceback).
"""

from __future__ import annotations

import re

from planner.secrets import without_secrets

LONGEST_WORD = 200
"""Characters of one word of a message; a longer one is what somebody typed or stored, and is cut."""

LONGEST_LINE = 4000
"""Characters of a message; of a longer one the middle is what somebody typed or stored, and is cut."""

_UNSEEN = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
_LONG = rf"(\S{{{LONGEST_WORD}}})\S+"


def printable(text: str) -> str:
    """Return `text` with "?" for what steers a terminal or a page instead of being read.

    Control characters (all but the line feed), marks that turn the direction of writing, and half
    characters. Every text that somebody else wrote passes here before it is shown.
    """
    if text.replace("\n", "").isprintable():
        return text
    return re.sub(_UNSEEN, "?", text)


def clip(text: str, length: int = 80) -> str:
    """Foreign text for one line of an error: printable, quoted nothing, cut at `length`."""
    line = "".join(c if c.isprintable() else "?" for c in text)
    return line if len(line) <= length else line[: length - 1] + "…"


class PlannerError(Exception):
    """Base of everything a caller is expected to handle; its text is one line of bounded words."""

    def __init__(self, message: str = "") -> None:
        """Keep the message on one line and free of secrets, whatever the input that it quotes."""
        line = without_secrets(printable(" ".join(str(message).splitlines())))
        line = re.sub(_LONG, r"\1…", line)
        if len(line) > LONGEST_LINE:
            line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 2 :]}"
        super().__init__(line)


class InputError(PlannerError, ValueError):
    """The question itself is wrong; the text says what and how to mend it."""


class UnknownModelError(InputError):
    """No model of that name is known.

    Attributes:
        candidates: the nearest names, best first.
    """

    def __init__(self, message: str, candidates: tuple[str, ...] = ()) -> None:
        """Keep the nearest names beside the message."""
        super().__init__(message)
        self.candidates = candidates


class UnsupportedModelError(InputError):
    """A model, number format or file that the planner refuses by name instead of guessing."""


class LayoutError(InputError):
    """A model cannot be laid out over ranks in the way that was asked."""


class SourceError(PlannerError):
    """A source (Hub, file, driver) could not be reached or refused to answer."""


class OfflineError(SourceError):
    """The network is off or unreachable; callers may fall back and must say so."""

"""Read what somebody typed into a shell as words, and write words as a line that can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from hardware_db.regex import pattern
from planner.errors import InputError
from planner.secrets import HIDDEN, as_variables

LONGEST = 100_000
"""Characters of the longest text that is taken for a command."""

SEPARATOR = ";"
"""Stands between two commands of one text, whatever separated them."""

_SPECIAL = ";<>|&\n"
_COMMENT = pattern(r"^\s*(#|REM\b).*$", re.MULTILINE)
_CONTINUED = pattern(r"[ \t]*[\\^`][ \t]*\r?\n[ \t]*")
_LOOSE_BACKSLASH = pattern(r"(?<=\s)\\(?=\s)")
_WINDOWS = pattern(r"""(?:^|[\s"'])(?:[A-Za-z]:|\.{1,2})\\[^\s"']""")
"""A path as Windows writes it: its strokes are no quotation."""
_VARIABLE = pattern(
    r"\$(?:\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\}|\((?P<called>\w+)\)|(?P<plain>[A-Za-z_]\w*))"
)
"""A variable as a shell writes it, or as Kubernetes does: ``$(NAME)``."""
_ASSIGNMENT = pattern(r"[A-Za-z_][A-Za-z0-9_]*=")


def shell_words(text: str) -> list[str]:
    """Words of `text`; commands are separated by `SEPARATOR`, redirections dropped.

    Lines may be continued with a backslash (also one that was joined onto the line), a caret or a
    backtick. Comment lines are left out.

    Raises:
        InputError: empty, too long, or a quotation that does not end.
    """
    if len(text) > LONGEST:
        raise InputError(f"command: longer than {LONGEST:,} characters")
    text = _CONTINUED.sub(" ", _COMMENT.sub("", text))
    text = _LOOSE_BACKSLASH.sub(" ", text)
    if _WINDOWS.search(text):
        text = text.replace("\\", "/")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=_SPECIAL)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    try:
        raw = list(lexer)
    except ValueError:
        raise InputError("command: a quotation mark is opened and never closed") from None
    words: list[str] = []
    skipped = 0
    for word in raw:
        if word and all(letter in _SPECIAL for letter in word):
            # what follows > or < names a file, not an argument
            skipped = 1 if word[0] in "<>" else 0
            if not skipped and words and words[-1] != SEPARATOR:
                words.append(SEPARATOR)
            if skipped and words and words[-1] in ("1", "2"):
                words.pop()
        elif skipped:
            skipped -= 1
        else:
            words.append(word)
    if not any(word != SEPARATOR for word in words):
        raise InputError("command: empty; paste what is typed to start the server")
    return words


def expanded(words: list[str]) -> list[str]:
    """Return the words with the variables that earlier ones set in their place.

    What nobody sets stays as it is, but for a default that is written with it (``${NAME:-value}``).
    """
    known: dict[str, str] = {}

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["plain"] or match["called"]
        return known.get(name, match[0] if match["default"] is None else match["default"])

    found = []
    for word in words:
        whole = _VARIABLE.sub(value, word) if "$" in word else word
        if is_assignment(whole):
            name, _, said = whole.partition("=")
            known[name] = said
        found.append(whole)
    return found


def quoted(word: str) -> str:
    """Return a word quoted where the shell needs it; of ``~/x`` the home stays for it to find."""
    home, stroke, rest = word.partition("/")
    return f"~/{shlex.quote(rest)}" if home == "~" and stroke and rest else shlex.quote(word)


def assignments(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield variables as a shell sets them; one that holds a secret is that of the shell itself."""
    for name, value in environment.items():
        yield f'{name}="${name}"' if value == HIDDEN else f"{name}={quoted(value)}"


def quoted_words(argv: Iterable[str]) -> Iterator[str]:
    """Return the words of a command quoted; for a secret, a variable by the name of its flag."""
    return as_variables(argv, '"${}"'.format, quoted)


def shell_line(environment: Mapping[str, str], argv: Iterable[str]) -> str:
    """Return a command as one shell line, its variables in front."""
    return " ".join((*assignments(environment), *quoted_words(argv)))


def is_assignment(word: str) -> bool:
    """The word sets a variable: ``NAME=value``."""
    return _ASSIGNMENT.match(word) is not None

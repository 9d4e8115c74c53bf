"""Find the launch command that somebody pastes above its log, bare or behind a prompt."""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from hardware_db.records import frozen
from planner.engines.command import Command
from planner.engines.commands import RUNNERS, NoServerError, read_command
from planner.engines.shell_words import SEPARATOR, is_assignment, shell_words
from planner.engines.words import is_flag
from planner.errors import InputError

LONGEST = 20_000
"""Characters of a command, its continued lines joined."""

SHORTEST = 3
"""Characters of the shortest beginning of a flag: ``--tp``."""

MOST_UNREAD = 4
"""Flags of a command that may be left out; one with more that cannot be read is no command."""

MOST_READ = 500
"""Lines that look like a command, of which the last that is one counts."""

_CUE = re.compile(r"vllm|llama-(?:server|cli|mtmd-cli)|sglang|mlx_lm")
_PROMPT = re.compile(r"(?:[^$#>%❯]{0,120}[$#>%❯]|[A-Za-z][\w ]{0,40}:) +(?=\S)")
"""What stands in front of a command: a shell's prompt, or a word such as ``command:``."""
_FIRST = re.compile(
    r"vllm|sglang|llama-(?:server|cli|mtmd-cli)(?:\.exe)?|python[\d.]*(?:\.exe)?|mlx_lm\.\w+|sudo|nohup|exec|env|uv|numactl"
)
"""The word that such a line begins with; a line of a log that names a program begins with others."""


@frozen
class Launched:
    """What a pasted command starts.

    Attributes:
        engine: its name.
        command: what it says.
        unread: one line per flag of it that cannot be read.
    """

    engine: str
    command: Command
    unread: tuple[str, ...]


class LaunchFinder:
    """Looks at the lines of a log in turn, and reads the last of them that starts a server."""

    def __init__(self) -> None:
        self._seen: deque[str] = deque(maxlen=MOST_READ)
        self._open = ""

    def see(self, line: str) -> None:
        """Look at the next line."""
        if not self._open and _CUE.search(line) is None:
            return
        text = self._open + line.rstrip()
        self._open = ""
        if text.endswith("\\") and len(text) < LONGEST:
            self._open = text[:-1] + " "
        elif len(text) < LONGEST:
            self._seen.append(text.strip())

    def found(self) -> Launched | None:
        """Return the last launch; None where there is none."""
        return next(filter(None, map(_launched, reversed(self._seen))), None)


def _launched(text: str) -> Launched | None:
    """Return what a line starts; None where it starts no server."""
    prompt = _PROMPT.match(text)
    for candidate in (text, text[prompt.end() :] if prompt is not None else ""):
        with contextlib.suppress(InputError):
            words = [word for word in shell_words(candidate) if not is_assignment(word)]
            first = words[0].rpartition("/")[2] if words else ""
            if (_FIRST.fullmatch(first) or first in RUNNERS) and words[1:2] != ["-"]:
                return _read(candidate)
    return None


def _read(text: str) -> Launched:
    """Return a launch, without the flags that cannot be read.

    Raises:
        InputError: it starts no server, or what cannot be read is no flag's value.
    """
    unread: list[str] = []
    words: str | list[str] = text
    while True:
        try:
            engine, command = read_command(words)
            return Launched(engine=engine, command=command, unread=tuple(unread))
        except NoServerError:
            raise
        except InputError as error:
            words = shell_words(words) if isinstance(words, str) else words
            named = next((word.rstrip(":;,") for word in str(error).split() if is_flag(word)), "")
            rest = _without(words, named)
            if len(rest) == len(words) or len(unread) == MOST_UNREAD:
                raise
            words = rest
            unread.append(f"{error}; it is left out of the command above the log")


def _without(words: Sequence[str], flag: str) -> list[str]:
    """Return the words without a flag, spelled out or by its beginning, and its value."""
    found, skipping = list[str](), False
    for word in words:
        if is_flag(word):
            own = word.partition("=")[0]
            skipping = own == flag or (len(own) > SHORTEST and flag.startswith(own))
        elif word == SEPARATOR:
            skipping = False
        found += [] if skipping else [word]
    return found


def completed(told: Command | None, typed: Command | None) -> Command | None:
    """Return what a server was told: as its log prints it, and beyond that as it was typed above."""
    if typed is None or told is None:
        return told or typed
    if told.assumed:
        said = {name: value for name, value in told.options.items() if name not in told.assumed}
        context = typed.context or told.context
        told = replace(
            told, options=said, slots=typed.slots, shared=typed.shared, context=context, assumed=()
        )
    if told.model is None:
        first, second = typed, told
    else:
        first, second = told, typed
    return replace(
        first,
        context=first.context or second.context,
        layout=first.layout or second.layout,
        kv_cache_dtype=first.kv_cache_dtype or second.kv_cache_dtype,
        options={**second.options, **first.options},
    )

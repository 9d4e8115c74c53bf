"""Find the launch command that somebody pastes above its log, bare or behind a prompt."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field, replace

from planner.engines.command import Command
from planner.engines.commands import RUNNERS, read_command
from planner.engines.shell_words import is_assignment, shell_words
from planner.errors import InputError

LONGEST = 20_000
"""Characters of a command, its continued lines joined."""

_CUE = re.compile(r"vllm|llama-server|sglang|mlx_lm")
_PROMPT = re.compile(r"[^$#>%❯]{0,120}[$#>%❯] +(?=\S)")
_FIRST = re.compile(
    r"vllm|sglang|llama-server(?:\.exe)?|python[\d.]*(?:\.exe)?|mlx_lm\.\w+|sudo|nohup|exec|env|uv|numactl"
)
"""The word that such a line begins with; a line of a log that names a program begins with others."""


@dataclass(slots=True, kw_only=True)
class LaunchFinder:
    """Looks at the lines of a log in turn.

    Attributes:
        found: the engine that the last command starts, and what it says.
    """

    found: tuple[str, Command] | None = None
    _open: str = field(default="")

    def see(self, line: str) -> None:
        """Look at the next line."""
        if not self._open and _CUE.search(line) is None:
            return
        text = self._open + line.rstrip()
        self._open = ""
        if text.endswith("\\") and len(text) < LONGEST:
            self._open = text[:-1] + " "
        elif len(text) < LONGEST:
            self.found = _launched(text.strip()) or self.found


def _launched(text: str) -> tuple[str, Command] | None:
    prompt = _PROMPT.match(text)
    for candidate in (text, text[prompt.end() :] if prompt is not None else ""):
        with contextlib.suppress(InputError):
            words = [word for word in shell_words(candidate) if not is_assignment(word)]
            first = words[0].rpartition("/")[2] if words else ""
            if (_FIRST.fullmatch(first) or first in RUNNERS) and words[1:2] != ["-"]:
                return read_command(candidate)
    return None


def completed(told: Command | None, typed: Command | None) -> Command | None:
    """Return what a server was told: as its log prints it, and beyond that as it was typed above."""
    if typed is None or told is None:
        return told or typed
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

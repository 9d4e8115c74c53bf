"""Say of a program that is not planned what serves the same model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from planner.engines.words import is_flag
from planner.shipped import read_toml


@cache
def _programs() -> tuple[dict[str, Any], ...]:
    return tuple(read_toml("engines", "data", "programs.toml")["program"])


def not_planned(words: Sequence[str]) -> str | None:
    """Return that a program is not planned and what to ask for instead; None if none is known."""
    for place, word in enumerate(words):
        parts = word.replace("\\", "/").partition(":")[0].split("/")
        for row in _programs():
            if parts[-1].removesuffix(".exe") in row["names"]:
                return _sentence(row, words[place + 1 :])
    return None


def _sentence(row: dict[str, Any], behind: Sequence[str]) -> str:
    model = _value(behind, row.get("model", ())) or _first(behind, row.get("skip", ()))
    context = _value(behind, row.get("context", ()))
    instead = row["instead"]
    if context is None:
        instead = instead.replace(" --max-model-len {context}", "")
    said = instead.format(model=model or "MODEL", context=context)
    return f"command: {row['title']} is not planned; plan what serves the same instead: {said}"


def _value(words: Sequence[str], flags: Sequence[str]) -> str | None:
    for place, word in enumerate(words):
        flag, equals, attached = word.partition("=")
        if flag in flags:
            return attached if equals else next(iter(words[place + 1 : place + 2]), None)
    return None


def _first(words: Sequence[str], skip: Sequence[str]) -> str | None:
    """Return the first word that belongs to no flag."""
    after_flag = False
    for word in words:
        if is_flag(word):
            after_flag = "=" not in word
        elif after_flag or word in skip:
            after_flag = False
        else:
            return word
    return None

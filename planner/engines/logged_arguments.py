"""Arguments that an engine prints at start-up, as words of a command line.

Logs hold Python's own notation: a dictionary, a call, or name=value pairs.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

LONGEST = 200_000
"""Characters of a line that is taken for arguments."""

_ENUM = re.compile(r"<[A-Za-z_][\w.]*(?:: [^<>]*)?>")
_PAIR = re.compile(
    r"'?(?P<key>[A-Za-z_]\w*)'?(?::\s|=)(?P<value>'[^']*'|\"[^\"]*\"|-?\d[\d.e+-]*|True|False|[A-Za-z_][\w.-]*)"
)


def logged_values(text: str) -> dict[str, Any]:
    """Names and values of ``{'a': 1}``, ``Name(a=1)`` or ``a=1, b='x'``.

    What is no literal (an object of the engine's own) is left out.
    """
    text = _ENUM.sub("None", text[:LONGEST].strip())
    try:
        tree: ast.expr | None = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if isinstance(tree, ast.Dict):
        pairs = [
            (key.value, value)
            for key, value in zip(tree.keys, tree.values, strict=True)
            if isinstance(key, ast.Constant)
        ]
        return _literals(pairs)
    if isinstance(tree, ast.Call):
        return _literals((word.arg, word.value) for word in tree.keywords)
    found: dict[str, Any] = {}
    for match in _PAIR.finditer(text):
        found.setdefault(match["key"], _plain(match["value"]))
    return found


def _literals(pairs: Iterable[tuple[Any, ast.expr]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, node in pairs:
        try:
            found[str(key)] = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    return found


def _plain(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def as_words(values: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """``{'max_model_len': 4096}`` as ``['--max-model-len=4096']``; only flags in `known`."""
    spellings, words = frozenset(known), []
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        off = f"--no-{name.replace('_', '-')}"
        if value is True and flag in spellings:
            words.append(flag)
        elif value is False and off in spellings:
            words.append(off)
        elif (
            value is None
            or isinstance(value, bool)
            or flag not in spellings
            or value in ("", [], ())
        ):
            continue
        elif isinstance(value, dict):
            words.append(f"{flag}={json.dumps(value, default=str)}")
        elif isinstance(value, list | tuple | set):
            words += [flag, *map(str, value)]
        else:
            words.append(f"{flag}={value}")
    return words

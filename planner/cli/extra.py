"""Engine options from the command line: every field of an engine's options object is a flag."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from planner.engines import get_engine
from planner.errors import InputError


def engine_options(engine: str, words: Sequence[str]) -> dict[str, Any]:
    """`--flag value` and `--switch` / `--no-switch` words as options of `engine`.

    Flags are the options' names with dashes, as the engine itself spells them.

    Raises:
        InputError: a word that is no flag of this engine, or a value of the wrong type.
    """
    kinds = option_kinds(get_engine(engine).options_type)
    options: dict[str, Any] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--"):
            raise InputError(f"unexpected argument {word!r}")
        flag, _, value = word.removeprefix("--").partition("=")
        name = flag.replace("-", "_")
        negated = name.removeprefix("no_")
        if name not in kinds and kinds.get(negated) is bool and not value:
            options[negated] = False
            continue
        kind = kinds.get(name)
        if kind is None:
            raise InputError(f"unknown option --{flag}{_hint(flag, kinds, engine)}")
        if kind is bool and not value:
            options[name] = True
            continue
        if not value:
            if not queue:
                raise InputError(f"--{flag} needs a value")
            value = queue.pop(0)
        options[name] = _convert(flag, value, kind)
    return options


def option_kinds(options_type: type[Any]) -> dict[str, type[Any]]:
    """Field name -> the type of its values, None aside."""
    hints = typing.get_type_hints(options_type)
    kinds: dict[str, type[Any]] = {}
    for field in dataclasses.fields(options_type):
        hint = hints[field.name]
        members = [hint]
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
            members = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        kind = members[0]
        if typing.get_origin(kind) is typing.Literal:
            kind = type(typing.get_args(kind)[0])
        kinds[field.name] = typing.get_origin(kind) or kind
    return kinds


def _hint(flag: str, kinds: dict[str, type[Any]], engine: str) -> str:
    names = [name.replace("_", "-") for name in kinds]
    near = get_close_matches(flag, names, n=1)
    return (
        f"; did you mean --{near[0]}?" if near else f" (see qwenplan plan --help-engine {engine})"
    )


def _convert(flag: str, value: str, kind: type[Any]) -> Any:
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
        if kind is tuple:
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return kind(value)
    except (KeyError, ValueError):
        raise InputError(f"--{flag}: {value!r} is not {_word(kind)}") from None


def _word(kind: type[Any]) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind, f"a {kind.__name__}")


def options_help(engine: str) -> str:
    """The engine's options, one per line, with types and defaults."""
    options_type = get_engine(engine).options_type
    kinds = option_kinds(options_type)
    lines = [f"Options of {engine} (None: the engine's default):"]
    for field in dataclasses.fields(options_type):
        flag = "--" + field.name.replace("_", "-")
        kind = kinds[field.name]
        word = "" if kind is bool else f" {kind.__name__.upper()}"
        lines.append(f"  {flag + word:44} default {field.default}")
    return "\n".join(lines)

"""Engine options from the command line: every field of an engine's options object is a flag."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from inspect import getdoc
from textwrap import wrap
from typing import Any

from planner.engines import get_engine
from planner.errors import InputError
from planner.units import shown


def engine_options(engine: str, words: Sequence[str]) -> dict[str, Any]:
    """`--flag value` and `--switch` / `--no-switch` words as options of `engine`.

    Flags are the options' names with dashes, as the engine itself spells them.

    Raises:
        InputError: a word that is no flag of this engine, or a value of the wrong type.
    """
    options_type = get_engine(engine).options_type
    kinds = option_kinds(options_type)
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
        if kind is tuple:
            parts = [part.strip() for part in value.split(",") if part.strip()]
            element = _element(options_type, name)
            options[name] = tuple(_convert(flag, part, element) for part in parts)
        else:
            options[name] = _convert(flag, value, kind)
    return options


def _element(options_type: type[Any], name: str) -> type[Any]:
    """The type of the parts of an option that is a list."""
    hint = typing.get_type_hints(options_type)[name]
    for member in (hint, *typing.get_args(hint)):
        if typing.get_origin(member) is tuple:
            kind: type[Any] = typing.get_args(member)[0]
            return kind
    return str


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
        return kind(value)
    except (KeyError, ValueError):
        raise InputError(f"--{flag}: {shown(value)} is not {_word(kind)}") from None


def _word(kind: type[Any]) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(kind, f"a {kind.__name__}")


def options_help(engine: str) -> str:
    """The engine's options with what they mean, their types and defaults."""
    options_type = get_engine(engine).options_type
    kinds = option_kinds(options_type)
    meanings = _meanings(options_type)
    lines = [f"Options of {engine}:"]
    for field in dataclasses.fields(options_type):
        flag = "--" + field.name.replace("_", "-")
        kind = kinds[field.name]
        word = "" if kind is bool else f" {_WORDS.get(kind, 'TEXT')}"
        unset = field.default is None or field.default == () or kind is bool
        default = "" if unset else f" [default: {field.default}]"
        text = meanings.get(field.name, "") + default
        lines += [f"  {flag}{word}", *(f"      {line}" for line in wrap(text, 90))]
    return "\n".join(lines)


_WORDS: dict[type[Any], str] = {int: "N", float: "NUMBER", tuple: "A,B,..."}


def _meanings(options_type: type[Any]) -> dict[str, str]:
    """What the options mean: the section "Attributes" of the type's own documentation."""
    _, _, attributes = (getdoc(options_type) or "").partition("Attributes:\n")
    meanings: dict[str, str] = {}
    name = ""
    for line in attributes.splitlines():
        if not line.startswith("    "):
            if line.strip():
                break
            continue
        head, colon, rest = line.strip().partition(": ")
        if colon and not line.startswith("     "):
            name = head
            meanings[name] = rest
        elif name:
            meanings[name] += " " + line.strip()
    return meanings

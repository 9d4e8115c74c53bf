"""Engine options from the command line: every field of an engine's options object is a flag."""

from __future__ import annotations

import dataclasses
import types
import typing
from inspect import getdoc
from textwrap import wrap
from typing import Any

from planner.engines import get_engine


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

"""Fields for an engine's options, made from its options class: no engine is known by name."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from functools import cache
from typing import Any

import streamlit as st

from planner.engines import get_engine
from planner.web.asked import OptionValue

_ENTRY = re.compile(r"^\s{4,}(\w+(?:,\s*\w+)*):\s*(.+)$")
_SWITCH = ("default", "on", "off")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One option as a visitor can set it.

    Attributes:
        name: the field of the options class.
        kind: type of a value.
        optional: None means the engine's default.
        default: value of the class.
        choices: the values allowed, where the type lists them.
        help: its line in the class's docstring.
    """

    name: str
    kind: type
    optional: bool
    default: OptionValue | None
    choices: tuple[str, ...]
    help: str | None

    def shown(self, value: OptionValue | None) -> OptionValue | None:
        """What the field shows for `value` of the option."""
        if self.kind is bool:
            return {None: "default", True: "on", False: "off"}[typing.cast("bool | None", value)]
        return "default" if self.choices and value is None else value


@cache
def option_fields(engine: str) -> tuple[OptionField, ...]:
    """The simple options of `engine`, in the order of its class."""
    options = get_engine(engine).options_type
    hints = typing.get_type_hints(options)
    words = _described(options.__doc__ or "")
    fields = []
    for field in dataclasses.fields(options):
        found = _simple(hints[field.name])
        if found is None or field.default is dataclasses.MISSING:
            continue
        kind, optional, choices = found
        fields.append(
            OptionField(
                name=field.name,
                kind=kind,
                optional=optional,
                default=field.default,
                choices=choices,
                help=words.get(field.name),
            )
        )
    return tuple(fields)


def _simple(hint: Any) -> tuple[type, bool, tuple[str, ...]] | None:
    """(type, optional, choices) of a hint that one field can hold; None for others."""
    parts = list(typing.get_args(hint)) if _is_union(hint) else [hint]
    optional = type(None) in parts
    parts = [part for part in parts if part is not type(None)]
    if len(parts) != 1:
        return None
    kind = parts[0]
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        return (str, optional, choices) if all(isinstance(c, str) for c in choices) else None
    return (kind, optional, ()) if kind in (bool, int, float, str) else None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _described(doc: str) -> dict[str, str]:
    """Attribute -> its words, from the "Attributes:" section of a docstring."""
    section = doc.partition("Attributes:")[2].partition("Raises:")[0]
    words: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = [name.strip() for name in entry.group(1).split(",")]
            for name in names:
                words[name] = entry.group(2).strip()
        elif line.strip():
            for name in names:
                words[name] += f" {line.strip()}"
    return words


def ask_options(engine: str) -> tuple[tuple[str, OptionValue], ...]:
    """Show a field per option; the values that are not the engine's defaults."""
    chosen = []
    with st.grid(3, gap="small"):
        for field in option_fields(engine):
            value = _ask(engine, field)
            if value is not None and value != field.default:
                chosen.append((field.name, value))
    return tuple(chosen)


def _ask(engine: str, field: OptionField) -> OptionValue | None:
    label, key = field.name.replace("_", " "), f"{engine}-{field.name}"
    if field.kind is bool:
        start = str(field.shown(field.default))
        switch = _SWITCH if field.optional else _SWITCH[1:]
        word = st.selectbox(
            label, switch, index=switch.index(start), key=key, help=field.help, bind="query-params"
        )
        return {"on": True, "off": False}.get(word)
    if field.choices:
        words = ("default", *field.choices) if field.optional else field.choices
        index = words.index(str(field.default)) if field.default in words else 0
        word = st.selectbox(
            label, words, index=index, key=key, help=field.help, bind="query-params"
        )
        return word if word in field.choices else None
    if field.kind is str:
        text = st.text_input(
            label,
            value=typing.cast("str | None", field.default),
            key=key,
            max_chars=40,
            help=field.help,
            bind="query-params",
        )
        return text or None
    whole = field.kind is int
    return st.number_input(
        label,
        min_value=0 if whole else 0.0,
        value=typing.cast("int | float | None", field.default),
        step=1 if whole else 0.01,
        key=key,
        help=field.help,
        placeholder="default",
        bind="query-params",
    )

"""Make fields for an engine's options from their declarations: no engine is known by name."""

from __future__ import annotations

import dataclasses
import typing
from functools import lru_cache

import streamlit as st

from planner.engines import get_engine
from planner.engines.option_kinds import Choice, Count, CountChoice, Number, Share, Switch, Text
from planner.engines.options import declared
from planner.units import capital
from planner.web.asked import OptionValue

_SWITCH = ("default", "on", "off")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OptionField:
    """One option as a visitor can set it.

    Attributes:
        name: the option's name.
        kind: type of a value.
        optional: None means the engine's default.
        default: value of the declaration.
        choices: the values allowed, where they can be listed.
        help: what it means and does to memory.
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
        if self.choices:
            return "default" if value is None else str(value)
        return value


@lru_cache(maxsize=256)
def option_fields(engine: str) -> tuple[OptionField, ...]:
    """Return the options of `engine` that one field can hold, in the order of its class."""
    fields = []
    for option in declared(get_engine(engine).options_type).values():
        kind = _TYPES.get(type(option.kind))
        if kind is None:
            continue
        memory = f" Memory: {option.memory}." if option.memory else ""
        fields.append(
            OptionField(
                name=option.name,
                kind=kind,
                optional=option.default is None,
                default=option.default,
                choices=option.kind.choices,
                help=f"{capital(option.meaning)}.{memory}",
            )
        )
    return tuple(fields)


_TYPES: dict[type, type] = {
    Count: int,
    CountChoice: int,
    Number: float,
    Share: float,
    Choice: str,
    Text: str,
    Switch: bool,
}
"""Kinds of options that one field can hold, and the type of its value."""


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
        start = str(field.default)
        index = words.index(start) if start in words else 0
        word = st.selectbox(
            label, words, index=index, key=key, help=field.help, bind="query-params"
        )
        if word not in field.choices:
            return None
        return int(word) if field.kind is int else word
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

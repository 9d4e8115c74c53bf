"""Fields for an engine's options, made from their declarations: no engine is known by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from planner.web import fields
from planner.web.option_words import OptionField, OptionValue, option_fields
from planner.web.tables import escape

_SWITCH = ("default", "on", "off")
_LONGEST = 40


def ask_options(
    engine: str, values: dict[str, OptionValue], changed: Callable[[str, str, str], None]
) -> None:
    """Show a field per option.

    Args:
        engine: its name.
        values: what is set already.
        changed: called with (engine, name of the option, key of its field) after the visitor
            changed it.
    """
    with st.grid(2, gap="small", vertical_alignment="bottom"):
        for field in option_fields(engine):
            _ask(engine, field, field.shown(values.get(field.name, field.default)), changed)


def option_in_field(engine: str, name: str) -> str:
    """Return the name of an option's field."""
    return f"{engine}-{name}"


def word_in_field(engine: str, name: str) -> str | None:
    """Return the word for what the field of an option shows; None where it is the default."""
    field = next(field for field in option_fields(engine) if field.name == name)
    shown: Any = fields.value_of(option_in_field(engine, name))
    return field.word(shown)


def _ask(
    engine: str, field: OptionField, value: Any, changed: Callable[[str, str, str], None]
) -> None:
    flag = f" :small[`{field.flag}`]" if field.flag else ""
    label = escape(field.title) + flag
    key = fields.key_for(option_in_field(engine, field.name), value)
    args = (engine, field.name, key)
    if field.kind is bool or field.choices:
        words = field.choices or _SWITCH[1:]
        words = ("default", *words) if field.optional else words
        st.selectbox(
            label,
            words,
            words.index(value),
            key=key,
            help=field.help,
            on_change=changed,
            args=args,
        )
    elif field.kind is str:
        st.text_input(
            label,
            value,
            key=key,
            max_chars=_LONGEST,
            help=field.help,
            on_change=changed,
            args=args,
        )
    else:
        whole = field.kind is int
        st.number_input(
            label,
            min_value=0 if whole else 0.0,
            value=value,
            step=1 if whole else 0.01,
            key=key,
            help=field.help,
            placeholder="default",
            on_change=changed,
            args=args,
        )

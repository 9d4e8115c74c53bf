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
    engine: str,
    values: dict[str, OptionValue],
    changed: Callable[[str, str, str | None], None],
) -> None:
    """Show a field per option.

    Args:
        engine: its name.
        values: what is set already.
        changed: called with (engine, name of the option, its word or None for the default) after
            the visitor changed its field.
    """
    with st.grid(2, gap="small", vertical_alignment="bottom"):
        for field in option_fields(engine):

            def told(shown: Any, field: OptionField = field) -> None:
                changed(engine, field.name, field.word(shown))

            name = option_in_field(engine, field.name)
            _ask(name, field, field.shown(values.get(field.name, field.default)), told)


def option_in_field(engine: str, name: str) -> str:
    """Return the name of an option's field."""
    return f"{engine}-{name}"


def _ask(name: str, field: OptionField, value: Any, told: Callable[[Any], None]) -> None:
    flag = f" :small[`{field.flag}`]" if field.flag else ""
    label = escape(field.title) + flag
    key = fields.key_for(name, value)
    args = (name, key, told)
    if field.kind is bool or field.choices:
        words = field.choices or _SWITCH[1:]
        words = ("default", *words) if field.optional else words
        st.selectbox(
            label,
            words,
            words.index(value),
            key=key,
            help=field.help,
            on_change=fields.hear,
            args=args,
        )
    elif field.kind is str:
        st.text_input(
            label,
            value,
            key=key,
            max_chars=_LONGEST,
            help=field.help,
            on_change=fields.hear,
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
            on_change=fields.hear,
            args=args,
        )

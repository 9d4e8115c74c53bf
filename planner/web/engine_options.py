"""Fields for an engine's options, made from their declarations: no engine is known by name."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from planner.web.option_words import OptionField, OptionValue, option_fields
from planner.web.tables import escape

_SWITCH = ("default", "on", "off")
_LONGEST = 40


def ask_options(
    engine: str, values: dict[str, OptionValue], changed: Callable[[str, str], None]
) -> None:
    """Show a field per option.

    Args:
        engine: its name.
        values: what is set already.
        changed: called with (engine, name of the option) after the visitor changed its field.
    """
    with st.grid(2, gap="small", vertical_alignment="bottom"):
        for field in option_fields(engine):
            key = option_key(engine, field.name)
            st.session_state[key] = field.shown(values.get(field.name, field.default))
            _ask(engine, field, key, changed)


def option_key(engine: str, name: str) -> str:
    """Return the key of an option's field."""
    return f"{engine}-{name}"


def word_in_field(engine: str, name: str) -> str | None:
    """Return the word for what the field of an option shows; None where it is the default."""
    field = next(field for field in option_fields(engine) if field.name == name)
    return field.word(st.session_state.get(option_key(engine, name)))


def _ask(engine: str, field: OptionField, key: str, changed: Callable[[str, str], None]) -> None:
    flag = f" :small[`{field.flag}`]" if field.flag else ""
    label, args = escape(field.title) + flag, (engine, field.name)
    if field.kind is bool or field.choices:
        words = field.choices or _SWITCH[1:]
        words = ("default", *words) if field.optional else words
        st.selectbox(label, words, key=key, help=field.help, on_change=changed, args=args)
    elif field.kind is str:
        st.text_input(
            label, key=key, max_chars=_LONGEST, help=field.help, on_change=changed, args=args
        )
    else:
        whole = field.kind is int
        st.number_input(
            label,
            min_value=0 if whole else 0.0,
            value=None if field.optional else 0 if whole else 0.0,
            step=1 if whole else 0.01,
            key=key,
            help=field.help,
            placeholder="default",
            on_change=changed,
            args=args,
        )

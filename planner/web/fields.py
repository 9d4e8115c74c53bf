"""Fields that show the question: each has a key, and another one once somebody else changed it.

A browser sends what all its fields show with whatever is clicked. One that has not heard yet of a
change by a row, Undo or Back sends what they showed before it, and Streamlit takes that for what the
visitor wants. It comes under the old key, where it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from planner.web.bounds import cut

_TURNS = "field-turns"
_TYPED = "field-typed"
"""Key of a field -> what was typed into it and is shown by another name."""
_NOTHING = object()


def key_for(field: str, value: object) -> str:
    """Return the key under which a field is drawn that shows `value`, which is its default too."""
    turns: dict[str, int] = st.session_state.setdefault(_TURNS, {})
    if field in turns and st.session_state.get(_key(field), _NOTHING) != value:
        turns[field] += 1
    turns.setdefault(field, 0)
    return _key(field)


def hear(field: str, key: str, told: Callable[[Any], None]) -> None:
    """Tell what a field shows now; the callback of every field.

    A field that is gone, or that was drawn under another key since, is an earlier page's. What was
    typed and is shown by its name is told once: a browser that has not heard of the name sends the
    words again.

    Args:
        field: its name.
        key: under which it was drawn.
        told: called with the field's value.
    """
    if key != _key(field) or key not in st.session_state:
        return
    value = st.session_state[key]
    typed, name = st.session_state.get(_TYPED, {}).get(key, (_NOTHING, None))
    if value == typed:
        st.session_state[key] = name
        return
    told(cut(value) if isinstance(value, str) else value)


def ask_switch(
    label: str, field: str, is_on: bool, told: Callable[[Any], None], *, help: str | None = None
) -> None:
    """Draw a switch.

    Args:
        label: what stands beside it.
        field: its name.
        is_on: what it shows.
        told: called with what it shows once it was switched.
        help: told to who asks.
    """
    key = key_for(field, is_on)
    st.toggle(label, value=is_on, key=key, on_change=hear, args=(field, key, told), help=help)


def value_of(field: str) -> Any:
    """Return what a field shows; None where it is not there."""
    return st.session_state.get(_key(field))


def show(field: str, value: object) -> None:
    """Let a field show something else than what was typed into it; for its own callback."""
    key = _key(field)
    typed: dict[str, tuple[object, object]] = st.session_state.setdefault(_TYPED, {})
    typed[key] = st.session_state[key], value
    st.session_state[key] = value


def _key(field: str) -> str:
    turn = st.session_state.get(_TURNS, {}).get(field, 0)
    return f"{field}~{turn}" if turn else field

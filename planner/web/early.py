"""The verdict before the form is drawn again: what a key press asks is known at once.

At the start of a run the fields' new values are already in the session, while drawing the fields
takes a few milliseconds. What is expected here is compared with what the form says afterwards.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from planner.web import choices
from planner.web.asked import Asked
from planner.web.engine_options import option_fields

_LAST = "last-question"
_PLAIN = ("model", "precision", "on", "count", "context", "concurrency", "kv_cache_dtype")


def expected() -> Asked | None:
    """What the form is about to say; None on a first run and where it is not that simple."""
    last: Asked | None = st.session_state.get(_LAST)
    state = st.session_state
    if last is None or last.machine is not None or state.get("engine") != last.engine:
        return None
    if any(name not in state for name in _PLAIN):
        return None
    if state["model"] not in choices.models()[:-1] or state["on"] not in choices.hardware()[:-1]:
        return None
    if any(f"{last.engine}-{field.name}" in state for field in option_fields(last.engine)):
        return None
    return replace(last, **{name: state[name] for name in _PLAIN})


def remember(question: Asked) -> None:
    """Keep what the form said for the next run."""
    st.session_state[_LAST] = question

"""The question of one visitor: kept for the session, written into the address, changed by callbacks.

A callback runs before the page is drawn again, so everything below sees the question as it is now.
"""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from hardware_db import System
from hardware_db.records import frozen
from planner.errors import InputError
from planner.web import address, choices, devices
from planner.web.access import is_own_user
from planner.web.asked import BEST, LOCAL, Asked

_ASKED, _NOTES = "asked", "address-notes"
_WRITTEN, _OLD = "address-written", "address-old"
"""What of the address is the question's: as it was written last, and before that."""
_BEFORE, _SHOWN, _GO = "asked-before", "asked-shown", "go-to"
_PAGE, _COME = "page-shown", "page-come"
_TURN = "asked-turn"
_TAKEN = "asked-taken"
"""Model and engine that came with what was taken -> (value taken, value before)."""


@frozen
class Shown:
    """What the page showed last.

    Attributes:
        asked: the question.
        picked: what was picked for it, in words; empty where nothing was.
        engine: name of the engine that answered; empty where none did.
    """

    asked: Asked
    picked: str = ""
    engine: str = ""


def current() -> Asked:
    """Return the question; on a first run, and after Back, what the address asks."""
    query = query_of(st.query_params.to_dict())
    if query == st.session_state.get(_WRITTEN):
        st.session_state.pop(_OLD, None)
    if _ASKED not in st.session_state or _is_moved(query):
        asked, notes = address.read(query, first())
        _turn_to(asked)
        st.session_state[_NOTES] = (*notes, *_said_twice()) if query else ()
        st.session_state.pop(_BEFORE, None)
    found: Asked = st.session_state[_ASKED]
    return found


def _said_twice() -> tuple[str, ...]:
    """What an address says more than once: which value is taken."""
    several = {
        name: [*map(address.clean, st.query_params.get_all(name))] for name in st.query_params
    }
    return tuple(
        f"This link says {name} {len(values)} times: '{values[-1]}' is taken."
        for name, values in several.items()
        if address.is_question(name) and len(set(values)) > 1
    )


def _is_moved(query: dict[str, str]) -> bool:
    """Whether the address is the visitor's wish.

    A browser that has not heard of the last one sends the one before it with whatever is clicked.
    """
    if not query or query == st.session_state.get(_WRITTEN):
        return False
    return query != st.session_state.get(_OLD) or has_come_back()


def has_come_back() -> bool:
    """Whether this run is the browser's Back or Forward."""
    run = get_script_run_ctx()
    return run is not None and run.is_history_navigation


def arrive(page: str) -> None:
    """Note the page that is shown."""
    st.session_state[_COME] = st.session_state.get(_PAGE) != page
    st.session_state[_PAGE] = page


def has_just_come() -> bool:
    """Whether this run is the first on its page since another page was shown."""
    return bool(st.session_state.get(_COME))


def has_begun() -> bool:
    """Whether a page of this session was answered before."""
    return _SHOWN in st.session_state


def now() -> Asked:
    """Return the question as it is in a callback."""
    found: Asked | None = st.session_state.get(_ASKED)
    return found if found is not None else current()


def turn() -> int:
    """Return how many questions there were before this one.

    A list that offers something is drawn for one turn. A browser sends a table's choice again with
    the next click until it has heard that the table is gone; what is offered for an earlier turn
    takes nothing.
    """
    found: int = st.session_state.get(_TURN, 0)
    return found


def _turn_to(asked: Asked) -> None:
    st.session_state[_TURN] = turn() + 1
    st.session_state[_ASKED] = asked


def has_written() -> bool:
    """Whether the address of this session was written before."""
    return _WRITTEN in st.session_state


def _change_to(asked: Asked) -> None:
    """Take another question in a callback: the address is behind it from now on, and no wish."""
    _turn_to(asked)
    st.session_state[_WRITTEN] = query_of(st.query_params.to_dict())


def write() -> None:
    """Write the question into the address; one entry of the browser's history where it changed."""
    query = st.query_params.to_dict()
    words, said = address.words_of(st.session_state[_ASKED]), query_of(query)
    if said == words:
        st.session_state[_WRITTEN] = words
        return
    stale = [name for name in said if name not in words]
    others: dict[str, str | list[str]] = {
        name: st.query_params.get_all(name) for name in query if not address.is_question(name)
    }
    try:
        st.query_params.from_dict({**words, **others})
    except StreamlitAPIException:  # a field of the page holds one of the others
        for name in stale:
            del st.query_params[name]
        st.query_params.update(words)
    # a run that was ended before this has written nothing
    st.session_state[_WRITTEN], st.session_state[_OLD] = words, said


def query_of(query: dict[str, str]) -> dict[str, str]:
    """Return what of an address is the question's."""
    return {name: value for name, value in query.items() if address.is_question(name)}


def first() -> Asked:
    """Return what a first visitor sees: this machine, if it is the visitor's own and has a GPU."""
    asked = Asked(**choices.defaults())
    return replace(asked, on=LOCAL, count="1") if machine_of(replace(asked, on=LOCAL)) else asked


def notes() -> tuple[str, ...]:
    """Return what the visitor should know about the link that was followed."""
    found: tuple[str, ...] = st.session_state.get(_NOTES, ())
    return found


def machine_of(asked: Asked) -> System | None:
    """Return the hardware itself where it is not in the database; None where it is, or unknown."""
    if asked.on == LOCAL:
        try:
            return devices.this_machine() if is_own_user() else None
        except InputError:
            return None
    own = devices.own_devices().get(asked.on)
    if own is None:
        return None
    try:
        return devices.several(own, asked.number)
    except InputError:
        return None


def change(**fields: str | tuple[tuple[str, str], ...]) -> None:
    """Change fields of the question; for callbacks.

    A checkpoint that was fixed stays, unless the change names another model: it is not one of its
    checkpoints then.
    """
    put(address.spelled(replace(now(), **fields)))  # type: ignore[arg-type]


def put(asked: Asked, *, page: str | None = None) -> None:
    """Take another question; for callbacks.

    Args:
        asked: the question.
        page: name of the page to go to; None stays.
    """
    before = now()
    if asked != before:
        st.session_state[_BEFORE] = _shown_for(before)
        st.session_state[_NOTES] = ()
        _change_to(asked)
    if page is not None:
        st.session_state[_GO] = page


def take(asked: Asked, *, page: str | None = None) -> None:
    """Take the question of something that is offered: model and engine come with it; for callbacks."""
    before = now()
    known: dict[str, tuple[str, str]] = st.session_state.get(_TAKEN, {})
    found = {}
    for field in ("model", "engine"):
        old, new = getattr(before, field), getattr(asked, field)
        taken, first = known.get(field, ("", old))
        found[field] = (new, first if old == taken else old)
    st.session_state[_TAKEN] = found
    put(asked, page=page)


def let_pick() -> None:
    """Leave open again what was fixed; model and engine too, where they came with what was taken."""
    open_again = {"weights": BEST, "kv": "auto", "layout": BEST}
    for field, (taken, before) in st.session_state.pop(_TAKEN, {}).items():
        if getattr(now(), field) == taken:
            open_again[field] = before
    change(**open_again, options=())


def _shown_for(asked: Asked) -> Shown:
    found = shown()
    return found if found is not None and found.asked == asked else Shown(asked=asked)


def say(*notes: str) -> None:
    """Tell the visitor what a change did beside what was asked for; for callbacks, after it."""
    st.session_state[_NOTES] = notes


def undo() -> None:
    """Take the question before the last change; for callbacks."""
    before = st.session_state.get(_BEFORE)
    if before is not None:
        _change_to(before.asked)
        st.session_state.pop(_BEFORE)
        st.session_state[_NOTES] = ()  # they are of the change that is taken back


def before() -> Shown | None:
    """Return what was shown before the last change; None where nothing was changed."""
    found: Shown | None = st.session_state.get(_BEFORE)
    return found


def remember(now: Shown) -> None:
    """Keep what is shown now."""
    st.session_state[_SHOWN] = now


def shown() -> Shown | None:
    """Return what was shown last; None on a first run."""
    found: Shown | None = st.session_state.get(_SHOWN)
    return found


def wanted_page() -> str | None:
    """Return the page that a callback wants to go to, once."""
    found: str | None = st.session_state.pop(_GO, None)
    return found

"""The pickers: machine, model, with what, context, users; the rest is folded.

Every field shows what the question says and writes into it, so a field never knows better than the
address. That is its default, too: a browser that did not hear what a field shows reports the default.
What is told of a field that is gone, or of what it showed before (`fields`), changes nothing. What
cannot be understood is shown in its field as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import streamlit as st

from hardware_db import System
from planner.engines import ENGINES
from planner.engines.choice import DRAFTS
from planner.errors import InputError, PlannerError
from planner.recommending.wish import BESTS
from planner.registry import uses
from planner.units import letters, shown
from planner.web import choices, devices, fields, places, session
from planner.web.access import is_own_user
from planner.web.asked import (
    BEST,
    CUSTOM,
    LOCAL,
    MOST_COUNT,
    MOST_RAM,
    Asked,
    switch_word,
)
from planner.web.carried import left_behind, said_by
from planner.web.engine_options import ask_options
from planner.web.layout_fields import ask_layout
from planner.web.option_words import drafting_words
from planner.web.tables import escape
from planner.web.theme import fold
from planner.web.typed_names import KNOWN, is_of_several, listed_as

_MOST_NAMED = 4
"""Names that words typed into a list could mean, where they are told."""
_FOLD = "pickers-open"
_WIDE, _RAM, _GAP = 228, 112, 8
"""Pixels: the fields of machine and RAM, and what lies between two fields."""


def ask(asked: Asked, machine: System | None, engine: str | None) -> None:
    """Show the pickers.

    Args:
        asked: the question as it is.
        machine: the hardware, where it is known.
        engine: the engine that answers, where there is one.
    """
    is_open = bool(st.session_state.get(_FOLD))
    with st.container(key="fold"):
        st.button(
            summary(asked),
            icon=":material/expand_less:" if is_open else ":material/edit:",
            on_click=_toggle,
            width="stretch",
            key="fold-button",
        )
    with st.container(key="pickers", horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        _ask_machine(asked, machine)
        _select("Model", "model", asked.model, choices.models(), choices.model_label, 190)
        _select("With", "engine", asked.engine, choices.engines(machine), _engine_label, 145)
        yarn = asked.yarn == switch_word(True)
        _select("Context", "context", asked.context, choices.contexts(yarn=yarn), str, 98)
        _number("Users", "users", asked.users, 1_000_000, 95)
        with st.popover("More", icon=":material/tune:", key="more", on_change="rerun") as more:
            if more.open:
                _ask_more(asked, engine)
    if not is_open:
        fold()


def summary(asked: Asked) -> str:
    """Return the question in a few words, for a phone."""
    users = "1 user" if asked.users == "1" else f"{asked.users} users"
    count = f"{asked.count}× " if asked.count != "1" else ""
    place = places.by_id().get(asked.on)
    parts = [
        count + (place.short if place is not None else places.label_of(asked.on)),
        choices.model_label(asked.model) if asked.model != BEST else "best model",
        _engine_label(asked.engine) if asked.engine != BEST else "",
        asked.context,
        users,
    ]
    return escape(" · ".join(part for part in parts if part))


def _toggle() -> None:
    st.session_state[_FOLD] = not st.session_state.get(_FOLD)


def _ask_machine(asked: Asked, machine: System | None) -> None:
    own = devices.own_devices()
    local = (LOCAL,) if is_own_user() else ()
    listed = (*local, *own, *(place.on for place in places.places()))
    labels = places.labels() | {on: device.name for on, device in own.items()}
    if local:
        labels[LOCAL] = _this_machine()
    if asked.on not in labels:
        labels[asked.on] = places.label_of(asked.on)
    unified = machine.accelerator.is_unified if machine is not None else False
    beside = not unified and (machine is None or not machine.is_cpu_only)
    width = _WIDE if beside else _WIDE + _RAM + _GAP  # what the field of RAM leaves
    _select("Machine", "on", asked.on, listed, lambda on: labels.get(on) or on, width)
    place = places.by_id().get(asked.on)
    if asked.on != LOCAL:
        _number(place.several if place else "How many", "count", asked.count, MOST_COUNT, 95)
    if asked.on == CUSTOM:
        _number("GiB of each", "memory", asked.memory, MOST_COUNT, 105)
    if beside:
        _ram(asked, machine)


def _this_machine() -> str:
    with suppress(InputError):
        return f"This machine: {devices.this_machine().short_name}"
    return places.label_of(LOCAL)


def _engine_label(name: str) -> str:
    try:
        return choices.engine_label(name)
    except InputError:
        return name


def _select(
    label: str,
    field: str,
    value: str,
    options: tuple[str, ...],
    format_func: Callable[[str], str],
    width: int,
) -> None:
    """One picker; what is typed and not listed is taken as it is."""
    listed = options if value in options else (value, *options)
    key = fields.key_for(field, value)
    st.selectbox(
        label,
        listed,
        index=listed.index(value),
        key=key,
        format_func=format_func,
        accept_new_options=True,
        width=width,
        on_change=fields.hear,
        args=(field, key, partial(_picked, field)),
    )


def _picked(field: str, typed: str | None) -> None:
    value = (typed or "").strip()
    asked = session.now()
    if not value or value == getattr(asked, field):
        return
    value, notes = _meant(field, value)
    released, why = said_by(value, asked) if field == "on" else left_behind(field, value, asked)
    session.change(**{field: value, **released})
    fields.show(field, getattr(session.now(), field))  # its name instead of what was typed
    session.say(*notes, *why)


def _meant(field: str, typed: str) -> tuple[str, tuple[str, ...]]:
    """What was meant by words that are no name: the first of the list that has them in its name.

    Of machines there is no first: which of several it is has to be chosen.

    Returns:
        the value of the field, and what to tell the visitor about it.
    """
    if field in ("model", "engine") and letters(typed) == letters(_engine_label(BEST)):
        return BEST, ()
    if field not in KNOWN or KNOWN[field](typed) or is_of_several(field, typed):
        return typed, ()
    named = listed_as(field, typed)
    if not named or (field == "on" and len(named) > 1):
        return typed, ()
    if len(named) == 1:
        return named[0], ()
    labels = [_engine_label(name) if field == "engine" else name for name in named[:_MOST_NAMED]]
    more = " or others" if len(named) > _MOST_NAMED else ""
    could = f"{', '.join(labels)}{more}" if more else f"{', '.join(labels[:-1])} or {labels[-1]}"
    return named[0], (f"{shown(typed)} could be {could}: {labels[0]} is taken.",)


def _number(label: str, field: str, value: str, most: int, width: int) -> None:
    """A whole number; one that cannot be read is told by the answer, and the field is empty."""
    known = value.isdecimal() and len(value) <= 9 and 1 <= int(value) <= most
    number = int(value) if known else None
    key = fields.key_for(field, number)
    st.number_input(
        label,
        min_value=1,
        max_value=most,
        value=number,
        step=1,
        key=key,
        width=width,
        placeholder=value[:12] or "?",
        on_change=fields.hear,
        args=(field, key, partial(_counted, field)),
    )


def _counted(field: str, value: int | None) -> None:
    if value is not None:
        session.change(**{field: str(value)})


def _ram(asked: Asked, machine: System | None) -> None:
    known = machine.host_memory_gib if machine is not None else None
    hint = f"{known.value:g}" if known is not None and not asked.ram else "not said"
    key = fields.key_for("ram", asked.ram_gb)
    st.number_input(
        "RAM (GB)",
        min_value=1,
        max_value=MOST_RAM,
        value=asked.ram_gb,
        step=16,
        key=key,
        width=_RAM,
        placeholder=hint,
        help="Memory beside the GPU: experts and layers can lie there. As RAM is sold: 64 GB are"
        " 64 GiB. Empty: what is known.",
        on_change=fields.hear,
        args=("ram", key, _set_ram),
    )


def _set_ram(value: int | None) -> None:
    session.change(ram="" if value is None else str(value))


def _ask_more(asked: Asked, engine: str | None) -> None:
    with st.grid(2, gap="small"):
        _one_of("Best for", "best", asked.best, BESTS, "What comes first among what fits.")
        _one_of(
            "Used for",
            "use",
            asked.use,
            tuple(uses()),
            "Whose test scores decide between models, where the model is left open.",
        )
        _one_of(
            "KV cache",
            "kv",
            asked.kv,
            choices.cache_formats(),
            "Number format. auto: what the engine takes, or a smaller one where it helps.",
        )
        _switch("Pictures as input", "images", asked.images)
        _switch("YaRN beyond the native context", "yarn", asked.yarn)
        if engine is not None and engine in DRAFTS:
            _ask_drafts(asked, engine)
    ask_layout(asked)
    if engine is not None:
        st.markdown(f"**Options of {ENGINES[engine].title}**")
        values = {}
        if asked.options:
            with suppress(PlannerError):
                values = asked.option_values
        ask_options(engine, values, _set_option)


def _one_of(
    label: str, field: str, value: str, options: tuple[str, ...], told: str | None = None
) -> None:
    """One of a few words; one that is none of them is told by the answer, and the field is empty."""
    index = options.index(value) if value in options else None
    key = fields.key_for(field, value if index is not None else None)
    st.selectbox(
        label,
        options,
        index,
        key=key,
        on_change=fields.hear,
        args=(field, key, partial(_taken, field)),
        help=told,
    )


def _taken(field: str, value: str | None) -> None:
    if value is not None:
        session.change(**{field: value})


def _switch(label: str, field: str, value: str) -> None:
    fields.ask_switch(label, field, value == switch_word(True), partial(_switched, field))


def _switched(field: str, is_on: bool) -> None:
    session.change(**{field: switch_word(is_on)})


def _ask_drafts(asked: Asked, engine: str) -> None:
    """Ask in one place whether the model's own MTP module drafts: each engine has flags of its own."""
    words = drafting_words(engine)
    fields.ask_switch(
        "Speculative decoding (MTP)",
        "drafts",
        set(words) <= set(asked.options),
        partial(_set_drafts, engine),
        help="The model's own MTP module drafts tokens: most often faster, and it takes memory.",
    )


def _set_drafts(engine: str, is_on: bool) -> None:
    words = drafting_words(engine)
    names = [name for name, _ in words]
    others = tuple(pair for pair in session.now().options if pair[0] not in names)
    _set_options(engine, (*others, *words) if is_on else others)


def _set_option(engine: str, name: str, word: str | None) -> None:
    """An option belongs to its engine, which is fixed by it; without a word it is the default."""
    asked = session.now()
    kept = tuple(pair for pair in asked.options if pair[0] != name)
    _set_options(engine, (*kept, (name, word)) if word is not None else kept)


def _set_options(engine: str, options: tuple[tuple[str, str], ...]) -> None:
    asked = session.now()
    if options == asked.options:
        return
    fixed = asked.engine if asked.engine != BEST else engine
    session.change(options=options, engine=fixed)

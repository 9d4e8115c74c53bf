"""Context and concurrency: what a longer context costs, and how many requests several systems hold."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from planner.engines.yarn import short_tokens
from planner.errors import InputError, PlannerError
from planner.memory.breakdown import Kind
from planner.planning import Plan
from planner.question import Question, question_of
from planner.units import counted, format_gib
from planner.web import working
from planner.web.asked import CUSTOM, system
from planner.web.choices import tokens_label
from planner.web.curves import Curve, frontier, memory_curve, weights_in_ram
from planner.web.draw import draw
from planner.web.figures.context import memory_over_context, reach
from planner.web.places import label_of, places
from planner.web.tables import escape
from planner.web.theme import text_colour
from planner.web.wording import held_line, told, whole_words

MOST_SYSTEMS = 6


def show(plan: Plan, held: Plan) -> None:
    """Draw what context costs, and how far it goes.

    Args:
        plan: what was asked.
        held: what of it is held: the curve is theirs.
    """
    asked = question_of(held)
    st.subheader("What context costs")
    if few := held_line(plan, held):
        st.markdown(few)
    st.markdown(escape(here(held)))
    place = st.empty()
    try:
        with place, st.spinner("Planning longer and shorter contexts"):
            curve = working.run(memory_curve, asked)
    except PlannerError as error:
        place.info(told(error), icon=":material/info:")
        return
    if curve is None:
        return
    words = elsewhere(curve, held)
    with place.container():
        draw(
            memory_over_context(
                curve, asked=asked.context, text=text_colour(), whole=whole_words(plan)
            ),
            key="explore-memory",
            alt=f"Memory of the fullest GPU against the context. {words}",
        )
        st.markdown(escape(words))
    st.subheader("How many at once")
    _show_reach(question_of(plan))


def here(plan: Plan) -> str:
    """Return what the asked context takes, in words."""
    asked, rank = plan.deployment, plan.ranks[0]
    each = " on each GPU" if asked.system.count > 1 else ""
    kept = any(t.kind is Kind.RECURRENT_STATE and "checkpoints" in t.name for t in rank.terms)
    with_checkpoints = " with its checkpoints" if kept else ""
    stored = f" ({plan.allocation.kv_cache_dtype})" if plan.allocation is not None else ""
    text = (
        f"{counted(asked.concurrency, 'request')} of {tokens_label(asked.context)} tokens"
        f" {'takes' if asked.concurrency == 1 else 'take'}"
        f" {format_gib(rank.of_kind(Kind.KV_CACHE))} of KV cache{stored} and"
        f" {format_gib(rank.of_kind(Kind.RECURRENT_STATE))} of recurrent state{with_checkpoints}{each}."
    )
    if plan.capacity is not None and plan.capacity.longest_context:
        placed = ", with the weights where they lie now" if weights_in_ram(plan) else ""
        longest = short_tokens(plan.capacity.longest_context)
        text += f" One request alone may have {longest} tokens{placed}."
    return text


def elsewhere(curve: Curve, plan: Plan) -> str:
    """Return what the curve says of other contexts, in words."""
    at = next(p for p in curve.points if p.context >= min(curve.native, curve.points[-1].context))
    moved = curve.from_ram is not None and at.context >= curve.from_ram
    state, first = at.sizes[Kind.RECURRENT_STATE], curve.points[0].sizes[Kind.RECURRENT_STATE]
    grown = f", the recurrent state with its checkpoints {format_gib(state)}"
    text = (
        f"At {tokens_label(at.context)} tokens the KV cache takes"
        f" {format_gib(at.sizes[Kind.KV_CACHE])}{' of it' if moved else ''}"
        f"{grown if state > first else ''}, {format_gib(at.used)} in all."
        f"{' The recurrent state does not grow with the context.' if state == first else ''}"
    )
    if at.used > curve.usable and plan.longest_context >= at.context:
        over = format_gib(at.used - curve.usable)
        text += (
            f" It starts; what grows with use may take {over} more than there is."
            if plan.deployment.concurrency == 1
            else f" That is {over} more than there is: fewer are held at once."
        )
    if curve.from_ram is not None:
        part = "more" if curve.in_ram else "part"
        text = (
            f"From about {short_tokens(curve.from_ram)} on, {part} of the model lies in RAM, which is"
            f" slower; the curve shows the GPU's memory. {text}"
        )
    if at.every_layer is not None:
        text += (
            " A calculator that takes every layer for attention would say"
            f" {format_gib(at.every_layer)} in all."
        )
    if curve.points[-1].context > curve.native:
        text += f" The model was trained for {tokens_label(curve.native)} tokens: beyond, YaRN is needed."
    return text


def _show_reach(asked: Question) -> None:
    chosen = st.multiselect(
        "Compare with",
        [place.on for place in places() if place.on != CUSTOM],
        format_func=label_of,
        key="explore-with",
        max_selections=MOST_SYSTEMS,
        placeholder="another machine",
        help="One of each, in the layout that holds the most; the present choice is always drawn.",
    )
    compared = [(asked.system.short_name, asked)]
    for on in chosen[:MOST_SYSTEMS]:
        try:
            other = replace(asked, system=system(on, 1), layout=None)
        except InputError as error:
            st.markdown(f":material/info: {told(error)}")
            continue
        compared.append((other.system.short_name, other))
    if not chosen:
        compared += _more_of_it(asked)
    try:
        with st.spinner("Planning"):
            lines = {name: working.run(frontier, question) for name, question in compared}
    except PlannerError as error:
        st.info(told(error), icon=":material/info:")
        return
    empty = [name for name, points in lines.items() if not points]
    held: dict[str, tuple[tuple[int, int], ...]] = {}
    for name, points in lines.items():
        if points and points not in held.values():  # more of it that hold no more
            held[name] = points
    if held:
        draw(
            reach(
                held,
                asked=(asked.context, asked.concurrency),
                native=asked.checkpoint.model.max_position_embeddings,
                text=text_colour(),
            ),
            key="explore-reach",
            alt="Requests held at once against the context. " + _reach_words(held),
        )
    if empty:
        st.markdown(f":material/cancel: Does not fit at any context: {escape(', '.join(empty))}.")


def _more_of_it(asked: Question) -> list[tuple[str, Question]]:
    """Half, twice and four times as many of the same accelerator."""
    accelerator, count = asked.system.accelerator, asked.system.count
    found = []
    for number in (count // 2, count * 2, count * 4):
        try:
            other = system(accelerator.id, number)
        except InputError:
            continue  # none of it, or a device of the visitor's own
        found.append((other.short_name, replace(asked, system=other, layout=None)))
    return found


def _reach_words(lines: dict[str, tuple[tuple[int, int], ...]]) -> str:
    parts = []
    for name, points in lines.items():
        if points:
            (least, many), (most, few) = points[0], points[-1]
            parts.append(
                f"{name}: {many:,} at {tokens_label(least)} tokens down to {few:,} at"
                f" {tokens_label(most)}"
            )
    return "; ".join(parts)

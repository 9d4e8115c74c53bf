"""Context and concurrency: what a longer context costs, and how many sequences several systems hold."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from planner.errors import InputError
from planner.memory.breakdown import Kind
from planner.planning import Plan
from planner.question import Question, question_of
from planner.units import format_gib, format_tokens
from planner.web import places, working
from planner.web.asked import CUSTOM, system
from planner.web.curves import Point, frontier, memory_curve
from planner.web.draw import draw
from planner.web.figures.context import memory_over_context, reach
from planner.web.tables import escape
from planner.web.theme import text_colour

MOST_SYSTEMS = 6


def show(found: Plan) -> None:
    """Draw what context and users do to a plan."""
    if not found.ranks:
        return
    asked = question_of(found)
    points = working.run(memory_curve, asked)
    if not points:
        return
    st.subheader("What context costs")
    words = _words(points, found)
    st.markdown(escape(words))
    draw(
        memory_over_context(points, asked=asked.context, text=text_colour()),
        key="context-memory",
        alt=f"Memory of the fullest accelerator against the context. {words}",
    )
    st.subheader("How far it reaches")
    _show_reach(asked)


def _words(points: tuple[Point, ...], plan: Plan) -> str:
    native = plan.deployment.checkpoint.model.max_position_embeddings
    at = next((point for point in points if point.context == native), points[-1])
    cache = format_gib(at.rank.of_kind(Kind.KV_CACHE))
    state = format_gib(at.rank.of_kind(Kind.RECURRENT_STATE))
    many = plan.deployment.concurrency
    text = (
        f"{many:,} × {format_tokens(at.context)} tokens take **{cache}** of KV cache and **{state}**"
        " of recurrent state on each accelerator; the state does not grow with the context."
    )
    if at.every_layer is not None:
        plain = format_gib(at.every_layer.of_kind(Kind.KV_CACHE))
        text += f" A calculator that takes every layer for attention would say {plain} of KV cache."
    return text


def _show_reach(asked: Question) -> None:
    chosen = st.multiselect(
        "Compare with",
        [place.on for place in places.places() if place.on != CUSTOM],
        format_func=places.label_of,
        key="reach",
        max_selections=MOST_SYSTEMS,
        placeholder="more hardware",
        help="One of each; the present choice is always drawn.",
    )
    compared = [(asked.system.name, asked)]
    for on in chosen[:MOST_SYSTEMS]:
        try:
            other = replace(asked, system=system(on, 1), layout=None)
        except InputError as error:
            st.markdown(f":material/info: {escape(error)}")
            continue
        compared.append((other.system.name, other))
    if not chosen:
        compared += _more_of_it(asked)
    lines = {name: working.run(frontier, question) for name, question in compared}
    empty = [name for name, points in lines.items() if not points]
    draw(
        reach(
            {name: points for name, points in lines.items() if points},
            asked=(asked.context, asked.concurrency),
            text=text_colour(),
        ),
        key="reach-lines",
        alt="Sequences held at once against the context. " + _reach_words(lines),
    )
    if empty:
        st.markdown(f":material/cancel: No context fits on: {escape(', '.join(empty))}.")


def _more_of_it(asked: Question) -> list[tuple[str, Question]]:
    """Half, twice and four times as many of the same accelerator."""
    accelerator, count = asked.system.accelerator, asked.system.count
    found = []
    for number in (count // 2, count * 2, count * 4):
        try:
            other = system(accelerator.id, number)
        except InputError:
            continue  # none of it, or a device of the visitor's own
        found.append((other.name, replace(asked, system=other, layout=None)))
    return found


def _reach_words(lines: dict[str, tuple[tuple[int, int], ...]]) -> str:
    parts = []
    for name, points in lines.items():
        if points:
            (least, many), (most, few) = points[0], points[-1]
            parts.append(
                f"{name}: {many:,} at {format_tokens(least)} tokens down to {few:,} at"
                f" {format_tokens(most)}"
            )
    return "; ".join(parts)

"""Alternatives on the first page: dots of quality against speed, and buttons that take one."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from planner.recommending import Choice, Recommendation
from planner.recommending.words import TUNED
from planner.units import capital
from planner.web import session
from planner.web.draw import draw
from planner.web.figures.front import describe_front, dot_name, front_figure
from planner.web.tables import escape
from planner.web.theme import text_colour

_TAKE = "front-take"


def show_front(
    told: Recommendation, present: Choice | None, take: Callable[[Choice], None]
) -> None:
    """Show the pick and the front.

    Args:
        told: the recommendation.
        present: what the page shows now.
        take: called in a callback with the choice that the visitor wants.
    """
    assert told.pick is not None
    choices = [told.pick, *told.front]
    if present is not None and not any(_same(choice, present) for choice in choices):
        choices.append(present)
    place = next(
        (n for n, choice in enumerate(choices) if present is not None and _same(choice, present)), 0
    )
    drawn = [*choices[:place], *choices[place + 1 :], choices[place]]  # the present one on top
    dots = [choice for choice in drawn if choice.per_user is not None and choice.plan.fits]
    others = [choice for n, choice in enumerate(choices) if n != place and choice.plan.fits]
    if not others:
        st.markdown("**Alternatives**: none that is better in something.")
        return
    st.markdown("**Alternatives**: quality against speed; a large dot has memory to spare")
    if len(dots) > 1:
        marked = next((n for n, dot in enumerate(dots) if dot is choices[place]), -1)
        draw(
            front_figure(dots, marked, text=text_colour()),
            key="front",
            alt=describe_front(dots, marked),
        )
    turn = session.turn()
    labels = [_label(choice, choices, told.pick, choices[place]) for choice in others]
    st.session_state[_TAKE] = None
    st.pills(
        "Take instead",
        range(len(others)),
        format_func=lambda number: labels[number],
        key=_TAKE,
        on_change=lambda: _taken(others, take, turn),
        wrap=True,
    )
    flags = {economy.flags: None for choice in others for economy in choice.savings}
    if flags:
        st.markdown(
            f":small[{capital(TUNED)}: with settings that hold all users, where the engine's own hold"
            f" fewer: {', '.join(f'`{flag}`' for flag in flags)}.]"
        )


def _taken(others: list[Choice], take: Callable[[Choice], None], turn: int) -> None:
    number = st.session_state.get(_TAKE)
    if number is not None and turn == session.turn():
        take(others[number])


def _label(choice: Choice, among: list[Choice], pick: Choice, shown: Choice) -> str:
    """What is taken and what it is better in; the engine where it is another one."""
    better = choice.better or ("the pick" if choice is pick else "")
    other = choice.plan.engine != shown.plan.engine
    name = dot_name(choice, among, server=choice.plan.engine_title if other else "")
    return escape(f"{name}: {better}" if better else name)


def _same(one: Choice, other: Choice) -> bool:
    return (one.entry.name, one.plan.engine, one.plan.deployment.kv_cache_dtype) == (
        other.entry.name,
        other.plan.engine,
        other.plan.deployment.kv_cache_dtype,
    )

"""The line below the answer: what was picked and why, what the visitor fixed, and the way back."""

from __future__ import annotations

import streamlit as st

from planner.planning import Outcome
from planner.recommending.reasons import chosen
from planner.units import capital
from planner.web import choices, places, session
from planner.web.asked import BEST, Asked
from planner.web.line import named
from planner.web.option_words import option_said
from planner.web.problems import Problem
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.typed_names import KNOWN, listed_as, nearly_listed_as
from planner.web.wording import layout_words

_MOST_INSTEAD = 3


def show_pick(asked: Asked, found: Answer) -> None:
    """Show what was picked, and why; keep it, to say later what a change changed."""
    with st.container(key="picked", horizontal=True, vertical_alignment="center", gap="small"):
        if found.problems:
            for problem in found.problems:
                _show_instead(asked, problem)
            _show_undo()
            return
        now = _words(found)
        before = session.before()
        anew = before is not None and bool(before.picked) and before.picked != now
        if anew and found.picked and before is not None:
            st.markdown(
                f":material/autorenew: :small[Picked anew: **{escape(now)}**, instead of"
                f" {escape(before.picked)}.]",
                width="content",
            )
            _show_undo()
        if words := _why(asked, found):
            st.markdown(words, width="content")
        fixed = fixed_words(asked)
        if fixed:
            st.markdown(
                f":material/push_pin: Fixed by you: {', '.join(f'**{escape(what)}**' for what in fixed)}.",
                width="content",
            )
            st.button(
                "Let it pick",
                type="tertiary",
                icon=":material/auto_awesome:",
                on_click=session.let_pick,
                key="let-it-pick",
            )
        if not (anew and found.picked):
            _show_undo()
        engine = found.plan.engine if found.plan is not None else ""
        session.remember(
            session.Shown(asked=asked, picked=now if found.picked else "", engine=engine)
        )


def fixed_words(asked: Asked) -> list[str]:
    """Return what of a checkpoint, its cache, layout and options the visitor fixed."""
    fixed = [asked.weights] if asked.weights != BEST else []
    fixed += [f"KV cache {asked.kv}"] if asked.kv != "auto" else []
    fixed += [f"layout {asked.layout}"] if asked.layout != BEST else []
    engine = asked.policy.name if asked.options and asked.policy is not None else ""
    return [*fixed, *(option_said(engine, name, value) for name, value in asked.options)]


def _show_undo() -> None:
    if session.before() is not None:
        st.button(
            "Undo", type="tertiary", icon=":material/undo:", on_click=session.undo, key="undo"
        )


def _words(found: Answer) -> str:
    if found.plan is None:
        return ""
    entry = found.choice.entry if found.choice is not None else None
    return f"{named(found.plan, entry)} with {found.plan.engine_title}"


def _why(asked: Asked, found: Answer) -> str:
    """Why this was picked; empty where nothing was."""
    fixed = found.wanted.fixed if found.wanted is not None else None
    if fixed is not None and fixed.engine is not None and fixed.precision is not None:
        return ""
    if found.picked and found.recommendation is not None and found.choice is not None:
        why = ". ".join(chosen(found.recommendation, found.choice, brief=True))
        return f":material/auto_awesome: :small[Picked: {escape(capital(layout_words(why)))}.]"
    if found.plan is not None and found.plan.outcome is Outcome.CANNOT_RUN:
        return ""
    if found.recommendation is not None and found.plan is not None and found.plan.fits:
        title = found.plan.engine_title
        if found.choice is not None and found.choice.needs_ram is not None:
            return f":material/info: It needs {found.choice.needs_ram} GiB of RAM; how much there is was not said."
        return (
            f":material/info: No checkpoint is picked for {title}: this is the model as published."
        )
    if found.recommendation is not None and found.plan is not None:
        precision = fixed.precision if fixed is not None else None
        stored = f" stored as {escape(precision)}" if precision else ""
        so = " with the options that you set" if asked.options else ""
        return f":material/info: No known checkpoint{stored} fits here{so}; this comes nearest."
    return ""


def _show_instead(asked: Asked, problem: Problem) -> None:
    """Buttons with values that would work: what the list has of the words typed, else the nearest."""
    typed = getattr(asked, problem.part) if problem.part in KNOWN else ""
    listed = listed_as(problem.part, typed) if typed else ()
    near = () if listed or problem.instead else nearly_listed_as(problem.part, typed)
    for value in (listed or problem.instead or near)[:_MOST_INSTEAD]:
        st.button(
            _offer(problem.part, value),
            on_click=session.change,
            kwargs={problem.part: value},
            key=f"instead-{problem.part}-{value}",
        )


def _offer(part: str, value: str) -> str:
    if part == "yarn":
        return "Extend with YaRN"
    if part == "engine":
        return f"With {choices.engine_label(value)}" if value != BEST else "Let it pick"
    name = places.label_of(value) if part == "on" else value.rpartition("/")[2]
    return f"Use {name}"

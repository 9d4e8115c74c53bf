"""Layouts: every way to spread the model over the hardware, ranked, with the reasons against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import pandas as pd
import streamlit as st

from planner.errors import PlannerError
from planner.layout import Layout
from planner.planning import Outcome, Plan
from planner.question import question_of
from planner.search import Objective, Suggestion
from planner.throughput import SpeedEstimate
from planner.units import GIB
from planner.web import session, working
from planner.web.asked import layout_word
from planner.web.draw import draw
from planner.web.figures.layout_map import MOST, describe_layout, layout_map
from planner.web.frames import chosen_of, rounded, tinted
from planner.web.holdings import holdings
from planner.web.palette import LOOKS
from planner.web.searching import layouts
from planner.web.tables import escape
from planner.web.theme import text_colour
from planner.web.wording import layout_key, layout_words, on_page, told

MOST_LETTERS = 80
"""Of the reason in the table."""

COLUMNS = {
    "layout": st.column_config.TextColumn("Layout", pinned=True, width=136),
    "verdict": st.column_config.TextColumn("Verdict", width=100),
    "per user": st.column_config.NumberColumn(
        "tok/s each", format="localized", width=82, help="About, mid-way to the full context."
    ),
    "total": st.column_config.NumberColumn("tok/s in all", format="localized", width=88),
    "headroom": st.column_config.NumberColumn(
        "Spare (GiB)", format="%.1f", width=88, help="On the fullest GPU."
    ),
    "held": st.column_config.NumberColumn("At once", format="localized", width=70),
    "why": st.column_config.TextColumn("Why", width=540),
}


def show(plan: Plan) -> None:
    """Draw the table, and who holds what."""
    asked = plan.deployment
    if asked.system.count == 1:
        st.info(
            "One accelerator: there is nothing to spread. Choose two or more to compare layouts.",
            icon=":material/grid_view:",
        )
        return
    objective = st.segmented_control(
        "Best for",
        get_args(Objective),
        default="latency",
        required=True,
        key="explore-objective",
        help="Among layouts that hold the workload, by estimated speed, price or memory.",
        bind="query-params",
    )
    try:
        with st.spinner("Planning every layout"):
            ranked = working.run(layouts, question_of(plan), objective or "latency")
    except PlannerError as error:
        st.info(told(error), icon=":material/info:")
        return
    held = sum(entry.plan.fits for entry in ranked)
    st.markdown(
        f"**{held} of {len(ranked)} layouts** hold the workload, the best first; the present one is"
        f" **{escape(layout_words(asked.layout))}**. Click a row to see and take it."
    )
    st.markdown(f":small[{layout_key(entry.layout for entry in ranked)}.]")
    chosen = chosen_of(
        ranked,
        tinted(table(ranked), "verdict", [LOOKS[entry.plan.outcome].tone for entry in ranked]),
        COLUMNS,
        key="explore-layout",
        alt="Layouts, the best first",
        names=[layout_word(entry.layout) for entry in ranked],
    )
    if chosen is not None:
        _show_chosen(chosen)
    layout = chosen.layout if chosen is not None else asked.layout
    if chosen is None or chosen.legal:
        _show_map(plan, layout)


def _show_chosen(chosen: Suggestion) -> None:
    with st.container(border=True):
        st.markdown(f"**{escape(layout_words(chosen.layout))}**: {told(chosen.why)}")
        for note in chosen.notes:
            st.markdown(f"- {told(note)}")
        if chosen.legal:
            st.button(
                f"Use {layout_words(chosen.layout)}",
                icon=":material/check:",
                key="explore-use",
                on_click=session.change,
                kwargs={"layout": layout_word(chosen.layout)},
            )


def table(ranked: Sequence[Suggestion]) -> pd.DataFrame:
    """Return one row per layout."""
    lines = [
        {
            "layout": layout_words(entry.layout),
            "verdict": f"{LOOKS[entry.plan.outcome].mark} {LOOKS[entry.plan.outcome].word}",
            "per user": _rate(entry, "per_user"),
            "total": _rate(entry, "total"),
            "headroom": _spare(entry.plan),
            "held": entry.plan.capacity.sequences if entry.plan.capacity else None,
            "why": _why(entry),
        }
        for entry in ranked
    ]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(("per user", "total", "headroom", "held"), "float64"))


def _why(entry: Suggestion) -> str:
    """What is to be said of a layout, as much of it as its cell holds; a click shows the rest."""
    if entry.legal and entry.plan.fits and not entry.notes:
        return ""
    words = "; ".join(entry.notes) if entry.legal and entry.notes else on_page(entry.why)
    if len(words) <= MOST_LETTERS:
        return words
    short = words[: MOST_LETTERS - 1]
    end = max(short.rfind("; "), short.rfind(", "))
    return f"{short[: end if end > 0 else None]} …"


def _rate(entry: Suggestion, name: str) -> float | None:
    if not isinstance(entry.speed, SpeedEstimate):
        return None
    return rounded(getattr(entry.speed, name).value)


def _show_map(plan: Plan, layout: Layout) -> None:
    """Who holds what, folded; drawn once it is opened."""
    fold = st.expander(
        f"Who holds what under {layout_words(layout)}",
        icon=":material/view_column:",
        key="explore-who",
        on_change="rerun",
    )
    if not fold.open:
        return
    held = holdings(plan.deployment.checkpoint.model, layout)
    with fold:
        if len(held) > MOST:
            st.markdown(f"The first {MOST} of {len(held)}; the others repeat the pattern.")
        draw(
            layout_map(held[:MOST], text=text_colour()),
            key="layout-map",
            alt=describe_layout(held[:MOST]),
        )


def _spare(plan: Plan) -> float | None:
    """Return what is to spare, in GiB; None where fewer are held, of whom "At once" tells."""
    if plan.headroom is None or plan.outcome is Outcome.HOLDS_FEWER:
        return None
    return plan.headroom / GIB

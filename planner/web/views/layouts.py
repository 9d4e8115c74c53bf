"""Layouts: every way to spread the model over the hardware, ranked, with the reasons against."""

from __future__ import annotations

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
from planner.web.holdings import holdings
from planner.web.palette import LOOKS
from planner.web.searching import layouts
from planner.web.tables import escape
from planner.web.theme import text_colour

_MARKS = {
    Outcome.FITS: "✓",
    Outcome.TIGHT: "!",
    Outcome.HOLDS_FEWER: "◐",
    Outcome.DOES_NOT_FIT: "✗",
    Outcome.CANNOT_RUN: "⊘",
}
_TABLE = "layouts-table"


def show(found: Plan) -> None:
    """Draw the layouts of a plan's question."""
    objective = st.segmented_control(
        "Best for",
        get_args(Objective),
        default="latency",
        required=True,
        key="objective",
        help="Among layouts that hold the workload, by estimated speed, price or memory.",
        bind="query-params",
    )
    try:
        with st.spinner("Planning every layout"):
            ranked = working.run(layouts, question_of(found), objective or "latency")
    except PlannerError as error:
        st.markdown(f":material/info: {escape(error)}")
        return
    picked = st.dataframe(
        table(ranked),
        key=_TABLE,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "headroom": st.column_config.NumberColumn("headroom (GiB)", format="%.1f"),
            "per user": st.column_config.NumberColumn("tok/s per user, about", format="%.2g"),
            "why": st.column_config.TextColumn("why", width="large"),
        },
        alt="Layouts, the best first: " + "; ".join(f"{s.layout}: {s.why}" for s in ranked[:8]),
    )
    rows = picked.selection.rows
    chosen = ranked[rows[0]] if rows and rows[0] < len(ranked) else None
    layout = chosen.layout if chosen is not None else found.deployment.layout
    if chosen is not None:
        st.button(
            f"Use {layout} for this deployment",
            icon=":material/check:",
            on_click=session.change,
            kwargs={"layout": layout_word(layout)},
        )
        st.markdown(escape(chosen.why))
        for note in chosen.notes:
            st.markdown(f"- {escape(note)}")
    _show_map(found, layout, legal=chosen is None or chosen.legal)


def table(ranked: tuple[Suggestion, ...]) -> pd.DataFrame:
    """One row per layout."""
    return pd.DataFrame(
        [
            {
                "layout": str(entry.layout),
                "verdict": f"{_MARKS[entry.plan.outcome]} {LOOKS[entry.plan.outcome].word}",
                "headroom": _gib(entry.plan.headroom),
                "sequences": entry.plan.capacity.sequences if entry.plan.capacity else None,
                "per user": entry.speed.per_user.value
                if isinstance(entry.speed, SpeedEstimate)
                else None,
                "why": "; ".join(entry.notes) if entry.legal and entry.notes else entry.why,
            }
            for entry in ranked
        ]
    )


def _gib(size: int | None) -> float | None:
    return None if size is None else size / GIB


def _show_map(plan: Plan, layout: Layout, *, legal: bool) -> None:
    if not legal:
        return
    held = holdings(plan.deployment.checkpoint.model, layout)
    st.subheader(f"Who holds what under {layout}")
    if len(held) > MOST:
        st.markdown(f"The first {MOST} of {len(held)}; the others repeat the pattern.")
    draw(
        layout_map(held[:MOST], text=text_colour()),
        key="layout-map",
        alt=describe_layout(held[:MOST]),
    )

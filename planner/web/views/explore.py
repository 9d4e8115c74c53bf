"""Explore: what a longer context and more users take, and every way to spread the model."""

from __future__ import annotations

import streamlit as st

from planner.web.asked import Asked
from planner.web.frames import kept_tabs
from planner.web.solving import Answer
from planner.web.views import context, layouts
from planner.web.wording import told

TABS = ("Context and users", "Layouts")


def show(asked: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    plan = found.plan
    if plan is None:
        st.info(
            "There is no plan to look around from: change the question.", icon=":material/explore:"
        )
        return
    reach, spread = kept_tabs(TABS, key="explore-tab")
    if reach.open:
        with reach:
            if plan.ranks:
                context.show(plan, found.held or plan)
            else:
                st.info(
                    f"No context can be drawn: {told(plan.verdict)}",
                    icon=":material/block:",
                )
    if spread.open:
        with spread:
            layouts.show(plan)

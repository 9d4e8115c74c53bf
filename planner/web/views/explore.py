"""Explore: what a longer context and more users take, and every way to spread the model."""

from __future__ import annotations

import streamlit as st

from planner.web.asked import Asked
from planner.web.solving import Answer
from planner.web.views import context, layouts


def show(asked: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    if found.plan is None:
        return
    reach, spread = st.tabs(["Context and users", "Layouts"], on_change="rerun", key="explore-tabs")
    if reach.open:
        with reach:
            context.show(found.plan)
    if spread.open:
        with spread:
            layouts.show(found.plan)

"""The frame of every page: settings, navigation, the question, the verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from planner.errors import PlannerError
from planner.plan import Plan
from planner.web.address import clean_address
from planner.web.form import ask
from planner.web.palette import LOOKS
from planner.web.question import Question, answer
from planner.web.views import size


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page.

    Attributes:
        name: in the address; empty for the first page.
        title: in the menu and on top of the page.
        help: what one finds there.
        show: draws it, given the question and its answer.
    """

    name: str
    title: str
    help: str
    show: Callable[[Question, Plan | PlannerError], None]


VIEWS = (
    View(
        name="",
        title="Size a deployment",
        help="Does this model run there, where does the memory go, and what to type.",
        show=size.show,
    ),
)


def show() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="qwenplan", page_icon="📐", layout="wide")
    clean_address()
    pages = [_page(view) for view in VIEWS]
    view = VIEWS[pages.index(st.navigation(pages, position="top"))]
    st.title(view.title)
    head = st.container()
    if view.name:
        with st.expander("Model, hardware and workload", icon=":material/edit:"):
            question = ask(wide=True)
        body = st.container()
    else:
        left, body = st.columns([5, 11], gap="large")
        with left:
            question = ask(wide=False)
    found = answer(question)
    with head:
        show_verdict(found)
    with body:
        view.show(question, found)


def _page(view: View) -> st.Page:
    return st.Page(
        lambda: None,
        title=view.title,
        url_path=view.name,
        default=not view.name,
        help=view.help,
    )


def show_verdict(found: Plan | PlannerError) -> None:
    """The verdict, or the sentence that says what is wrong with the question."""
    if isinstance(found, PlannerError):
        st.error(str(found), title="This cannot be planned", icon=":material/help:")
        return
    look = LOOKS[found.outcome]
    text = found.verdict.removeprefix(f"{look.word}: ").removeprefix(f"{look.word} ")
    body = text[:1].upper() + text[1:]
    alert = {"success": st.success, "warning": st.warning, "error": st.error}[look.alert]
    alert(body, title=look.word, icon=look.icon)

"""The frame of every page: settings, navigation, the question, the verdict."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import streamlit as st

from planner.errors import PlannerError
from planner.planning import Plan
from planner.units import capital
from planner.web import working
from planner.web.address import NOTICE, clean_address
from planner.web.answering import answer
from planner.web.apply import FIRST_PAGE, apply
from planner.web.asked import Asked
from planner.web.early import expected, remember
from planner.web.form import ask
from planner.web.palette import LOOKS
from planner.web.tables import escape
from planner.web.theme import follow_theme


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One page.

    Attributes:
        name: in the address; empty for the first page.
        title: in the menu and on top of the page.
        help: what one finds there.
        module: of `planner.web.views`; imported when the page is first opened, because tables and
            figures bring libraries that take a while to load.
    """

    name: str
    title: str
    help: str
    module: str

    def show(self, question: Asked, found: Plan | PlannerError) -> None:
        """Draw the page below the verdict."""
        import_module(f"planner.web.views.{self.module}").show(question, found)


VIEWS = (
    View(
        name="",
        title="Size a deployment",
        help="Does this model run there, where does the memory go, and what to type.",
        module="size",
    ),
    View(
        name="fits",
        title="What fits",
        help="Which hardware holds this workload, in which precision, and how many of it.",
        module="fits",
    ),
    View(
        name="context",
        title="Context and concurrency",
        help="What a longer context costs, and how many sequences several systems hold.",
        module="context",
    ),
    View(
        name="layouts",
        title="Layouts",
        help="Every way to spread the model over the accelerators, ranked, and who holds what.",
        module="layouts",
    ),
    View(
        name="model",
        title="Model",
        help="Layers, parameters, checkpoint sizes, and what is stored in which format.",
        module="model",
    ),
    View(
        name="hardware",
        title="Hardware",
        help="The database with a source per figure, and devices of your own.",
        module="hardware",
    ),
    View(
        name="compare",
        title="Compare",
        help="Up to four deployments side by side, with cost and break-even.",
        module="compare",
    ),
    View(
        name="why",
        title="Why trust it",
        help="Every term with its rule, the numbers put in, and where the rule was read.",
        module="why",
    ),
)


def show() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="qwenplan", page_icon="📐", layout="wide")
    pages = [_page(view) for view in VIEWS]
    view = VIEWS[pages.index(st.navigation(pages, position="top"))]
    st.session_state[FIRST_PAGE] = pages[0]
    clean_address()
    st.title(view.title)
    if notice := st.session_state.get(NOTICE):
        st.markdown(f":material/info: {escape(notice)}")
    working.start()
    head, below = st.empty(), st.container()
    guess = expected()
    if guess is not None:
        with head.container():
            show_verdict(answer(guess))
    if view.name:
        with st.expander("Model, hardware and workload", icon=":material/edit:"):
            question = ask(wide=True)
        body = st.container()
    else:
        left, body = st.columns([5, 11], gap="large")
        with left:
            question = ask(wide=False)
    remember(question)
    found = answer(question)
    if question != guess:
        with head.container():
            show_verdict(found)
    with below:
        if isinstance(found, PlannerError) and "YaRN" in str(found) and not question.yarn:
            st.button("Extend with YaRN", on_click=apply, args=({"yarn": True},))
    with body:
        try:
            view.show(question, found)
        except PlannerError as error:  # no time for a part of the page
            st.markdown(f":material/info: {escape(error)}")
    follow_theme()
    _keep_what_is_loaded()


@cache
def _keep_what_is_loaded() -> None:
    """Once: take catalog, database and libraries out of the garbage collector's rounds.

    A full round over them takes 40 to 60 ms, which some visitor would wait for at a key press.
    """
    gc.collect()
    gc.freeze()


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
        st.error(escape(found), title="This cannot be planned", icon=":material/help:")
        return
    look = LOOKS[found.outcome]
    text = found.verdict.removeprefix(f"{look.word}: ").removeprefix(f"{look.word} ")
    alert = {"success": st.success, "warning": st.warning, "error": st.error}[look.alert]
    alert(escape(capital(text)), title=look.word, icon=look.icon)

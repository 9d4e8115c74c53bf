"""The frame of every page: navigation, the question, the answer in one line, then the page itself.

A page is a module of `planner.web.views` with one function::

    def show(asked: Asked, found: Answer) -> None:

`asked` is the question in the visitor's words (`planner.web.asked`), `found` the answer
(`planner.web.answering`). The frame has drawn navigation, pickers and the answer's line before, and
calls `show` only where `found.problems` is empty; `found.plan` is None where nothing comes near, and
pages of reference (`View.reference`) are called without pickers, line and plan. What a page offers:

- **change the question**: `session.change(context="64k", weights="...")` in a callback; values are
  the words of `Asked`. `session.put(asked_of(plan), page="")` takes the question that a plan answers
  and goes to a page by its name ("" is the first).
- **ask further plans**: `question_of(found.plan)` and `with_`; `alternatives(found)` has the front.
- **fields of its own**: with a key that begins with the page's name ("fits-vendor"); they may be
  bound to the address (`bind="query-params"`), the question's own names may not.
- **say something foreign**: through `tables.escape`.
"""

from __future__ import annotations

import gc
import socket
import sys
import time
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import streamlit as st

from hardware_db import System
from hardware_db.last_good import mistake_now
from hardware_db.records import frozen
from planner.cli import collect_rarely
from planner.errors import PlannerError
from planner.units import shown
from planner.web import choices, pace, session, solving, working
from planner.web.access import hub_allowed, is_own_user
from planner.web.address import words_of
from planner.web.answering import answer
from planner.web.asked import Asked, says_ram, system
from planner.web.growth import stay_small
from planner.web.kinds import read_by_kind
from planner.web.line import show_line
from planner.web.picked import show_pick
from planner.web.pickers import ask, summary
from planner.web.solving import Answer
from planner.web.theme import begin_at_top, behave, follow_theme
from planner.web.wording import told

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


_INTERNET = (socket.AF_INET, socket.AF_INET6)

_TURN = 0.0005
"""Seconds after which a thread that computes lets another go on."""

_SEEN_AFTER = 0.05
"""Seconds from an answer to the rest of its page: a browser that gets both at once shows both later."""


@frozen
class View:
    """One page.

    Attributes:
        name: in the address; empty for the first page.
        title: in the menu.
        help: what one finds there.
        reference: facts that are no answer: shown without the question and without a verdict.
        was: names that its address had before.
    """

    name: str
    title: str
    help: str
    reference: bool = False
    was: tuple[str, ...] = ()

    def show(self, asked: Asked, found: Answer) -> None:
        """Draw the page below the answer; its module is loaded when it is first opened."""
        import_module(f"planner.web.views.{self.name or 'run'}").show(asked, found)


VIEWS = (
    View(name="", title="Run it", help="What to run on a machine, and what to type."),
    View(name="fits", title="What fits", help="Which machines hold it, and how many of each."),
    View(
        name="explore",
        title="Explore",
        help="What a longer context, more users and other layouts do.",
        was=("context", "layouts"),
    ),
    View(name="compare", title="Compare", help="Up to four side by side, with what each costs."),
    View(
        name="trust",
        title="Trust",
        help="Every number with its rule and source; paste a log.",
        was=("why",),
    ),
    View(
        name="models",
        title="Models",
        help="What can be downloaded, how large it is, what it loses.",
        reference=True,
        was=("model",),
    ),
    View(
        name="hardware",
        title="Hardware",
        help="The database, a source per figure, and devices of your own.",
        reference=True,
    ),
)


def show() -> None:
    """Draw the page that the address names."""
    send_at_once()
    read_by_kind()
    with pace.drawn():
        _show()


def _show() -> None:
    st.set_page_config(page_title="qwenplan", page_icon="📐", layout="wide")
    pages = {view.name: _page(view) for view in VIEWS}
    moved = {name: _moved(name) for view in VIEWS for name in view.was}
    opened = st.navigation([*pages.values(), *moved.values()], position="top")
    working.start()
    asked = session.current()
    for view in VIEWS:
        for name in view.was:
            if opened == moved[name]:
                st.switch_page(pages[view.name], query_params=words_of(asked))
    view = next(view for view in VIEWS if pages[view.name] == opened)
    session.arrive(view.name)
    target = session.wanted_page()
    if target is not None and target != view.name:
        st.switch_page(pages[target], query_params=words_of(asked))
    if view.reference:
        if session.has_written():
            session.write()
        _prepare(view)
        st.title(view.title)
        for note in _mistake_of_the_owner():
            st.markdown(f":material/info: {told(note)}")
        view.show(asked, Answer())
    else:
        _show_answered(view, asked)
    # the first address takes the place of what was typed or followed: by now `behave` is there
    session.write()
    _keep_what_is_loaded()
    stay_small()


def _show_answered(view: View, asked: Asked) -> None:
    machine = session.machine_of(asked)
    pickers, line, pick = st.container(key="question"), st.container(key="line"), st.container()
    begun = session.has_begun()
    # at first nothing is there yet: the fields first; later they are, and the answer is awaited
    if not begun:
        _prepare(view)
        _show_pickers(pickers, asked, machine)
    with line:
        place = st.container(key="answer")
        with st.spinner(f"Computing for {summary(asked)}"):
            found = answer(asked, machine, hub=hub_allowed())
            with place:
                show_line(asked, found)
    if begun:
        _let_it_be_seen()
        session.write()  # not before: a browser that goes to another address shows the answer later
        _prepare(view)
        _show_pickers(pickers, asked, machine)
    with pick:
        show_pick(asked, found)
    for note in (*_mistake_of_the_owner(), *session.notes(), *_said_twice(asked, machine)):
        st.markdown(f":material/info: {told(note)}")
    if not found.problems:
        try:
            view.show(asked, found)
        except PlannerError as error:  # no time for a part of the page
            st.markdown(f":material/info: {told(error)}")


def _let_it_be_seen() -> None:
    """Let the server send the answer; who computes in the calling thread has no server to wait for."""
    if working.workers():
        time.sleep(_SEEN_AFTER)


def _prepare(view: View) -> None:
    """What is not seen: styles, where a page begins, what keys do."""
    follow_theme()
    begin_at_top(view.name)
    behave()


def _show_pickers(place: DeltaGenerator, asked: Asked, machine: System | None) -> None:
    with place:
        ask(asked, _system(asked, machine), _engine(asked))


def _mistake_of_the_owner() -> tuple[str, ...]:
    """What is wrong with the machine's hardware file, for whoever can mend it."""
    mistake = mistake_now()
    if not mistake or not is_own_user():
        return ()
    return (f"{mistake}. What your hardware file said before is used until you mend it.",)


def _said_twice(asked: Asked, machine: System | None) -> tuple[str, ...]:
    """RAM that its field and the machine's name say: which of them is taken."""
    try:
        found = machine or system(asked.on, asked.number, asked.memory)
    except PlannerError:
        return ()
    known = found.host_memory_gib
    if not asked.ram or known is None or not says_ram(found):
        return ()
    return (
        f"RAM: {asked.ram} GB, as its field says, in place of the {known.value:g} GB in"
        f" {shown(asked.on)}.",
    )


def _system(asked: Asked, machine: System | None) -> System | None:
    try:
        return asked.system_of(machine)
    except PlannerError:
        return None


def _engine(asked: Asked) -> str | None:
    """The engine whose options can be set: the named one, else the one that answered last."""
    try:
        policy = asked.policy
    except PlannerError:
        return None
    if policy is not None:
        return policy.name
    last = session.shown()
    return last.engine or None if last is not None else None


@cache
def send_at_once() -> None:
    """Once: let the server's connections, and those that it accepts later, send without waiting.

    Streamlit makes its listening socket without naming TCP, and asyncio turns Nagle's algorithm off
    only where it is named. So what follows the two short messages that begin a run waited until they
    were acknowledged: by a distance, and for 40 ms where the other end puts that off. What is accepted
    takes this over from the socket that listens.

    Source: Streamlit 1.67 web/server/starlette/starlette_server.py (`_bind_socket`), CPython 3.11
    asyncio/base_events.py (`_set_nodelay`).
    """
    for thing in gc.get_objects():
        if type(thing) is socket.socket and thing.family in _INTERNET:
            with suppress(OSError):  # closed meanwhile, or no stream
                thing.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@cache
def _keep_what_is_loaded() -> None:
    """Once: take catalog, database and libraries out of the garbage collector's rounds.

    A full round over them takes 40 to 60 ms, which some visitor would wait for at a key press. What
    one page draws lets the thread that sends it go on within a millisecond: an answer is seen before
    the page below it is done. And the other worker processes begin with what most visitors ask first.
    """
    gc.collect()
    gc.freeze()
    collect_rarely()
    sys.setswitchinterval(_TURN)
    working.warm(solving.solve, Asked(**choices.defaults()), None, None)


def _page(view: View) -> st.Page:
    return st.Page(
        lambda: None,
        title=view.title,
        url_path=view.name,
        default=not view.name,
        help=view.help,
    )


def _moved(name: str) -> st.Page:
    """An address that a page had before: it leads there."""
    return st.Page(lambda: None, title=name, url_path=name, visibility="hidden")

"""What would make it fit, on the first page: changes that are one click away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import streamlit as st

from planner.errors import PlannerError
from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending import Choice, Miss, Wanted
from planner.recommending.text import better_by, first_better
from planner.recommending.wish import LEAST_SPEED
from planner.recommending.words import rate_words
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.throughput.answer import two_digits
from planner.units import capital, format_gib
from planner.web import session, working
from planner.web.asked import BEST, Asked
from planner.web.line import named
from planner.web.searching import advice, with_ram_that_holds
from planner.web.solving import Answer, entry_of
from planner.web.taken import take
from planner.web.theme import show_command
from planner.web.wording import told

T = TypeVar("T")


def show_changes(asked: Asked, found: Answer, plan: Plan) -> bool:
    """Show what would have to change for the workload to be held.

    Returns:
        whether more RAM is among it.
    """
    if found.misses:
        ram = _ram_instead(asked, found, plan)
        show_misses(asked, found, ram=ram)
        return ram is not None
    with st.skeleton(height=60):
        changes = working.run(advice, question_of(plan))
        ram = _ram_instead(asked, found, plan)
    if changes or ram is not None:
        enough = ram is not None or any(entry.enough for entry in changes)
        helps = "**What helps, but is not enough**"
        works = "**What would run**" if not plan.ranks else "**What would make it fit**"
        st.markdown(works if enough else helps)
    with _ram_beside(ram):
        for number, entry in enumerate(changes):
            _change(f"advice-{number}", entry.words, entry.plan.verdict, take, entry.plan)
    _show_other_model(asked)
    return ram is not None


def show_misses(asked: Asked, found: Answer, *, ram: tuple[int, Plan] | None = None) -> None:
    """Show what a recommendation says would have to change; where it says nothing, what else to ask."""
    if not found.misses and ram is None:
        system = found.wanted.system if found.wanted is not None else None
        beside = system is not None and not (system.accelerator.is_unified or system.is_cpu_only)
        st.markdown(
            "Ask for a shorter context, for fewer users,"
            f"{' for RAM beside the GPU,' if beside else ''} or on another machine; What fits shows"
            " which machines hold a model."
        )
        return
    st.markdown("**What would make it fit**")
    with _ram_beside(ram):
        for number, miss in enumerate(found.misses):
            plan = miss.choice.plan
            _change(f"miss-{number}", _words(miss), plan.verdict, take, plan)
            show_line_to_type(miss)
    _show_other_model(asked)


def show_beside(found: Answer) -> None:
    """Show what would be better than a plan that fits with something changed by one click."""
    doubtful = not found.picked and found.choice is not None and found.choice.needs_ram is not None
    beside = [
        miss
        for miss in found.misses
        if miss.command is None and not (doubtful and miss.choice.needs_ram is not None)
    ]
    said = ""
    for number, miss in enumerate(beside):
        assert found.wanted is not None  # whose misses they are
        heading = "If there is less RAM" if doubtful else better_by(miss, found.wanted)
        if heading != said:
            st.markdown(f"**{heading}**")
        said = heading
        words = _words(miss, found.choice)
        _change(f"beside-{number}", words, miss.choice.plan.verdict, take, miss.choice.plan)


def show_raised(found: Answer, *, much: bool) -> None:
    """Show what a limit that the owner can raise makes of a plan that fits, and the line to type.

    Args:
        found: the answer.
        much: what makes up for much loss stands first on the page; else what does not.
    """
    miss = next((miss for miss in found.misses if miss.command is not None), None)
    if miss is None or found.recommendation is None:
        return
    better = "".join(first_better(found.recommendation))
    if bool(better) is much:
        st.markdown(f"**{better_by(miss, found.recommendation.wanted)}**")
        st.markdown(f":small[{capital(told(better or _words(miss, found.choice)))}]")
        show_line_to_type(miss)


def _words(miss: Miss, present: Choice | None = None) -> str:
    """What a miss changes and gives; with which checkpoint, where that is not the present one."""
    choice = miss.choice
    rate = rate_words(choice)
    same = present is not None and (choice.entry.name, choice.plan.engine) == (
        present.entry.name,
        present.plan.engine,
    )
    what = "" if same else f"{choice.entry.name} in {choice.plan.engine_title}, "
    return (
        f"{capital(miss.change)}: {what}{format_gib(choice.plan.headroom or 0)} to"
        f" spare{f', {rate}' if rate else ''}"
    )


def show_line_to_type(miss: Miss) -> None:
    """Show the line that makes a change, where there is one, and what has to follow it."""
    if miss.command is not None:
        show_command(miss.command)
    if miss.after is not None:
        st.markdown(f":small[{capital(told(miss.after))}.]")


def _ram_instead(asked: Asked, found: Answer, plan: Plan) -> tuple[int, Plan] | None:
    """RAM that would make it run, where it is not among the misses; asked as a click would be."""
    if not plan.ranks or any(miss.choice.needs_ram is not None for miss in found.misses):
        return None
    wanted = found.wanted
    settled = bool(asked.options) or asked.weights != BEST
    if wanted is None or wanted.base is None or settled:
        question: Wanted | Question = question_of(plan)
    else:
        question = wanted
    try:
        return working.run(with_ram_that_holds, question)
    except PlannerError:  # no time for it
        return None


@contextmanager
def _ram_beside(ram: tuple[int, Plan] | None) -> Iterator[None]:
    """Offer RAM before other changes; after them where nobody would wait for what it lets run."""
    speed = speed_of(ram[1]) if ram is not None else None
    slow = isinstance(speed, SpeedEstimate) and speed.per_user.value < LEAST_SPEED
    if not slow:
        _show_ram(ram)
    yield
    if slow:
        _show_ram(ram)


def _show_ram(ram: tuple[int, Plan] | None) -> None:
    """Offer RAM; its checkpoint is the smallest of those among which a click chooses."""
    if ram is None:
        return
    gigabytes, plan = ram
    speed = speed_of(plan)
    rate = (
        f", about {two_digits(speed.per_user.value)} tok/s"
        if isinstance(speed, SpeedEstimate)
        else ""
    )
    words = (
        f"With {gigabytes} GB of RAM beside the GPU:"
        f" {named(plan, entry_of(plan.deployment.checkpoint))} in {plan.engine_title}{rate}, or a better one"
    )
    _change("ram-added", words, plan.verdict, _set_ram, gigabytes)


def _set_ram(gigabytes: int) -> None:
    session.change(ram=str(gigabytes))


def _show_other_model(asked: Asked) -> None:
    """Offer what does run on this machine, whichever model that is."""
    if asked.model == BEST:
        return
    words = "Another model: the best that runs on this machine as it is"
    _change("other-model", words, "qwenplan picks model and checkpoint", _pick_model, BEST)


def _pick_model(model: str) -> None:
    session.change(model=model, weights=BEST, kv="auto", layout=BEST, options=())


def _change(key: str, words: str, help: str, act: Callable[[T], None], taken: T) -> None:
    with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
        st.button(
            "Apply",
            key=key,
            icon=":material/check:",
            help=told(help),
            on_click=act,
            args=(taken,),
            width=100,
        )
        st.markdown(told(words))

"""The answer in one line, which stays on top of every page about the question."""

from __future__ import annotations

import re

import streamlit as st

from planner.engines.yarn import short_tokens
from planner.planning import Outcome, Plan
from planner.recommending.text import headline
from planner.registry import Entry, Word
from planner.throughput import SpeedEstimate
from planner.throughput.answer import two_digits
from planner.units import capital, format_gib
from planner.web.asked import Asked
from planner.web.choices import tokens_label
from planner.web.palette import LOOKS
from planner.web.problems import Problem
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.wording import on_page, served_by, told

_NEAREST = re.compile(r"; nearest: [\w-]+(?:, [\w-]+)*")
"""Ids of what is like that which was typed."""


def show_line(asked: Asked, found: Answer) -> None:
    """Show the answer in one line, or what is wrong with the question."""
    if found.problems:
        for problem in found.problems:
            st.markdown(f":orange[:material/help:] {problem_words(problem)}")
        return
    if found.plan is None:
        look = LOOKS[Outcome.DOES_NOT_FIT]
        words = headline(found.recommendation) if found.recommendation is not None else ""
        st.markdown(f":{look.colour}[{look.icon}] {escape(words)}")
        return
    st.markdown(sentence(asked, found))


def problem_words(problem: Problem) -> str:
    """Return what is wrong with a part of the question, as Markdown; what is near stands on buttons."""
    text = _NEAREST.sub("; take one of these", problem.text) if problem.instead else problem.text
    return f"**Not answered.** {capital(told(text))}"


def sentence(asked: Asked, found: Answer) -> str:
    """Return the answer in one line, as Markdown."""
    plan = found.plan
    assert plan is not None
    look = LOOKS[plan.outcome]
    entry = found.choice.entry if found.choice is not None else None
    what, where = escape(named(plan, entry)), escape(machine_name(plan))
    verdict = f":{look.colour}[{look.icon} **{look.short}**]{_workload(plan)}"
    facts = ", ".join([verdict, *map(escape, [*_loss(found, plan), *_facts(found, plan)])])
    return f"**{what}** on {where} with {escape(served_by(asked.engine, plan, plan.engine_title))}: {facts}"


def named(plan: Plan, entry: Entry | None) -> str:
    """Return model and checkpoint as a sentence names them: ``Qwen3.6-27B UD-Q4_K_XL``."""
    model = plan.deployment.checkpoint.model.name.rpartition("/")[2]
    if entry is None:
        name = plan.deployment.checkpoint.scheme.name
        return f"{model} {name if '-' in name else name.upper()}"
    model = entry.base.rpartition("/")[2]
    return f"{model} {entry.spoken}" if entry.label else entry.repo.rpartition("/")[2]


def machine_name(plan: Plan) -> str:
    """Return the machine as people say it; of several alike only as many as the plan takes."""
    system, used = plan.deployment.system, plan.deployment.layout.accelerators
    some = plan.ranks and used < system.count and not system.is_mixed
    number = "one" if used == 1 else str(used)
    return f"{number} of {system.short_name}" if some else system.short_name


def _workload(plan: Plan) -> str:
    """How many are served, where it is more than one."""
    asked = plan.deployment
    if asked.concurrency == 1 or not plan.fits:
        return ""
    return f" {asked.concurrency:,} users at {tokens_label(asked.context)}"


def _loss(found: Answer, plan: Plan) -> list[str]:
    """That it loses noticeably, or much, where it does: green would say that all is well."""
    choice = found.choice
    if choice is None or not plan.fits or choice.word < Word.NOTICEABLE:
        return []
    return [choice.word.text]


def _facts(found: Answer, plan: Plan) -> list[str]:
    """What follows the verdict: memory, speed, reach."""
    if plan.outcome is Outcome.CANNOT_RUN:
        return [on_page(plan.refusals[0].reason)]
    assert plan.capacity is not None
    assert plan.headroom is not None
    asked = plan.deployment.concurrency
    if plan.outcome is Outcome.DOES_NOT_FIT:
        facts = (
            [format_gib(-plan.headroom) + " over"] if plan.headroom < 0 else [on_page(plan.verdict)]
        )
    else:
        facts = [f"{format_gib(plan.headroom)} to spare"]
    if plan.outcome is Outcome.HOLDS_FEWER:
        facts = [f"{plan.capacity.sequences:,} of {asked:,} at once"]
    speed = found.speed
    if isinstance(speed, SpeedEstimate) and plan.outcome is not Outcome.DOES_NOT_FIT:
        each = " each" if asked > 1 else ""
        facts.append(f"about {two_digits(speed.per_user.value)} tok/s{each}")
    if plan.capacity.longest_context:
        alone = "one alone " if asked > 1 else ""
        longest = reach(plan.capacity.longest_context).removesuffix(" tokens")
        facts.append(f"{alone}up to {longest} tokens")
    return facts


def reach(tokens: int) -> str:
    """Return the longest context in whole thousands: ``120k``."""
    return short_tokens(tokens) if tokens >= 1024 else f"{tokens} tokens"

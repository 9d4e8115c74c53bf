"""Size a deployment: where the memory goes, how far it reaches, what to type."""

from __future__ import annotations

import json

import streamlit as st

from planner.engines.base import Launch
from planner.errors import PlannerError
from planner.memory.breakdown import Rank
from planner.plan import Plan
from planner.report.markdown import plan_markdown
from planner.units import format_gib, format_tokens
from planner.web.figures.memory_bar import memory_bar
from planner.web.palette import LOOKS
from planner.web.question import Question
from planner.web.theme import text_colour


def show(question: Question, found: Plan | PlannerError) -> None:
    """Draw the page below the verdict."""
    if isinstance(found, PlannerError):
        return
    for refusal in found.refusals:
        st.markdown(f"- {refusal.reason} ({refusal.source.where})")
    if not found.ranks:
        return
    _show_numbers(found)
    st.subheader("Where the memory goes")
    st.plotly_chart(
        memory_bar(found.ranks, text=text_colour()),
        key="memory",
        config={"displayModeBar": False},
        alt=describe(found),
    )
    _show_command(found)
    for warning in found.warnings:
        st.markdown(f":material/info: {warning}")
    _show_downloads(found)


def describe(plan: Plan) -> str:
    """The bar in words, for those who do not see it."""
    rank = plan.ranks[0]
    terms = ", ".join(f"{term.name} {format_gib(term.nbytes)}" for term in rank.terms)
    state = "free" if rank.headroom >= 0 else "over"
    amount = format_gib(abs(rank.headroom))
    return (
        f"Memory of {rank.name}: {terms}; {amount} {state} of {format_gib(rank.usable)} usable,"
        f" {format_gib(rank.total)} in all. {LOOKS[plan.outcome].word}."
    )


def _show_numbers(plan: Plan) -> None:
    capacity, rank = plan.capacity, plan.ranks[0]
    assert capacity is not None
    with st.grid(4, min_column_width=150, gap="small"):
        _headroom(rank)
        st.metric(
            "Sequences held",
            f"{capacity.sequences:,}",
            help=f"At once, at this context; limited by {capacity.limited_by}.",
            border=True,
        )
        st.metric(
            "Longest context",
            format_tokens(capacity.longest_context),
            help="Tokens of the longest single sequence that fits.",
            border=True,
        )
        st.metric(
            "Cache capacity",
            format_tokens(capacity.tokens),
            help="Tokens of context that fit in all, as the engine counts them.",
            border=True,
        )


def _headroom(rank: Rank) -> None:
    label = "Headroom per GPU" if rank.count > 1 else "Headroom"
    band = rank.band
    st.metric(
        label,
        format_gib(rank.headroom),
        help=(
            f"Left below the usable line of the fullest one. Estimates in it may be off by"
            f" {format_gib(band.below)} less to {format_gib(band.above)} more memory used."
        ),
        border=True,
    )


def _show_command(plan: Plan) -> None:
    launch = plan.launch
    if launch is None:
        return
    st.subheader(f"What to type for {plan.engine_title} {plan.engine_version}")
    st.code(shell_text(launch), language=None, wrap_lines=True)
    for note in launch.notes:
        st.markdown(f":material/info: {note}")


def shell_text(launch: Launch) -> str:
    """The command, and those of further nodes below it."""
    from shlex import join

    return "\n".join([launch.command, *(join(words) for words in launch.per_node)])


def _show_downloads(plan: Plan) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "JSON",
            data=lambda: json.dumps(plan.to_dict(), indent=2),
            file_name="qwenplan.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "Markdown",
            data=lambda: plan_markdown(plan),
            file_name="qwenplan.md",
            mime="text/markdown",
            icon=":material/download:",
            on_click="ignore",
        )

"""Run it: where the memory goes, how far it reaches, what to change, what to type."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import streamlit as st

from planner.document import plan_document
from planner.emitting import emit, kinds
from planner.engines.engine import Launch
from planner.errors import PlannerError
from planner.memory.breakdown import Rank
from planner.planning import Outcome, Plan
from planner.question import question_of
from planner.report.markdown import plan_markdown
from planner.speed import speed_of
from planner.throughput import NoEstimate, SpeedEstimate
from planner.throughput.answer import two_digits
from planner.units import format_gib, format_tokens
from planner.web import working
from planner.web.asked import Asked
from planner.web.draw import draw
from planner.web.figures.memory_bar import memory_bar
from planner.web.palette import LOOKS
from planner.web.searching import advice
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.taken import take
from planner.web.theme import text_colour

_FILES = {
    "shell": ("Shell script", "qwenplan.sh", "text/x-shellscript"),
    "compose": ("Compose", "compose.yaml", "text/yaml"),
    "kubernetes": ("Kubernetes", "qwenplan-kubernetes.yaml", "text/yaml"),
    "ray": ("Ray", "qwenplan-ray.sh", "text/x-shellscript"),
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    plan = found.plan
    if plan is None:
        return
    for refusal in plan.refusals:
        st.markdown(
            f":material/rule: {escape(refusal.reason)} (source: {escape(refusal.source.where)})"
        )
    if plan.ranks:
        _show_numbers(plan)
    changes, chart = st.container(), st.container()
    _show_command(plan)
    for warning in plan.warnings:
        st.markdown(f":material/info: {escape(warning)}")
    _show_downloads(plan)
    if plan.ranks:
        with chart:  # last, so that the numbers do not wait for it
            st.subheader("Where the memory goes")
            draw(memory_bar(plan.ranks, text=text_colour()), key="memory-bar", alt=describe(plan))
    if not plan.fits:
        with changes:
            _show_advice(plan)


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
    if capacity is None:
        return
    speed = speed_of(plan) if plan.outcome is not Outcome.DOES_NOT_FIT else None
    with st.grid(4, min_column_width=140, gap="small"):
        _headroom(rank)
        st.metric(
            "Sequences held",
            f"{capacity.sequences:,}",
            help=(
                f"At once, at this context; limited by {capacity.limited_by}."
                f" {format_tokens(capacity.tokens)} tokens fit in all, as the engine counts them."
            ),
            border=True,
        )
        st.metric(
            "Longest context",
            format_tokens(capacity.longest_context),
            help="Tokens of the longest single sequence that fits.",
            border=True,
        )
        _speed(speed)
    if isinstance(speed, SpeedEstimate):
        st.markdown(f":small[:material/speed: Estimated speed: {escape(speed.words)}.]")
    elif isinstance(speed, NoEstimate):
        st.markdown(f":small[:material/speed: {escape(speed.words)}.]")


def _headroom(rank: Rank) -> None:
    band = rank.band
    st.metric(
        "Headroom per GPU" if rank.count > 1 else "Headroom",
        format_gib(rank.headroom),
        help=(
            f"Left below the usable line of the fullest one. Estimates in it may be off by"
            f" {format_gib(band.below)} less to {format_gib(band.above)} more memory used."
        ),
        border=True,
    )


def _speed(speed: SpeedEstimate | NoEstimate | None) -> None:
    known = isinstance(speed, SpeedEstimate)
    st.metric(
        "Tokens/s per user",
        f"~{two_digits(speed.per_user.value)}" if isinstance(speed, SpeedEstimate) else None,
        help=(
            "Decoding, with every sequence half way to its full context; a first-order estimate."
            if known
            else "No estimate is made here."
        ),
        border=True,
    )


def _show_advice(plan: Plan) -> None:
    try:
        with st.skeleton(height=60):
            found = working.run(advice, question_of(plan))
    except PlannerError as error:
        st.markdown(f":material/info: {escape(error)}")
        return
    if not found:
        return
    enough = any(entry.enough for entry in found)
    st.subheader("What to change" if enough else "What would help, but is not enough")
    for number, entry in enumerate(found):
        left, right = st.columns([1, 6], vertical_alignment="center")
        with left:
            st.button(
                "Apply",
                key=f"advice-{number}",
                icon=":material/check:",
                help=escape(entry.plan.verdict),
                on_click=take,
                args=(entry.plan,),
            )
        with right:
            st.markdown(escape(entry.words))


def _show_command(plan: Plan) -> None:
    launch = plan.launch
    if launch is None:
        return
    engine = f"{plan.engine_title} {plan.engine_version}"
    if plan.allocation is not None and plan.allocation.refusal:
        st.subheader(f"What {engine} would say")
        st.code(plan.allocation.refusal, language=None, wrap_lines=True)
        st.subheader("The command that it would refuse")
    else:
        st.subheader(f"What to type for {engine}")
    st.code(shell_text(launch), language=None, wrap_lines=True)
    for note in launch.notes:
        st.markdown(f":material/info: {escape(note)}")


def shell_text(launch: Launch) -> str:
    """The command, and those of further nodes below it."""
    return "\n".join([launch.command, *launch.further_commands])


def _show_downloads(plan: Plan) -> None:
    """Files and link; what they hold is made when they are opened."""
    with st.container(horizontal=True):
        files = st.popover("Download", icon=":material/download:", key="files", on_change="rerun")
        if files.open:
            with files:
                _download("JSON", "qwenplan.json", "application/json", lambda: _json(plan))
                _download("CSV", "qwenplan.csv", "text/csv", lambda: terms_csv(plan))
                _download("Markdown", "qwenplan.md", "text/markdown", lambda: plan_markdown(plan))
                for kind in kinds(plan) if plan.launch is not None else ():
                    if kind in _FILES:
                        title, name, mime = _FILES[kind]
                        _download(title, name, mime, _emitted(plan, kind))
        share = st.popover("Link", icon=":material/share:", key="share", on_change="rerun")
        if share.open:
            with share:
                st.markdown("This address holds the whole question:")
                st.code(link(), language=None, wrap_lines=True)


def _emitted(plan: Plan, kind: str) -> Callable[[], str]:
    return lambda: emit(plan, kind)


def _download(title: str, name: str, mime: str, make: Callable[[], str]) -> None:
    st.download_button(
        title,
        data=make,
        file_name=name,
        mime=mime,
        icon=":material/download:",
        on_click="ignore",
        key=f"download-{name}",
        width="stretch",
    )


def _json(plan: Plan) -> str:
    return json.dumps(plan_document(plan), indent=2)


def terms_csv(plan: Plan) -> str:
    """Every term of every accelerator, one line each; bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("rank", "alike", "term", "kind", "bytes", "confidence", "formula", "source"))
    for rank in plan.ranks:
        for term in rank.terms:
            writer.writerow(
                (
                    rank.name,
                    rank.count,
                    term.name,
                    term.kind.value,
                    term.nbytes,
                    term.confidence.value,
                    term.substituted,
                    term.source.where,
                )
            )
    return out.getvalue()


def link() -> str:
    """The page's address with everything that the form holds."""
    from urllib.parse import urlencode

    base = (st.context.url or "").partition("?")[0].rstrip("/") + "/"
    query = urlencode(st.query_params.to_dict())
    return f"{base}?{query}" if query else base

"""Run it: what to type, where the memory goes, the ladder of checkpoints, what else there is."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from urllib.parse import urlencode

import streamlit as st

from planner.document import plan_document
from planner.emitting import emit, kinds
from planner.engines import front_words, title_of
from planner.engines.face import InFront
from planner.memory.breakdown import HOST_RANK, Kind, Rank
from planner.planning import Outcome, Plan
from planner.recommending.answer import choice_document
from planner.recommending.reasons import cache_measured
from planner.recommending.text import floor_words, speed_line, tool_words
from planner.registry.quality import KLD_WORDS
from planner.report.beside import beside
from planner.report.markdown import plan_markdown
from planner.throughput import SpeedEstimate
from planner.units import capital, format_gib
from planner.web.answering import alternatives
from planner.web.asked import Asked
from planner.web.choices import tokens_label
from planner.web.comparing import rent
from planner.web.draw import draw
from planner.web.figures.memory_bar import memory_bar
from planner.web.line import reach
from planner.web.palette import LOOKS, PARTS
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.taken import take_choice
from planner.web.theme import show_command, text_colour
from planner.web.views.run_changes import (
    show_beside,
    show_changes,
    show_misses,
    show_raised,
)
from planner.web.views.run_front import show_front
from planner.web.views.run_ladder import show_ladder
from planner.web.wording import held_line, kept_words, part_sizes, told, usable_words, whole_words

_HALVES = (11, 9)
"""Widths of the page's two columns: the ladder is the wider part."""

_WITH_RAM = re.compile(r"with [\d.]+ \w+ of RAM it would run")

_FILES = {
    "shell": ("Shell script", "qwenplan.sh", "text/x-shellscript"),
    "compose": ("Compose", "compose.yaml", "text/yaml"),
    "kubernetes": ("Kubernetes", "qwenplan-kubernetes.yaml", "text/yaml"),
    "ray": ("Ray", "qwenplan-ray.sh", "text/x-shellscript"),
    "ollama": ("Modelfile", "Modelfile", "text/plain"),
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    plan = found.plan
    if plan is None:
        show_misses(asked, found)
        return
    held = found.held or plan
    by_ram = not plan.fits and show_changes(asked, found, plan)
    if few := held_line(plan, held):
        st.markdown(few)
    command, memory = st.columns(_HALVES, gap="medium")
    with command:
        _show_command(asked, found, plan, held)
        if plan.fits:
            show_raised(found, much=True)
        _show_must(asked, found, held)
    with memory:
        if held.ranks:
            st.markdown("**Where the memory goes**")
            bar = memory_bar(held.ranks, text=text_colour(), whole=whole_words(held))
            draw(bar, key="memory-bar", alt=describe(held, plan.outcome))
            told = (f"{capital(parts_words(held))}.", kept_words([held]), usable_words(held))
            parts = " ".join(filter(None, told))
            st.markdown(f":small[{parts}]")
        for refusal in plan.refusals:
            st.markdown(f":material/rule: Source: {escape(refusal.source.where)}")
    rungs, dots = st.columns(_HALVES, gap="medium")
    with rungs:
        show_ladder(found, plan)
        if plan.fits:
            show_beside(found)
            show_raised(found, much=False)
        _show_known(asked, found, held, but_ram=by_ram)
    with dots:
        _show_alternatives(found)
    _show_details(found, held)


def describe(plan: Plan, outcome: Outcome) -> str:
    """Return the bar in words, for those who do not see it.

    Args:
        plan: whose memory it is.
        outcome: the verdict on what was asked.
    """
    rank = plan.ranks[0]
    terms = ", ".join(f"{term.name} {format_gib(term.nbytes)}" for term in rank.terms)
    state = "free" if rank.headroom >= 0 else "over"
    amount = format_gib(abs(rank.headroom))
    others = "".join(f" {line}." for line in beside(plan.ranks))
    return (
        f"Memory of {rank.label}: {terms}; {amount} {state} of {format_gib(rank.usable)} usable,"
        f" {format_gib(rank.total)} in all.{others} {LOOKS[outcome].word}."
    )


def parts_words(plan: Plan) -> str:
    """Return what the parts of the fullest bar take, in GiB: most are too narrow for a label."""
    rank = plan.ranks[0]
    others = [one for one in plan.ranks[1:] if one.name == HOST_RANK]
    first = f"{rank.label}: " if len(plan.ranks) > 1 else ""
    return f"{first}{_parts_of(rank)}" + "".join(f". RAM: {_parts_of(one)}" for one in others)


def _parts_of(rank: Rank) -> str:
    """What the parts of a bar take; the copies of the state that an engine keeps in RAM by that name."""
    last = "free" if rank.headroom >= 0 else "over"
    sizes = part_sizes(rank) | {last: format_gib(abs(rank.headroom)) if rank.headroom else ""}
    copies = [term.name for term in rank.terms if term.kind is Kind.RECURRENT_STATE]
    named = rank.name == HOST_RANK and bool(copies)
    names = {
        part.label: f"{part.label} ({', '.join(copies).lower()})"
        for part in PARTS
        if named and Kind.RECURRENT_STATE in part.kinds
    }
    held = " · ".join(
        f"{names.get(label, label)} {size.replace(' GiB', '')}"
        for label, size in sizes.items()
        if size
    )
    return f"{held} GiB"


def _show_command(asked: Asked, found: Answer, whole: Plan, plan: Plan) -> None:
    """What to type.

    Args:
        asked: the question.
        found: its answer.
        whole: the plan of all who were asked for.
        plan: that of those who are held.
    """
    launch = plan.written
    refused = plan.launch is None and not (plan.allocation and plan.allocation.refusal)
    if launch is None or refused:
        st.markdown("**Nothing to type**")
        st.markdown(f"{escape(plan.engine_title)} would not start.")
        return
    engine = escape(plan.server)
    if plan.allocation is not None and plan.allocation.refusal:
        st.markdown(f"**What {engine} would say**")
        st.code(plan.allocation.refusal, language=None, wrap_lines=True)
        st.markdown("**The command that it would refuse**")
        show_command(launch.command)
    else:
        inside = _in_front(asked, plan)
        launch = replace(launch, program=() if inside.steps else inside.typed or launch.program)
        if inside.steps:
            st.markdown(f"**What to click**: {escape(inside.steps)}. Or with llama-server:")
        else:
            server = title_of(asked.engine) if inside.typed else plan.server
            st.markdown(f"**What to type** for {escape(server)}")
        show_command("\n".join(launch.lines))
        if launch.shortened:
            told = f"{capital(launch.shortened)}; the shell script under Download has all"
            st.markdown(f":small[{told}.]")
    _show_downloads(found, whole, plan)
    if facts := _facts(found, whole, plan):
        st.markdown("\n".join(f"- :small[{escape(fact)}]" for fact in facts))


def _facts(found: Answer, plan: Plan, held: Plan) -> list[str]:
    """Speed with its band, what else is held and what it costs, one line each."""
    facts = []
    if held.fits and found.speed is not None:
        speed = found.speed
        facts.append(f"Speed: {speed_line(speed, held.deployment.concurrency)}")
        if isinstance(speed, SpeedEstimate) and speed.wide:
            facts.append(f"Why its range is so wide: {speed.wide}")
    capacity = plan.capacity
    if capacity is not None and capacity.sequences:
        context = tokens_label(plan.deployment.context)
        facts.append(
            f"Room for {capacity.sequences:,} at once at {context} tokens; one alone reaches"
            f" {reach(capacity.longest_context)}. Limited by {_as_typed(capacity.limited_by)}."
        )
    if found.choice is not None:
        quality = found.choice.loss.text
        facts.append(f"Quality: {quality}" + (f". {KLD_WORDS}" if "KLD" in quality else ""))
    if held.fits and (price := rent(plan.deployment.system)):
        facts.append(price)
    return facts


def _as_typed(limit: str) -> str:
    """Return what limits a plan; an engine's option as it is typed: ``--max-num-seqs``."""
    return f"--{limit.replace('_', '-')}" if "_" in limit and " " not in limit else limit


def _show_alternatives(found: Answer) -> None:
    with st.skeleton(height=300):
        told = alternatives(found)
    if told is None or told.pick is None:
        return
    show_front(told, found.choice, take_choice)


def _show_must(asked: Asked, found: Answer, plan: Plan) -> None:
    """What must be done for the command to work, and for what it is wanted for."""
    launch = plan.launch
    must = [
        *_in_front(asked, plan).notes,
        *(launch.notes if launch is not None else ()),
    ]
    if found.wanted is not None and found.choice is not None and launch is not None:
        must += tool_words(found.wanted, found.choice)
    if must:
        st.markdown(":material/priority_high: **Must do**")
        _list(must)


def _show_known(asked: Asked, found: Answer, plan: Plan, *, but_ram: bool) -> None:
    """What is good to know; `but_ram` leaves out what a button above says of more RAM."""
    elsewhere = (*plan.deployment.checkpoint.remarks, *_in_front(asked, plan).notes)
    known = [
        *(floor_words(found.choice) if found.choice is not None else ()),
        *(note for note in plan.warnings if note not in elsewhere),
    ]
    known = [note for note in known if not (but_ram and _WITH_RAM.match(note))]
    if known:
        st.markdown("**Good to know**")
        _list(known)


def _show_details(found: Answer, plan: Plan) -> None:
    """The rest, folded."""
    measured = cache_measured(found.choice) if found.choice is not None else ""
    details = [f"KV cache: {measured}"] if measured else []
    details += [*plan.deployment.checkpoint.remarks, *plan.notes]
    if details:
        with st.expander("Details", icon=":material/notes:"):
            _list(details)


def _in_front(asked: Asked, plan: Plan) -> InFront:
    """What to do in a program that runs the engine inside, and what of the plan is not its own."""
    return front_words(asked.engine, plan.engine, plan.deployment, plan.allocation)


def _list(notes: Sequence[str]) -> None:
    st.markdown("\n".join(f"- :small[{capital(told(note))}]" for note in notes))


def _show_downloads(found: Answer, whole: Plan, plan: Plan) -> None:
    """Files and link; what they hold is made when they are opened."""
    with st.container(horizontal=True):
        files = st.popover("Download", icon=":material/download:", key="files", on_change="rerun")
        if files.open:
            with files:
                _download(
                    "JSON", "qwenplan.json", "application/json", lambda: plan_json(found, whole)
                )
                _download("CSV", "qwenplan.csv", "text/csv", lambda: terms_csv(plan))
                _download("Markdown", "qwenplan.md", "text/markdown", lambda: plan_markdown(whole))
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


def plan_json(found: Answer, plan: Plan) -> str:
    """Return the document that `qwenplan plan --json` prints for the same question."""
    front = [asdict(choice_document(choice)) for choice in found.front]
    return json.dumps(plan_document(plan, found.speed, alternatives=front), indent=2, default=str)


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
    base = (st.context.url or "").partition("?")[0].rstrip("/") + "/"
    query = urlencode(st.query_params.to_dict())
    return f"{base}?{query}" if query else base

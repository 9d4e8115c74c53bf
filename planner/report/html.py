"""A plan as a notebook shows it: the verdict, a bar of what takes the memory, the command."""

from __future__ import annotations

from html import escape

from planner.memory.breakdown import Kind, Rank
from planner.planning import Plan
from planner.report.text import SIGNS, STARTS
from planner.speed import speed_of, speed_words
from planner.units import format_gib

COLOURS = {
    Kind.WEIGHTS: "#3b6ea5",
    Kind.KV_CACHE: "#e0a030",
    Kind.RECURRENT_STATE: "#8a63b8",
    Kind.ACTIVATIONS: "#5fa36a",
    Kind.CUDA_GRAPHS: "#9aa5b1",
    Kind.RUNTIME: "#6b7580",
}
"""Readable on a light and on a dark page; every part is named beside the bar as well."""


def plan_html(plan: Plan) -> str:
    """Return the plan as HTML; the bar is that of the tightest accelerator."""
    parts = [f"<p><strong>{SIGNS[plan.outcome]} {escape(plan.verdict)}</strong></p>"]
    if plan.ranks:
        parts.append(_bar(plan.ranks[0]))
    parts += [f"<p>{escape(words)}</p>" for words in speed_words(speed_of(plan))]
    if plan.launch is not None and plan.outcome in STARTS:
        parts.append(f"<pre>{escape(plan.launch.command)}</pre>")
    return "".join(parts)


def _bar(rank: Rank) -> str:
    """Coloured parts in proportion, then their names with their sizes."""
    whole = max(rank.usable, rank.used, 1)
    kinds = [kind for kind in Kind if rank.of_kind(kind) > 0]
    pieces = "".join(
        f'<div style="width:{100 * rank.of_kind(kind) / whole:.2f}%;background:{COLOURS[kind]}"></div>'
        for kind in kinds
    )
    names = " · ".join(
        f'<span style="color:{COLOURS[kind]}">■</span> {kind.value} {format_gib(rank.of_kind(kind))}'
        for kind in kinds
    )
    used = f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable"
    bar = f'<div style="display:flex;height:1em;max-width:40em;border:1px solid">{pieces}</div>'
    return f"<p>{escape(rank.name)}: {used}</p>{bar}<p>{names}</p>"

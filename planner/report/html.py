"""A plan as a notebook shows it: the verdict, a bar of what takes the memory, the command."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from planner.engines.engine import Launch
from planner.held import held_of, workload_line
from planner.memory.breakdown import Rank
from planner.planning import Plan
from planner.report.beside import beside
from planner.report.palette import PARTS
from planner.report.text import SIGNS, workload_words
from planner.speed import speed_of, speed_words
from planner.units import format_gib


def plan_html(plan: Plan) -> str:
    """Return the plan as HTML; the bar is that of the tightest accelerator, the others are lines."""
    parts = [f"<p><strong>{SIGNS[plan.outcome]} {escape(plan.verdict)}</strong></p>"]
    held = held_of(plan)
    if held is not plan:
        parts.append(f"<p>{escape(workload_line(plan, held, workload_words(plan.deployment)))}</p>")
    if held.ranks:
        parts.append(memory_html(held.ranks))
    parts += [f"<p>{escape(words)}</p>" for words in speed_words(speed_of(plan))]
    if held.launch is not None:
        parts.append(commands_html(held.launch))
    return "".join(parts)


def commands_html(launch: Launch) -> str:
    """Return what to type, on every node."""
    commands = "\n".join(launch.lines)
    return f"<pre>{escape(commands)}</pre>"


def memory_html(ranks: Sequence[Rank]) -> str:
    """Return a bar of the fullest accelerator, then a line for each of the others and the RAM."""
    return bar_html(ranks[0]) + "".join(f"<p>{escape(line)}</p>" for line in beside(ranks))


def bar_html(rank: Rank) -> str:
    """Return what takes a rank's memory: coloured parts in proportion, then names with sizes."""
    whole = max(rank.usable, rank.used, 1)
    sizes = [(part, size) for part in PARTS if (size := rank.of_kind(*part.kinds)) > 0]
    pieces = "".join(
        f'<div style="width:{100 * size / whole:.2f}%;background:{part.fill}"></div>'
        for part, size in sizes
    )
    names = " · ".join(
        f'<span style="color:{part.fill}">■</span> {part.label} {format_gib(size)}'
        for part, size in sizes
    )
    used = f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable"
    bar = f'<div style="display:flex;height:1em;max-width:40em;border:1px solid">{pieces}</div>'
    return f"<p>{escape(rank.name)}: {used}</p>{bar}<p>{names}</p>"

"""The planner's sentences as a page says them: a field's name in place of a flag of the command line.

Flags of engines stay: they are what the visitor types.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from planner.engines import FRONTS, title_of
from planner.held import held_words
from planner.layout import Layout
from planner.memory.breakdown import HOST_RANK, Kind, Rank
from planner.planning import Plan
from planner.units import GIB, capital, format_gib
from planner.web.palette import ALL_MEMORY, PARTS, Part
from planner.web.tables import escape


def whole_words(plan: Plan) -> str:
    """Return what the memory in all is called: of one that is shared, the share that the system lends."""
    accelerator = plan.deployment.system.accelerator
    limit = accelerator.unified and accelerator.unified.raisable
    lent = limit and plan.ranks and plan.ranks[0].total < accelerator.raisable_bytes
    return "lent to the GPU" if lent else ALL_MEMORY


def usable_words(plan: Plan) -> str:
    """Return what is left of the memory as it was sold, and why: most cards lose some twice.

    Empty where accelerators of several kinds take part, and where all of it can be used.
    """
    system, ranks = plan.deployment.system, plan.ranks
    sold = system.accelerator.memory_marketed_gb
    if sold is None or system.is_mixed or system.is_cpu_only or not ranks:
        return ""
    rank, size = ranks[0], int(sold.value * GIB)
    if rank.name == HOST_RANK or rank.usable >= size:
        return ""
    who = "the GPU gets" if system.accelerator.is_unified else "programs get"
    each = " each" if rank.count > 1 else ""
    less = round(rank.total / GIB, 1) < sold.value
    words = [f"sold as {sold.value:g} GB{each}"] if less else []
    words.append(f"{who} {format_gib(rank.total)}")
    kept = rank.total - rank.usable
    free = f", of which {format_gib(kept)} stay free with {plan.engine_title}" if kept else ""
    return f"{capital(': '.join(words))}{free}."


def held_line(plan: Plan, held: Plan) -> str:
    """Return for how many what follows is, where it is fewer than were asked for; else nothing."""
    said = held_words(plan, held).replace("request", "user")
    return f":material/group: What follows is for **{said}**; the others wait." if said else ""


def part_sizes(rank: Rank) -> dict[str, str]:
    """Return what each part of the memory takes: its label -> ``2.1 GiB``; empty where it takes none."""
    sizes = {part: rank.of_kind(*part.kinds) for part in PARTS}
    return {
        part.label: (format_gib(size) + _kept(rank, part) if size else "")
        for part, size in sizes.items()
    }


def _kept(rank: Rank, part: Part) -> str:
    return " kept free" if rank.keeps_free and Kind.ACTIVATIONS in part.kinds else ""


def kept_words(plans: Iterable[Plan]) -> str:
    """Return what "kept free" means, where one of the plans has such a part."""
    engines = dict.fromkeys(p.engine_title for p in plans if any(r.keeps_free for r in p.ranks))
    if not engines:
        return ""
    return (
        f"Kept free: what {' and '.join(engines)} leaves to activations by its own rule, whether they"
        " need it or not."
    )


_PAGES = {"hardware": "Hardware", "models": "Models"}

_LISTS = re.compile(
    r"(?:see|list all:?|list all with) [`']?qwenplan (hardware|models)\b[^;`']*[`']?"
)
"""Where a sentence sends the reader to a list."""

_NAMED = re.compile(r"[`']qwenplan (hardware|models)[`'](?= lists)")
"""Where a sentence begins with a list."""

_TERMINAL = re.compile(r"; (?:see|list all with) [`']qwenplan .*$|\s*\([`']?qwenplan [^)]*\)")
"""What only a terminal can do: it is left out."""

_SAID_IN_BRACKETS = (
    (re.compile(r"\s*\(--ram\)"), ": say it under RAM (GB)"),
    (re.compile(r"\s*\(--yarn\)"), ", under More,"),
    (re.compile(r"; say otherwise with --ram-bandwidth\b"), ""),
)

FIELDS = {
    "--ram": "RAM (GB)",
    "--on": "Machine",
    "--engine": "With",
    "--context": "Context",
    "--concurrency": "Users",
    "--precision": "Model",
    "--yarn": "YaRN",
}
"""Flags of the command line -> the field of a page that says the same."""

_FLAG = re.compile(rf"(?<![\w-])(?:{'|'.join(FIELDS)})(?![\w-])")


def layout_words(layout: Layout | str) -> str:
    """Return a layout, or words that name one, as pages write it: ``TP 2 × DP 4``."""
    return str(layout).replace(" x ", " × ")


_DEGREES = {
    "TP": "every layer shared out",
    "DCP": "a long context shared out",
    "PP": "layers one after the other",
    "DP": "whole copies for more users",
    "EP": "experts shared out",
}


def layout_key(layouts: Iterable[Layout]) -> str:
    """Return what the letters of some layouts mean: how the model lies on several GPUs."""
    said = {word for layout in layouts for word in str(layout).split()}
    return "; ".join(f"{name}: {means}" for name, means in _DEGREES.items() if name in said)


def served_by(engine: str, plan: Plan, inside: str) -> str:
    """Return who serves: a program that was asked for with the engine inside it, else that alone.

    Args:
        engine: what was asked for.
        plan: what is served.
        inside: how the engine is called.
    """
    return f"{title_of(engine)} ({inside})" if FRONTS.get(engine) == plan.engine else inside


def on_page(text: object) -> str:
    """Return a sentence of the planner without flags and commands of its command line."""
    words = _LISTS.sub(lambda found: f"the page {_PAGES[found[1]]} lists all", str(text))
    words = _NAMED.sub(lambda found: f"the page {_PAGES[found[1]]}", words)
    words = _TERMINAL.sub("", words)
    for said, instead in _SAID_IN_BRACKETS:
        words = said.sub(instead, words)
    return _FLAG.sub(lambda found: FIELDS[found[0]], words)


def told(text: object) -> str:
    """Return a sentence of the planner as Markdown that a page shows as it stands."""
    return escape(on_page(text))

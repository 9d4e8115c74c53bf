"""A plan as Markdown, to paste into an issue or a page."""

from __future__ import annotations

from collections.abc import Iterator

from planner.held import further_warnings, held_of, workload_line
from planner.memory.breakdown import Rank
from planner.planning import Plan
from planner.report.explain import band_text
from planner.report.text import workload_words
from planner.units import counted, format_gib, format_tokens


def plan_markdown(plan: Plan) -> str:
    """The plan as a Markdown document; tables per accelerator, the command in a code block."""
    deployment, held = plan.deployment, held_of(plan)
    lines = [
        f"## {deployment.checkpoint.id} on {deployment.system.name}",
        "",
        f"**{plan.verdict}**",
        "",
        f"- Weights: {deployment.checkpoint.scheme.title}"
        + (" (hypothesis)" if deployment.checkpoint.hypothetical else ""),
        f"- Layout: {deployment.layout}",
        f"- Engine: {plan.server}",
        f"- Workload: {workload_line(plan, held, workload_words(deployment))}",
    ]
    for refusal in plan.refusals:
        lines += ["", f"{refusal.reason} ({refusal.source.where})"]
    for rank in held.ranks:
        lines += ["", *_table(rank)]
    if plan.capacity is not None:
        capacity = plan.capacity
        lines += [
            "",
            f"Room for {counted(capacity.sequences, 'request')} of this length, limited by"
            f" {capacity.limited_by}; one request alone may have up to"
            f" {format_tokens(capacity.longest_context)} tokens.",
        ]
    warnings = further_warnings(held)
    lines += ["", *(f"> {warning}" for warning in warnings)] if warnings else []
    if held.launch is not None:
        lines += ["", "```sh", *held.launch.lines, "```"]
        lines += ["", *(f"- {note}" for note in held.launch.notes)] if held.launch.notes else []
    return "\n".join(lines) + "\n"


def _table(rank: Rank) -> Iterator[str]:
    yield (
        f"**{rank.label}**: {format_gib(rank.used)} of {format_gib(rank.usable)} usable,"
        f" {format_gib(rank.total)} in all"
    )
    yield ""
    yield "| term | GiB | how sure | formula |"
    yield "|---|---:|---|---|"
    for term in rank.terms:
        sure = " ".join(filter(None, (term.confidence.value, band_text(term))))
        amount = format_gib(term.nbytes, 2).removesuffix(" GiB")
        yield f"| {term.name} | {amount} | {sure} | {term.substituted} |"
    free = format_gib(abs(rank.headroom), 2).removesuffix(" GiB")
    yield f"| {'free' if rank.headroom >= 0 else 'over'} | {free} | | |"

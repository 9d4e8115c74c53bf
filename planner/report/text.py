"""A plan as text for a terminal: one screen; long sentences are left to the terminal to wrap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from planner.allocating import layout_used
from planner.engines.engine import Deployment
from planner.held import further_warnings, held_of, workload_line
from planner.memory.breakdown import Kind, Rank
from planner.planning import Outcome, Plan
from planner.report.advice import advice_lines
from planner.report.beside import beside
from planner.report.explain import band_text, explanation
from planner.speed import larger_chunk, speed_words
from planner.throughput import NoEstimate, SpeedEstimate
from planner.units import counted, format_gib, format_tokens

if TYPE_CHECKING:
    from planner.question import Question
    from planner.search import Advice

BAR = 30
MARKS = {
    Kind.WEIGHTS: "█",
    Kind.KV_CACHE: "▓",
    Kind.RECURRENT_STATE: "▒",
    Kind.ACTIVATIONS: "░",
    Kind.CUDA_GRAPHS: "░",
    Kind.RUNTIME: "·",
}
SIGNS = {
    Outcome.FITS: "✔",
    Outcome.TIGHT: "≈",
    Outcome.HOLDS_FEWER: "◐",
    Outcome.DOES_NOT_FIT: "✘",
    Outcome.CANNOT_RUN: "✘",
}


def plan_text(
    plan: Plan,
    *,
    explain: bool = False,
    advice: Iterable[Advice] = (),
    speed: SpeedEstimate | NoEstimate | None = None,
) -> str:
    """The plan for people.

    Args:
        plan: what to tell.
        explain: every term's formula, numbers, source and confidence as well.
        advice: what to change, the best first; three pieces are shown.
        speed: how fast it is, if that was asked.
    """
    held = held_of(plan)
    lines = [f"{SIGNS[plan.outcome]} {plan.verdict}", "", *_question(plan, held)]
    if explain:
        lines.append(f"Facts     {plan.deployment.checkpoint.source}")
    for refusal in plan.refusals:
        lines += ["", f"Why: {refusal.reason}."]
        if refusal.engine_message:
            lines.append(f"  {plan.engine_title} says: {refusal.engine_message}")
        lines.append(f"  Source: {refusal.source.where}")
    for rank in _shown(held, explain=explain):
        lines += ["", *_rank(rank)]
        if explain:
            lines.append("")
            for term in rank.terms:
                lines += explanation(term)
    if len(_shown(held, explain=explain)) < len(held.ranks):
        lines += ["", *beside(held.ranks)]
    if plan.capacity is not None:
        lines += ["", *_limits(plan, held)]
    lines += _speed(plan, speed)
    if changes := list(advice_lines(advice)):
        lines += ["", *changes]
    if warnings := further_warnings(held):
        lines += ["", *(f"! {warning}" for warning in warnings)]
    if explain and held.notes:
        lines += ["", *(f"  {note}" for note in held.notes)]
    if held.launch is not None:
        lines += ["", *held.launch.lines]
        if held.launch.shortened:
            lines.append(f"{held.launch.shortened}; --emit shell writes all")
        lines += held.launch.notes
    return "\n".join(lines)


def _speed(plan: Plan, speed: SpeedEstimate | NoEstimate | None) -> Iterator[str]:
    """Rates of the sequences that are resident, and the prompt's time."""
    resident = speed.workload.concurrency if isinstance(speed, SpeedEstimate) else None
    fewer = resident is not None and resident < plan.deployment.concurrency
    for label, words in zip(("Speed", "Prompt"), speed_words(speed), strict=False):
        some = f"with {resident:,} at once: " if fewer and label == "Speed" else ""
        yield f"{label:10}{some}{words}"
    if isinstance(speed, SpeedEstimate) and (larger := larger_chunk(plan)) is not None:
        yield f"{'':10}{larger.words}"


def _shown(plan: Plan, *, explain: bool) -> tuple[Rank, ...]:
    """What is shown term by term: the tightest accelerator, all of two or where details are asked for."""
    if explain or len(plan.ranks) <= 2:
        return plan.ranks
    return plan.ranks[:1]


def _question(plan: Plan, held: Plan) -> Iterator[str]:
    deployment = plan.deployment
    checkpoint, system = deployment.checkpoint, deployment.system
    kind = "as if stored as" if checkpoint.hypothetical else "stored as"
    yield f"Model     {checkpoint.id} ({kind} {checkpoint.scheme.title})"
    used = layout_used(deployment.layout, plan.allocation)
    layout = f", {used}" if used.accelerators > 1 else ""
    left = ", one of them used" if used.accelerators == 1 < deployment.layout.accelerators else ""
    yield f"Hardware  {system.name}{layout}{left}"
    cache = plan.allocation.kv_cache_dtype if plan.allocation else deployment.kv_cache_dtype
    yield f"Engine    {plan.server}, KV cache {cache}"
    asked = f"{workload_words(deployment)} (prompt and output together)"
    yield f"Workload  {workload_line(plan, held, asked)}"


def workload_words(deployment: Deployment | Question) -> str:
    """Return what shall be served: ``4 requests of 131,072 tokens``."""
    context = counted(deployment.context, "token")
    return f"{counted(deployment.concurrency, 'request')} of {context}"


def _rank(rank: Rank) -> Iterator[str]:
    each = f" ({rank.count} alike)" if rank.count > 1 else ""
    yield (
        f"{rank.label}{each}: {format_gib(rank.used)} of {format_gib(rank.usable)} usable"
        f" ({format_gib(rank.total)} in all)"
    )
    scale = max(rank.usable, rank.used, 1)
    for term in rank.terms:
        bar = MARKS[term.kind] * max(1, round(BAR * term.nbytes / scale))
        sure = band_text(term) or term.confidence.value
        yield f"  {term.name:44} {format_gib(term.nbytes, 2):>11}  {bar:{BAR}} {sure}".rstrip()
    word = "free" if rank.headroom >= 0 else "over"
    yield f"  {word:44} {format_gib(abs(rank.headroom), 2):>11}"


def _limits(plan: Plan, held: Plan) -> Iterator[str]:
    capacity = plan.capacity
    assert capacity is not None
    context = counted(plan.deployment.context, "token")
    if capacity.sequences:
        yield (
            f"Room for  {counted(capacity.sequences, 'request')} of {context}, limited by"
            f" {capacity.limited_by}; {format_tokens(capacity.tokens)} tokens in all"
        )
    if capacity.longest_context:
        yield f"Longest   {format_tokens(capacity.longest_context)} tokens for one request alone"
    if capacity.blocks:
        replicas = " on each replica" if plan.deployment.layout.data_parallel > 1 else ""
        yield f"Blocks    {capacity.blocks:,} of {capacity.block_size:,} tokens{replicas}"
    if held.ranks and plan.allocation is not None:
        band = held.ranks[0].band
        text = f"Band      estimates may be {format_gib(band.below)} too high"
        text += f" or {format_gib(band.above)} too low"
        if plan.allocation.first_boot:
            low, high = plan.allocation.first_boot
            text += f"; a first boot may take {format_gib(low)} to {format_gib(high)} more"
        yield text

"""Answers to inverse questions as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from planner.costing import Bill, cost_of
from planner.held import held_of
from planner.planning import Outcome
from planner.report.text import SIGNS, workload_words
from planner.search import Fit, Limits, Solution, Suggestion
from planner.throughput import SpeedEstimate
from planner.units import capital, counted, format_gib

_SPEEDS = "Speeds: decoding, every sequence half way to its full context, no prompts meanwhile"


def layouts_text(
    suggestions: Sequence[Suggestion], *, every: bool = False, cost: bool = False
) -> str:
    """Ranked layouts of one system; with `every`, the notes of all and those that cannot run.

    With `cost` what a million tokens cost in each: rented, and on a machine of one's own.

    The list names speeds as "low to high": an estimate without its band says too much.
    """
    best = suggestions[0]
    asked = best.plan.deployment
    lines = [
        best.plan.verdict,
        "",
        f"{asked.checkpoint.id} on {asked.system.name}, {best.plan.server}:"
        f" {workload_words(asked)}",
        "",
    ]
    several = len({entry.plan.deployment.checkpoint.scheme.name for entry in suggestions}) > 1
    rows: list[tuple[str, ...]] = [
        ("", "layout", "free per GPU", "requests", "tok/s per user", "tok/s in all")
    ]
    legal = [entry for entry in suggestions if entry.legal]
    rows += [_layout_row(entry, precision=several) for entry in legal]
    if cost:
        heads = ("rented", "own")
        rows = [
            (*row, *more) for row, more in zip(rows, [heads, *map(_money_row, legal)], strict=True)
        ]
    lines += columns(rows)
    shown = suggestions if every else suggestions[:1]
    for entry in (entry for entry in shown if entry.legal):
        launch = held_of(entry.plan).launch
        typed = () if launch is None else launch.lines
        if told := (*entry.notes, *typed):
            lines += ["", f"{entry.layout}:", *(f"  {line}" for line in told)]
    refused = [entry for entry in suggestions if not entry.legal]
    if refused:
        lines += ["", f"{len(refused)} layouts cannot run:"]
        lines += _reasons(refused, every=every)
    if cost:
        lines += ["", "Money: a million generated tokens at this load, busy all day."]
    lines += ["", f"{_SPEEDS}; from the low to the high end of the band."]
    return "\n".join(lines)


def _layout_row(entry: Suggestion, *, precision: bool) -> tuple[str, ...]:
    plan = entry.plan
    name = str(entry.layout)
    if precision:
        name += f", {plan.deployment.checkpoint.scheme.name}"
    headroom = format_gib(plan.headroom) if plan.headroom is not None else ""
    sequences = f"{plan.capacity.sequences:,}" if plan.capacity is not None else ""
    each = in_all = "not known"
    if isinstance(entry.speed, SpeedEstimate):
        each, in_all = _range(entry.speed, per_user=True), _range(entry.speed, per_user=False)
    return SIGNS[plan.outcome], name, headroom, sequences, each, in_all


def _money_row(entry: Suggestion) -> tuple[str, str]:
    """A million generated tokens at the planned load, busy all day; empty where no price is known."""
    bills = {bill.kind: bill for bill in cost_of(entry.plan).bills} if entry.plan.fits else {}
    return _per_million(bills.get("rent")), _per_million(bills.get("own"))


def _per_million(bill: Bill | None) -> str:
    if bill is None or bill.tokens is None:
        return ""
    return f"{bill.tokens.per_million_output:.2f} {bill.offer.currency}"


def _range(speed: SpeedEstimate, *, per_user: bool) -> str:
    from planner.throughput.answer import two_digits

    rate = speed.per_user if per_user else speed.total
    return f"{two_digits(rate.low)}–{two_digits(rate.high)}"


def _reasons(refused: Iterable[Suggestion], *, every: bool) -> Iterator[str]:
    """Each rule once, with the layouts that it forbids."""
    by_reason: dict[str, list[str]] = {}
    for entry in refused:
        by_reason.setdefault(entry.plan.refusals[0].reason, []).append(str(entry.layout))
    for reason, layouts in by_reason.items():
        named = (
            layouts if every or len(layouts) <= 4 else [*layouts[:3], f"{len(layouts) - 3} more"]
        )
        yield f"  {reason}: {', '.join(named)}"


def limits_text(limits: Limits) -> str:
    """How far a deployment goes, one line each."""
    plan = limits.context.plan
    stored, system = plan.deployment.checkpoint, plan.deployment.system
    lines = [
        f"{stored.id}, {stored.scheme.title}, on {system.name}, {plan.engine_title}",
        *(f"! {told}" for told in plan.told),
        "",
    ]
    speeds = [_speed_at(solution) for solution in limits.solutions]
    answers = [
        (capital(solution.asked), f"{words}{speed}")
        for solution, words, speed in zip(limits.solutions, _once(limits), speeds, strict=True)
    ]
    width = max(len(asked) for asked, _ in answers)
    for line, solution in zip(columns(answers, right=()), limits.solutions, strict=True):
        lines.append(line)
        if solution.value is None or solution.plan.deployment.checkpoint.hypothetical:
            continue  # no command does what was asked
        launch = solution.plan.launch
        lines += [f"{'':{width}}  {command}" for command in launch.lines] if launch else []
    if any(speeds):
        lines += ["", f"{_SPEEDS}."]
    return "\n".join(lines)


def _once(limits: Limits) -> Iterator[str]:
    """Yield the words of every answer; why nothing fits stands in the first that says it."""
    told = False
    for solution in limits.solutions:
        unheld = solution.value is None
        why = solution.plan.verdict
        yield solution.words.removesuffix(why).rstrip() if told and unheld else solution.words
        told = told or (unheld and solution.words.endswith(why))


def _speed_at(solution: Solution) -> str:
    """How fast it is there, at the end of the sentence: what just fits may crawl."""
    from planner.speed import speed_of
    from planner.throughput.answer import two_digits

    speed = speed_of(solution.plan) if solution.value is not None else None
    if not isinstance(speed, SpeedEstimate):
        return ""
    each = " for each" if solution.plan.deployment.concurrency > 1 else ""
    return f" About {two_digits(speed.per_user.value)} tok/s{each}."


def fits_text(fits: Sequence[Fit]) -> str:
    """Accelerators by precisions: how many are needed; those that no number helps come last."""
    precisions = list(dict.fromkeys(fit.checkpoint.scheme.name for fit in fits))
    by_device: dict[str, dict[str, Fit]] = {}
    for fit in fits:
        by_device.setdefault(fit.accelerator.id, {})[fit.checkpoint.scheme.name] = fit
    asked = fits[0].question
    lines = [
        f"{asked.checkpoint.model.name} with"
        f" {_engines(fit.question.settled_engine.title for fit in fits)}:"
        f" {workload_words(asked)}",
        "Smallest number of each accelerator that holds this, with the free memory per GPU.",
        "",
    ]
    rows = [("accelerator", "memory", *precisions)]
    enough = [row for row in by_device.values() if any(fit.holds for fit in row.values())]
    for row in sorted(enough, key=_order):
        device = next(iter(row.values())).accelerator
        cells = [_cell(row.get(name)) for name in precisions]
        rows.append((device.id, format_gib(device.total_bytes), *cells))
    lines += columns(rows, right=(1,)) if enough else ["No hardware in the database can hold it."]
    rest = len(by_device) - len(enough)
    if rest:
        lines += [
            "",
            f"Not listed: {counted(rest, 'accelerator')} that cannot hold it even with 8, or on which"
            " no engine of these runs.",
        ]
    return "\n".join(lines)


def _order(row: dict[str, Fit]) -> tuple[int, int]:
    """Fewest first, then the least memory."""
    fit = min((fit for fit in row.values() if fit.count), key=lambda fit: fit.count or 0)
    return fit.count or 0, fit.accelerator.total_bytes


def _cell(fit: Fit | None) -> str:
    if fit is None or not fit.can_run:
        return "cannot run"
    if fit.count is None:
        return "does not fit"
    free = format_gib(fit.plan.headroom or 0)
    tight = ", tight" if fit.plan.outcome is Outcome.TIGHT else ""
    return f"{fit.count}× ({free} free{tight})"


def _engines(titles: Iterable[str]) -> str:
    """Return the engines of these titles in words: "vLLM, MLX or llama.cpp"."""
    *others, last = dict.fromkeys(titles)
    return f"{', '.join(others)} or {last}" if others else last


def systems_text(suggestions: Sequence[Suggestion], *, most: int = 20) -> str:
    """Hardware that holds a workload, ranked, the first `most` of it."""
    if not suggestions:
        return "No hardware in the database can hold it."
    asked = suggestions[0].plan.deployment
    rows: list[tuple[str, ...]] = [
        ("hardware", "engine", "layout", "precision", "free per GPU", "tok/s per user", "price")
    ]
    rows += [_system_row(entry) for entry in suggestions[:most]]
    lines = [
        f"{asked.checkpoint.model.name} with {_engines(entry.plan.engine_title for entry in suggestions)}:"
        f" {workload_words(asked)}",
        "",
        *columns(rows, right=(4, 5)),
    ]
    if len(suggestions) > most:
        lines += ["", f"{len(suggestions) - most} more can hold it."]
    lines += ["", "Prices: the lowest known to buy; for cards, the cards alone without a machine."]
    return "\n".join(lines)


def _system_row(entry: Suggestion) -> tuple[str, ...]:
    plan, offer, speed = entry.plan, entry.offer, "not known"
    if isinstance(entry.speed, SpeedEstimate):
        speed = _range(entry.speed, per_user=True)
    price = "not known"
    if offer is not None:
        price = f"{offer.value:,.0f} {offer.currency} ({offer.date or 'no date'})"
    return (
        plan.deployment.system.name,
        plan.engine_title,
        str(entry.layout),
        plan.deployment.checkpoint.scheme.name,
        format_gib(plan.headroom or 0),
        speed,
        price,
    )


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (2, 3, 4, 5)) -> list[str]:
    """Rows with their cells in line; the columns in `right` are right-aligned."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines

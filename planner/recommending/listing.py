"""Machines with what each would run, as a table for a terminal and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from planner.engines import title_of
from planner.planning import Outcome
from planner.recommending.answer import choice_document
from planner.recommending.choice import Choice
from planner.recommending.machines import BYS, Machine
from planner.recommending.wanted import Wanted
from planner.recommending.words import listed_name, short_word
from planner.throughput.answer import two_digits
from planner.units import format_gib, format_tokens

SLOW = "slow:"
"""In front of a speed that is below the least one."""


def machines_text(found: Sequence[Machine], wanted: Wanted, *, by: str | None = None) -> str:
    """Return the machines as a table, by heading; those that cannot hold it in one line."""
    from planner.report.tables import columns  # a room of tables of everything else

    model = (wanted.base or "").rpartition("/")[2]
    users = f"{wanted.concurrency:,} × " if wanted.concurrency > 1 else ""
    lines = [f"{model}, {users}{format_tokens(wanted.context)} tokens: what each machine would run"]
    lines += [f"! {note}" for note in wanted.notes]
    head = (
        "machine",
        "checkpoint",
        "engine",
        "quality",
        "tok/s",
        "spare",
        "to buy",
        "rent",
        "power",
    )
    rows: list[tuple[str, ...]] = [head]
    marks: dict[int, str] = {}
    for machine in found:
        if machine.choice is None:
            continue
        if by is None and machine.group and machine.group not in marks.values():
            marks[len(rows)] = machine.group
        if by is not None and machine.falls_short and not marks:
            marks[len(rows)] = (
                f"Below {wanted.wish.least_speed:g} tok/s each, or with a large loss:"
            )
        rows.append(_row(machine, machine.choice))
    if 1 not in marks:
        lines.append("")
    if len(rows) == 1:
        lines += ["It fits none of the listed machines."]
    else:
        table = columns(rows, right=(4, 5, 6, 7, 8))
        for place, line in enumerate(table):
            if place in marks:
                lines += ["", marks[place]]
            lines.append(f"  {line}")
    if any(machine.slow for machine in found):
        lines += ["", f"{SLOW} well below {wanted.wish.least_speed:g} tok/s for each user."]
    held = [machine.choice for machine in found if machine.choice is not None]
    if any(choice.plan.outcome is Outcome.TIGHT for choice in held):
        from planner.report.text import SIGNS

        lines += [
            "",
            f"{SIGNS[Outcome.TIGHT]} close: the estimate may be off by more than is left free.",
        ]
    without = [machine for machine in found if machine.choice is None]
    small = [machine.name for machine in without if not machine.refused]
    if small:
        lines += [
            "",
            f"Too small by its own memory: {'; '.join(small)}.",
            "With RAM beside it a GPU may still run it: qwenplan plan"
            f" {model} --on 'MACHINE + 64GB RAM'",
        ]
    strange = [machine for machine in without if machine.refused]
    if strange and wanted.fixed.engine is not None:
        names = "; ".join(machine.name for machine in strange)
        lines += ["", f"Not served by {title_of(wanted.fixed.engine)}: {names}."]
        lines += [machine.refused.removeprefix("Cannot run: ") for machine in strange[:1]]
    lines += [
        "",
        "Prices: the lowest recent ones of the database in USD, cards without a machine around them;"
        " power under load.",
        f"More: --all (every accelerator), --by {'|'.join(BYS)}; one machine: qwenplan plan {model}"
        " --on MACHINE",
    ]
    return "\n".join(lines)


def _row(machine: Machine, choice: Choice) -> tuple[str, ...]:
    speed = two_digits(choice.per_user) if choice.per_user is not None else "?"
    if machine.slow:
        speed = f"{SLOW} {speed}"
    from planner.report.text import SIGNS  # a room of screens of everything else

    tight = f"{SIGNS[Outcome.TIGHT]} " if choice.plan.outcome is Outcome.TIGHT else ""
    return (
        machine.name,
        listed_name(choice),
        choice.plan.engine_title,
        short_word(choice.said),
        speed,
        f"{tight}{format_gib(choice.plan.headroom or 0)}",
        f"{machine.bought.value:,.0f}" if machine.bought is not None else "",
        f"{machine.rented.value:.2f}/h" if machine.rented is not None else "",
        f"{machine.watts:,.0f} W" if machine.watts is not None else "",
    )


def machine_documents(found: Sequence[Machine]) -> Iterator[dict[str, Any]]:
    """Yield the machines as plain data; money in dollars."""
    for machine in found:
        yield {
            "machine": machine.on,
            "name": machine.name,
            "group": machine.group,
            "total_bytes": machine.total_bytes,
            "pick": asdict(choice_document(machine.choice)) if machine.choice else None,
            "price": machine.bought.value if machine.bought is not None else None,
            "price_date": machine.bought.date if machine.bought is not None else None,
            "rent_per_hour": machine.rented.value if machine.rented is not None else None,
            "watts": machine.watts,
            "slow": machine.slow,
            "served": not machine.refused,
        }

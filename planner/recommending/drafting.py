"""The pick with its model's own MTP module drafting, where that is known to make it faster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.engines.choice import DRAFTS
from planner.errors import PlannerError
from planner.question import question_of
from planner.ranking import place_of
from planner.recommending.answer import Miss
from planner.recommending.candidate import size_of
from planner.recommending.choice import Choice
from planner.recommending.wanted import Wanted
from planner.registry import Entry, Word, checkpoint_of, entries_of, loss_of
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.throughput.answer import two_digits

SURELY = 1.0
"""Gain at the lower end of the measured band from which on drafting is offered: it must not harm."""


def with_drafts(wanted: Wanted, pick: Choice) -> Iterator[Miss]:
    """Yield the pick with drafts, where nobody said options, it holds as safely and is surely faster.

    Weights in RAM are read anew for every drafted token's experts, so that drafts do not help there.
    """
    options = DRAFTS.get(pick.plan.engine)
    if options is None or wanted.tells_options or pick.in_ram or pick.needs_ram is not None:
        return
    row = pick.entry if pick.entry.mtp or not pick.entry.gguf else _like_it(pick.entry)
    if row is None:
        return
    asked = replace(question_of(pick.plan), checkpoint=checkpoint_of(row), named=None)
    try:
        plan = asked.with_options(**options).plan()
        speed = speed_of(plan) if plan.fits else None
    except PlannerError:
        return  # the weights have no such module, or the engine does not draft with it here
    if not isinstance(speed, SpeedEstimate) or speed.gain is None or speed.gain.low < SURELY:
        return
    if place_of(plan.outcome) > place_of(pick.plan.outcome):
        return
    low, high = two_digits(speed.gain.low), two_digits(speed.gain.high)
    worse = f", {loss_of(row).said.text}" if loss_of(row).said > pick.loss.said else ""
    yield Miss(
        change=f"draft with its own MTP module, {low} to {high} times as fast{worse}",
        choice=replace(pick, entry=row, plan=plan, loss=loss_of(row), better="drafts", reach=0),
    )


def _like_it(entry: Entry) -> Entry | None:
    """Return the GGUF file of the same model that has the MTP blocks, loses little and is nearest."""
    most = max(loss_of(entry).word, Word.SMALL)
    found = [
        row
        for row in entries_of(entry.base)
        if row.gguf
        and row.mtp
        and row.recommendable
        and not (row.ollama or row.docker)
        and loss_of(row).word <= most
    ]
    return min(found, key=lambda row: (abs(size_of(row) - size_of(entry)), row.name), default=None)

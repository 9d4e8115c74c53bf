"""What comes nearest, where no known checkpoint holds the workload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.planning import Outcome
from planner.question import question_of
from planner.recommending.candidate import smallest
from planner.recommending.choice import Choice, in_order
from planner.recommending.choosing import Search, best_of
from planner.recommending.wanted import Wanted


def nearest_to(wanted: Wanted) -> Choice | None:
    """Return the candidate of a named model that lacks the least; None where none can run.

    Where some hold a part of the users, that is the best of those that hold the most: who limits a
    server to a few requests at once wants the best weights for those few. Where some RAM would do, and
    nobody said how much there is, it is what would hold it then, on the machine as it was said. Where
    all that comes into question is too large, it is the smallest file that one of the engines loads.

    Args:
        wanted: the question; its model must be named, and no candidate holds it.
    """
    assert wanted.base is not None
    search = Search(wanted)
    found = [one for one in search.of_model(wanted.base) if one.needs_ram is None]
    if not found:
        found = list(_smallest(search, wanted.base))
    return (
        _for_a_part(wanted, found)
        or _without_the_ram(search, wanted.base)
        or min(
            in_order(found, wanted.wish),
            key=lambda choice: (not choice.is_above_floor, -(choice.plan.headroom or 0)),
            default=None,
        )
    )


def _smallest(search: Search, base: str) -> Iterator[Choice]:
    """Yield the smallest checkpoint that each engine loads, whatever there is room for."""
    wanted = search.wanted
    rows = smallest(base, wanted.system, wanted.wish, wanted.fixed)
    for turn, (engine, why, row) in enumerate(rows):
        plan = search.plan(row, engine)
        if plan is not None and plan.ranks:
            yield search.choice(base, row, plan, turn, why)


def _without_the_ram(search: Search, base: str) -> Choice | None:
    """Return what would hold it with RAM that nobody said is there, without it; None where none would."""
    for choice in search.of_model(base):
        if choice.needs_ram is not None and choice.plan.fits:
            asked = choice.plan.deployment
            plan = search.plan(
                choice.entry, choice.plan.engine, kv_cache_dtype=asked.kv_cache_dtype
            )
            if plan is not None and plan.ranks:
                return replace(choice, plan=plan)
    return None


def _for_a_part(wanted: Wanted, found: list[Choice]) -> Choice | None:
    """Return the best of what holds the most users at once; None where nothing holds any."""
    sound = (choice for choice in found if choice.is_above_floor and choice.needs_ram is None)
    most = max((choice.users for choice in sound), default=0)
    if not 0 < most < wanted.concurrency:
        return None
    best = best_of(replace(wanted, concurrency=most))
    if best is None:
        return None
    asked = question_of(best.plan).with_(layout=wanted.layout, concurrency=wanted.concurrency)
    plan = asked.plan()
    return replace(best, plan=plan) if plan.outcome is Outcome.HOLDS_FEWER else None

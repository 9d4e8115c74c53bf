"""What comes nearest, where somebody said settings under which no known checkpoint holds the workload."""

from __future__ import annotations

from dataclasses import replace

from planner.planning import Outcome
from planner.question import question_of
from planner.recommending.choice import Choice, in_order
from planner.recommending.choosing import Search, best_of
from planner.recommending.wanted import Wanted


def nearest_to(wanted: Wanted) -> Choice | None:
    """Return the candidate of a named model that lacks the least; None where none can run.

    Where some hold a part of the users, that is the best of those that hold the most: who limits a
    server to a few requests at once wants the best weights for those few.

    Args:
        wanted: the question; its model must be named, and no candidate holds it.
    """
    assert wanted.base is not None
    found = Search(wanted).on_what_is_there(wanted.base)
    return _for_a_part(wanted, found) or min(
        in_order(found, wanted.wish),
        key=lambda choice: (not choice.is_above_floor, -(choice.plan.headroom or 0)),
        default=None,
    )


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

"""What comes nearest, where no known checkpoint holds the workload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from planner.bisection import last_holding
from planner.planning import Outcome
from planner.question import question_of
from planner.recommending.candidate import smallest
from planner.recommending.choice import Choice, in_order
from planner.recommending.choosing import Search, best_of
from planner.recommending.wanted import Wanted
from planner.registry import Word


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


def most_served(wanted: Wanted, *, guess: int) -> Iterator[Choice]:
    """Yield what is chosen for the most users, fewer than were asked, that lose no large part.

    Then what is chosen for the most of all, where those are more.

    Args:
        wanted: the question; its model must be named, and no candidate holds it.
        guess: about how many users there is room for.
    """
    most = wanted.concurrency - 1

    @lru_cache(maxsize=64)
    def chosen(users: int) -> Choice | None:
        return best_of(replace(wanted, concurrency=users))

    def is_good(users: int) -> bool:
        found = chosen(users)
        return found is not None and found.word < Word.LARGE

    held = last_holding(lambda users: chosen(users) is not None, 1, most, guess=guess)
    good = None if held is None else last_holding(is_good, 1, held, guess=held)
    for users in dict.fromkeys((good, held)):
        found = None if users is None else chosen(users)
        if found is not None:
            yield found


def _for_a_part(wanted: Wanted, found: list[Choice]) -> Choice | None:
    """Return the best of what serves the most users at once; None where nothing serves any."""
    sound = (choice for choice in found if choice.is_above_floor and choice.needs_ram is None)
    guess = max((choice.users for choice in sound), default=0)
    if not guess:
        return None
    for best in most_served(wanted, guess=guess):
        asked = question_of(best.plan)
        plan = asked.with_(layout=wanted.layout, concurrency=wanted.concurrency).plan()
        if plan.outcome is Outcome.HOLDS_FEWER:
            return replace(best, plan=plan)
    return None

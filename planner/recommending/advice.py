"""What to change where a plan does not hold its workload: checkpoints and engines that exist.

A limit that the owner can raise comes first, then what costs the user least: the engine's own
economies, the neighbours of the recommendation, other settings that `planner.search` finds. Many
changes at once come after them, hardware last. Nothing hypothetical and nothing from a rule that was
only read: every piece has its command.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines import ENGINES
from planner.planning import Plan
from planner.recommending.asked import recommend
from planner.recommending.choice import Choice
from planner.recommending.wanted import wanted_by
from planner.search import Advice
from planner.search import advise as search_advice
from planner.search.advice import FREE_STEPS, MORE, OTHER_ENGINE, PRECISION

NEIGHBOURS = 2
"""Checkpoints of the recommendation that are offered: the pick and the best of the front."""


_SHOWN = 3


def advise(plan: Plan, *, most: int | None = None) -> tuple[Advice, ...]:
    """Return changes under which the workload of `plan` is held, the cheapest for the user first.

    Args:
        plan: a plan that does not hold its workload.
        most: so many at most.
    """
    if plan.fits:
        return ()
    found = list(_neighbours(plan))
    left = None if most is None else max(1, most - len(found))
    found += [
        advice
        for advice in search_advice(plan, most=left)
        if advice.command is not None and all(not _same(advice, known) for known in found)
    ]
    found = [advice for advice in found if advice.trusted]
    found.sort(key=_turn)
    return tuple(found[:most])


def best_advice(plan: Plan) -> tuple[Advice, ...]:
    """Return the changes that documents and the terminal show; none where the workload is held."""
    return advise(plan, most=_SHOWN)


def _turn(advice: Advice) -> tuple[bool, bool, bool, int]:
    """Return what advice is sorted by: hardware last, and many changes at once before it."""
    many = advice.steps > FREE_STEPS
    return not advice.enough, advice.cost >= MORE, many, advice.cost


def _neighbours(plan: Plan) -> Iterator[Advice]:
    """Checkpoints of the same model that hold the workload on the same machine."""
    wanted = wanted_by(plan)
    if wanted is None:
        return
    same = (choice for choice in recommend(wanted) if choice.entry.base == wanted.base)
    for choice in list(same)[:NEIGHBOURS]:
        title, cost = f"use {choice.entry.name}", PRECISION
        if choice.plan.engine != plan.engine:
            title, cost = f"{title} in {choice.plan.engine_title}", OTHER_ENGINE
        yield _advice(plan, choice.plan, title, _loses(choice), cost)


def _loses(choice: Choice) -> str:
    """What is lost in quality; a cache in fewer bits is named, too."""
    cache = choice.plan.deployment.kv_cache_dtype
    return choice.word.text + (f", KV cache {cache}" if cache != "auto" else "")


def _advice(before: Plan, after: Plan, title: str, loses: str, cost: int) -> Advice:
    gained = None
    if before.headroom is not None and after.headroom is not None:
        gained = after.headroom - before.headroom
    trusted = ENGINES[after.engine].verified or after.engine == before.engine
    return Advice(
        title=title, loses=loses, cost=cost, steps=1, plan=after, gained=gained, trusted=trusted
    )


def _same(one: Advice, other: Advice) -> bool:
    """Two that start the same server are one."""
    return one.command == other.command

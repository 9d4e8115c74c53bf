"""What to change where a plan does not hold its workload: checkpoints and engines that exist.

A limit that the owner can raise comes first, then the neighbours of the recommendation, then what
the engine itself and the search of `planner.search` offer; hardware is last, as there. Nothing
hypothetical: every piece has its command.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines import ENGINES
from planner.errors import PlannerError
from planner.planning import Plan
from planner.question import question_of
from planner.recommending.asked import needed_bytes, raised_system, recommend
from planner.recommending.choice import Choice
from planner.recommending.choosing import wanted_by
from planner.search import Advice
from planner.search import advise as search_advice
from planner.search.advice import OTHER_ENGINE, PRECISION

NEIGHBOURS = 2
"""Checkpoints of the recommendation that are offered: the pick and the best of the front."""

RAISED = 0
"""What raising a limit costs the user: less than anything else."""


def advise(plan: Plan, *, most: int | None = None) -> tuple[Advice, ...]:
    """Return changes under which the workload of `plan` is held, the cheapest for the user first.

    Args:
        plan: a plan that does not hold its workload.
        most: so many at most.
    """
    if plan.fits:
        return ()
    found = [*_limit(plan), *_neighbours(plan)]
    if most is None or len(found) < most:
        left = None if most is None else most - len(found)
        found += [
            advice
            for advice in search_advice(plan, most=left)
            if advice.command is not None and all(not _same(advice, known) for known in found)
        ]
    found.sort(key=lambda advice: (not advice.enough, not advice.trusted, advice.cost))
    return tuple(found[:most])


def _limit(plan: Plan) -> Iterator[Advice]:
    """The same deployment with the limit raised that its owner can raise."""
    system = plan.deployment.system
    raised, unified = raised_system(system), system.accelerator.unified
    if raised is None or unified is None or unified.raisable is None:
        return
    try:
        changed = question_of(plan).with_(system=raised).plan()
    except PlannerError:
        return
    if changed.fits:
        command = unified.raisable.command_for(needed_bytes(changed))
        title = f"raise {unified.raisable.name}: {command}"
        yield _advice(plan, changed, title, unified.raisable.after or "", RAISED)


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

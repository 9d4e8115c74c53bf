"""Settings under which an engine holds a workload that its own defaults do not hold.

For many users, and over several machines, people set them before they take another server: no more
sequences than there are users, no vision tower where nobody shows pictures, no cache of prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.engines.choice import FOR_MANY, SMALLER_CACHE
from planner.engines.economies import Economy, economies_of
from planner.errors import PlannerError
from planner.planning import Outcome, Plan
from planner.question import Question, question_of
from planner.recommending.choice import A_FEW
from planner.recommending.wanted import Wanted

DEAREST = 2
"""What an economy may cost: some speed, no accuracy and no feature that was asked for."""


def may_save(wanted: Wanted, plan: Plan) -> bool:
    """Say whether settings of its engine are looked for: nobody said any, and they are usual there."""
    crowd = wanted.concurrency > A_FEW or wanted.system.nodes > 1
    return plan.engine in FOR_MANY and crowd and not wanted.tells_options and bool(plan.ranks)


def with_savings(
    wanted: Wanted, plan: Plan, *, only_enough: bool = False
) -> tuple[Plan, tuple[Economy, ...]] | None:
    """Return the plan that holds the workload by the cheapest settings, with them; None: leave it so.

    A KV cache of half the size comes beside them where they are not enough without it. Where the
    plan holds it already, but not to the far end of its band, settings are for that end. Where all
    settings together are not enough, the plan with all of them tells how many are held.

    Args:
        wanted: what is asked for.
        plan: what does not hold it safely by its engine's defaults.
        only_enough: settings that are not enough are of no use: the plan stays as it is.
    """
    from planner.search.combining import fewest, with_all  # a room that a plan alone does without

    asked = replace(question_of(plan), layout=wanted.layout)
    possible = tuple(_possible(wanted, asked, plan))
    smaller = SMALLER_CACHE.get(plan.engine)
    caches = [plan.deployment.kv_cache_dtype]
    if wanted.kv_cache_dtype == "auto" and smaller is not None and smaller not in caches:
        caches.append(smaller)
    try:
        saved = with_all(replace(asked, kv_cache_dtype=caches[-1]), possible)
        if only_enough and not saved.fits():
            return None
        most = saved.plan()
    except PlannerError:
        return None  # these settings do not go together
    if not most.fits:
        return (most, possible) if most.ranks else None
    if plan.fits and most.outcome is not Outcome.FITS:
        return None
    holds = _is_safe if most.outcome is Outcome.FITS else Question.fits
    for cache in caches:
        question = replace(asked, kv_cache_dtype=cache)
        taken = () if holds(question) else fewest(question, possible, holds=holds)
        held = with_all(question, taken)
        if taken or holds(held):
            return held.plan(), taken
    return None


def with_care(wanted: Wanted, plan: Plan) -> tuple[Plan, tuple[Economy, ...]]:
    """Return a plan that holds the workload with what its engine sets for care, where it holds it, too.

    Args:
        wanted: what is asked for; options that are said stay as they are.
        plan: what holds the workload by its engine's defaults.
    """
    question = question_of(plan)
    care = None if wanted.tells_options else question.settled_engine.careful(plan.deployment)
    if care is None:
        return plan, ()
    from planner.search.combining import with_all  # as above

    safer = with_all(question, (care,)).plan()
    return (safer, (care,)) if safer.outcome is Outcome.FITS else (plan, ())


def _is_safe(question: Question) -> bool:
    """Say whether the workload is held even at the far end of the estimate's band."""
    return question.plan().outcome is Outcome.FITS


def _possible(wanted: Wanted, asked: Question, plan: Plan) -> Iterator[Economy]:
    """Yield economies that cost nothing of what was asked for."""
    for economy in economies_of(asked.settled_engine, plan.deployment):
        if economy.cost <= DEAREST and not (economy.without_pictures and wanted.wish.pictures):
            yield economy

"""The page's questions that ask many plans; for worker processes, so without Streamlit."""

from __future__ import annotations

from dataclasses import replace

from hardware_db import System
from planner.errors import PlannerError
from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending import Fixed, Wanted, best_of
from planner.recommending.advice import advise
from planner.recommending.candidate import lanes, size_of
from planner.recommending.choice import A_FEW
from planner.search import Advice, Objective, Suggestion, suggest_layouts
from planner.web.asked import given_ram

MOST_ADVICE = 6

RAM_SIZES = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""GB of RAM as machines are sold with them."""


def advice(question: Question) -> tuple[Advice, ...]:
    """Return what to change about `question`, the best first.

    Raises:
        PlannerError: it cannot be planned.
    """
    return advise(question.plan(), most=MOST_ADVICE)


def with_ram_that_holds(asked: Wanted | Question) -> tuple[int, Plan] | None:
    """Return the least RAM under which the workload is held, in GB, with the plan for it.

    None where RAM does not help, where the machine has none beside its memory, and where it serves more
    than a few, for whom no part of a model is put into RAM.

    Args:
        asked: a question that its machine does not hold. Of a `Wanted`, whose model must be named,
            the plan is that of the smallest checkpoint, without which a larger one does not hold.
    """
    system = asked.system
    many = asked.concurrency > A_FEW
    if many or system.accelerator.is_unified or system.is_cpu_only:
        return None
    known = system.host_memory_gib
    sizes = [size for size in RAM_SIZES if known is None or size > known.value]
    least: tuple[int, Plan] | None = None
    below, above = 0, len(sizes)
    while below < above:  # more RAM never holds less; the largest first: most often none helps
        turn = above - 1 if least is None else (below + above) // 2
        plan = _held_on(asked, given_ram(system, sizes[turn]))
        if plan is not None:
            least, above = (sizes[turn], plan), turn
        elif least is None:
            return None
        else:
            below = turn + 1
    return least


def _held_on(asked: Wanted | Question, system: System) -> Plan | None:
    if isinstance(asked, Wanted):
        return _smallest_on(asked, system)
    try:
        plan = asked.plan(system=system)
    except PlannerError:
        return None
    return plan if plan.fits else None


def _smallest_on(wanted: Wanted, system: System) -> Plan | None:
    """The plan of an engine's smallest checkpoint that holds the workload: one class of each, not all."""
    assert wanted.base is not None
    for lane in lanes(wanted.base, system, wanted.wish, wanted.fixed):
        row = min((row for _, rows in lane.classes for row in rows), key=size_of)
        fixed = Fixed(engine=lane.engine, precision=row.label or row.recipe)
        choice = best_of(replace(wanted, system=system, fixed=fixed))
        if choice is not None:
            return choice.plan
    return None


def layouts(question: Question, objective: Objective) -> tuple[Suggestion, ...]:
    """Return every layout of `question`, the best for `objective` first.

    Raises:
        PlannerError: it cannot be planned.
    """
    return suggest_layouts(question.with_(objective=objective))


def takes_layout_itself(plan: Plan) -> bool:
    """Return whether the planner chooses this plan's layout where none is said.

    Raises:
        PlannerError: it cannot be planned without one.
    """
    return question_of(plan).plan(layout=None).deployment.layout == plan.deployment.layout

"""The page's questions that ask many plans; for worker processes, so without Streamlit."""

from __future__ import annotations

from dataclasses import replace

from hardware_db import System
from planner.errors import PlannerError
from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending import Wanted, best_of
from planner.recommending.advice import advise
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

    None where RAM does not help, or where the machine has none beside its memory.

    Args:
        asked: a question that its machine does not hold. Of a `Wanted`, whose model must be named,
            the checkpoint is chosen anew.
    """
    system = asked.system
    if system.accelerator.is_unified or system.is_cpu_only:
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
        choice = best_of(replace(asked, system=system))
        return choice.plan if choice is not None else None
    try:
        plan = asked.plan(system=system)
    except PlannerError:
        return None
    return plan if plan.fits else None


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

"""Which hardware holds a workload, cell by cell, so that a page can show what it has so far."""

from __future__ import annotations

from dataclasses import dataclass, replace

import hardware_db
from hardware_db import Accelerator
from planner.cost import cheapest
from planner.errors import PlannerError
from planner.model.checkpoint import Checkpoint
from planner.planning import Outcome, Plan
from planner.question import Question
from planner.search import fits_table, headline_precisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The smallest number of an accelerator that holds the workload in one precision.

    Attributes:
        count: accelerators needed; None if no number tried is enough.
        tried: the most that were tried.
        outcome: the verdict at `count`, or at `tried`.
        headroom: bytes to spare there on the fullest one; None if it cannot run.
        verdict: the verdict's sentence.
        plan: the plan at `count`, or at `tried`.
        price: the lowest purchase price of that many in US dollars; None if none is known.
    """

    count: int | None
    tried: int
    outcome: Outcome
    headroom: int | None
    verdict: str
    plan: Plan
    price: float | None


def workload_of(asked: Question) -> Question:
    """What stays of the question when the hardware is looked for."""
    return replace(asked, system=hardware_db.resolve("custom:1GiB"), layout=None)


def columns_of(asked: Question, sixteen_bit: Checkpoint | None) -> tuple[Checkpoint, ...]:
    """The precisions to show: the best of each class, and the one asked for.

    Args:
        asked: the visitor's question.
        sixteen_bit: the model's 16-bit checkpoint, where the catalog has one.
    """
    asked = replace(asked, layout=None)  # of another number of accelerators
    start = replace(asked, checkpoint=sixteen_bit) if sixteen_bit is not None else asked
    try:
        found = headline_precisions(start)
    except PlannerError:
        found = ()
    names = {checkpoint.scheme.name for checkpoint in found}
    own = () if asked.checkpoint.scheme.name in names else (asked.checkpoint,)
    return tuple(sorted((*found, *own), key=lambda checkpoint: -checkpoint.nbytes("text")))


def cells(
    workload: Question, columns: tuple[Checkpoint, ...], accelerator: Accelerator
) -> tuple[Cell | None, ...]:
    """Return one accelerator's cells, in the order of `columns`."""
    return tuple(_cell(workload, checkpoint, accelerator) for checkpoint in columns)


def _cell(workload: Question, checkpoint: Checkpoint, accelerator: Accelerator) -> Cell | None:
    """One cell; None where the question makes no sense there.

    Args:
        workload: from `workload_of`.
        checkpoint: the precision.
        accelerator: the hardware.
    """
    try:
        (fit,) = fits_table(workload, (checkpoint,), (accelerator,))
    except PlannerError:
        return None
    system = fit.plan.deployment.system
    offer = cheapest(system, "purchase")
    return Cell(
        count=fit.count,
        tried=system.count,
        outcome=fit.plan.outcome,
        headroom=fit.plan.headroom,
        verdict=fit.plan.verdict,
        plan=fit.plan,
        price=offer.value if offer is not None else None,
    )

"""Which hardware holds a workload, in which precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cached_property, partial

import hardware_db
from hardware_db import Accelerator, System
from hardware_db.records import frozen_with_cache
from planner.cost import cheapest
from planner.cost.prices import Kind
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.question import Question
from planner.ranking import ranked, rate
from planner.search.hardware import candidates
from planner.search.layouts import Suggestion, layout_notes
from planner.speed import speed_of


@frozen_with_cache
class Fit:
    """The smallest number of one accelerator that holds a workload in one precision.

    Attributes:
        accelerator: which.
        question: what was asked of the smallest system that holds it; where none does, of the
            largest tried.
        holds: that system holds the workload.
        found: the plan on that system, where it was made to find that out.
    """

    accelerator: Accelerator
    question: Question
    holds: bool
    found: Plan | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights in their precision."""
        return self.question.checkpoint

    def __repr__(self) -> str:
        """Return the accelerator, the precision and the verdict."""
        stored = self.checkpoint.scheme.name
        return f"<Fit: {self.accelerator.id}, {stored}: {self.plan.verdict}>"

    @property
    def count(self) -> int | None:
        """Accelerators needed; None if no number tried is enough."""
        return self.question.system.count if self.holds else None

    @property
    def can_run(self) -> bool:
        """The engine takes it there, memory aside."""
        return self.holds or self.question.can_run()

    @cached_property
    def plan(self) -> Plan:
        """The plan on that system; of what does not fit it is made when it is asked for."""
        return self.found or self.question.plan()


def fits_table(
    question: Question,
    checkpoints: Iterable[Checkpoint],
    accelerators: Iterable[Accelerator] | None = None,
    *,
    executor: Executor | None = None,
) -> tuple[Fit, ...]:
    """For every accelerator and precision, the smallest system that holds the workload.

    Args:
        question: the workload; its system and layout are not used.
        checkpoints: the precisions.
        accelerators: which to try; None for the whole database.
        executor: where to plan; None plans here, one after the other.
    """
    chosen = tuple(accelerators) if accelerators is not None else hardware_db.accelerators()
    known, stored = hardware_db.systems(), tuple(checkpoints)
    machines = [candidates(accelerator, known) for accelerator in chosen]
    pairs = [(systems, checkpoint) for systems in machines for checkpoint in stored]
    run: Callable[..., Iterator[Fit]] = map if executor is None else executor.map
    asked = replace(question, layout=None)
    if asked.engine is not None:  # of its options nothing depends on the machine
        asked = asked.ready()
    return tuple(run(partial(_smallest, asked), pairs))


def _smallest(question: Question, pair: tuple[Sequence[System], Checkpoint]) -> Fit:
    """The smallest of an accelerator's systems that holds it.

    Where one accelerator does not, the largest system is asked next, cheaply: where that is sure
    not to, none does.
    """
    systems, checkpoint = pair
    accelerator, on = systems[0].accelerator, partial(replace, question, checkpoint=checkpoint)
    for one in _in_turn(on, systems):
        plan = one.plan_that_fits()
        if plan is not None:
            return Fit(accelerator=accelerator, question=one, holds=True, found=plan)
    return Fit(accelerator=accelerator, question=on(system=systems[-1]), holds=False)


def _in_turn(on: Callable[..., Question], systems: Sequence[System]) -> Iterator[Question]:
    first, *more = systems
    yield on(system=first)
    if more and on(system=systems[-1]).may_fit():
        yield from (on(system=system) for system in more)


def smallest_systems(
    question: Question,
    checkpoints: Iterable[Checkpoint],
    *,
    accelerators: Iterable[Accelerator] | None = None,
    basis: Kind = "purchase",
    executor: Executor | None = None,
) -> tuple[Suggestion, ...]:
    """For every accelerator that can hold the workload, the smallest system of it that does.

    Of equally small ones the first of the precisions is taken. The best for the objective is first.

    For "cost" those with the lowest price come first (systems without a known price last), for
    "memory" the fewest accelerators, then the least memory; else the fastest.
    """
    objective, found = question.objective, []
    for fit in _one_per_accelerator(
        fits_table(question, checkpoints, accelerators, executor=executor)
    ):
        system, speed = fit.plan.deployment.system, speed_of(fit.plan)
        offer = cheapest(system, basis)
        found.append(
            Suggestion(plan=fit.plan, speed=speed, notes=tuple(layout_notes(fit.plan)), offer=offer)
        )
    if objective in ("latency", "throughput"):
        return ranked((rate(entry.plan, entry.speed, objective), entry) for entry in found)
    return tuple(sorted(found, key=_cheapest if objective == "cost" else _smallest_first))


def _one_per_accelerator(fits: Iterable[Fit]) -> tuple[Fit, ...]:
    """Of each accelerator the fit with the fewest; of equals the first precision asked for."""
    best: dict[str, Fit] = {}
    for fit in fits:
        known = best.get(fit.accelerator.id)
        if fit.count is not None and (known is None or fit.count < (known.count or 0)):
            best[fit.accelerator.id] = fit
    return tuple(best.values())


def _cheapest(entry: Suggestion) -> tuple[bool, float, int]:
    system, offer = entry.plan.deployment.system, entry.offer
    return offer is None, offer.value if offer is not None else 0.0, _memory(system)


def _smallest_first(entry: Suggestion) -> tuple[int, int]:
    system = entry.plan.deployment.system
    return system.count, _memory(system)


def _memory(system: System) -> int:
    return system.count * system.accelerator.total_bytes

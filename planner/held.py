"""The part of a plan that is held: what tables, bars, warnings and the command are about, at every door."""

from __future__ import annotations

from dataclasses import replace

from planner.planning import Outcome, Plan, plan_deployment
from planner.units import counted


def held_of(plan: Plan) -> Plan:
    """Return the plan of as many requests as are held at once; the plan itself where all are, or none.

    A server that holds fewer than were asked is started for those, and its memory is theirs.
    """
    if plan.outcome is not Outcome.HOLDS_FEWER or plan.capacity is None:
        return plan
    if not plan.capacity.sequences:
        return plan
    asked = plan.deployment
    found = plan_deployment(
        replace(asked, concurrency=plan.capacity.sequences),
        plan.policy,
        kept=plan.kept,
        environment=plan.environment,
        named=plan.named,
    )
    if not found.fits:
        return plan
    return replace(found, told=plan.told, further=plan.further, lead=plan.lead)


def held_words(plan: Plan, held: Plan) -> str:
    """Return how many of those asked for are meant; empty where all are.

    Args:
        plan: what was asked.
        held: what of it is held (`held_of`).
    """
    if held is plan:
        return ""
    return f"{held.deployment.concurrency:,} of {counted(plan.deployment.concurrency, 'request')} at once"


def further_warnings(plan: Plan) -> tuple[str, ...]:
    """Return what a user can act on, but for what the verdict begins with."""
    return tuple(warning for warning in plan.warnings if warning != plan.lead)


def workload_line(plan: Plan, held: Plan, asked: str) -> str:
    """Return the workload in words, and for how much of it what follows is.

    Args:
        plan: what was asked.
        held: what of it is held (`held_of`).
        asked: the workload in words.
    """
    if held is plan:
        return asked
    return f"{asked}; what follows is for {held.deployment.concurrency:,} of them at once"

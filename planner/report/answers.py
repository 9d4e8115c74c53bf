"""Answers to inverse questions as plain data, ready for JSON; sizes are bytes."""

from __future__ import annotations

from typing import Any

from planner.held import held_of
from planner.planning import Plan
from planner.report.rows import plan_row
from planner.search import Fit, Limits, Solution, Suggestion
from planner.throughput import SpeedEstimate


def suggestion_document(suggestion: Suggestion) -> dict[str, Any]:
    """One suggestion: the plan's figures, the speed with its band, notes, refusals, price."""
    plan, offer = suggestion.plan, suggestion.offer
    speed = suggestion.speed
    rates: dict[str, Any] | None = None
    if isinstance(speed, SpeedEstimate):
        rates = {
            name: {"value": rate.value, "low": rate.low, "high": rate.high}
            for name, rate in (("per_user", speed.per_user), ("total", speed.total))
        }
        rates["words"] = speed.words
    return {
        "hardware": plan.deployment.system.id,
        "model": plan.deployment.checkpoint.id,
        "precision": plan.deployment.checkpoint.scheme.name,
        **plan_row(plan),
        "tokens_per_second": rates,
        "notes": list(suggestion.notes),
        "refusals": [
            {"reason": refusal.reason, "engine_message": refusal.engine_message}
            for refusal in plan.refusals
        ],
        "command": _command(plan),
        "price": {
            "value": offer.value,
            "currency": offer.currency,
            "kind": offer.kind,
            "date": offer.date,
            "note": offer.note,
        }
        if offer is not None
        else None,
    }


def limits_document(limits: Limits) -> dict[str, Any]:
    """How far a deployment goes."""
    return {"solutions": [_solution(solution) for solution in limits.solutions]}


def _solution(solution: Solution) -> dict[str, Any]:
    return {
        "asked": solution.asked,
        "value": solution.value,
        "words": solution.words,
        "plan": plan_row(solution.plan),
        "command": _command(solution.plan),
        "beyond": plan_row(solution.beyond) if solution.beyond is not None else None,
    }


def fit_document(fit: Fit) -> dict[str, Any]:
    """How many of one accelerator hold a workload in one precision."""
    return {
        "accelerator": fit.accelerator.id,
        "precision": fit.checkpoint.scheme.name,
        "model": fit.checkpoint.id,
        "count": fit.count,
        **plan_row(fit.plan),
    }


def _command(plan: Plan) -> str | None:
    launch = held_of(plan).launch
    return launch.command if launch is not None else None

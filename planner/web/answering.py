"""Answer what visitors ask: in worker processes, with the Hub where it is allowed."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, lru_cache

from planner.errors import PlannerError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.web import asked, working
from planner.web.allowance import allow_hub_question, visitor
from planner.web.asked import Asked

HUB_PATIENCE = 60
"""Seconds for which the Hub's refusal of a name holds: a page asks anew at every key press."""

HUB_LIMIT = 75.0
"""Seconds for one repository; `planner.hub` ends a question after 60 and then reads what it got."""


def answer(question: Asked) -> Plan | PlannerError:
    """Return the plan, or the reason why there is none."""
    try:
        if _is_repository(question.model, hub=question.hub):
            stored = checkpoint(question.model, question.precision, hub=True)
            question = replace(question, stored=stored)
        return working.run(asked.plan, question)
    except PlannerError as error:
        return error


@lru_cache(maxsize=256)
def checkpoint(model: str, precision: str | None, *, hub: bool = False) -> Checkpoint:
    """Return the checkpoint of `model` stored in `precision`.

    Args:
        model: bundled id or repository.
        precision: name of a scheme, or None.
        hub: ask the Hub, as anybody could, where the model is not bundled.

    Raises:
        PlannerError: unknown name, hosted-only model, a precision that contradicts it, or the Hub
            cannot be reached.
    """
    if not _is_repository(model, hub=hub):
        return asked.bundled(model, precision)
    found = _from_hub(model, precision, int(time.monotonic() // HUB_PATIENCE))
    if isinstance(found, PlannerError):
        raise found
    return found


@lru_cache(maxsize=64)
def _from_hub(model: str, precision: str | None, minute: int) -> Checkpoint | PlannerError:
    allow_hub_question(visitor())
    try:
        return working.run_in(_hub_pool(), asked.from_hub, model, precision)
    except PlannerError as error:
        return error


@cache
def _hub_pool() -> working.Pool:
    return working.pool(limit=HUB_LIMIT, keeps=False)


def _is_repository(model: str, *, hub: bool) -> bool:
    return hub and "/" in model and catalog.find(model) is None

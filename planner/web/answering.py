"""Answer what visitors ask: in worker processes, with the Hub where it is allowed."""

from __future__ import annotations

from functools import cache
from typing import cast

from hardware_db import System
from planner.errors import PlannerError
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.recommending import Recommendation
from planner.registry import find
from planner.web import solving, worker, working
from planner.web.allowance import allow_hub_question, visitor
from planner.web.asked import BEST, Asked
from planner.web.kept import Kept
from planner.web.pool import Pool
from planner.web.problems import Problem
from planner.web.solving import Answer

HUB_PATIENCE = 60
"""Seconds for which the Hub's answer to a name holds: a page asks anew at every key press."""

_FOUND = Kept(64 << 20)
"""Checkpoints and refusals of that time: strangers name them, so their bytes are what is bounded."""

_IN_MEMORY = 2
"""Times its pickle that a checkpoint takes in memory, at most (tracemalloc)."""

HUB_LIMIT = 75.0
"""Seconds on the clock for one repository; `planner.hub` ends a question after 60 and then reads what it got."""


def answer(asked: Asked, machine: System | None = None, *, hub: bool = False) -> Answer:
    """Return the answer to a question.

    Args:
        asked: in the visitor's words.
        machine: the system itself where it is not in the database (this machine, own devices).
        hub: the Hub may be asked for a model that is not bundled.
    """
    try:
        stored = None
        if hub and _is_repository(asked.model):
            weights = None if asked.weights == BEST else asked.weights
            found = _from_hub(asked.model, weights)
            if isinstance(found, PlannerError):
                return Answer(problems=(Problem(part="model", text=str(found)),))
            stored = found
        return working.run(solving.solve, asked, machine, stored)
    except PlannerError as error:
        return Answer(problems=(Problem(part="", text=str(error)),))


def alternatives(found: Answer) -> Recommendation | None:
    """Return the pick and the front for the answer's model with the checkpoint left open.

    Raises:
        PlannerError: there is no time for it.
    """
    return working.run(solving.alternatives, found)


def _from_hub(model: str, precision: str | None) -> Checkpoint | PlannerError:
    request = repr((model, precision)).encode("utf-8", "surrogatepass")
    known = _FOUND.get(request)
    if known is not None:
        return cast("Checkpoint | PlannerError", known[0])
    allow_hub_question(visitor())
    answer: Checkpoint | PlannerError
    try:
        answer = working.run_in(_hub_pool(), solving.from_hub, model, precision)
    except PlannerError as error:
        answer = error
    _FOUND.keep(request, answer, _IN_MEMORY * len(worker.packed(answer)), HUB_PATIENCE)
    return answer


@cache
def _hub_pool() -> Pool:
    return working.pool(longest=HUB_LIMIT, keeps=False)


def _is_repository(model: str) -> bool:
    return "/" in model and catalog.find(model) is None and find(model) is None

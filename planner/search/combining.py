"""Which of an engine's economies are enough together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from planner.bisection import last_holding
from planner.engines.economies import Economy
from planner.errors import PlannerError
from planner.question import Question


def applied(question: Question, economy: Economy) -> Question:
    """The question with the economy made."""
    values: dict[str, Any] = dict(economy.options)
    changed = question.with_options(**values) if values else question
    if economy.kv_cache_dtype is not None:
        changed = replace(changed, kv_cache_dtype=economy.kv_cache_dtype)
    return changed


def fewest(question: Question, economies: Sequence[Economy]) -> tuple[Economy, ...]:
    """The cheapest economies with which the question fits, none of them needless.

    So many are taken in the order given (the cheapest first) as are enough; then each is left out
    again, the dearest first, where the rest is enough without it. Empty if all are not enough.
    """
    possible: list[Economy] = []
    for economy in economies:
        if not economy.group or all(economy.group != other.group for other in possible):
            possible.append(economy)
    if not _enough(question, possible):
        return ()
    short = last_holding(lambda n: not _enough(question, possible[:n]), 0, len(possible) - 1)
    taken = possible[: 0 if short is None else short + 1]
    for economy in sorted(taken, key=lambda economy: -economy.cost):
        fewer = [other for other in taken if other is not economy]
        if _enough(question, fewer):
            taken = fewer
    return tuple(taken)


def _enough(question: Question, economies: Sequence[Economy]) -> bool:
    for economy in economies:
        question = applied(question, economy)
    try:
        return question.fits()
    except PlannerError:
        return False

"""Which of an engine's economies are enough together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


def fewest(
    question: Question,
    economies: Sequence[Economy],
    *,
    holds: Callable[[Question], bool] = Question.fits,
) -> tuple[Economy, ...]:
    """The cheapest economies with which the question fits, none of them needless.

    So many are taken in the order given (the cheapest first) as are enough; then each is left out
    again, the dearest first, where the rest is enough without it. Empty if all are not enough.

    Args:
        question: what does not fit.
        economies: what may be changed, the cheapest first.
        holds: what counts as fitting.
    """
    possible: list[Economy] = []
    for economy in economies:
        if not economy.group or all(economy.group != other.group for other in possible):
            possible.append(economy)
    if not _enough(question, possible, holds):
        return ()
    short = last_holding(lambda n: not _enough(question, possible[:n], holds), 0, len(possible) - 1)
    taken = possible[: 0 if short is None else short + 1]
    for economy in sorted(taken, key=lambda economy: -economy.cost):
        fewer = [other for other in taken if other is not economy]
        if _enough(question, fewer, holds):
            taken = fewer
    return tuple(taken)


def with_all(question: Question, economies: Iterable[Economy]) -> Question:
    """Return the question with all of the economies made."""
    for economy in economies:
        question = applied(question, economy)
    return question


def _enough(
    question: Question, economies: Sequence[Economy], holds: Callable[[Question], bool]
) -> bool:
    try:
        return holds(with_all(question, economies))
    except PlannerError:
        return False

"""Choose: the pick, the front beside it, and the nearest misses where nothing holds the workload."""

from __future__ import annotations

from planner.recommending.answer import Recommendation
from planner.recommending.choosing import Search
from planner.recommending.chosen import chosen
from planner.recommending.misses import beside, misses
from planner.recommending.wanted import Wanted


def recommend(wanted: Wanted) -> Recommendation:
    """Return what to run: every line of the answer is a plan that was made.

    Args:
        wanted: the question.

    Raises:
        InputError: an unknown wish or use.
    """
    search = Search(wanted)
    choices, pick, others = chosen(search)
    found = misses(search, choices) if pick is None else beside(search, pick, choices)
    return Recommendation(wanted=wanted, pick=pick, front=others, misses=tuple(found))

"""What should I run? Checkpoints that exist, engines that run them, the best one first.

One choosing function (`recommend`) serves every door. It asks `planner.question.Question` for the
plan of every candidate; there is no second formula. Order (docs/recommendations.md): what holds the
workload even at the far end of its band, then in it; then the wish.
"""

from __future__ import annotations

from typing import Any

from planner.recommending.answer import Miss, Recommendation, RecommendationDocument
from planner.recommending.asked import recommend
from planner.recommending.candidate import Fixed
from planner.recommending.choice import Choice
from planner.recommending.choosing import best_of
from planner.recommending.nearest import nearest_to
from planner.recommending.wanted import Wanted, wanted_by
from planner.recommending.wish import BESTS, Best, Wish

__all__ = [
    "BESTS",
    "Best",
    "Choice",
    "Fixed",
    "Miss",
    "Recommendation",
    "Wanted",
    "Wish",
    "best_of",
    "nearest_to",
    "recommend",
    "schema",
    "wanted_by",
]


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `Recommendation.to_dict`."""
    from pydantic import TypeAdapter

    return TypeAdapter(RecommendationDocument).json_schema()

"""The page's questions that ask many plans; for worker processes, so without Streamlit."""

from __future__ import annotations

from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending.advice import advise
from planner.search import Advice, Objective, Suggestion, suggest_layouts

MOST_ADVICE = 6


def advice(question: Question) -> tuple[Advice, ...]:
    """Return what to change about `question`, the best first.

    Raises:
        PlannerError: it cannot be planned.
    """
    return advise(question.plan(), most=MOST_ADVICE)


def layouts(question: Question, objective: Objective) -> tuple[Suggestion, ...]:
    """Return every layout of `question`, the best for `objective` first.

    Raises:
        PlannerError: it cannot be planned.
    """
    return suggest_layouts(question.with_(objective=objective))


def takes_layout_itself(plan: Plan) -> bool:
    """Return whether the planner chooses this plan's layout where none is said.

    Raises:
        PlannerError: it cannot be planned without one.
    """
    return question_of(plan).plan(layout=None).deployment.layout == plan.deployment.layout

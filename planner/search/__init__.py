"""Answers to inverse questions, by the forward function alone.

Which layout, which hardware, which precision, how far, and what to change: each answer is found by
planning candidates by the question itself; there is no second formula.
"""

from planner.ranking import OBJECTIVES, Objective
from planner.search.advice import Advice, advise
from planner.search.fits import Fit, fits_table, smallest_systems
from planner.search.layouts import Suggestion, suggest_layouts
from planner.search.precision import checkpoints_of, headline_precisions
from planner.search.solve import Limits, Solution, solve_limits

__all__ = [
    "OBJECTIVES",
    "Advice",
    "Fit",
    "Limits",
    "Objective",
    "Solution",
    "Suggestion",
    "advise",
    "checkpoints_of",
    "fits_table",
    "headline_precisions",
    "smallest_systems",
    "solve_limits",
    "suggest_layouts",
]

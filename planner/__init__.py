"""qwenplan: memory and capacity of the Qwen3.5 family on real hardware, by the engines' own rules.

>>> import planner
>>> plan = planner.plan("Qwen/Qwen3.5-35B-A3B", on="h100", precision="fp8", context="128k")
>>> plan.fits
True
"""

from planner.api import (
    hardware,
    load_checkpoint,
    models,
    parameters,
    plan,
)
from planner.document import schema
from planner.errors import (
    InputError,
    LayoutError,
    OfflineError,
    PlannerError,
    SourceError,
    UnknownModelError,
    UnsupportedModelError,
)
from planner.inverse import solve, suggest, sweep
from planner.layout import Layout
from planner.observed import check_log
from planner.plan import Outcome, Plan
from planner.probe import probe
from planner.search import Advice, Limits, Solution, Suggestion, advise

__all__ = [
    "Advice",
    "InputError",
    "Layout",
    "LayoutError",
    "Limits",
    "OfflineError",
    "Outcome",
    "Plan",
    "PlannerError",
    "Solution",
    "SourceError",
    "Suggestion",
    "UnknownModelError",
    "UnsupportedModelError",
    "advise",
    "check_log",
    "hardware",
    "load_checkpoint",
    "models",
    "parameters",
    "plan",
    "probe",
    "schema",
    "solve",
    "suggest",
    "sweep",
]

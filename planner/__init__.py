"""qwenplan: memory and capacity of the Qwen3.5 family on real hardware, by the engines' own rules.

>>> import planner
>>> plan = planner.plan("Qwen/Qwen3.5-35B-A3B", on="h100", precision="fp8", context="128k")
>>> plan.fits
True
"""

from importlib import import_module
from typing import TYPE_CHECKING

from planner.answer import Plan
from planner.api import (
    fits,
    hardware,
    layouts,
    models,
    parameters,
    plan,
    solve,
    suggest,
    sweep,
)
from planner.asking import ask, load_checkpoint
from planner.errors import (
    InputError,
    LayoutError,
    OfflineError,
    PlannerError,
    SourceError,
    UnknownModelError,
    UnsupportedModelError,
)
from planner.layout import Layout
from planner.planning import Outcome
from planner.probing import probe
from planner.question import Question
from planner.systems import resolve_hardware

if TYPE_CHECKING:
    from planner.document import schema
    from planner.emitting import emit
    from planner.observed import check_log, plan_command, read_command
    from planner.search import Advice, Fit, Limits, Solution, Suggestion, advise

_LATER = {
    "schema": "planner.document",
    "emit": "planner.emitting",
    **dict.fromkeys(("check_log", "plan_command", "read_command"), "planner.observed"),
    **dict.fromkeys(
        ("Advice", "Fit", "Limits", "Solution", "Suggestion", "advise"), "planner.search"
    ),
}
"""Names that most programs do not ask for, by where they come from: loaded when they do."""

__all__ = [
    "Advice",
    "Fit",
    "InputError",
    "Layout",
    "LayoutError",
    "Limits",
    "OfflineError",
    "Outcome",
    "Plan",
    "PlannerError",
    "Question",
    "Solution",
    "SourceError",
    "Suggestion",
    "UnknownModelError",
    "UnsupportedModelError",
    "advise",
    "ask",
    "check_log",
    "emit",
    "fits",
    "hardware",
    "layouts",
    "load_checkpoint",
    "models",
    "parameters",
    "plan",
    "plan_command",
    "probe",
    "read_command",
    "resolve_hardware",
    "schema",
    "solve",
    "suggest",
    "sweep",
]


if not TYPE_CHECKING:  # a type checker must still see names that do not exist

    def __getattr__(name: str) -> object:
        """Return a public name that is loaded when it is asked for."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)

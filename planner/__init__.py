"""qwenplan: memory and capacity of the Qwen3.5 family on real hardware, by the engines' own rules.

>>> import planner
>>> plan = planner.plan("Qwen/Qwen3.5-35B-A3B", on="h100", precision="fp8", context="128k")
>>> plan.fits
True
"""

from importlib import import_module
from typing import TYPE_CHECKING

from planner.api import (
    hardware,
    load_checkpoint,
    models,
    parameters,
    plan,
)
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
from planner.plan import Outcome, Plan
from planner.probe import probe

if TYPE_CHECKING:
    from planner.document import schema
    from planner.observed import check_log
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

_LATER = {
    "schema": "planner.document",
    "check_log": "planner.observed",
    **dict.fromkeys(("Advice", "Limits", "Solution", "Suggestion", "advise"), "planner.search"),
}
"""Names that most programs do not ask for, by where they come from: loaded when they do.

None of them may be called like a module of this package: importing it would take the name.
"""


if not TYPE_CHECKING:  # a type checker must still see names that do not exist

    def __getattr__(name: str) -> object:
        """The rest of the public names."""
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LATER[name]), name)

"""qwenplan: memory and capacity of the Qwen3.5 family on real hardware, by the engines' own rules.

>>> import planner
>>> plan = planner.plan("Qwen/Qwen3.5-35B-A3B", on="h100", precision="fp8", context="128k")
>>> plan.fits
True
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.answer import Plan
    from planner.api import (
        fits,
        hardware,
        layouts,
        models,
        parameters,
        plan,
        recommend,
        solve,
        suggest,
        sweep,
    )
    from planner.asking import ask
    from planner.document import schema
    from planner.emitting import emit
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
    from planner.loading import load_checkpoint
    from planner.observed import check_log, plan_command, read_command
    from planner.planning import Outcome
    from planner.probing import probe
    from planner.question import Question
    from planner.recommending import Recommendation
    from planner.search import Advice, Fit, Limits, Solution, Suggestion, advise
    from planner.systems import resolve_hardware

    __version__: str

_PLACES = {
    "answer": ("Plan",),
    "api": (
        "fits",
        "hardware",
        "layouts",
        "models",
        "parameters",
        "plan",
        "recommend",
        "solve",
        "suggest",
        "sweep",
    ),
    "asking": ("ask", "load_checkpoint"),
    "document": ("schema",),
    "emitting": ("emit",),
    "errors": (
        "InputError",
        "LayoutError",
        "OfflineError",
        "PlannerError",
        "SourceError",
        "UnknownModelError",
        "UnsupportedModelError",
    ),
    "layout": ("Layout",),
    "observed": ("check_log", "plan_command", "read_command"),
    "planning": ("Outcome",),
    "probing": ("probe",),
    "question": ("Question",),
    "recommending": ("Recommendation",),
    "search": ("Advice", "Fit", "Limits", "Solution", "Suggestion", "advise"),
    "systems": ("resolve_hardware",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}
"""Public name -> the module that is loaded when the name is asked for."""

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
    "Recommendation",
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
    "recommend",
    "resolve_hardware",
    "schema",
    "solve",
    "suggest",
    "sweep",
]


if not TYPE_CHECKING:  # a type checker must still see names that do not exist

    def __getattr__(name: str) -> object:
        """Return a public name, loaded when it is first asked for."""
        if name == "__version__":
            from planner.version import package_version

            return package_version()
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Return the public names, loaded or not."""
        return sorted({*globals(), *__all__})

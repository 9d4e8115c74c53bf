"""Name the sub-commands; only the one that is called is imported."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A sub-command.

    Attributes:
        name: what is typed; the function of that name is called.
        module: of `planner.cli`, where the function is.
        summary: one line for the list of commands.
        takes_engine_flags: words that it does not know are the engine's own flags.
    """

    name: str
    module: str
    summary: str
    takes_engine_flags: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What typer must know of a command that takes the engine's own flags as well."""
        if not self.takes_engine_flags:
            return {}
        return {"allow_extra_args": True, "ignore_unknown_options": True}

    def load(self) -> Callable[..., Any]:
        """Import the command's function."""
        function: Callable[..., Any] = getattr(
            import_module(f"planner.cli.{self.module}"), self.name
        )
        return function


COMMANDS = (
    Command(
        name="plan",
        module="plan",
        summary="Does MODEL run on this hardware, and what does it take?",
        takes_engine_flags=True,
    ),
    Command(
        name="recommend",
        module="recommend",
        summary="What to run on this hardware: model, checkpoint, engine.",
    ),
    Command(
        name="fits",
        module="fits",
        summary="Which hardware holds MODEL, in which precision.",
        takes_engine_flags=True,
    ),
    Command(
        name="solve",
        module="solve",
        summary="How far it goes: context, sequences, precision.",
        takes_engine_flags=True,
    ),
    Command(
        name="layouts",
        module="layouts",
        summary="Every layout of MODEL on this hardware, ranked.",
        takes_engine_flags=True,
    ),
    Command(
        name="sweep",
        module="sweep",
        summary="Every combination of models, hardware and workloads, in a file.",
    ),
    Command(
        name="check",
        module="check",
        summary="An engine's start-up log against the plan.",
        takes_engine_flags=True,
    ),
    Command(
        name="measure",
        module="measure",
        summary="Run a bench that is installed, and compare with the plan.",
        takes_engine_flags=True,
    ),
    Command(
        name="models",
        module="model",
        summary="The bundled family, and one model by component.",
    ),
    Command(
        name="hardware",
        module="hardware",
        summary="The database; one entry with its sources.",
    ),
    Command(
        name="probe",
        module="probe",
        summary="What is in this machine.",
    ),
    Command(
        name="web",
        module="web",
        summary="Open the web app; stop it with Ctrl-C.",
    ),
)
"""Every sub-command, in the order of the help."""

"""Say how an engine is talked to: its command, its log, its container, its Modelfile.

Each engine's package has a module ``talk`` with one `Face`; nothing else needs to know which
engines can be read or run in a container.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hardware_db.records import frozen

if TYPE_CHECKING:
    from planner.engines.bench import Bench
    from planner.engines.command import Command
    from planner.engines.containers import Container
    from planner.engines.engine import Allocation, Deployment, Launch
    from planner.engines.log_figure import LogReader
    from planner.engines.words import FlagTable

Starts = Callable[[Sequence[str]], int | None]
Read = Callable[[Sequence[str], Mapping[str, str]], "Command"]


@frozen
class Modelfile:
    """An Ollama Modelfile's contents.

    Attributes:
        source: what FROM names.
        parameters: PARAMETER name -> value.
        environment: what Ollama's server takes from its environment.
    """

    source: str
    parameters: Mapping[str, str]
    environment: Mapping[str, str]


@frozen
class CommandReader:
    """How an engine's command is recognised and read.

    Attributes:
        program: what it looks like, for people: ``vllm serve``.
        starts: how many leading words name the program; None if they name another one.
        read: the words behind them, and the variables set in front, as a `Command`.
        flags: every flag that it knows.
    """

    program: str
    starts: Starts
    read: Read
    flags: FlagTable


@frozen
class InFront:
    """What a program that runs an engine inside is told for a plan.

    Attributes:
        typed: its own commands.
        steps: what is clicked in a program with windows, a sentence.
        notes: what of the plan is the engine's alone.
    """

    typed: tuple[str, ...] = ()
    steps: str = ""
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands before the engine's command: commands, or the steps as a comment."""
        return (*self.typed, *([f"# {self.steps}"] if self.steps else []))


def _nothing(title: str, deployment: Deployment, allocation: Allocation) -> InFront:
    """Tell a program nothing: the answer of engines that none runs inside."""
    return InFront()


@frozen
class Face:
    """How an engine is talked to; None where that is not planned.

    Attributes:
        command: its launch command, read back.
        log: its start-up log.
        container: how it runs in a container.
        modelfile: what Ollama must be told to do the same.
        bench: the program that measures it.
        front: what a program that runs it inside is told for a plan, by the program's title.
    """

    command: CommandReader | None = None
    log: LogReader | None = None
    container: Container | None = None
    modelfile: Callable[[Deployment, Allocation, Launch], Modelfile | None] | None = None
    bench: Bench | None = None
    front: Callable[[str, Deployment, Allocation], InFront] = _nothing

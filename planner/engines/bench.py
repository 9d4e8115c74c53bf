"""Say what a bench is: a program beside an engine that prints how fast it runs, and what it holds.

Each engine's package has a module ``bench`` with the words that its program takes and the reader of
what it prints. Nothing here starts a program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import MappingProxyType

from hardware_db.records import frozen
from planner.engines.engine import Deployment
from planner.errors import InputError
from planner.memory.breakdown import Kind
from planner.units import MAX_TOKENS, check_count

MOST_REPEATS = 1000
"""More repetitions than this are a slip of the hand."""


class NotHereError(InputError):
    """The model's file is not on this machine, and nothing may be downloaded."""


@frozen
class Task:
    """What is measured.

    Attributes:
        prompt: tokens of the prompt; 0 measures no prefill.
        generate: tokens of the answer; 0 measures no decoding.
        depth: tokens that are in the cache before.
        batch: sequences at once.
        repeat: runs that a rate is the mean of.

    Raises:
        InputError: a count out of range, or nothing to measure.
    """

    prompt: int = 512
    generate: int = 128
    depth: int = 0
    batch: int = 1
    repeat: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        for what in ("prompt", "generate", "depth"):
            check_count(getattr(self, what), what=f"{what} tokens", least=0, most=MAX_TOKENS)
        check_count(self.batch, what="concurrency")
        check_count(self.repeat, what="repetitions", most=MOST_REPEATS)
        if not self.prompt and not self.generate:
            raise InputError("nothing to measure: neither a prompt nor an answer is asked for")

    @property
    def context(self) -> int:
        """Tokens that a sequence comes to."""
        return self.depth + self.prompt + self.generate


@frozen
class Point:
    """A speed that was measured.

    Attributes:
        phase: ``prefill`` or ``decode``.
        rate: tokens per second of all sequences together.
        tokens: of the prompt, or of the answer.
        depth: tokens that were in the cache before.
        batch: sequences at once.
        spread: standard deviation of the rate; None where the bench prints none.
    """

    phase: str
    rate: float
    tokens: int
    depth: int
    batch: int
    spread: float | None = None


@frozen
class Size:
    """Memory that a bench counted itself.

    Attributes:
        name: what it is.
        nbytes: how much.
        kinds: the terms of a plan that it is the sum of.
    """

    name: str
    nbytes: int
    kinds: tuple[Kind, ...]


@frozen
class Printed:
    """What a bench's output says.

    Attributes:
        points: speeds.
        sizes: memory.
        device: what it ran on, in its words; empty where it does not say.
        processor: it says that it ran on the processor alone.
        version: the engine's release, likewise.
        notes: what to know, one sentence each.
    """

    points: tuple[Point, ...] = ()
    sizes: tuple[Size, ...] = ()
    device: str = ""
    processor: bool = False
    version: str = ""
    notes: tuple[str, ...] = ()


@frozen
class Step:
    """One program to run.

    Attributes:
        argv: the program's name and its words.
        environment: variables set in front.
        result: a file that the program writes, beside what it prints.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    result: Path | None = None


@frozen
class Output:
    """What one step left.

    Attributes:
        stdout: what it printed.
        stderr: its log.
        result: the contents of its file; empty where it wrote none.
    """

    stdout: str = ""
    stderr: str = ""
    result: str = ""


@frozen
class Bench:
    """A bench of an engine.

    Attributes:
        program: what is looked for on PATH.
        module: Python modules that must be installed instead, where the bench is one.
        comes_with: where it is to be had, for people.
        options: options of the engine that hold while it runs.
        several: it runs several sequences at once.
        steps: what to run: the deployment, what is measured, a folder for results, and whether it
            may download.
        read: what the steps printed; of a bench that was stopped, as far as it came.
        logs: its log is one of the engine's start, whose figures can be checked.
    """

    program: str
    module: tuple[str, ...] = ()
    comes_with: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    several: bool = True
    steps: Callable[[Deployment, Sequence[str], Task, Path, bool], tuple[Step, ...]]
    read: Callable[[Task, Sequence[Output]], Printed]
    logs: bool = True

    @property
    def words(self) -> str:
        """What it is and where it is to be had, as a person reads it."""
        return f"{' and '.join(self.module) or self.program} ({self.comes_with})"

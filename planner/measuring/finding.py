"""Find a bench for a question: one that is installed, of the engine that is asked for or suits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from hardware_db.records import frozen
from planner.engines import ENGINES, FACES, get_engine
from planner.engines.bench import Bench, Step, Task
from planner.errors import InputError
from planner.planning import Plan
from planner.question import Question

Which = Callable[[str], str | None]


@frozen
class Prepared:
    """What will be run.

    Attributes:
        plan: the plan of just that.
        bench: whose program it is.
        task: what is measured.
        steps: the programs to run, in order.
    """

    plan: Plan
    bench: Bench
    task: Task
    steps: tuple[Step, ...]


def prepare(
    question: Question,
    task: Task,
    folder: Path,
    *,
    download: bool = False,
    installed: Callable[[Bench], bool] | None = None,
) -> Prepared:
    """Return what to run for a question; nothing is started.

    Args:
        question: what runs where; without an engine, the one that suits the model and has a bench
            here.
        task: what is measured; one sequence where the bench runs no more.
        folder: where programs write their results.
        download: programs may fetch what is not here.
        installed: whether a bench is here; None looks on PATH and among Python's packages.

    Raises:
        InputError: no bench is installed, or the question cannot run.
    """
    here = is_installed if installed is None else installed
    tried = list(_engines(question))
    for name in tried:
        bench = FACES[name].bench
        if bench is None or not here(bench):
            continue
        asked = question.with_(engine=get_engine(name))
        if question.engine is None and not asked.can_run():
            continue
        return _prepared(asked, bench, task, folder, download=download)
    raise InputError(_missing(tried, named=question.engine is not None))


def _prepared(
    question: Question, bench: Bench, task: Task, folder: Path, *, download: bool
) -> Prepared:
    if not bench.several and task.batch > 1:
        raise InputError(
            f"--users {task.batch}: {bench.program} runs one sequence at a time; leave it out"
        )
    # The bench is judged as a start of its own length; words for a server mean nothing to it.
    asked = question.with_(context=task.context, concurrency=task.batch, kept=(), environment=())
    plan = asked.with_options(**bench.options).plan()
    if plan.written is None:
        raise InputError(plan.verdict)
    steps = bench.steps(plan.deployment, plan.written.argv, task, folder, download)
    variables = plan.written.environment
    steps = tuple(replace(step, environment={**variables, **step.environment}) for step in steps)
    return Prepared(plan=plan, bench=bench, task=task, steps=steps)


def _engines(question: Question) -> Iterator[str]:
    """Yield the engine that is named; else the one that suits, then the others."""
    if question.engine is not None:
        yield question.engine.name
        return
    first = question.settled_engine.name
    yield first
    yield from (name for name in ENGINES if name != first)


def is_installed(bench: Bench, which: Which = shutil.which) -> bool:
    """Say whether a bench can be started here: found on PATH, its packages importable."""
    if bench.module:
        return all(find_spec(name) is not None for name in bench.module)
    return which(bench.program) is not None


def _missing(tried: list[str], *, named: bool) -> str:
    """Return what to install, in one line."""
    known = [(name, bench) for name in tried if (bench := FACES[name].bench) is not None]
    if not known:
        others = [get_engine(name).title for name in ENGINES if FACES[name].bench is not None]
        return (
            f"no bench of {get_engine(tried[0]).title} is known; measured are {', '.join(others)}"
        )
    wanted = [bench.words for _, bench in (known[:1] if named else known)]
    return f"no bench is installed here; install one of: {'; '.join(wanted)}"

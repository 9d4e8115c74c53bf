"""The Python door to what runs already: the plan of a launch command, a start-up log against it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Unpack

from hardware_db import System
from planner import learning, logs, planning
from planner.answer import Plan
from planner.commanded import AskedBeside, ask_command, commanded_model
from planner.engines import FACES, commands, get_engine
from planner.engines.command import Command
from planner.engines.log_figure import LogReader
from planner.engines.options import declared
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.inferring import (
    marked_layout,
    of_an_older,
    of_what_nobody_said,
    releases_of,
    without_arguments,
)
from planner.keywords import checked
from planner.layout import Layout
from planner.learning import MOST, Lesson
from planner.log_text import MOST_QUOTED
from planner.logged_weights import logged_checkpoint
from planner.logs import Log, LogCheck
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress
from planner.question import DEFAULT_CONTEXT, question_of
from planner.remedying import lesson_of
from planner.remedying import remedies as remedies
from planner.systems import resolve_hardware, system_of_drivers
from planner.units import check_text, shown

LEARNED = 2**20
"""Bytes within which a plan that has learned from a log must give its figure again."""


def read_command(text: str) -> tuple[str, Command]:
    """Return the engine that a launch command starts, and what it tells it.

    Args:
        text: what is typed into a shell, over one or several lines; variables in front and
            ``docker run`` around it are understood.

    Raises:
        InputError: it starts no server that is known, or a flag or value cannot be read.
    """
    return commands.read_command(check_text(text, what="command"))


@checked(AskedBeside)
def plan_command(
    command: str | tuple[str, Command],
    *,
    on: str | System,
    learned: bool = True,
    **beside: Unpack[AskedBeside],
) -> Plan:
    """Return the plan of what a launch command starts.

    Args:
        command: what is typed, or what `read_command` made of it.
        on: see `planner.systems.resolve_hardware`.
        learned: use what `learn` kept.
        beside: what the command does not say; see `planner.commanded.ask_command`.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    engine, told = command if isinstance(command, tuple) else read_command(command)
    plan = _as_typed(engine, told, on, beside, learned=learned)
    notes = (*told.unplanned, *_assumed(plan))
    return Plan.of(dataclasses.replace(plan, further=notes))


def _as_typed(
    engine: str, told: Command, on: str | System, beside: AskedBeside, *, learned: bool
) -> planning.Plan:
    """Return the plan of a command with nothing chosen for it that its engine would not choose.

    Where that fails by less than estimates may be too high, whatever would be chosen decides.
    """
    running = _running(FACES[engine].log, told)
    strict = beside.copy()
    strict["options"] = {**running, **(beside.get("options") or {})}
    known: dict[str, Any] = {} if learned else {"lessons": ()}
    typed = ask_command(engine, told, on=on, **strict).with_(**known).plan()
    tightest = typed.ranks[0] if typed.ranks else None
    if typed.fits or not running or tightest is None or tightest.headroom >= 0:
        return typed
    found = typed.allocation
    certain = found is not None and found.refusal is not None and not found.shortfall
    if -tightest.headroom > tightest.band.below or certain:
        return typed
    return ask_command(engine, told, on=on, **beside).with_(**known).plan()


def _running(reader: LogReader | None, told: Command) -> dict[str, Any]:
    """Return what holds for a server that runs, where its command does not say otherwise."""
    if reader is None:
        return {}
    return {name: value for name, value in reader.running.items() if name not in told.options}


def _assumed(plan: planning.Plan) -> Iterator[str]:
    """Yield one line per flag that the planned command has and the given one leaves out."""
    if plan.written is None:
        return
    told = plan.deployment.options
    _, written = commands.read_command(plan.written.argv)
    defaults, known = type(told)(), declared(type(told))
    for name, planned in written.options.items():
        given = getattr(told, name)
        if not known[name].flags or planned in ((), ""):
            continue
        if given == getattr(defaults, name) and planned not in (given, plan.deployment.context):
            flag = name.replace("_", "-")
            yield f"--{flag}: the command leaves it to the engine; the plan assumes {planned}"


def _lines(log: object) -> Iterator[str]:
    """Yield the lines of a log that is given line by line."""
    for line in log if isinstance(log, Iterable) else (log,):
        if not isinstance(line, str):
            raise InputError(f"log must be its text, or its lines; got {shown(line)}")
        yield line


@checked()
def check_log(
    plan: planning.Plan | None,
    log: str | Iterable[str] | Log,
    *,
    on: str | System | None = None,
    command: str | None = None,
    model: str | Checkpoint | None = None,
    precision: str | None = None,
    context: int | str | None = None,
    kv_cache_dtype: str | None = None,
    layout: Layout | None = None,
    options: Mapping[str, Any] | None = None,
    yarn: bool = False,
    free: bool = False,
    progress: Progress | None = None,
) -> LogCheck:
    """An engine's start-up log against the plan of that start, figure by figure.

    Without a plan, the question is taken from the arguments that the log prints; what is given
    here comes before them. A log of a build between two releases is compared with the rules of
    either.

    Args:
        plan: what was started, as planned; None makes the plan from the log.
        log: its text or lines, or what `planner.logs.read_log` made of it.
        on: the hardware, where the log does not name it; see `resolve_hardware`.
        command: what was typed to start it; it comes before what the log prints of it.
        model: see `load_checkpoint`.
        precision: how weights are stored.
        context: tokens of the longest sequence.
        kv_cache_dtype: number format of the KV cache.
        layout: degrees of parallelism.
        options: the engine's options, as a mapping of its fields.
        yarn: allow a context beyond the native length.
        free: with ``on="local"``: plan with the memory that is free now.
        progress: see `load_checkpoint`.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    typed = None if command is None else read_command(command)
    likely = None if typed is None else typed[0]
    if isinstance(log, logs.Log):
        found = log
    else:
        found = logs.read_log(log if isinstance(log, str) else _lines(log), likely=likely)
    if plan is not None:
        return logs.check_log(plan, found)
    if found.typed is not None and found.tells_nothing:
        raise InputError(
            "log: it holds a command and no line that a server printed: qwenplan plan --command 'COMMAND' --on"
            " HARDWARE plans it"
        )
    told = found.command if typed is None else _typed(typed, found.engine)
    if model is None and (told is None or told.model is None):
        raise InputError(
            _lacking(
                found,
                "does not say what the server was told",
                "name the model, the machine and the flags: qwenplan check LOG MODEL --on MACHINE",
            )
        )
    arguments = typed is not None or (told is not None and told.model is not None)
    told = told or Command()
    said = dataclasses.replace(
        told,
        context=tokens_of(context) if context is not None else told.context,
        kv_cache_dtype=kv_cache_dtype or told.kv_cache_dtype,
        options={**told.options, **(options or {})},
    )
    if told.model is None and told.context is None and not told.context_by_memory:
        told = dataclasses.replace(told, context=DEFAULT_CONTEXT)
    told = dataclasses.replace(
        told,
        kv_cache_dtype=kv_cache_dtype or told.kv_cache_dtype,
        layout=layout or told.layout,
        yarn=yarn or told.yarn,
    )
    where = on
    if where is None and found.hardware is not None:
        where = system_of_drivers(found.hardware, found.free)
    if where is None:
        raise InputError(_lacking(found, "does not name the hardware", "name it with --on"))
    where = resolve_hardware(where, free=free)
    told = dataclasses.replace(told, layout=told.layout or marked_layout(found, where.count))
    untold = False
    if isinstance(model, str) or model is None:
        stored = None if precision is not None else logged_checkpoint(found, model or told.model)
        untold = stored is not None and stored.checkpoint is None
        model = (stored.checkpoint if stored is not None else None) or commanded_model(
            told, model, precision, progress
        )

    def compared(release: Mapping[str, str], told: Command = told) -> LogCheck:
        planned = plan_command(
            (found.engine, told),
            on=where,
            model=model,
            context=context,
            options={**_running(found.reader, told), **release, **(options or {})},
            free=free,
            learned=False,  # the log is judged against the estimates themselves
        )
        check = dataclasses.replace(logs.check_log(planned, found, untold=untold), told=said)
        return check if arguments else without_arguments(check)

    checks = []
    for release in releases_of(found, options or {}):
        checks.append(compared(release))
        if checks[-1].rules_agree:
            return checks[-1]
    older = of_an_older(checks[0], compared, options or {})
    return older or of_what_nobody_said(checks[0], compared, told) or checks[0]


def _typed(command: tuple[str, Command], engine: str) -> Command:
    """Return what a launch command says.

    Raises:
        InputError: it starts another engine than the log's.
    """
    started, told = command
    if started != engine:
        raise InputError(
            f"the command starts {get_engine(started).title}, the log is"
            f" {get_engine(engine).title}'s"
        )
    return told


def _lacking(log: Log, what: str, then: str) -> str:
    """Return what to say of a log that lacks something: what it ended with, and what would help."""
    title = get_engine(log.engine).title
    if log.assumed:
        title = "PyTorch" if log.is_pytorchs else "The server"
    ended = log.refusal or log.objection
    if ended is None:
        return f"log of {title}: it {what}; {then}"
    said = ended.rstrip(".") if len(ended) <= MOST_QUOTED else f"{ended[:MOST_QUOTED]}..."
    helps = log.suggestion.words if log.suggestion is not None else ""
    if log.refusal is None:
        return (
            f"{title} ended with: {said}. It is not for want of GPU memory{helps and f': {helps}'}"
        )
    helps = helps and f"; {helps}"
    return (
        f"{title} ended with: {said}{helps}. The log {what}: for a change that is checked, {then}"
    )


def learn(check: LogCheck) -> Lesson | None:
    """Keep what a start took beyond the estimates: later plans of such a start use it.

    Args:
        check: the start's log against its plan.

    Returns:
        What is kept now; None where nothing needs to be learned: every figure lies within what was planned,
        and no overhead would give the log's own more closely.

    Raises:
        InputError: the log does not tell it, or no plan can be corrected by it.
    """
    plan, measured = check.plan, check.measured
    if check.untold:
        raise InputError(f"log: nothing to learn: {logs.UNTOLD}")
    if measured is None:
        raise InputError(
            "log: nothing to learn: it does not say how much memory was left for the cache, or"
            f" {plan.engine_title}'s plans need no such correction"
        )
    lesson = lesson_of(plan, measured)
    again = question_of(plan).with_(lessons=(lesson,)).plan()
    told = logs.check_log(again, check.log).measured
    off = (told.difference, told.loading) if told is not None else (MOST, MOST)
    if max(map(abs, off)) > LEARNED:
        if check.agrees:
            return None
        raise InputError(
            f"log: it left {measured.cache_gib:.2f} GiB for the cache, which no overhead of"
            f" {plan.engine_title} explains: the plan is of another start; name model and flags"
        )
    learning.keep(lesson)
    return lesson

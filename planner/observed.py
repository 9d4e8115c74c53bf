"""The Python door to what runs already: the plan of a launch command, a start-up log against it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Unpack

from hardware_db import System
from planner import logs, planning
from planner.answer import Plan
from planner.asking import DEFAULT_CONTEXT, AskedBeside, ask_command, commanded_model
from planner.engines import FACES, commands, get_engine
from planner.engines.command import Command
from planner.errors import InputError
from planner.layout import Layout
from planner.logs import Log, LogCheck
from planner.model.checkpoint import Checkpoint
from planner.model.headers import Progress

_RELEASE = re.compile(r"v?(\d{1,4})\.(\d{1,4})\.(\d{1,6})((?:\.post\d+)?)(.*)")


def read_command(text: str) -> tuple[str, Command]:
    """Return the engine that a launch command starts, and what it tells it.

    Args:
        text: what is typed into a shell, over one or several lines; variables in front and
            ``docker run`` around it are understood.

    Raises:
        InputError: it starts no server that is known, or a flag or value cannot be read.
    """
    return commands.read_command(text)


def plan_command(
    command: str | tuple[str, Command], *, on: str | System, **beside: Unpack[AskedBeside]
) -> Plan:
    """Return the plan of what a launch command starts.

    Args:
        command: what is typed, or what `read_command` made of it.
        on: see `planner.systems.resolve_hardware`.
        beside: what the command does not say; see `planner.asking.ask_command`.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    engine, told = read_command(command) if isinstance(command, str) else command
    plan = _as_typed(engine, told, on, beside)
    notes = (*told.unplanned, *_assumed(plan))
    return Plan.of(dataclasses.replace(plan, further=notes))


def _as_typed(engine: str, told: Command, on: str | System, beside: AskedBeside) -> planning.Plan:
    """Return the plan of a command with nothing chosen for it that its engine would not choose.

    Where that fails by less than estimates may be too high, whatever would be chosen decides.
    """
    reader = FACES[engine].log
    running = reader.running if reader is not None else {}
    strict = beside.copy()
    strict["options"] = {**running, **(beside.get("options") or {})}
    typed = ask_command(engine, told, on=on, **strict).plan()
    tightest = typed.ranks[0] if typed.ranks else None
    if typed.fits or not running or tightest is None or tightest.headroom >= 0:
        return typed
    if -tightest.headroom > tightest.band.below:
        return typed
    return ask_command(engine, told, on=on, **beside).plan()


def _assumed(plan: planning.Plan) -> Iterator[str]:
    """Yield one line per flag that the planned command has and the given one leaves out."""
    if plan.launch is None:
        return
    told = plan.deployment.options
    _, written = commands.read_command(plan.launch.argv)
    defaults = type(told)()
    for name, planned in written.options.items():
        given = getattr(told, name)
        if given == getattr(defaults, name) and planned not in (given, plan.deployment.context):
            flag = name.replace("_", "-")
            yield f"--{flag}: the command leaves it to the engine; the plan assumes {planned}"


def check_log(
    plan: planning.Plan | None,
    log: str | Iterable[str] | Log,
    *,
    on: str | System | None = None,
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
    found = log if isinstance(log, logs.Log) else logs.read_log(log)
    if plan is not None:
        return logs.check_log(plan, found)
    told = found.command
    if model is None and (told is None or told.model is None):
        raise InputError(
            f"log of {found.engine}: it does not say what the server was told; name the model and"
            " flags"
        )
    told = told or Command()
    if told.model is None and told.context is None:
        told = dataclasses.replace(told, context=DEFAULT_CONTEXT)
    told = dataclasses.replace(
        told,
        kv_cache_dtype=kv_cache_dtype or told.kv_cache_dtype,
        layout=layout or told.layout,
        yarn=yarn or told.yarn,
    )
    where = on or found.hardware
    if where is None:
        raise InputError("log: it does not name the hardware; name it with --on")
    if isinstance(model, str) or model is None:
        model = commanded_model(told, model, precision, progress)
    checks = []
    for release in _releases(found, options or {}):
        planned = plan_command(
            (found.engine, told),
            on=where,
            model=model,
            context=context,
            options={**found.reader.running, **release, **(options or {})},
            free=free,
        )
        checks.append(logs.check_log(planned, found))
        if checks[-1].rules_agree:
            return checks[-1]
    return checks[0]


def _releases(log: Log, options: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Options that plan for the log's release; of a build between two, for the later one first."""
    kind = get_engine(log.engine).options_type
    match = _RELEASE.fullmatch(log.version or "")
    told = "version" in options
    if told or match is None or all(field.name != "version" for field in dataclasses.fields(kind)):
        yield {}
        return
    major, minor, patch, post, rest = match.groups()
    yield {"version": f"{major}.{minor}.{patch}{post}"}
    if rest and int(patch) > 0:
        yield {"version": f"{major}.{minor}.{int(patch) - 1}"}

"""The Python door to inverse questions: which layout, which hardware, how far, and all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from hardware_db import Accelerator, System
from planner.api import load_checkpoint, make_options, resolve_hardware
from planner.engines import get_engine
from planner.errors import InputError, PlannerError
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.sweep import Task, sweep_tasks
from planner.units import parse_tokens

if TYPE_CHECKING:
    import pandas as pd

    from planner.search import Fit, Limits, Objective, Suggestion

ANYWHERE = "custom:1GiB"
"""Stands for the hardware in a question that looks for it; nothing is planned on it."""


def suggest(
    model: str | Checkpoint,
    *,
    on: str | System | None = None,
    objective: Objective = "latency",
    engine: str = "vllm",
    precision: str | None = None,
    revision: str | None = None,
    kv_cache_dtype: str = "auto",
    context: int | str = 32_768,
    concurrency: int = 1,
    options: Mapping[str, Any] | Any | None = None,
    yarn: bool = False,
    executor: Executor | None = None,
) -> tuple[Suggestion, ...]:
    """Which layout, or which hardware: candidates, planned and ranked, the best first.

    With `on`: every layout on that system, those that cannot run last, with the reason. Where no
    layout holds the workload and no precision was asked for, layouts in the best precision that
    holds it come first. Without `on`: the smallest number of every accelerator in the database
    that holds the workload, in the best precision for which it does.

    Args:
        model: see `load_checkpoint`.
        on: see `resolve_hardware`; None looks for hardware.
        objective: what ranks those that hold the workload: "latency" (tokens per second of one
            user), "throughput" (of all), "cost" (price; on given hardware the same as throughput)
            or "memory" (sequences held; without `on`, the fewest accelerators).
        engine: who serves.
        precision: how weights are stored; None takes what is stored, or what fits.
        revision: branch, tag or commit on the Hub.
        kv_cache_dtype: number format of the KV cache.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        options: the engine's options.
        yarn: allow a context beyond the native length.
        executor: where candidates for hardware are planned; None plans them here.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    from planner.search import (
        OBJECTIVES,
        headline_precisions,
        smallest_systems,
        suggest_layouts,
    )
    from planner.search.question import Question

    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}")
    question = Question(
        checkpoint=load_checkpoint(model, precision=precision, revision=revision),
        system=resolve_hardware(on if on is not None else ANYWHERE),
        engine=get_engine(engine),
        context=parse_tokens(context),
        concurrency=concurrency,
        kv_cache_dtype=kv_cache_dtype,
        options=make_options(engine, options),
        yarn=yarn,
    )
    if on is not None:
        return suggest_layouts(question, objective=objective, any_precision=precision is None)
    wanted = (question.checkpoint,) if precision is not None else headline_precisions(question)
    return smallest_systems(question, wanted, objective=objective, executor=executor)


def fits(
    model: str | Checkpoint,
    *,
    on: Iterable[str | Accelerator] | None = None,
    precisions: Iterable[str] | None = None,
    engine: str = "vllm",
    kv_cache_dtype: str = "auto",
    context: int | str = 32_768,
    concurrency: int = 1,
    options: Mapping[str, Any] | Any | None = None,
    yarn: bool = False,
    executor: Executor | None = None,
) -> tuple[Fit, ...]:
    """Which hardware holds a workload: of every accelerator the smallest number, per precision.

    Args:
        model: see `load_checkpoint`.
        on: accelerators; None for all in the database.
        precisions: names of schemes; None for the best 16-bit, 8-bit and 4-bit one that the engine
            serves (a checkpoint stored in fewer bits stands for itself).
        engine: who serves.
        kv_cache_dtype: number format of the KV cache.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        options: the engine's options.
        yarn: allow a context beyond the native length.
        executor: any `concurrent.futures.Executor`; None plans here.

    Raises:
        PlannerError: one line that says what is wrong and how to mend it.
    """
    from planner.search import fits_table, headline_precisions
    from planner.search.question import Question

    question = Question(
        checkpoint=load_checkpoint(model),
        system=resolve_hardware(ANYWHERE),
        engine=get_engine(engine),
        context=parse_tokens(context),
        concurrency=concurrency,
        kv_cache_dtype=kv_cache_dtype,
        options=make_options(engine, options),
        yarn=yarn,
    )
    if precisions is None:
        wanted = headline_precisions(question)
    else:
        wanted = tuple(load_checkpoint(model, precision=name) for name in precisions)
    chosen = None if on is None else tuple(_accelerator(name) for name in on)
    return fits_table(question, wanted, chosen, executor=executor)


def _accelerator(name: str | Accelerator) -> Accelerator:
    return name if isinstance(name, Accelerator) else resolve_hardware(name).accelerator


def solve(
    model: str | Checkpoint,
    *,
    on: str | System,
    engine: str = "vllm",
    precision: str | None = None,
    revision: str | None = None,
    kv_cache_dtype: str = "auto",
    context: int | str = 32_768,
    concurrency: int = 1,
    layout: Layout | None = None,
    options: Mapping[str, Any] | Any | None = None,
    yarn: bool = False,
    free: bool = False,
) -> Limits:
    """How far a deployment goes: longest context, most sequences, best precision, engine's knobs.

    Each is looked for while the rest of the question is held, by planning alone; one step beyond
    each answer does not fit. Arguments and errors are those of `plan`.
    """
    from planner.search import solve_limits
    from planner.search.question import Question

    return solve_limits(
        Question(
            checkpoint=load_checkpoint(model, precision=precision, revision=revision),
            system=resolve_hardware(on, free=free),
            engine=get_engine(engine),
            context=parse_tokens(context),
            concurrency=concurrency,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout,
            options=make_options(engine, options),
            yarn=yarn,
        )
    )


def sweep(
    models: Iterable[str | Checkpoint],
    *,
    on: Iterable[str | System],
    counts: Sequence[int | None] = (None,),
    engines: Iterable[str] = ("vllm",),
    precisions: Iterable[str | None] = (None,),
    kv_cache_dtypes: Sequence[str] = ("auto",),
    contexts: Iterable[int | str] = (32_768,),
    concurrencies: Sequence[int] = (1,),
    layouts: Sequence[Layout | None] = (None,),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    yarn: bool = False,
    speed: bool = False,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Plan every combination; one row each, in a pandas DataFrame.

    Sizes are bytes on the tightest accelerator. A combination that makes no sense is a row with
    the reason in `error`; see `planner.sweep.COLUMNS`. `DataFrame.to_csv` and `.to_parquet` write
    the table.

    Args:
        models: see `load_checkpoint`.
        on: hardware expressions or systems.
        counts: how many of each; None takes the expression as it is.
        engines: names of engines.
        precisions: names of schemes; None for what is stored.
        kv_cache_dtypes: number formats of the KV cache.
        contexts: tokens per sequence.
        concurrencies: sequences at once.
        layouts: layouts; None for the best legal one.
        options: options by engine name.
        yarn: allow contexts beyond the native length.
        speed: estimate decode speeds as well (mid-way to full context).
        executor: any `concurrent.futures.Executor`; None plans here.

    Raises:
        InputError: a context that cannot be read.
    """
    tokens = tuple(parse_tokens(context) for context in contexts)
    checkpoints = [
        (str(getattr(model, "id", model)), precision or "as stored", _checkpoint(model, precision))
        for model in models
        for precision in precisions
    ]
    systems = [
        (_label(expression, count), _system(expression, count))
        for expression in on
        for count in counts
    ]
    tasks = [
        Task(
            model=name,
            precision=precision,
            hardware=label,
            checkpoint=checkpoint,
            system=system,
            engine=engine,
            options=_options(engine, (options or {}).get(engine)),
            kv_cache_dtypes=tuple(kv_cache_dtypes),
            contexts=tokens,
            concurrencies=tuple(concurrencies),
            layouts=tuple(layouts),
            yarn=yarn,
            speed=speed,
        )
        for engine in engines
        for name, precision, checkpoint in checkpoints
        for label, system in systems
    ]
    return sweep_tasks(tasks, executor=executor)


def _checkpoint(model: str | Checkpoint, precision: str | None) -> Checkpoint | PlannerError:
    try:
        return load_checkpoint(model, precision=precision)
    except PlannerError as error:
        return error


def _label(on: str | System, count: int | None) -> str:
    name = on.id if isinstance(on, System) else on
    return name if count is None else f"{count}x {name}"


def _system(on: str | System, count: int | None) -> System | PlannerError:
    try:
        return resolve_hardware(on if count is None else _label(on, count))
    except PlannerError as error:
        return error


def _options(engine: str, options: Mapping[str, Any] | None) -> Any:
    try:
        return make_options(engine, options)
    except PlannerError as error:
        return error

"""Plan many deployments into one table: every combination a question, one row each.

What cannot be planned is a row, too, with the reason in `error`. The work is cut into tasks of one
checkpoint on one system under one engine, so that any `concurrent.futures.Executor` can share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hardware_db import System
from planner.asking import ask
from planner.errors import PlannerError
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.question import Question
from planner.report.rows import plan_row
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.units import parse_tokens

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "model": "string",
        "precision": "string",
        "hardware": "string",
        "count": "Int64",
        "engine": "string",
        "engine_version": "string",
        "kv_cache_dtype": "string",
        "context": "Int64",
        "concurrency": "Int64",
        "layout": "string",
        "tensor_parallel": "Int64",
        "pipeline_parallel": "Int64",
        "data_parallel": "Int64",
        "expert_parallel": "boolean",
        "outcome": "string",
        "fits": "boolean",
        "headroom_bytes": "Int64",
        "used_bytes": "Int64",
        "usable_bytes": "Int64",
        "weights_bytes": "Int64",
        "kv_cache_bytes": "Int64",
        "state_bytes": "Int64",
        "sequences": "Int64",
        "tokens": "Int64",
        "longest_context": "Int64",
        "limited_by": "string",
        "decode_tokens_per_s_per_user": "Float64",
        "decode_tokens_per_s": "Float64",
        "verdict": "string",
        "error": "string",
    }
)
"""Columns of the table and their pandas dtypes; bytes are those of the tightest accelerator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All rows of one checkpoint on one system under one engine.

    Attributes:
        labels: what the rows call model, precision, hardware and engine.
        question: what is asked, or the error that its names led to.
        axes: (KV cache dtype, context, concurrency, layout) of each row.
        speed: estimate the decode speed as well.
    """

    labels: Mapping[str, str]
    question: Question | PlannerError
    axes: tuple[tuple[str, int, int, Layout | None], ...]
    speed: bool = False


def sweep_all(
    models: Any,
    *,
    on: Any,
    counts: Any,
    engines: Any,
    precisions: Any,
    kv_cache_dtypes: Any,
    contexts: Any,
    concurrencies: Any,
    layouts: Any,
    options: Mapping[str, Mapping[str, Any]],
    yarn: bool,
    speed: bool,
    executor: Executor | None,
) -> pd.DataFrame:
    """Return the table of every combination; see `planner.api.sweep` for the arguments.

    Raises:
        InputError: a context that cannot be read.
    """
    import pandas as pd

    axes = tuple(
        product(
            listed(kv_cache_dtypes),
            tuple(parse_tokens(context) for context in listed(contexts)),
            listed(concurrencies),
            listed(layouts),
        )
    )
    tasks = [
        _task(model, precision, system, count, engine, options, axes, yarn=yarn, speed=speed)
        for engine in listed(engines)
        for model in listed(models)
        for precision in listed(precisions)
        for system in listed(on)
        for count in listed(counts)
    ]
    run: Callable[..., Iterator[list[dict[str, Any]]]] = map if executor is None else executor.map
    rows = [row for part in run(rows_of, tasks) for row in part]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))


def listed(value: Any) -> tuple[Any, ...]:
    """Return several values as they are, and a single one as a list of one."""
    if value is None or isinstance(value, str | int | Checkpoint | System | Layout):
        return (value,)
    return tuple(value)


def _task(
    model: str | Checkpoint,
    precision: str | None,
    on: str | System,
    count: int | None,
    engine: str | None,
    options: Mapping[str, Mapping[str, Any]],
    axes: tuple[tuple[str, int, int, Layout | None], ...],
    *,
    yarn: bool,
    speed: bool,
) -> Task:
    hardware = on.id if isinstance(on, System) else on
    if count is not None:
        hardware = f"{count}x {hardware}"
    labels = {
        "model": str(getattr(model, "id", model)),
        "precision": precision or "as stored",
        "hardware": hardware,
        "engine": engine or "",
    }
    question: Question | PlannerError
    try:
        question = ask(
            model,
            on=on if count is None else hardware,
            engine=engine,
            precision=precision,
            yarn=yarn,
        ).settled()
        labels["engine"] = question.settled_engine.name
        question = question.with_(options=options.get(labels["engine"]))
        question = question.with_(options=question.settled_options)
    except PlannerError as error:
        question = error
    return Task(labels=labels, question=question, axes=axes, speed=speed)


def rows_of(task: Task) -> list[dict[str, Any]]:
    """Return one row for each combination of the task."""
    return [_row(task, *axis) for axis in task.axes]


def _row(
    task: Task, kv_cache_dtype: str, context: int, concurrency: int, layout: Layout | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        **task.labels,
        "kv_cache_dtype": kv_cache_dtype,
        "context": context,
        "concurrency": concurrency,
        "fits": False,
    }
    question = task.question
    if isinstance(question, PlannerError):
        return row | {"error": str(question)}
    row |= {"precision": question.checkpoint.scheme.name, "count": question.system.count}
    try:
        plan = question.plan(
            kv_cache_dtype=kv_cache_dtype, context=context, concurrency=concurrency, layout=layout
        )
        return row | plan_row(plan) | (_speed(plan) if task.speed else {})
    except PlannerError as error:
        return row | {"error": str(error)}


def _speed(plan: Plan) -> dict[str, float]:
    speed = speed_of(plan)
    if not isinstance(speed, SpeedEstimate):
        return {}
    return {
        "decode_tokens_per_s_per_user": speed.per_user.value,
        "decode_tokens_per_s": speed.total.value,
    }

"""Many deployments, one table: every combination planned by `plan_deployment`, one row each.

What cannot be planned is a row, too, with the reason in `error`. The work is cut into tasks of one
checkpoint on one system under one engine, so that any `concurrent.futures.Executor` can share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hardware_db import System
from planner.engines import get_engine
from planner.errors import PlannerError
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.model.checkpoint import Checkpoint
from planner.plan import Plan, plan_deployment
from planner.speed import speed_of
from planner.throughput import SpeedEstimate

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
    """All deployments of one checkpoint on one system under one engine.

    Attributes:
        model: what the row calls the model.
        precision: what the row calls the precision.
        hardware: what the row calls the hardware.
        checkpoint: the checkpoint, or the error that its name led to.
        system: the system, or the error that its name led to.
        engine: name of the engine.
        options: the engine's options object, or the error that its values led to.
        kv_cache_dtypes: formats of the KV cache.
        contexts: tokens per sequence.
        concurrencies: sequences at once.
        layouts: layouts; None for the best legal one.
        yarn: contexts may go beyond the native length.
        speed: estimate the decode speed as well.
    """

    model: str
    precision: str
    hardware: str
    checkpoint: Checkpoint | PlannerError
    system: System | PlannerError
    engine: str
    options: Any = None
    kv_cache_dtypes: Sequence[str] = ("auto",)
    contexts: Sequence[int] = (32_768,)
    concurrencies: Sequence[int] = (1,)
    layouts: Sequence[Layout | None] = field(default=(None,))
    yarn: bool = False
    speed: bool = False


def sweep_tasks(tasks: Iterable[Task], *, executor: Executor | None = None) -> pd.DataFrame:
    """The rows of all tasks as a table, in the order of the tasks.

    Args:
        tasks: what to plan.
        executor: where; None plans here. Tasks and rows are plain, picklable values.
    """
    import pandas as pd

    run: Callable[..., Iterator[list[dict[str, Any]]]] = map if executor is None else executor.map
    rows = [row for part in run(rows_of, tasks) for row in part]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict(COLUMNS))


def rows_of(task: Task) -> list[dict[str, Any]]:
    """One row for each combination of the task."""
    return [
        _row(task, kv_cache_dtype, context, concurrency, layout)
        for kv_cache_dtype, context, concurrency, layout in product(
            task.kv_cache_dtypes, task.contexts, task.concurrencies, task.layouts
        )
    ]


def _row(
    task: Task, kv_cache_dtype: str, context: int, concurrency: int, layout: Layout | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": task.model,
        "precision": task.precision,
        "hardware": task.hardware,
        "engine": task.engine,
        "kv_cache_dtype": kv_cache_dtype,
        "context": context,
        "concurrency": concurrency,
        "fits": False,
    }
    for part in (task.checkpoint, task.system, task.options):
        if isinstance(part, PlannerError):
            return row | {"error": str(part)}
    assert isinstance(task.checkpoint, Checkpoint)
    assert isinstance(task.system, System)
    row |= {"precision": task.checkpoint.scheme.name, "count": task.system.count}
    try:
        plan = plan_deployment(
            task.checkpoint,
            task.system,
            get_engine(task.engine),
            context=context,
            concurrency=concurrency,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout,
            options=task.options,
            yarn=task.yarn,
        )
        return row | plan_row(plan) | (_speed(plan) if task.speed else {})
    except PlannerError as error:
        return row | {"error": str(error)}


def plan_row(plan: Plan) -> dict[str, Any]:
    """What a row says about a plan; bytes are those of the tightest accelerator."""
    layout = plan.deployment.layout
    row: dict[str, Any] = {
        "engine_version": plan.engine_version,
        "layout": str(layout),
        "tensor_parallel": layout.tensor_parallel,
        "pipeline_parallel": layout.pipeline_parallel,
        "data_parallel": layout.data_parallel,
        "expert_parallel": layout.expert_parallel,
        "outcome": plan.outcome.value,
        "fits": plan.fits,
        "headroom_bytes": plan.headroom,
        "verdict": plan.verdict,
    }
    if plan.refusals:
        row["error"] = plan.refusals[0].reason
    if plan.ranks:
        rank = plan.ranks[0]
        row |= {
            "used_bytes": rank.used,
            "usable_bytes": rank.usable,
            "weights_bytes": rank.of_kind(Kind.WEIGHTS),
            "kv_cache_bytes": rank.of_kind(Kind.KV_CACHE),
            "state_bytes": rank.of_kind(Kind.RECURRENT_STATE),
        }
    if plan.capacity is not None:
        row |= {
            "sequences": plan.capacity.sequences,
            "tokens": plan.capacity.tokens,
            "longest_context": plan.capacity.longest_context,
            "limited_by": plan.capacity.limited_by,
        }
    return row


def _speed(plan: Plan) -> dict[str, float]:
    speed = speed_of(plan)
    if not isinstance(speed, SpeedEstimate):
        return {}
    return {
        "decode_tokens_per_s_per_user": speed.per_user.value,
        "decode_tokens_per_s": speed.total.value,
    }

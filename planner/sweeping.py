"""Plan many deployments into one table: every combination a question, one row each.

What cannot be planned is a row, too, with the reason in `error`. The work is cut into tasks of one
checkpoint on one system under one engine, so that any `concurrent.futures.Executor` can share it;
tables larger than memory are handed on piece by piece.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import lru_cache
from itertools import islice, product
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from hardware_db import System
from hardware_db.records import frozen
from planner.asking import as_said, ask
from planner.column_rows import columns_frame
from planner.engines.yarn import tokens_of
from planner.errors import InputError, PlannerError
from planner.layout import Layout
from planner.memo import Key, remembered
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.question import Question
from planner.report.rows import plan_row
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.units import MAX_COUNT, check_count, shown, whole

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "model": "string",
        "precision": "string",
        "checkpoint": "string",
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


AHEAD = 32
"""Tasks that are handed to an executor before the first of them is waited for."""

FIRST_ROWS, ROWS = 250, 50_000
"""Rows of the first task and, each having twice as many as the one before, of the largest."""


@frozen
class Axes:
    """What varies within one question; a row is one of each.

    Attributes:
        kv_cache_dtypes: number formats of the KV cache.
        contexts: tokens per sequence.
        concurrencies: sequences at once.
        layouts: layouts; None for the best one.
    """

    kv_cache_dtypes: tuple[str, ...]
    contexts: tuple[int, ...]
    concurrencies: tuple[int, ...]
    layouts: tuple[Layout | None, ...]

    @property
    def _all(self) -> tuple[tuple[Any, ...], ...]:
        return (self.kv_cache_dtypes, self.contexts, self.concurrencies, self.layouts)

    def __len__(self) -> int:
        return prod(len(axis) for axis in self._all)

    def with_cache(self, chosen: str) -> Axes:
        """Return the axes with a KV cache format that was chosen in place of "auto"."""
        named = tuple(chosen if dtype == "auto" else dtype for dtype in self.kv_cache_dtypes)
        return replace(self, kv_cache_dtypes=named)

    def rows(self, start: int, stop: int) -> Iterator[tuple[str, int, int, Layout | None]]:
        """Yield (KV cache dtype, context, concurrency, layout) of some rows."""
        yield from islice(product(*self._all), start, stop)


@frozen
class Task:
    """Rows of one checkpoint on one system under one engine.

    Attributes:
        labels: what the rows call model, precision, hardware and engine.
        question: what is asked, or the error that its names led to.
        axes: what varies.
        start: the first row of the axes.
        stop: the first row that is no longer part of it.
        speed: estimate the decode speed as well.
        verdicts: say the verdict in words, too.
    """

    labels: Mapping[str, str]
    question: Question | PlannerError
    axes: Axes
    start: int
    stop: int
    speed: bool = False
    verdicts: bool = True


def sweep_all(*, executor: Executor | None, **asked: Any) -> pd.DataFrame:
    """Return the table of every combination; see `planner.api.sweep` for the arguments.

    Raises:
        InputError: a context that cannot be read.
    """
    parts = answers(tasks_of(**asked), executor=executor, answer=rows_of)
    return _frame([row for part in parts for row in part])


def sweep_frames(*, executor: Executor | None = None, **asked: Any) -> Iterator[pd.DataFrame]:
    """Yield the table of every combination in pieces of at most `ROWS` rows, in order.

    No more than a few pieces are in memory at once, however many rows there are. Whoever stops
    asking keeps what came. Arguments are those of `planner.api.sweep`.

    Raises:
        InputError: a context that cannot be read.
    """
    yield from answers(tasks_of(**asked), executor=executor, answer=frame_of)


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))


def answers(
    tasks: Iterable[Task], *, answer: Callable[[Task], T], executor: Executor | None = None
) -> Iterator[T]:
    """Yield the answer to every task, in order; at most `AHEAD` tasks wait with the executor.

    Any `concurrent.futures.Executor` does, that of a `distributed.Client` as well: tasks do not
    depend on one another, and one whose worker is lost is computed again by Dask.
    """
    if executor is None:
        yield from map(answer, tasks)
        return
    waiting: deque[Future[T]] = deque()
    try:
        for task in tasks:
            sent = replace(task, question=_SENT)
            waiting.append(executor.submit(_answer_there, answer, sent, _packed(task.question)))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


_SENT = PlannerError("the question travels beside its task")


def _itself(question: Question | PlannerError) -> Key:
    return (question,), None


@remembered(_itself, most=8)
def _packed(question: Question | PlannerError) -> bytes:
    """Return a question as it travels: its tasks follow one another."""
    return pickle.dumps(question)


@lru_cache(maxsize=8)
def _unpacked(packed: bytes) -> Question | PlannerError:
    """Return the question, the same object for all its tasks: by that engines know it again."""
    question: Question | PlannerError = pickle.loads(packed)
    return question


def _answer_there(answer: Callable[[Task], T], task: Task, packed: bytes) -> T:
    """Answer a task where an executor runs it."""
    return answer(replace(task, question=_unpacked(packed)))


def tasks_of(
    *,
    models: Any,
    on: Any,
    counts: Any = (None,),
    engines: Any = None,
    precisions: Any = None,
    kv_cache_dtypes: Any = "auto",
    contexts: Any = 32_768,
    concurrencies: Any = 1,
    layouts: Any = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    yarn: bool = False,
    speed: bool = False,
    verdicts: bool = True,
) -> Iterator[Task]:
    """Yield the tasks of a sweep, each with at most `ROWS` rows; see `planner.api.sweep`.

    Raises:
        InputError: a context that cannot be read, or anything else that is no list of values.
    """
    if options is not None and not isinstance(options, Mapping):
        raise InputError(f"options must be a mapping of engines, got {shown(options)}")
    axes = Axes(
        kv_cache_dtypes=listed(kv_cache_dtypes),
        contexts=tuple(tokens_of(context) for context in listed(contexts)),
        concurrencies=tuple(
            check_count(users, what="concurrency", least=-MAX_COUNT)
            for users in listed(concurrencies)
        ),
        layouts=listed(layouts),
    )
    if not len(axes):
        return
    for engine, model, precision, system, count in product(
        listed(engines), listed(models), listed(precisions), listed(on), listed(counts)
    ):
        labels, question = _asked(
            model, precision, system, count, engine, options or {}, axes, yarn=yarn
        )
        mine = axes
        if not isinstance(question, PlannerError):
            mine = axes.with_cache(question.kv_cache_dtype)
        for start, stop in _pieces(len(axes)):
            yield Task(
                labels=labels,
                question=question,
                axes=mine,
                start=start,
                stop=stop,
                speed=speed,
                verdicts=verdicts,
            )


def _pieces(rows: int) -> Iterator[tuple[int, int]]:
    """Yield first row and end of each piece: small ones first, so that whoever stops soon keeps some."""
    start, size = 0, min(FIRST_ROWS, ROWS)
    while start < rows:
        yield start, min(start + size, rows)
        start, size = start + size, min(2 * size, ROWS)


def listed(value: Any) -> tuple[Any, ...]:
    """Return several values as they are, and a single one as a list of one."""
    one = whole(value)
    if one is None or isinstance(one, str | int | float | Checkpoint | System | Layout):
        return (one,)
    if not isinstance(value, Iterable):
        raise InputError(f"cannot read {shown(value)}; give one value or a list of them")
    return tuple(value)


def _asked(
    model: str | Checkpoint,
    precision: str | None,
    on: str | System,
    count: int | None,
    engine: str | None,
    options: Mapping[str, Mapping[str, Any]],
    axes: Axes,
    *,
    yarn: bool,
) -> tuple[Mapping[str, str], Question | PlannerError]:
    """Return what rows call the names, and the question that the names lead to.

    What is open is chosen once, for the first row: the others say how far that goes.
    """
    hardware = on.id if isinstance(on, System) else on
    if count is not None:
        count = check_count(count, what="count")
        hardware = f"{count}x {hardware}"
    labels = {
        "model": str(getattr(model, "id", model)),
        "precision": precision or "as stored",
        "hardware": hardware,
        "engine": engine or "",
    }
    question: Question | PlannerError
    try:
        door = as_said if options else ask
        question = door(
            model,
            on=on if count is None else hardware,
            engine=engine,
            precision=precision,
            kv_cache_dtype=axes.kv_cache_dtypes[0],
            context=axes.contexts[0],
            concurrency=axes.concurrencies[0],
            layout=axes.layouts[0],
            yarn=yarn,
        ).settled()
        labels["engine"] = question.settled_engine.name
        labels["checkpoint"] = question.checkpoint.id
        if options:
            question = question.with_(options=options.get(labels["engine"]))
        question = question.with_(options=question.settled_options)
    except PlannerError as error:
        question = error
    return labels, question


def frame_of(task: Task) -> pd.DataFrame:
    """Return the rows of a task as a table: in columns where its engine has them."""
    question, axes, found = task.question, task.axes, None
    single = len(axes.kv_cache_dtypes) == len(axes.layouts) == 1
    if single and not (task.speed or task.verdicts or isinstance(question, PlannerError)):
        asked = question.with_(kv_cache_dtype=axes.kv_cache_dtypes[0], layout=axes.layouts[0])
        found = columns_frame(
            asked,
            {**task.labels, "precision": question.checkpoint.scheme.name},
            axes.contexts,
            axes.concurrencies,
            columns=COLUMNS,
            start=task.start,
            stop=task.stop,
            others=lambda numbers: _frame(rows_of(task, numbers)),
        )
    return _frame(rows_of(task)) if found is None else found


def rows_of(task: Task, numbers: Container[int] | None = None) -> list[dict[str, Any]]:
    """Return one row for each combination of the task, or for those with some concurrencies."""
    rows = task.axes.rows(task.start, task.stop)
    return [_row(task, *axis) for axis in rows if numbers is None or axis[2] in numbers]


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
        speed = _speed(plan) if task.speed else {}
        return row | plan_row(plan, verdict=task.verdicts) | speed
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

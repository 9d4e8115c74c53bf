"""Make rows of a sweep from an engine's columns: a hundred times as fast as one plan per row.

Only where everything but context and concurrency is said: one KV cache dtype, one layout, an engine
that has columns. Numbers of sequences that it refuses, and all else, are planned row by row, by
`planner.sweeping`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from planner.allocating import check_deployment, refusals_of
from planner.engines.engine import AnyEngine, Deployment
from planner.errors import PlannerError
from planner.planning import Outcome
from planner.question import Question

if TYPE_CHECKING:
    import pandas as pd


def columns_frame(
    question: Question,
    labels: Mapping[str, str],
    contexts: Sequence[int],
    concurrencies: Sequence[int],
    *,
    columns: Mapping[str, str],
    start: int,
    stop: int,
    others: Callable[[Container[int]], pd.DataFrame],
) -> pd.DataFrame | None:
    """Return some rows as a table without verdicts; None where columns do not do.

    Args:
        question: everything but the workload.
        labels: what the rows call model, hardware and engine.
        contexts: tokens per sequence; a row is one of them with one of the concurrencies.
        concurrencies: sequences at once; they change faster than the contexts.
        columns: the table's columns and their pandas dtypes; what rows do not tell is missing.
        start: the first row.
        stop: the first row that is no longer wanted.
        others: makes the table of those rows whose concurrency is one of some.
    """
    many = len(concurrencies)
    first, last = start // many, (stop - 1) // many
    contexts = contexts[first : last + 1]
    asked = question.settled()
    layouts = asked.layouts()
    if len(layouts) != 1:
        return None
    engine, deployment = asked.settled_engine, asked.deployment(layouts[0])
    try:
        alike = engine.contexts_alike(deployment)
        if min(contexts) not in alike or max(contexts) not in alike:
            return None
        one = replace(deployment, context=contexts[0])
        refused = _refused(one, engine, sorted(set(concurrencies)))
    except PlannerError:
        return None
    if len(refused) == len(set(concurrencies)):
        return None
    place = range(start - first * many, stop - first * many)
    if not refused:
        return _frame(asked, deployment, labels, contexts, concurrencies, place, columns)
    import numpy as np
    import pandas as pd

    left = np.array([number in refused for number in concurrencies])[np.array(place) % many]
    taken = np.array(place)[~left]
    if not len(taken):
        return None
    made = _frame(asked, deployment, labels, contexts, concurrencies, taken, columns)
    order = np.argsort(np.concatenate([np.flatnonzero(~left), np.flatnonzero(left)]))
    whole = pd.concat([made, others(refused)], ignore_index=True)
    return whole.take(order).reset_index(drop=True)


def _refused(
    deployment: Deployment, engine: AnyEngine, concurrencies: Sequence[int]
) -> frozenset[int]:
    """Return those of some numbers of sequences, the least first, that an engine refuses.

    Where it takes the least and the most of them it takes all.

    Raises:
        PlannerError: what is asked makes no sense.
    """

    def refuses(number: int) -> bool:
        one = replace(deployment, concurrency=number)
        check_deployment(one, engine)
        return bool(refusals_of(one, engine))

    if not refuses(concurrencies[0]) and not refuses(concurrencies[-1]):
        return frozenset()
    return frozenset(filter(refuses, concurrencies))


def _frame(
    asked: Question,
    deployment: Deployment,
    labels: Mapping[str, str],
    lengths: Sequence[int],
    numbers: Sequence[int],
    rows: Any,
    columns: Mapping[str, str],
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    engine, layout = asked.settled_engine, deployment.layout
    place = np.asarray(rows)
    contexts = np.array(lengths, dtype=np.int64)[place // len(numbers)]
    concurrencies = np.array(numbers, dtype=np.int64)[place % len(numbers)]
    found = engine.columns(deployment, contexts, concurrencies)
    held = found.sequences >= concurrencies
    outcome = np.select([~found.starts, ~held, found.tight], [0, 1, 2], 3)
    values: dict[str, Any] = {
        **labels,
        "count": asked.system.count,
        "engine_version": engine.release(engine.version(deployment.options)),
        "kv_cache_dtype": deployment.kv_cache_dtype,
        "context": contexts,
        "concurrency": concurrencies,
        "layout": str(layout),
        "tensor_parallel": layout.tensor_parallel,
        "pipeline_parallel": layout.pipeline_parallel,
        "data_parallel": layout.data_parallel,
        "expert_parallel": layout.expert_parallel,
        "outcome": _taken(_OUTCOMES, outcome),
        "fits": found.starts & held,
        "headroom_bytes": found.usable - found.used,
        "used_bytes": found.used,
        "usable_bytes": found.usable,
        "weights_bytes": found.weights,
        "kv_cache_bytes": found.kv_cache,
        "state_bytes": found.state,
        "sequences": found.sequences,
        "tokens": found.tokens,
        "longest_context": found.longest_context,
        "limited_by": _taken(*_coded(found.limited_by)),
    }
    length = len(place)
    return pd.DataFrame(
        {name: _column(values.get(name), length, kind) for name, kind in columns.items()},
        copy=False,
    )


_OUTCOMES = (
    Outcome.DOES_NOT_FIT.value,
    Outcome.HOLDS_FEWER.value,
    Outcome.TIGHT.value,
    Outcome.FITS.value,
)


def _column(values: Any, length: int, kind: str) -> Any:
    """Return a column of a table: a value or None in every row is made once for all tables."""
    import numpy as np
    import pandas as pd

    if values is None or isinstance(values, str | int):
        return _same(values, length, kind).copy()  # whoever gets the table may write into it
    if kind == "string":
        return values
    made = pd.arrays.BooleanArray if kind == "boolean" else pd.arrays.IntegerArray
    return made(np.ascontiguousarray(values), np.zeros(length, dtype=bool))


@lru_cache(maxsize=256)
def _same(value: str | int | None, length: int, kind: str) -> Any:
    """Return a column that has one value, or none, in every row."""
    import pandas as pd

    return pd.Series([value], dtype=kind).array.take([0] * length)


def _coded(column: Any) -> tuple[tuple[str, ...], Any]:
    """Return the words of a column, which are few, and the place of each row's word among them."""
    import numpy as np

    words, codes = [], np.full(len(column), -1)
    while (codes < 0).any():
        words.append(str(column[np.argmin(codes)]))
        codes[column == words[-1]] = len(words) - 1
    return tuple(words), codes


def _taken(words: Sequence[str], codes: Any) -> Any:
    """Return the column of words that the codes stand for."""
    import pandas as pd

    return pd.array(list(words), dtype="string").take(codes)

"""Make rows of a sweep from an engine's columns: a hundred times as fast as one plan per row.

Only where everything but context and concurrency is said: one KV cache dtype, one layout, an engine
that has columns and does not refuse. All else is planned row by row, by `planner.sweeping`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.engines.engine import Deployment
from planner.errors import PlannerError
from planner.planning import Outcome, check_deployment
from planner.question import Question

if TYPE_CHECKING:
    import pandas as pd


def columns_frame(
    question: Question,
    labels: Mapping[str, str],
    contexts: Sequence[int],
    concurrencies: Sequence[int],
    *,
    start: int,
    stop: int,
) -> pd.DataFrame | None:
    """Return some rows as a table without verdicts; None where columns do not do.

    Args:
        question: everything but the workload.
        labels: what the rows call model, hardware and engine.
        contexts: tokens per sequence; a row is one of them with one of the concurrencies.
        concurrencies: sequences at once; they change faster than the contexts.
        start: the first row.
        stop: the first row that is no longer wanted.
    """
    asked = question.settled()
    layouts = asked.layouts()
    if len(layouts) != 1:
        return None
    engine, deployment = asked.settled_engine, asked.deployment(layouts[0])
    try:
        alike = engine.contexts_alike(deployment)
        if not all(context in alike for context in contexts):
            return None
        for concurrency in (min(concurrencies), max(concurrencies)):
            one = replace(deployment, context=contexts[0], concurrency=concurrency)
            check_deployment(one, engine)
        if engine.refusals(deployment):
            return None
    except PlannerError:
        return None
    place = range(start, stop)
    return _frame(asked, deployment, labels, contexts, concurrencies, place)


def _frame(
    asked: Question,
    deployment: Deployment,
    labels: Mapping[str, str],
    lengths: Sequence[int],
    numbers: Sequence[int],
    rows: range,
) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    engine, layout = asked.settled_engine, deployment.layout
    place = np.arange(rows.start, rows.stop)
    contexts = np.array(lengths, dtype=np.int64)[place // len(numbers)]
    concurrencies = np.array(numbers, dtype=np.int64)[place % len(numbers)]
    found = engine.columns(deployment, contexts, concurrencies)
    outcome = np.select(
        [~found.starts, found.sequences < concurrencies, found.tight],
        [Outcome.DOES_NOT_FIT.value, Outcome.HOLDS_FEWER.value, Outcome.TIGHT.value],
        Outcome.FITS.value,
    )
    return pd.DataFrame(
        {
            **labels,
            "count": asked.system.count,
            "engine_version": engine.version(deployment.options),
            "kv_cache_dtype": deployment.kv_cache_dtype,
            "context": contexts,
            "concurrency": concurrencies,
            "layout": str(layout),
            "tensor_parallel": layout.tensor_parallel,
            "pipeline_parallel": layout.pipeline_parallel,
            "data_parallel": layout.data_parallel,
            "expert_parallel": layout.expert_parallel,
            "outcome": _words(outcome),
            "fits": found.starts & (found.sequences >= concurrencies),
            "headroom_bytes": found.usable - found.used,
            "used_bytes": found.used,
            "usable_bytes": found.usable,
            "weights_bytes": found.weights,
            "kv_cache_bytes": found.kv_cache,
            "state_bytes": found.state,
            "sequences": found.sequences,
            "tokens": found.tokens,
            "longest_context": found.longest_context,
            "limited_by": _words(found.limited_by),
        }
    )


def _words(column: Any) -> Any:
    """Return a column of words with each word held once."""
    import pandas as pd

    return pd.Categorical(column)

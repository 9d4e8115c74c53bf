"""A row of a sweep in columns is the plan of that row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import column_rows, sweeping
from planner.columns import choose, larger, smaller, whole
from planner.layout import Layout

FRAMES = {
    "models": st.sampled_from(
        ["Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B"]
    ),
    "on": st.sampled_from(["rtx-4090", "2x rtx-4090", "h100", "4x h100", "gb10", "mi300x", "l4"]),
    "precisions": st.sampled_from(["bf16", "fp8", "gptq-int4"]),
    "kv_cache_dtypes": st.sampled_from(["auto", "fp8"]),
    "contexts": st.lists(st.integers(64, 262_144), min_size=1, max_size=4, unique=True),
    "concurrencies": st.lists(st.integers(1, 2000), min_size=1, max_size=4, unique=True),
    "layouts": st.sampled_from(
        [
            Layout(),
            Layout(tensor_parallel=2),
            Layout(pipeline_parallel=2),
            Layout(data_parallel=2),
            Layout(tensor_parallel=2, pipeline_parallel=2),
        ]
    ),
}
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "version": st.sampled_from(["0.17.1", "0.20.0", "0.28.0", "0.33.0"]),
        "max_num_seqs": st.sampled_from([1, 16, 256]),
        "enforce_eager": st.booleans(),
        "num_speculative_tokens": st.integers(0, 3),
        "gpu_memory_utilization": st.sampled_from([0.5, 0.95, 0.99, 1.0]),
        "kv_cache_memory_bytes": st.sampled_from([2**30, 8 * 2**30]),
        "cpu_offload_gb": st.sampled_from([0.0, 4.0]),
    },
)


def frames(asked: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sweep in columns, where there are any, and row by row."""
    tasks = list(sweeping.tasks_of(engines="vllm", verdicts=False, **asked))
    found = [sweeping.frame_of(task) for task in tasks]
    rows = [row for task in tasks for row in sweeping.rows_of(task)]
    one_by_one = pd.DataFrame(rows, columns=list(sweeping.COLUMNS)).astype(dict(sweeping.COLUMNS))
    return pd.concat(found, ignore_index=True), one_by_one


@settings(max_examples=60, deadline=None)
@given(asked=st.fixed_dictionaries(FRAMES), options=OPTIONS)
def test_a_row_in_columns_is_the_plan_of_that_row(
    asked: dict[str, Any], options: dict[str, Any]
) -> None:
    found, one_by_one = frames({**asked, "options": {"vllm": options}})
    pd.testing.assert_frame_equal(found, one_by_one)


def test_columns_are_used_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> list[dict[str, Any]]:
        raise AssertionError("planned row by row")

    monkeypatch.setattr(sweeping, "rows_of", never)
    asked: dict[str, Any] = {
        "models": "Qwen3.5-27B",
        "on": ["h100", "rtx-4090"],
        "precisions": "fp8",
        "contexts": list(range(1024, 262_144, 4096)),
        "concurrencies": [1, 8, 64, 1024],
    }
    pieces = list(sweeping.sweep_frames(engines="vllm", verdicts=False, **asked))
    assert sum(map(len, pieces)) == 2 * 64 * 4


def test_what_columns_do_not_answer_is_planned_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def watched(*args: Any, **named: Any) -> pd.DataFrame | None:
        found.append(column_rows.columns_frame(*args, **named))
        return None

    monkeypatch.setattr(sweeping, "columns_frame", watched)
    for changed in ({"contexts": [1, 4096]}, {"on": "2x h100"}, {"contexts": [2**20]}):
        asked: dict[str, Any] = {
            "models": "Qwen3.5-4B",
            "on": "h100",
            "contexts": [4096],
            **changed,
        }
        pd.testing.assert_frame_equal(*frames(asked))
    assert found == [None] * 3


def test_arithmetic_is_the_same_for_a_number_and_a_column() -> None:
    column = np.array([1, 5, 9])
    numbers = [int(n) for n in column]
    assert smaller(column, 5).tolist() == [smaller(n, 5) for n in numbers]
    assert larger(column, 5).tolist() == [larger(n, 5) for n in numbers]
    assert whole(column * 1.5).tolist() == [whole(n * 1.5) for n in numbers]
    assert choose(column > 4, 1, 0).tolist() == [choose(int(n) > 4, 1, 0) for n in column]

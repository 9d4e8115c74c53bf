"""A sweep is many plans: the same arithmetic, one row each, errors included."""

import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.errors import InputError
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.sweeping import COLUMNS
from tests.present import some

SWEEP: dict[str, Any] = {
    "on": ["rtx-4090", "h100"],
    "counts": [1, 2],
    "precisions": ["bf16", "fp8"],
    "contexts": ["8k", "64k"],
    "concurrencies": [1, 16],
}


def test_every_combination_is_a_row() -> None:
    frame = planner.sweep(["Qwen3.5-9B", "Qwen3.5-27B"], **SWEEP, engines=["vllm", "sglang"])
    assert len(frame) == 2 * 2 * 2 * 2 * 2 * 2 * 2
    assert list(frame.columns) == list(COLUMNS)
    assert frame["error"].isna().all()
    assert set(frame["engine"]) == {"vllm", "sglang"}


@settings(max_examples=15)
@given(
    st.sampled_from(["Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B"]),
    st.sampled_from(["rtx-4090", "2x rtx-5090", "8x h100", "gb10"]),
    st.sampled_from(["bf16", "fp8", "awq-int4"]),
    st.sampled_from(["auto", "fp8"]),
    st.integers(256, 262_144),
    st.integers(1, 512),
    st.sampled_from([None, Layout(), Layout(pipeline_parallel=2)]),
)
def test_a_row_is_the_plan(
    model: Any,
    machine: Any,
    precision: Any,
    cache: Any,
    context: Any,
    concurrency: Any,
    layout: Any,
) -> None:
    question: dict[str, Any] = {"precision": precision, "kv_cache_dtype": cache, "context": context}
    frame = planner.sweep(
        [model],
        on=[machine],
        precisions=[precision],
        kv_cache_dtypes=[cache],
        contexts=[context],
        concurrencies=[concurrency],
        layouts=[layout],
    )
    row = frame.iloc[0]
    ask = partial(planner.plan, model, on=machine, concurrency=concurrency, layout=layout)
    if isinstance(row["error"], str) and not isinstance(row["outcome"], str):
        with pytest.raises(InputError, match=re.escape(row["error"])):
            ask(**question)
        return
    plan = ask(**question)
    assert row["outcome"] == plan.outcome.value
    assert row["verdict"] == plan.verdict
    assert bool(row["fits"]) == plan.fits
    if plan.ranks:
        rank = plan.ranks[0]
        assert row["headroom_bytes"] == rank.headroom
        assert row["weights_bytes"] == rank.of_kind(Kind.WEIGHTS)
        assert row["sequences"] == some(plan.capacity).sequences
        assert row["longest_context"] == some(plan.capacity).longest_context


def test_what_makes_no_sense_is_a_row_with_the_reason() -> None:
    frame = planner.sweep(
        ["Qwen3.5-9B", "no-such-model"],
        on=["h100", "no-such-gpu"],
        contexts=[4096, 1_000_000],
        precisions=[None, "fp3"],
    )
    assert len(frame) == 16
    errors = frame["error"].fillna("")
    assert (errors != "").sum() == 15
    assert errors.str.contains("no-such-model").any()
    assert errors.str.contains("no-such-gpu").any()
    assert errors.str.contains("fp3").any()
    assert errors.str.contains("YaRN").any()
    assert not frame.loc[errors != "", "fits"].any()


def test_options_that_the_engine_refuses_are_a_row_too() -> None:
    frame = planner.sweep(
        ["Qwen3.5-9B"], on=["h100"], options={"vllm": {"gpu_memory_utilization": 92}}
    )
    assert "gpu_memory_utilization" in frame.iloc[0]["error"]


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_any_executor_gives_the_same_table(pool: type[Any]) -> None:
    here = planner.sweep(["Qwen3.5-9B"], **SWEEP)
    with pool(max_workers=2) as executor:
        there = planner.sweep(["Qwen3.5-9B"], **SWEEP, executor=executor)
    assert there.equals(here)


def test_the_table_can_be_written_and_read_back(tmp_path: Path) -> None:
    import pandas as pd

    frame = planner.sweep(["Qwen3.5-9B", "nonsense"], **SWEEP, speed=True)
    frame.to_parquet(tmp_path / "plans.parquet")
    assert pd.read_parquet(tmp_path / "plans.parquet").equals(frame)
    frame.to_csv(tmp_path / "plans.csv", index=False)
    again = pd.read_csv(tmp_path / "plans.csv", dtype=dict(COLUMNS))
    assert list(again["headroom_bytes"].dropna()) == list(frame["headroom_bytes"].dropna())
    assert (frame.loc[frame["fits"], "decode_tokens_per_s"] > 0).all()


def test_a_context_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match="abc"):
        planner.sweep(["Qwen3.5-9B"], on=["h100"], contexts=["abc"])


@pytest.mark.parametrize("axis", ["contexts", "concurrencies", "kv_cache_dtypes", "models"])
def test_an_empty_list_is_an_empty_table(axis: str) -> None:
    asked: dict[str, Any] = {"models": "Qwen3.5-4B", "on": "h100", axis: []}
    assert planner.sweep(asked.pop("models"), **asked).empty

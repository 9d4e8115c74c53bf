"""A row of a sweep in columns is the plan of that row."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner import column_rows, sweeping
from planner.columns import choose, larger, smaller, whole
from planner.layout import Layout

LAYOUTS = (
    Layout(),
    Layout(tensor_parallel=2),
    Layout(pipeline_parallel=2),
    Layout(data_parallel=2),
    Layout(tensor_parallel=2, pipeline_parallel=2),
)
CARDS = ("rtx-4090", "4x rtx-4090", "h100", "4x h100", "4x l40s", "gb10", "4x mi300x")
MODELS = ("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B")


def _some(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=1, max_size=4, unique=True)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one engine is asked: lists to choose from, and its options."""

    on: tuple[str, ...] = CARDS
    models: tuple[str, ...] = MODELS
    precisions: tuple[str, ...] = ("bf16", "fp8")
    kv_cache_dtypes: tuple[str, ...] = ("auto", "fp8")
    layouts: tuple[Layout, ...] = LAYOUTS
    shortest: int = 64
    most: int = 2000
    options: dict[str, st.SearchStrategy[Any]] = field(default_factory=dict)

    def frames(self) -> st.SearchStrategy[dict[str, Any]]:
        """Return what a sweep is asked."""
        return st.fixed_dictionaries(
            {
                "models": st.sampled_from(self.models),
                "on": st.sampled_from(self.on),
                "precisions": st.sampled_from(self.precisions),
                "kv_cache_dtypes": st.sampled_from(self.kv_cache_dtypes),
                "contexts": _some(self.shortest, 262_144),
                "concurrencies": _some(1, self.most),
                "layouts": st.sampled_from(self.layouts),
                "options": st.fixed_dictionaries({}, optional=self.options),
            }
        )


ENGINES = {
    "vllm": Asked(
        precisions=("bf16", "fp8", "gptq-int4"),
        options={
            "version": st.sampled_from(["0.17.1", "0.20.0", "0.28.0", "0.33.0"]),
            "max_num_seqs": st.sampled_from([1, 16, 256]),
            "enforce_eager": st.booleans(),
            "num_speculative_tokens": st.integers(0, 3),
            "gpu_memory_utilization": st.sampled_from([0.5, 0.95, 0.99, 1.0]),
            "kv_cache_memory_bytes": st.sampled_from([2**30, 8 * 2**30]),
            "cpu_offload_gb": st.sampled_from([0.0, 4.0]),
        },
    ),
    "sglang": Asked(
        models=(*MODELS, "Qwen3.8-Flash-Next"),
        options={
            "version": st.sampled_from(["0.5.9", "0.5.15", "0.5.23"]),
            "mem_fraction_static": st.sampled_from([0.6, 0.85, 0.95]),
            "max_running_requests": st.sampled_from([1, 48, 2000]),
            "max_mamba_cache_size": st.sampled_from([4, 4000]),
            "context_length": st.sampled_from([8192, 262_144]),
            "disable_radix_cache": st.booleans(),
            "speculative_algorithm": st.just("NEXTN"),
        },
    ),
    "llamacpp": Asked(
        on=("rtx-4090", "h100", "m4-max-128gb", "epyc-9654 + 256GB RAM"),
        models=("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B"),
        precisions=("q8_0", "q4_k_m"),
        kv_cache_dtypes=("auto", "q8_0"),
        layouts=LAYOUTS[:1],
        shortest=2048,
        most=256,
        options={
            "parallel": st.sampled_from([1, 7]),
            "kv_unified": st.booleans(),
            "spec_type": st.just("draft-mtp"),
            "flash_attn": st.sampled_from(["on", "off"]),
            "mmproj": st.booleans(),
            "ubatch_size": st.sampled_from([64, 2048]),
            "ctx_checkpoints": st.sampled_from([0, 4]),
        },
    ),
    "tensorrt-llm": Asked(
        on=("h100", "2x h100", "b200", "rtx-4090"),
        layouts=LAYOUTS[:2],
        options={
            "max_batch_size": st.sampled_from([1, 64, 2048]),
            "enable_attention_dp": st.booleans(),
            "free_gpu_memory_fraction": st.sampled_from([0.5, 0.95]),
            "periodic_snapshot_interval": st.sampled_from([0, 512]),
        },
    ),
    "mlx": Asked(
        on=("m4-max-128gb", "m1-max-32gb", "m3-ultra-512gb"),
        precisions=("bf16", "mlx-4bit", "mlx-8bit"),
        kv_cache_dtypes=("auto",),
        layouts=LAYOUTS[:1],
        options={
            "kv_bits": st.sampled_from([4, 8]),
            "quantized_kv_start": st.sampled_from([0, 5000]),
            "prompt_cache_size": st.integers(0, 9),
            "prefill_step_size": st.sampled_from([256, 8192]),
            "decode_concurrency": st.sampled_from([1, 100]),
            "iogpu_wired_limit_mb": st.sampled_from([30_000, 120_000]),
        },
    ),
    "transformers": Asked(
        on=("rtx-4090", "2x rtx-4090", "h100", "rtx-4090 + 128GB RAM"),
        precisions=("bf16", "bnb-nf4"),
        kv_cache_dtypes=("auto",),
        layouts=(Layout(), Layout(pipeline_parallel=2)),
        models=(*MODELS, "Qwen3.8-Flash-Next"),
        options={
            "attn_implementation": st.sampled_from(["eager", "sdpa", "flash_attention_2"]),
            "flash_linear_attention": st.booleans(),
            "prefill_chunk_size": st.sampled_from([512, 100_000]),
            "cache_implementation": st.sampled_from(["dynamic", "static"]),
        },
    ),
}


def frames(engine: str = "vllm", **asked: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sweep in columns, where there are any, and row by row."""
    asked["options"] = {engine: asked.get("options", {})}
    tasks = list(sweeping.tasks_of(engines=engine, verdicts=False, **asked))
    found = [sweeping.frame_of(task) for task in tasks]
    rows = [row for task in tasks for row in sweeping.rows_of(task)]
    one_by_one = pd.DataFrame(rows, columns=list(sweeping.COLUMNS)).astype(dict(sweeping.COLUMNS))
    return pd.concat(found, ignore_index=True), one_by_one


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_in_columns_is_the_plan_of_that_row(engine: str) -> None:
    @settings(max_examples=4 if engine == "llamacpp" else 30, deadline=None)  # it builds graphs
    @given(asked=ENGINES[engine].frames())
    def equal(asked: dict[str, Any]) -> None:
        found, one_by_one = frames(engine, **asked)
        pd.testing.assert_frame_equal(found, one_by_one)

    equal()


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_are_used_where_they_can_be(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> list[dict[str, Any]]:
        raise AssertionError("planned row by row")

    monkeypatch.setattr(sweeping, "rows_of", never)
    asked: dict[str, Any] = {
        "models": "Qwen3.5-27B",
        "on": ENGINES[engine].on[0],
        "precisions": ENGINES[engine].precisions[1],
        "contexts": list(range(4096, 262_145, 4096)),
        "concurrencies": [1, 8, 64, 256],
        "layouts": Layout(),
    }
    pieces = list(sweeping.sweep_frames(engines=engine, verdicts=False, **asked))
    assert sum(map(len, pieces)) == 64 * 4


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
        pd.testing.assert_frame_equal(*frames(**asked))
    assert found == [None] * 3


def test_numbers_that_are_refused_take_the_others_out_of_no_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = "llamacpp"
    asked: dict[str, Any] = {
        "models": "Qwen3.5-4B",
        "on": "rtx-4090",
        "precisions": "q8_0",
        "contexts": [8192, 4096, 12_288],
        "concurrencies": [300, 1, 999_999, 8, 300, 2],
    }
    found, one_by_one = frames(engine, **asked)
    pd.testing.assert_frame_equal(found, one_by_one)
    planned: list[int] = []
    row = sweeping._row

    def watched(task: sweeping.Task, cache: str, context: int, users: int, *layout: Any) -> Any:
        planned.append(users)
        return row(task, cache, context, users, *layout)

    monkeypatch.setattr(sweeping, "_row", watched)
    (task,) = sweeping.tasks_of(engines=engine, verdicts=False, options={engine: {}}, **asked)
    pd.testing.assert_frame_equal(sweeping.frame_of(task), one_by_one)
    refused = one_by_one[one_by_one["error"].notna()]["concurrency"].tolist()
    assert planned == refused != []
    part = replace(task, start=4, stop=9)  # from the middle of one length to that of the next
    pd.testing.assert_frame_equal(
        sweeping.frame_of(part), one_by_one.iloc[4:9].reset_index(drop=True)
    )


def test_arithmetic_is_the_same_for_a_number_and_a_column() -> None:
    column = np.array([1, 5, 9])
    numbers = [int(n) for n in column]
    assert smaller(column, 5).tolist() == [smaller(n, 5) for n in numbers]
    assert larger(column, 5).tolist() == [larger(n, 5) for n in numbers]
    assert whole(column * 1.5).tolist() == [whole(n * 1.5) for n in numbers]
    assert choose(column > 4, 1, 0).tolist() == [choose(int(n) > 4, 1, 0) for n in column]


def test_the_most_slots_are_the_last_that_hold_not_how_many_numbers_do() -> None:
    asked: dict[str, Any] = {
        "models": "Qwen3.5-4B",
        "on": "m4-max-128gb",
        "precisions": "q8_0",
        "contexts": [10_241],
        "concurrencies": [1, 250, 252, 256],
        "layouts": Layout(),
        "options": {"kv_unified": True},
    }
    found, one_by_one = frames("llamacpp", **asked)
    pd.testing.assert_frame_equal(found, one_by_one)
    assert list(found["sequences"]) == [256, 256, 251, 256]

"""TensorRT-LLM: the straight line of its cache, states for every slot, and what is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.engines.tensorrt_llm.options import TensorRtLlmOptions
from planner.errors import InputError
from planner.planning import Outcome, Plan

NVFP4 = "nvidia/Qwen3.5-397B-A17B-NVFP4"
WIDE = planner.Layout(tensor_parallel=4, expert_parallel=True)


def ask(name: str = "Qwen3.5-35B-A3B", on: str = "h200", **question: object) -> Plan:
    return planner.plan(name, on=on, engine="tensorrt-llm", **{"context": 8192, **question})  # type: ignore[arg-type]


def test_the_state_of_a_request() -> None:
    """30 layers: 3 columns of 8192 channels and 32 heads of 128 x 128; auto is the model's dtype."""
    conv, ssm = 30 * 3 * 8192 * 2, 30 * 32 * 128 * 128
    assert ask().figures["state_bytes_per_request"] == conv + 2 * ssm
    wide = ask(options={"mamba_ssm_cache_dtype": "float32"})
    assert wide.figures["state_bytes_per_request"] == conv + 4 * ssm


def test_tokens_are_what_is_left_over_the_slope() -> None:
    plan = ask(concurrency=8)
    details = plan.figures
    assert details["state_slots"] == 8 + 1
    assert details["slope_bytes_per_token"] == 10 * 2 * 2 * 256 * 2
    left = details["budget_bytes"] - details["intercept_bytes"]
    assert details["max_tokens"] == left // details["slope_bytes_per_token"] // 32 * 32


@settings(max_examples=40)
@given(
    context=st.integers(1, 262_144), concurrency=st.integers(1, 200), more=st.integers(1, 20_000)
)
def test_more_work_never_leaves_more_memory(context: int, concurrency: int, more: int) -> None:
    small = ask(context=context, concurrency=concurrency)
    long = ask(context=min(context + more, 262_144), concurrency=concurrency)
    many = ask(context=context, concurrency=concurrency + 1)
    assert small.headroom is not None
    assert long.headroom is not None
    assert many.headroom is not None
    assert long.headroom <= small.headroom
    assert many.headroom < small.headroom


def test_the_published_configuration_starts() -> None:
    """examples/configs/curated/qwen3.5.yaml on 4 x B200: validated by NVIDIA with FP8 KV cache."""
    options = {
        "enable_attention_dp": True,
        "free_gpu_memory_fraction": 0.8,
        "max_num_tokens": 2048,
        "enable_block_reuse": False,
        "max_batch_size": 512,
    }
    question = {"kv_cache_dtype": "fp8", "layout": WIDE, "context": 2048, "concurrency": 2048}
    plan = ask(NVFP4, "4x b200", options=options, **question)
    assert plan.fits
    assert plan.figures["state_slots"] == 512 + 1 + 1
    assert plan.launch is not None
    assert "--tp_size 4 --ep_size 4 --max_batch_size 512" in plan.launch.command
    (config,) = plan.launch.notes
    assert '"enable_attention_dp": true' in config
    assert '"enable_block_reuse": false' in config


def test_attention_data_parallelism_replicates_all_but_the_experts() -> None:
    cut = ask(NVFP4, "4x b200", layout=WIDE).figures
    whole = ask(NVFP4, "4x b200", layout=WIDE, options={"enable_attention_dp": True}).figures
    routed = "text.moe.routed_experts"
    assert whole["weight_components"][routed] == cut["weight_components"][routed]
    assert whole["weight_components"]["text.gdn.out_proj"] == pytest.approx(
        4 * cut["weight_components"]["text.gdn.out_proj"]
    )
    assert whole["state_bytes_per_request"] == 4 * cut["state_bytes_per_request"]


def test_room_is_what_a_wider_server_would_hold() -> None:
    """The room that is answered holds when it is asked for, and no more does."""
    room = ask(concurrency=1).capacity
    assert room is not None
    assert room.sequences > 100
    assert ask(concurrency=room.sequences).fits
    assert not ask(concurrency=room.sequences + 1).fits


def test_too_many_slots_do_not_start() -> None:
    plan = ask("Qwen3.5-27B", on="h100", options={"max_batch_size": 2048})
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert plan.allocation is not None
    assert "needs at least 2049" in str(plan.allocation.refusal)


def test_snapshots_make_tokens_dearer() -> None:
    plain = ask().figures["slope_bytes_per_token"]
    kept = ask(options={"periodic_snapshot_interval": 256}).figures
    assert kept["slope_bytes_per_token"] == plain + -(-kept["state_bytes_per_request"] // 256)


def test_what_is_not_verified_is_said() -> None:
    assert any("read, not run" in warning for warning in ask().warnings)
    assert any("dense" in warning for warning in ask("Qwen3.5-27B").warnings)
    assert any("MARLIN" in warning for warning in ask(NVFP4, "8x h200").warnings)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"on": "mi300x"}, "NVIDIA GPUs"),
        ({"on": "t4", "name": "Qwen3.5-0.8B"}, "compute capability 8.0"),
        ({"on": "a100", "precision": "fp8"}, "8.9"),
        ({"on": "a100", "kv_cache_dtype": "fp8"}, "8.9"),
        ({"precision": "q4_k_m"}, "not verified"),
        ({"kv_cache_dtype": "float32"}, "not planned"),
        ({"on": "2x h200", "layout": planner.Layout(pipeline_parallel=2)}, "not planned"),
        ({"options": {"enable_attention_dp": True}}, "several ranks"),
        (
            {
                "name": "Qwen3.5-27B",
                "on": "2x h200",
                "layout": planner.Layout(tensor_parallel=2, expert_parallel=True),
            },
            "dense",
        ),
    ],
)
def test_what_it_cannot_run(question: dict[str, Any], words: str) -> None:
    plan = ask(**question)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert words in plan.verdict


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch_size": 0},
        {"max_num_tokens": 10**18},
        {"free_gpu_memory_fraction": 90},
        {"free_gpu_memory_fraction": float("nan")},
        {"periodic_snapshot_interval": -1},
        {"tokens_per_block": 48},
        {"mamba_ssm_cache_dtype": "fp8"},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        TensorRtLlmOptions(**options)

"""KTransformers: experts in host memory, everything else as under SGLang."""

import shlex
from typing import Any

import pytest

import planner
from planner.engines.ktransformers.options import KTransformersOptions
from planner.errors import InputError
from planner.planning import Outcome, Plan
from planner.speed import speed_of, speed_words
from planner.units import GIB


def ask(name: str = "Qwen3.5-35B-A3B", on: str = "rtx-4090", **question: object) -> Plan:
    return planner.plan(name, on=on, engine="ktransformers", **{"context": 8192, **question})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Qwen3.5-35B-A3B", 2.89), ("Qwen3.5-122B-A10B", 6.60), ("Qwen3.5-397B-A17B", 10.26)],
)
def test_what_stays_on_the_gpu(name: str, billions: float) -> None:
    """Two bytes for every parameter that is no routed expert."""
    plan = ask(name, "h200", options={"kt_num_gpu_experts": 0})
    assert plan.figures["gpu_weight_bytes"] == pytest.approx(2e9 * billions, rel=0.002)


def test_experts_on_the_gpu_are_counted_by_layer() -> None:
    sizes = [ask(options={"kt_num_gpu_experts": n}).figures["gpu_weight_bytes"] for n in (0, 1, 64)]
    one = 40 * 3 * 2048 * 512 * 2
    assert sizes[1] - sizes[0] == one
    assert sizes[2] - sizes[0] == 64 * one


def test_the_documented_machine_holds_the_largest() -> None:
    """doc/en/Qwen3.5.md: BF16 on 4 x RTX 4090 and 800 GB of memory."""
    options = {
        "host_memory_gib": 800e9 / GIB,
        "mem_fraction_static": 0.98,
        "max_total_tokens": 32_000,
        "max_running_requests": 32,
        "chunked_prefill_size": 4096,
    }
    plan = ask("Qwen3.5-397B-A17B", "4x rtx-4090", options=options)
    assert plan.fits
    (host,) = (rank for rank in plan.ranks if rank.name == "host")
    assert host.used == plan.figures["routed_expert_bytes"]
    small = ask("Qwen3.5-397B-A17B", "4x rtx-4090", options={**options, "host_memory_gib": 512})
    assert small.outcome is Outcome.DOES_NOT_FIT
    assert "in RAM" in small.verdict


def test_converted_experts_take_less() -> None:
    stored = ask(options={"host_memory_gib": 256})
    converted = ask(options={"host_memory_gib": 256, "kt_method": "AMXINT4"})
    assert (
        converted.figures["offloaded_weight_bytes"] * 4 == stored.figures["offloaded_weight_bytes"]
    )
    assert any("convert_weights.py" in warning for warning in converted.warnings)


def test_the_cpus_share_of_the_weights_counts_in_the_speed() -> None:
    assert "weights computed by the CPU" in speed_words(speed_of(ask()))[0]


def test_an_unknown_host_is_said_and_a_known_one_used() -> None:
    assert any("--host-memory-gib" in warning for warning in ask().warnings)
    known = ask(on="aws-g6e-48xlarge")
    assert any(rank.name == "host" for rank in known.ranks)
    assert not any("--host-memory-gib" in warning for warning in known.warnings)


def test_the_command_carries_the_flags() -> None:
    plan = ask(precision="fp8", options={"kt_gpu_prefill_token_threshold": 2048})
    assert plan.launch is not None
    words = shlex.split(plan.launch.command)
    assert words[:3] == ["python", "-m", "sglang.launch_server"]
    for flag, value in (
        ("--kt-method", "FP8"),
        ("--kt-num-gpu-experts", "1"),
        ("--kt-gpu-prefill-token-threshold", "2048"),
        ("--context-length", "8192"),
        ("--attention-backend", "triton"),
    ):
        assert words[words.index(flag) + 1] == value
    assert any("read, not run" in warning for warning in plan.warnings)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"name": "Qwen3.5-27B"}, "dense"),
        ({"on": "mi300x"}, "NVIDIA"),
        ({"precision": "nvfp4"}, "no --kt-method"),
        ({"precision": "fp8", "options": {"kt_method": "BF16"}}, "does not compute"),
        ({"options": {"kt_num_gpu_experts": 257}}, "more than the"),
        ({"on": "2x h200", "layout": planner.Layout(pipeline_parallel=2)}, "tensor parallelism"),
    ],
)
def test_what_it_cannot_run(question: dict[str, Any], words: str) -> None:
    plan = ask(**question)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert words in plan.verdict


@pytest.mark.parametrize(
    "options",
    [
        {"kt_method": "INT3"},
        {"kt_num_gpu_experts": -1},
        {"kt_cpuinfer": 0},
        {"kt_threadpool_count": 10**9},
        {"kt_gpu_prefill_token_threshold": 0},
        {"host_memory_gib": float("nan")},
        {"host_memory_gib": "abc"},
        {"kt_weight_path": " "},
        {"mem_fraction_static": 1.5},
        {"attention_backend": "none"},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        KTransformersOptions(**options)


def test_one_memory_is_not_counted_twice() -> None:
    plan = ask(on="dgx-spark")
    assert plan.outcome is Outcome.CANNOT_RUN
    assert "share one memory" in plan.verdict
    assert not plan.ranks


def test_all_bytes_lie_somewhere_and_the_cpu_computes_the_experts() -> None:
    plan = ask("Qwen3.5-122B-A10B", "aws-g6e-48xlarge", layout=planner.Layout(tensor_parallel=8))
    assert plan.allocation is not None
    place = plan.allocation.placement
    assert place is not None
    assert place.host_computed == place.host_computed_experts == plan.allocation.host_bytes
    (weights,) = plan.figures["weights"]
    text = sum(size for name, size in weights["target"].items() if name.startswith("text."))
    assert place.device == 8 * (text - weights["target"]["text.embed_tokens"])
    assert not place.prompts_stream
    assert place.host_streamed == place.disk == 0


def test_the_longest_request_is_what_the_pool_holds_not_what_was_asked() -> None:
    short, longer = (ask(on="h100", context=context).capacity for context in (8192, 16_384))
    assert short is not None
    assert longer is not None
    assert short.longest_context == longer.longest_context == 262_144

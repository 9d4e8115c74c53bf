"""What a log tells that nobody said: degrees by the marks of its lines, the rest by its figures."""

from __future__ import annotations

import pytest

import planner
from planner import logs, observed
from planner.inferring import marked_layout
from planner.layout import Layout

KTRANSFORMERS = """\
[2026-02-27 17:10:27 TP0] Load weight end. elapsed=653.47 s, type=Qwen3_5MoeForConditionalGeneration, dtype=torch.bfloat16, avail mem=19.08 GB, mem usage=3.76 GB.
[2026-02-27 17:10:28 TP1] Mamba Cache is allocated. max_mamba_cache_size: 82, conv_state size: 0.13GB, ssm_state size: 7.29GB
[2026-02-27 17:10:28 TP1] KV Cache is allocated. #tokens: 580364, K size: 4.15 GB, V size: 4.15 GB
[2026-02-27 17:10:28 TP1] Memory pool end. avail mem=4.02 GB
[2026-02-27 17:10:29 TP0] max_total_num_tokens=580364, chunked_prefill_size=2048, max_prefill_tokens=16384, max_running_requests=1, context_len=8192, available_gpu_mem=3.63 GB
"""
"""github.com/kvcache-ai/ktransformers issue 1870: Qwen3.5-397B on two RTX 4090, SGLang's own lines."""


@pytest.mark.parametrize(
    ("marks", "layout"),
    [
        (("(Worker_TP0 pid=7)", "(Worker_TP3 pid=9)"), Layout(tensor_parallel=4)),
        (("(Worker_TP1 pid=7)", "(Worker_TP2 pid=9)"), Layout(tensor_parallel=4)),
        (("(Worker_PP1_TP1 pid=7)",), Layout(tensor_parallel=2, pipeline_parallel=2)),
        (("(Worker_TP1_EP1 pid=7)",), Layout(tensor_parallel=2, expert_parallel=True)),
        (("(Worker_DP1_TP0_EP2 pid=7)",), None),
        (("(Worker_TP0 pid=7)",), Layout(tensor_parallel=8)),
        (("(Worker_DP0_TP0_EP0 pid=7)",), Layout(tensor_parallel=8)),
        (("(EngineCore pid=7)",), None),
    ],
)
def test_ranks_in_front_of_lines_tell_the_degrees(
    marks: tuple[str, ...], layout: Layout | None
) -> None:
    text = "\n".join(f"{mark} INFO Available KV cache memory: 9.00 GiB" for mark in marks)
    assert marked_layout(logs.read_log(text), 8) == layout
    assert layout is None or marked_layout(logs.read_log(text), 1) in (None, layout)


def test_a_log_of_two_ranks_is_not_held_against_the_plan_of_one() -> None:
    check = observed.check_log(None, KTRANSFORMERS, model="Qwen3.5-397B-A17B", on="2x rtx-4090")
    assert check.plan.deployment.layout == Layout(tensor_parallel=2)
    assert check.rules_agree
    assert [row.figure for row in check.rows if row.agrees is False] == ["weights"]
    notes = " ".join(check.notes)
    assert "the log does not print what the server was told" in notes
    assert "the weights were loaded, and those planned" in notes
    one = observed.check_log(
        None, KTRANSFORMERS, model="Qwen3.5-397B-A17B", on="2x rtx-4090", layout=Layout()
    )
    assert not one.rules_agree  # what is said is kept


def test_a_cache_format_that_nobody_said_is_found_by_the_figures() -> None:
    asked = {"on": "h100", "precision": "fp8", "engine": "vllm", "context": 65_536}
    started = planner.plan("Qwen3.5-27B", kv_cache_dtype="fp8", **asked)  # type: ignore[arg-type]
    wanted = ("Available KV cache", "GPU KV cache size", "Maximum concurrency")
    text = "\n".join(line for line in started.expected_log if any(w in line for w in wanted))
    given = {"model": "Qwen3.5-27B", "on": "h100", "precision": "fp8"}
    check = observed.check_log(None, text, **given)  # type: ignore[arg-type]
    assert check.rules_agree
    assert check.plan.deployment.kv_cache_dtype == "fp8"
    assert check.notes[0].startswith("its figures are those of a KV cache in fp8, which neither")
    said = observed.check_log(None, text, **given, kv_cache_dtype="bfloat16")  # type: ignore[arg-type]
    assert not said.rules_agree


def test_degrees_that_nobody_said_are_found_by_the_figures() -> None:
    started = planner.plan(
        "Qwen3.5-27B", on="2x h100", engine="vllm", context=65_536, layout=Layout(tensor_parallel=2)
    )
    wanted = ("Available KV cache", "GPU KV cache size", "Maximum concurrency")
    text = "\n".join(line for line in started.expected_log if any(w in line for w in wanted))
    check = observed.check_log(None, text, model="Qwen3.5-27B", on="2x h100", precision="bf16")
    assert check.rules_agree
    assert check.plan.deployment.layout == Layout(tensor_parallel=2)
    assert any("figures are those of TP 2" in note for note in check.notes)


def test_counts_that_are_far_off_are_named() -> None:
    """vllm-project/vllm issue 49064: 969 blocks of Qwen3.8-27B on an H100, whose weights are not told."""
    text = "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (969)."
    asked = {"model": "Qwen3.8-27B", "on": "h100", "context": 132_000}
    options = {"gpu_memory_utilization": 0.9, "version": "0.28.0"}
    check = observed.check_log(None, text, **asked, options=options, precision="bf16")  # type: ignore[arg-type]
    assert any(note.startswith("cache blocks: 2.83 times") for note in check.notes)
    check = observed.check_log(None, text, **asked, options=options, precision="fp8")  # type: ignore[arg-type]
    assert not any(note.startswith("cache blocks") for note in check.notes)


def test_a_mapped_range_on_the_host_is_at_most_what_lies_there() -> None:
    """ggml-org/llama.cpp pull request 16095: Qwen3-Next on an iGPU, loaded to both, as it seemed."""
    text = (
        "load_tensors: offloaded 49/49 layers to GPU\n"
        "load_tensors:   CPU_Mapped model buffer size = 25265.84 MiB\n"
        "load_tensors:      Vulkan0 model buffer size = 27246.99 MiB\n"
    )
    asked = {"model": "Qwen3-Next-80B-A3B-Instruct", "on": "780m 64gb", "precision": "q4_k_m"}
    check = observed.check_log(None, text, **asked)  # type: ignore[arg-type]
    assert check.agrees
    assert {row.figure: row.note for row in check.rows}["weights, host"].startswith("at most")
    assert not any("times what was planned" in note for note in check.notes)
    less = text.replace("27246.99", "9246.99")
    assert not observed.check_log(None, less, **asked).agrees  # type: ignore[arg-type]

"""Commands of SGLang, KTransformers and TensorRT-LLM: what is read, what comes back."""

from typing import Any

import pytest

import planner
from planner import observed
from planner.engines.commands import read_command, read_words
from planner.errors import InputError
from planner.layout import Layout
from planner.logs import check_log, read_log
from planner.planning import Outcome

SERVE = "sglang serve --model a/b"


@pytest.mark.parametrize(
    ("text", "options", "layout"),
    [
        (SERVE, {}, None),
        (f"{SERVE} --mem-fraction-static=0.8", {"mem_fraction_static": 0.8}, None),
        (f"{SERVE} --tp 8 --dp 8 --enable-dp-attention", {"attn_dp_size": 8}, (8, 1, False)),
        (f"{SERVE} --tp 8 --attn-dp-size 2", {"attn_dp_size": 2}, (8, 1, False)),
        (f"{SERVE} --tp-size 2 --dp 2", {}, (2, 2, False)),
        (f"{SERVE} --tp 4 --ep 4", {}, (4, 1, True)),
        (f"{SERVE} --tp 4 --ep 2", {"ep_size": 2}, (4, 1, False)),
        (f"{SERVE} --tp 4 --enable-ep-moe", {}, (4, 1, True)),
        (f"{SERVE} --tp 4 --enable-deepep-moe", {"moe_a2a_backend": "deepep"}, (4, 1, False)),
        (f"{SERVE} --speculative-algo nextn", {"speculative_algorithm": "NEXTN"}, None),
        (
            f"{SERVE} --mamba-scheduler-strategy no_buffer --cuda_graph_max_bs 8",
            {"mamba_radix_cache_strategy": "no_buffer", "cuda_graph_max_bs": 8},
            None,
        ),
        (f"{SERVE} --language-only", {"language_only": True}, None),
        (
            f"{SERVE} --enable-hicache --hicache-size 30",
            {"enable_hierarchical_cache": True, "hicache_size": 30},
            None,
        ),
        (
            f"{SERVE} --cuda-graph-backend-decode disabled --disable-piecewise-cuda-graph",
            {"disable_decode_cuda_graph": True, "disable_prefill_cuda_graph": True},
            None,
        ),
        (f"{SERVE} --chunked-prefill-size -1", {"chunked_prefill_size": -1}, None),
    ],
)
def test_what_sglang_is_told(
    text: str, options: dict[str, Any], layout: tuple[int, int, bool] | None
) -> None:
    engine, command = read_command(text)
    assert engine == "sglang"
    assert command.options == options
    assert not command.unplanned
    if layout is None:
        assert command.layout is None
    else:
        tensor, data, expert = layout
        assert command.layout == Layout(
            tensor_parallel=tensor, data_parallel=data, expert_parallel=expert
        )


def test_words_that_change_nothing_come_back_and_those_of_one_node_do_not() -> None:
    kept = (
        "--host 0.0.0.0 --port 30001 --served-model-name q --reasoning-parser qwen3"
        " --tool-call-parser qwen3_coder --api-key *** --trust-remote-code --dtype bfloat16"
        " --quantization fp8 --cuda-graph-backend-prefill breakable"
    )
    _, command = read_command(
        f"{SERVE} {kept} --nnodes 2 --node-rank 1 --dist-init-addr 10.0.0.1:50000"
    )
    assert command.kept == tuple(kept.split())
    assert not command.unplanned


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("--enable-unified-memory", "one buffer"),
        ("--enable-lora", "adapters"),
        ("--brand-new-flag", "not a flag that the planner knows"),
    ],
)
def test_what_takes_memory_and_is_not_planned_is_said(flag: str, says: str) -> None:
    _, command = read_command(f"{SERVE} {flag}")
    assert command.kept == (flag,)
    (line,) = command.unplanned
    assert says in line


def test_experts_on_the_host_are_read_with_sglangs_own_flags() -> None:
    engine, command = read_command(
        f"{SERVE} --kt-method AMXINT4 --kt-weight-path /w --kt-num-gpu-experts 2"
        " --mem-fraction-static 0.98 --context-length 9000 --max-mamba-cache-size 40 --port 1"
        " --disable-shared-experts-fusion"
    )
    assert engine == "ktransformers"
    assert command.context == 9000
    assert command.options == {
        "kt_method": "AMXINT4",
        "kt_weight_path": "/w",
        "kt_num_gpu_experts": 2,
        "mem_fraction_static": 0.98,
        "context_length": 9000,
    }
    assert command.unplanned == ("--max-mamba-cache-size: not planned for KTransformers",)
    assert command.kept == ("--max-mamba-cache-size", "40", "--port", "1")


def test_tensorrt_llm_reads_its_own_spellings() -> None:
    engine, command = read_command(
        "trtllm-serve a/b --tp_size 4 --ep_size 4 --max_seq_len 8192 --max_batch_size 16"
        " --kv_cache_free_gpu_memory_fraction 0.8 --backend pytorch --config x.yaml"
    )
    assert engine == "tensorrt-llm"
    assert command.layout == Layout(tensor_parallel=4, expert_parallel=True)
    assert command.context == 8192
    assert command.options == {"max_batch_size": 16, "free_gpu_memory_fraction": 0.8}
    assert command.kept == ("--backend", "pytorch", "--config", "x.yaml")
    (line,) = command.unplanned
    assert line.startswith("--config")


@pytest.mark.parametrize(
    ("engine", "words", "says"),
    [
        ("sglang", "--speculative-algorithm EAGLE3", "EAGLE3"),
        ("sglang", "--attn-cp-size 2", "context parallelism"),
        ("sglang", "--dtype float32", "float32"),
        ("sglang", "--tp two", "whole number"),
        ("sglang", "--mem-fraction-static 85", "mem-fraction-static"),
        ("sglang", "--max-runing-requests 4", "did you mean"),
        ("ktransformers", "--kt-method INT3", "INT3"),
        ("tensorrt-llm", "--tp_size 4 --ep_size 2", "ep_size"),
        ("tensorrt-llm", "--max_seq_len many", "max_seq_len"),
    ],
)
def test_what_cannot_be_read_is_one_line(engine: str, words: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        read_words(engine, words.split())
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "on"),
    [
        ("sglang serve --model Qwen/Qwen3.5-4B", "l4"),
        ("sglang serve --model Qwen/Qwen3.5-9B --mem-fraction-static 0.85", "rtx-4090"),
        ("sglang serve --model Qwen/Qwen3.5-35B-A3B-FP8 --kt-method FP8", "aws-g6e-48xlarge"),
    ],
)
def test_a_server_without_a_length_is_judged_by_whether_it_starts(command: str, on: str) -> None:
    """SGLang sizes its pools to what is left, whatever the longest request that it accepts."""
    plan = observed.plan_command(command, on=on)
    assert plan.fits
    assert plan.settings["context_length"] == 262_144
    held = plan.figures["max_total_num_tokens"]
    assert plan.deployment.context <= held
    if held < 262_144:
        assert any(f"holds {held:,} tokens" in warning for warning in plan.warnings)
        asked = observed.plan_command(f"{command} --context-length 262144", on=on)
        assert not asked.fits


def test_several_requests_share_what_a_server_without_a_length_holds() -> None:
    command = "sglang serve --model Qwen/Qwen3.5-4B"
    one = observed.plan_command(command, on="l4")
    four = observed.plan_command(command, on="l4", concurrency=4)
    assert four.fits
    assert one.deployment.context // 5 < four.deployment.context <= one.deployment.context // 4


def test_a_server_that_does_not_start_is_refused_without_a_length_too() -> None:
    plan = observed.plan_command("sglang serve --model Qwen/Qwen3.5-27B-FP8", on="rtx-5090")
    assert plan.outcome is Outcome.DOES_NOT_FIT


@pytest.mark.parametrize(
    ("line", "figure", "value"),
    [
        (
            "RuntimeError: Not enough GPU memory for hybrid (mamba/linear-attention) state cache."
            " Computed max_mamba_cache_size=-7 (total_rest_memory=-1.61 GB,"
            " mamba_cache_per_req=146.81 MB). Try: (1) reduce --max-running-requests",
            "state per slot",
            146.81,
        ),
        (
            "ValueError: Loaded weights leave no GPU memory for the KV cache under"
            " --mem-fraction-static=0.75. Raise --mem-fraction-static above 0.806 (minimum viable"
            " = 1 - available/pre = 0.8052).",
            "mem fraction static",
            0.75,
        ),
        (
            "RuntimeError: Hybrid (mamba/linear-attention) state cache is too small to serve any"
            " requests. max_mamba_cache_size=4, mamba_ratio=5, resulting max_num_reqs=0.",
            "state slots per request",
            5,
        ),
    ],
)
def test_an_error_pasted_alone_is_recognised(line: str, figure: str, value: float) -> None:
    log = read_log(line)
    assert log.engine == "sglang"
    plan = planner.plan(
        "Qwen3.5-27B",
        on="h100",
        engine="sglang",
        context=8192,
        precision="fp8",
        options={"mem_fraction_static": 0.75},
    )
    check = check_log(plan, log)
    (row,) = [row for row in check.rows if row.figure == figure]
    assert row.logged == value
    assert row.agrees is True

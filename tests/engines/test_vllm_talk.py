"""vLLM's command, log and messages: what is written, what is read back."""

from typing import Any

import pytest

import planner
from planner.answer import Plan
from planner.errors import InputError


def ask(model: str = "Qwen3.5-27B", on: str = "h100", **question: Any) -> Plan:
    return planner.plan(model, on=on, **{"context": 8192, "engine": "vllm", **question})


@pytest.mark.parametrize(
    ("question", "last_but_one", "error"),
    [
        ({"on": "l4", "precision": "bf16"}, "Available KV cache memory: -", "No available memory"),
        ({"on": "2x rtx-4090", "precision": "fp8", "context": "256k"}, "Available", "To serve at"),
        (
            {"on": "h100", "precision": "bf16", "options": {"max_num_seqs": 1000}},
            "vllm cache_config_info",
            "max_num_seqs (1000) exceeds",
        ),
        ({"on": "h100", "options": {"gpu_memory_utilization": 1.0}}, "", "Free memory on device"),
    ],
)
def test_a_start_that_fails_prints_no_more_than_that(
    question: dict[str, Any], last_but_one: str, error: str
) -> None:
    lines = ask("Qwen3.5-27B", **question).expected_log
    assert lines[-1].startswith(f"ValueError: {error}")
    assert "".join(lines[-2:-1]).startswith(last_but_one)
    assert not any("0 tokens" in line and "GPU KV" in line for line in lines)


SERVED = (
    "vllm serve Qwen/Qwen3.5-27B-FP8 --max-model-len 32k --port 8001 --host 0.0.0.0 --api-key key"
    " --served-model-name q --reasoning-parser qwen3 --tool-call-parser qwen3_coder"
    " --enable-auto-tool-choice --quantization fp8 --new-flag 3"
)


def test_flags_that_take_no_memory_come_back() -> None:
    plan = planner.plan_command(f"{SERVED} --kv-offloading-size 64", on="2x rtx-4090")
    assert plan.written is not None
    for words in SERVED.replace("-key key", '-key "$API_KEY"').split(" --")[2:]:
        assert f"--{words}" in plan.written.command
    assert "--kv-offloading-size 64" in plan.written.command
    assert any("--new-flag is not a flag" in warning for warning in plan.warnings)
    assert any("64.0 GiB of host memory" in warning for warning in plan.warnings)
    assert plan.allocation is not None
    assert plan.allocation.host_bytes == 64 * 2**30
    again = planner.plan_command(plan.written.command, on="2x rtx-4090")
    assert again.written is not None
    assert again.written.argv == plan.written.argv


def test_what_a_plan_writes_for_its_nodes_is_written_once() -> None:
    plan = ask("Qwen3.5-122B-A10B", "2x dgx-spark", precision="fp8")
    assert plan.written is not None
    again = planner.plan_command(plan.written.further_commands[0], on="2x dgx-spark")
    assert again.written is not None
    assert again.written.per_node == plan.written.per_node
    assert again.written.argv == plan.written.argv


def test_context_parallelism_is_a_degree_of_the_layout() -> None:
    text = "vllm serve Qwen/Qwen3.5-35B-A3B --max-model-len 8192 -tp 8 -dcp 4"
    plan = planner.plan_command(text, on="8x h100")
    assert plan.deployment.layout == planner.Layout(tensor_parallel=8, context_parallel=4)
    assert plan.written is not None
    assert plan.written.command.count("--decode-context-parallel-size 4") == 1


def test_the_dtype_that_is_asked_for_is_served() -> None:
    plan = planner.plan_command("vllm serve Qwen/Qwen3.5-4B --dtype half", on="h100")
    assert plan.written is not None
    assert "--dtype float16" in plan.written.command
    assert plan.figures["mamba_dtypes"] == ["float16", "float32"]
    with pytest.raises(InputError, match="float32 is not planned"):
        planner.plan_command("vllm serve Qwen/Qwen3.5-4B --dtype float32", on="h100")


def test_the_tower_stays_until_images_and_videos_are_off() -> None:
    def loaded(text: str) -> bool:
        plan = planner.plan_command(
            f"vllm serve Qwen/Qwen3.5-4B --max-model-len 8192 {text}", on="h100"
        )
        assert plan.written is not None
        assert not text or "--limit-mm-per-prompt" in plan.written.command
        return bool(plan.settings["vision_tower"])

    assert loaded("")
    assert loaded("--limit-mm-per-prompt.image 0")
    assert loaded("--limit-mm-per-prompt.video 0")
    assert not loaded("--limit-mm-per-prompt image=0,video=0")
    assert not loaded("""--limit-mm-per-prompt '{"image": 0, "video": {"count": 0}}'""")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            {"tensor_parallel": 2, "context_parallel": 2},
            "Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` (2) to be"
            " greater than the model's total number of KV heads (2). Increase"
            " `--tensor-parallel-size` or set `--decode-context-parallel-size 1`.",
        ),
        (
            {"tensor_parallel": 8, "context_parallel": 8},
            "`--decode-context-parallel-size` (8) exceeds the maximum supported value (4) for"
            " `--tensor-parallel-size` (8) and 2 model KV heads.",
        ),
    ],
)
def test_refusals_are_in_the_engines_own_words(layout: dict[str, Any], message: str) -> None:
    plan = ask("Qwen3.5-35B-A3B", "8x h100", layout=planner.Layout(**layout))
    assert plan.refusals[0].engine_message == message


def test_the_verdict_keeps_the_first_sentence_of_the_engines_message() -> None:
    plan = ask("Qwen3.5-27B", "2x rtx-4090", precision="fp8", options={"max_num_seqs": 256})
    assert plan.allocation is not None
    assert "Each decode sequence requires one Mamba cache block" in str(plan.allocation.refusal)
    assert "Each decode sequence" not in plan.verdict


def test_a_log_is_compared_with_the_servers_own_max_num_seqs() -> None:
    """An L40S on 0.26.0 (a start-up log that prints no arguments): graphs of 256 sequences."""
    log = [
        "(EngineCore pid=1) Model loading took 28.51 GiB memory and 14 seconds",
        "(EngineCore pid=1) Estimated CUDA graph memory: 1.11 GiB",
        "(EngineCore pid=1) Available KV cache memory: 7.04 GiB",
        "ValueError: To serve at least one request with the model's max seq len (131072), 8.18 GiB"
        " KV cache is needed, which is larger than the available KV cache memory (7.04 GiB). Based"
        " on the available memory, the estimated maximum model length is 112896.",
    ]
    check = planner.check_log(
        None,
        log,
        on="l40s",
        model="Qwen/Qwen3.6-27B",
        precision="fp8",
        context=131_072,
        options={"version": "0.26.0", "gpu_memory_utilization": 0.86},
    )
    assert check.plan.settings["max_num_seqs"] == 256
    rows = {row.figure: row for row in check.rows}
    assert rows["longest request that fits"].agrees
    assert rows["KV cache that one request needs"].agrees
    graphs = rows["CUDA graphs as vLLM estimates them"]
    assert graphs.planned is not None
    assert 0.8 < graphs.planned[0] < 1.3


def test_a_log_tells_wsl_and_ones() -> None:
    log = [
        "INFO [utils.py:1] non-default args: {'model_tag': 'Qwen/Qwen3.6-35B-A3B',"
        " 'max_model_len': 65536, 'max_num_seqs': 1, 'gpu_memory_utilization': 0.9}",
        "WARNING [interface.py:686] Using 'pin_memory=False' as WSL is detected. This may slow down"
        " the performance.",
        "INFO [gpu_worker.py:1] Available KV cache memory: 2.00 GiB",
    ]
    check = planner.check_log(None, log, on="rtx-5090", precision="nvfp4")
    assert check.plan.settings["max_num_seqs"] == 1
    assert check.plan.deployment.options.wsl2

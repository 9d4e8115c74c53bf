"""Starts that fail for another reason than memory, or because others hold it: what would help."""

import shlex
from pathlib import Path

import pytest

from planner import logs, observed
from planner.cli.main import run
from planner.engines.unserved import first_releases, unserved_in
from planner.errors import InputError

FREE = (
    "ValueError: Free memory on device cuda:0 (18.2/23.56 GiB) on startup is less than desired GPU memory"
    " utilization (0.92, 21.68 GiB). Decrease GPU memory utilization or reduce GPU memory used by other"
    " processes."
)
NOT_MEMORY = {
    "ValueError: Chunked MM input disabled but max_tokens_per_mm_item (16384) is larger than"
    " max_num_batched_tokens (2048). Please increase max_num_batched_tokens.": (
        "vLLM",
        "--max-num-batched-tokens 16384, or without pictures",
    ),
    "ValueError: Qwen3_5ForConditionalGeneration has no vLLM implementation and the Transformers"
    " implementation is not compatible with vLLM.": ("vLLM", "vLLM 0.17.0 is the first"),
    "ValueError: User-specified max_model_len (400000) is greater than the derived max_model_len"
    " (max_position_embeddings=262144 or model_max_length=None in model's config.json).": (
        "vLLM",
        "--max-model-len 262144 at most",
    ),
    "ValueError: Qwen3NextForCausalLM has no SGlang implementation and the Transformers implementation"
    " is not compatible with SGLang.": ("SGLang", "SGLang 0.5.2 is the first"),
    "llama_model_load: error loading model: error loading model architecture: unknown model architecture:"
    " 'qwen35moe'": ("llama.cpp", "llama.cpp of February 2026"),
    "error loading model architecture: unknown model architecture: 'qwen3next'": (
        "llama.cpp",
        "llama.cpp b7186 is the first",
    ),
    "ValueError: Speculative decoding for Qwen3_5ForCausalLM is not compatible with radix cache when using"
    " --mamba-scheduler-strategy no_buffer.": ("SGLang", "--mamba-scheduler-strategy extra_buffer"),
    "AssertionError: extra_buffer needs CUDA/MUSA/NPU (FLA).": ("SGLang", "strategy no_buffer"),
    "llama_model_load: error loading model: missing tensor 'blk.40.nextn.eh_proj.weight'": (
        "llama.cpp",
        "renew llama.cpp",
    ),
    "[METAL] Command buffer execution failed: Discarded"
    " (00000005:kIOGPUCommandBufferCallbackErrorInnocentVictim)": ("MLX", "start it again"),
    "[METAL] Command buffer execution failed: Impacting Interactivity"
    " (0000000e:kIOGPUCommandBufferCallbackErrorImpactingInteractivity)": (
        "MLX",
        "--prefill-step-size",
    ),
    "error: invalid argument: --n-cpu-moe": ("llama.cpp", "does not know --n-cpu-moe"),
    "ValueError: Model type qwen3_5 not supported.": ("MLX", "mlx-lm 0.30.7 is the first"),
    "ValueError: Model architectures ['Qwen3_5MoeForConditionalGeneration'] are not supported for now.": (
        "The server",
        "vLLM 0.17.0 and SGLang 0.5.9",
    ),
}


@pytest.mark.parametrize("text", NOT_MEMORY)
def test_a_start_that_fails_for_another_reason_says_what_helps(text: str) -> None:
    title, helps = NOT_MEMORY[text]
    found = logs.read_log(text)
    assert found.objection is not None
    assert found.refusal is None
    with pytest.raises(InputError) as caught:
        observed.check_log(None, text)
    said = str(caught.value)
    assert said.startswith(f"{title} ended with: ")
    assert "It is not for want of GPU memory" in said
    assert helps in said
    assert "\n" not in said


def test_the_library_alone_names_no_server() -> None:
    text = (
        "ValueError: The checkpoint you are trying to load has model type `qwen3_5` but Transformers does"
        " not recognize this architecture."
    )
    with pytest.raises(InputError, match=r"transformers 5\.2\.0 is the first that knows qwen3_5"):
        logs.read_log(text)
    found = logs.read_log(text, likely="vllm")
    assert found.suggestion is not None
    assert "vLLM 0.17.0" in found.suggestion.words


def test_an_architecture_of_nobody_is_said_to_be_unknown() -> None:
    (found,) = unserved_in(["unknown model architecture: 'mamba9'"])
    assert first_releases(found, None) == "no release that knows mamba9 is listed here"


def test_with_the_command_memory_is_planned_all_the_same() -> None:
    text = next(iter(NOT_MEMORY))
    command = "vllm serve Qwen/Qwen3.5-9B --max-model-len 8192 --max-num-seqs 8"
    check = observed.check_log(None, text, on="rtx-4090", command=command)
    assert check.objection == text
    assert check.agrees
    assert observed.remedies(check) == ()


def test_what_asks_for_more_than_is_free_gets_a_command_that_does_not() -> None:
    command = "vllm serve Qwen/Qwen3.6-27B-FP8 --gpu-memory-utilization 0.9 --max-model-len 65536"
    text = FREE.replace("18.2/23.56", "101.3/119.7")
    check = observed.check_log(None, text, on="dgx spark", command=command)
    assert check.agrees
    (advice, *others) = observed.remedies(check)
    assert advice.command is not None
    assert "--gpu-memory-utilization 0.84" in advice.command
    assert not others


def test_advice_beside_other_programs_stays_within_what_is_free() -> None:
    command = "vllm serve Qwen/Qwen3.5-9B --max-model-len 8192"
    check = observed.check_log(None, FREE, on="rtx-3090", command=command)
    found = observed.remedies(check)
    assert found
    for advice in found:
        assert advice.plan.fits
        share = getattr(advice.plan.deployment.options, "gpu_memory_utilization", 0.77)
        assert share == 0.77


def test_the_command_decides_whose_pytorch_it_is() -> None:
    text = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.37 GiB."
    command = "python -m sglang.launch_server --model-path Qwen/Qwen3.5-9B --context-length 8192"
    check = observed.check_log(None, text, on="rtx-3090", command=command)
    assert check.engine == "sglang"


def test_a_plan_that_holds_shorter_requests_does_not_fail() -> None:
    text = "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."
    command = (
        "python -m sglang.launch_server --model-path RedHatAI/Qwen3.5-9B-quantized.w8a8"
        " --context-length 262144"
    )
    check = observed.check_log(None, text, on="rtx-3090", command=command)
    assert not check.plan.fits
    assert check.refused_as_planned is False
    assert "holds requests of up to 39,000 tokens" in check.planned_words


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_log_is_said_to_be_empty(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(content, "utf-8")
    assert run(["check", str(path)]) == 2
    assert "it is empty" in capsys.readouterr().err


def test_check_takes_what_helps_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(FREE, "utf-8")
    command = "vllm serve Qwen/Qwen3.5-9B --max-model-len 8192"
    assert run(["check", str(path), *shlex.split("--on rtx-3090 --command"), command]) == 0
    said = capsys.readouterr().out
    assert "as any does that asks for more than is free" in said
    assert "On an empty machine: " in said


def test_slots_that_do_not_fit_are_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """It was "too little for one request of this length; up to N fit" with N above that length."""
    command = "llama-server -hf unsloth/Qwen3.6-27B-GGUF:Q5_K_M -c 131072 -np 4 -ngl 99"
    assert run(["plan", "--on", "3090", "--command", command]) == 3
    said = capsys.readouterr().out
    assert "for the caches of all slots together; one request alone may have up to" in said
    assert "No more slots than asked for (-np 1)" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Killed", "the system ran out of RAM"),
        ("container exited with code 137", "137 is how a container ends"),
        (
            "RuntimeError: CUDA error: no kernel image is available for execution on the device",
            "no code",
        ),
        ("RuntimeError: Engine core initialization failed. See root cause above.", "further up"),
        ("Error: llama runner process has terminated: exit status 2", "Ollama's own log"),
        ("vllm: error: unrecognized arguments: --max-model-length 8192", "--max-model-length"),
        (
            "ValueError: The quantization method modelopt_fp4 is not supported for the current GPU. Minimum"
            " capability: 100. Current capability: 86.",
            "modelopt_fp4 needs compute capability 100",
        ),
        (
            "ValueError: The output_size of gate's and up's weight = 64 is not divisible by weight quantization"
            " block_n = 128.",
            "--enable-expert-parallel",
        ),
        (
            '{"error":{"code":400,"message":"request (45123 tokens) exceeds the available context size (32768'
            ' tokens), try increasing it"}}',
            "--context 45123",
        ),
        (
            "Error code: 400 - This model's maximum context length is 32768 tokens. However, you requested 40000",
            "more than its 32768 tokens",
        ),
        (
            "ValueError: The decoder prompt (length 40960) is longer than the maximum model length of 32768.",
            "--context 40960",
        ),
        (
            "ValueError: GGUF model with architecture qwen35moe is not supported yet.",
            "llama.cpp serves the file",
        ),
        ("Error: model runner has unexpectedly stopped, check ollama logs", "journalctl -u ollama"),
    ],
)
def test_words_that_are_nobodys_say_what_helps(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        logs.read_log(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_says_only_that_it_failed_comes_last() -> None:
    reason = next(iter(NOT_MEMORY))
    found = logs.read_log(f"{reason}\nRuntimeError: Engine core initialization failed.\n")
    assert found.objection == reason


def test_a_start_that_the_plan_calls_safe_says_what_leaves_more_room(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.37 GiB.", "utf-8"
    )
    command = (
        "vllm serve Qwen/Qwen3.5-9B --max-model-len 16384 --max-num-seqs 8"
        " --gpu-memory-utilization 0.97"
    )
    assert run(["check", str(path), "--on", "rtx-3090", "--command", command]) == 3
    said = capsys.readouterr().out
    assert "2.37 GiB were asked for in vain: a lower --gpu-memory-utilization" in said


def test_a_quantized_v_cache_asks_for_flash_attention() -> None:
    line = "llama_init_from_model: quantized V cache requires Flash Attention to be enabled"
    found = logs.read_log(line).suggestion
    assert found is not None
    assert "-fa on" in found.words


@pytest.mark.parametrize(
    ("line", "helps"),
    [
        ("ValueError: No available memory for the cache blocks.", "--gpu-memory-utilization"),
        (
            "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
            "--tp-size",
        ),
        ("ggml_vulkan: Device memory allocation of size 1073741824 failed.", "--n-cpu-moe"),
        ("error loading model: vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "--n-cpu-moe"),
        ("llama_model_load: error loading model: unable to allocate Metal buffer", "iogpu"),
        (
            "(1.8 GiB KV cache is needed, which is larger than the available KV cache memory (0.35 GiB). Based on"
            " the available memory, the estimated maximum model length is 856.",
            "takes 1.45 GiB more of cache",
        ),
    ],
)
def test_a_line_alone_says_what_helps(line: str, helps: str) -> None:
    found = logs.read_log(line).suggestion
    assert found is not None
    assert helps in found.words

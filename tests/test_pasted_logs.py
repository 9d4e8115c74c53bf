"""Logs as people paste them: a few lines, without the arguments, or the refusal alone.

Figures are those of published logs; the engines' own words stand around them.
"""

from textwrap import wrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner import logs, observed
from planner.engines import get_engine
from planner.engines.log_readers import readers
from planner.engines.logged_arguments import as_words, logged_values
from planner.errors import InputError
from planner.log_text import read_log
from planner.logs import LogCheck

REFUSALS = {
    "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (466). Each decode"
    " sequence requires one Mamba cache block": "vllm",
    "ValueError: To serve at least one request with the model's max seq len (131072), (2.15 GiB KV"
    " cache is needed, which is larger than the available KV cache memory (1.5 GiB). Based on the"
    " available memory, the estimated maximum model length is 87808.": "vllm",
    "ValueError: No available memory for the cache blocks. Try increasing"
    " `gpu_memory_utilization` when initializing the engine.": "vllm",
    "Error: model requires more system memory (21.9 GiB) than is available (14.2 GiB)": "llamacpp",
    "ValueError: Free memory on device (20.1/23.5 GiB) on startup is less than desired GPU memory"
    " utilization (0.9, 21.2 GiB).": "vllm",
    "RuntimeError: Not enough GPU memory for hybrid (mamba/linear-attention) state cache. Computed"
    " max_mamba_cache_size=-3 (total_rest_memory=-0.20 GB, mamba_cache_per_req=49.50 MB).": "sglang",
    "ValueError: Loaded weights leave no GPU memory for the KV cache under"
    " --mem-fraction-static=0.8. Raise --mem-fraction-static above 0.912": "sglang",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.37 GiB. GPU 0 has a total"
    " capacity of 23.68 GiB of which 1.10 GiB is free.": "vllm",
    "[rank0]: RuntimeError: CUDA error: out of memory": "vllm",
    "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 1.00 GiB.": "vllm",
    "CUDA error: out of memory": "llamacpp",
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 16384.00 MiB on device 0: cudaMalloc"
    " failed: out of memory": "llamacpp",
    "llama_model_load: error loading model: unable to allocate CUDA0 buffer": "llamacpp",
    "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv"
    " cache": "llamacpp",
    "[METAL] Command buffer execution failed: Insufficient Memory"
    " (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)": "mlx",
}  # fmt: skip


@pytest.mark.parametrize(("text", "engine"), REFUSALS.items())
def test_a_refusal_alone_is_recognised(text: str, engine: str) -> None:
    """M7: a pasted ValueError was "no engine recognised"."""
    found = logs.read_log(text)
    assert found.engine == engine
    assert found.refusal == text
    title = "PyTorch" if found.assumed else get_engine(engine).title
    with pytest.raises(InputError, match=rf"^{title} ended with: .* name the model"):
        observed.check_log(None, text, on="rtx-3090")


def test_a_refusal_alone_says_what_it_says_itself() -> None:
    """It was answered with "name the model and flags", though the line says what starts."""
    vllm = next(text for text in REFUSALS if "estimated maximum model length" in text)
    for text, words in {
        vllm: "--max-model-len",
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value:"
        " self.server_args.mem_fraction_static=0.75": "more than --mem-fraction-static 0.75",
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 20480.00 MiB on device 0: cudaMalloc"
        " failed: out of memory": "20480.00 MiB in one piece",
    }.items():
        with pytest.raises(InputError) as caught:
            observed.check_log(None, text)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_command_that_was_typed_comes_before_what_the_log_says() -> None:
    refused = next(text for text in REFUSALS if "estimated maximum model length" in text)
    typed = "vllm serve Qwen/Qwen3.5-9B --max-model-len 262144"
    check = observed.check_log(None, refused, on="rtx-4090", command=typed)
    assert check.plan.deployment.context == 262_144
    with pytest.raises(InputError, match=r"the command starts llama.cpp, the log is vLLM's"):
        observed.check_log(None, refused, on="rtx-4090", command="llama-server -m a.gguf")


def test_a_name_of_several_sizes_is_told_apart_by_the_memory_that_was_free() -> None:
    log = (
        "srv    load_model: loading model '/models/Qwen3.5-9B-Q8_0.gguf'\n"
        "llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 4090) (0000:01:00.0)"
        " - {free} MiB free\n"
        "llama_context: n_ctx         = 4096\n"
        "llama_context:      CUDA0 compute buffer size =   493.00 MiB\n"
    )
    for free, card in ((23_692, "rtx-4090"), (47_900, "rtx-4090-48")):
        check = observed.check_log(None, log.format(free=free))
        assert check.plan.deployment.system.accelerator.id == card


def test_a_file_in_llama_cpps_own_cache_is_known() -> None:
    file = "unsloth_Qwen3.5-35B-A3B-GGUF_Qwen3.5-35B-A3B-UD-Q4_K_XL.gguf"
    plan = planner.plan_command(f"llama-server -m /cache/{file} -c 8192", on="rtx-4090")
    assert plan.deployment.checkpoint.id == "unsloth/Qwen3.5-35B-A3B-GGUF"


SMALL_AND_LARGE = {
    "vllm": ("Qwen3.5-27B", "rtx-4090", "Qwen3.5-0.8B", "h100"),
    "sglang": ("Qwen3.5-27B", "rtx-4090", "Qwen3.5-0.8B", "h100"),
    "llamacpp": ("Qwen3.5-122B-A10B", "rtx-3060-12", "Qwen3.5-0.8B", "h100"),
    "mlx": ("Qwen3.5-122B-A10B", "m4-pro-24", "Qwen3.5-0.8B", "m4-pro-48"),
}


@pytest.mark.parametrize(("text", "engine"), REFUSALS.items())
def test_a_refusal_is_compared_with_the_verdict(text: str, engine: str) -> None:
    large, narrow, small, wide = SMALL_AND_LARGE[engine]
    refused = observed.check_log(None, text, model=large, on=narrow)
    assert refused.refused_as_planned is True
    if not (refused.rows or refused.unplanned):  # its figures would make the plan their own
        started = observed.check_log(None, text, model=small, on=wide)
        assert started.refused_as_planned is False
        assert not started.agrees


def test_the_length_that_a_refusal_names_is_the_plans() -> None:
    """W21: the server's own 256 sequences and 131,072 tokens, not what advice puts in."""
    text = (
        "Estimated CUDA graph memory: 1.11 GiB\n"
        "Available KV cache memory: 7.04 GiB\n"
        "ValueError: To serve at least one request with the model's max seq len (131072), 8.18 GiB"
        " KV cache is needed, which is larger than the available KV cache memory (7.04 GiB). Based"
        " on the available memory, the estimated maximum model length is 112896."
    )
    found = observed.check_log(
        None,
        text,
        model="Qwen/Qwen3.8-27B-FP8",
        on="l40s",
        options={"version": "0.26.0", "gpu_memory_utilization": 0.86},
    )
    assert found.plan.deployment.context == 131_072
    assert {row.figure: row.agrees for row in found.rows} == {
        "CUDA graphs as vLLM estimates them": None,
        "KV cache memory": None,
        "KV cache memory at the refusal": None,
        "KV cache that one request needs": True,
        "longest request that fits": True,
    }
    assert found.agrees


def rows(found: LogCheck) -> dict[str, bool | None]:
    return {row.figure: row.agrees for row in found.rows}


# Qwen3.8-27B on a Strix Halo, b11151
STRIX = """\
build      : b11151-bd4f514db
llama_context: n_ctx                 = 262144
llama_context: n_batch               = 2048
llama_context: n_ubatch              = 512
llama_kv_cache:      ROCm0 KV buffer size = 16384.00 MiB
llama_memory_recurrent:      ROCm0 RS buffer size =   149.62 MiB
sched_reserve:      ROCm0 compute buffer size =   378.02 MiB
"""


def test_a_log_without_the_loaders_lines_names_its_own_length() -> None:
    """W20: the header's n_ctx was ignored, and 14,336 MiB of cache too many were an estimate."""
    asked: dict[str, Any] = {"model": "Qwen3.8-27B", "on": "strix-halo", "precision": "q4_k_m"}
    found = observed.check_log(None, STRIX, **asked)
    assert found.plan.deployment.context == 262_144
    assert found.agrees
    short = observed.check_log(None, STRIX, context=32_768, **asked)
    assert not short.agrees
    other = STRIX.replace("compute buffer size =   378.02", "compute buffer size =  4378.02")
    assert rows(observed.check_log(None, other, **asked))["compute buffer, GPU 0"] is False


@pytest.mark.parametrize(
    ("line", "context", "slots"),
    [
        ("llama_kv_cache: size = 2048.00 MiB ( 32768 cells,  16 layers,  1/1 seqs), K (f16): 1024.00 MiB", 32_768, 1),
        ("llama_kv_cache: size = 2048.00 MiB (  8192 cells,  16 layers,  4/4 seqs), K (f16): 1024.00 MiB", 8192, 4),
    ],
)  # fmt: skip
def test_the_cells_of_a_cache_tell_the_length(line: str, context: int, slots: int) -> None:
    text = f"llama_context: n_seq_max = {slots}\n{line}\n"
    found = observed.check_log(None, text, model="Qwen3.6-27B", on="dgx-spark", precision="q8_0")
    assert found.plan.deployment.context == context
    assert found.plan.deployment.options.parallel == slots
    assert rows(found)["cells"] is True


def test_vllms_other_lines_tell_length_sequences_batch_and_wsl() -> None:
    text = (
        "WARNING [interface.py:686] Using 'pin_memory=False' as WSL is detected.\n"
        "Chunked prefill is enabled with max_num_batched_tokens=4096.\n"
        "Available KV cache memory: 6.28 GiB\n"
        "Maximum concurrency for 8,192 tokens per request: 4.65x\n"
    )
    found = observed.check_log(None, text, model="Qwen3.5-4B", on="rtx-3090")
    options = found.plan.deployment.options
    assert found.plan.deployment.context == 8192
    assert (options.wsl2, options.max_num_batched_tokens) == (True, 4096)


def test_sglangs_last_line_tells_length_and_chunk() -> None:
    text = (
        "[2026-02-27 17:10:28 TP0] KV Cache is allocated. #tokens: 580364, K size: 4.15 GB\n"
        "max_total_num_tokens=580364, chunked_prefill_size=2048, max_prefill_tokens=16384,"
        " max_running_requests=1, context_len=8192, available_gpu_mem=3.63 GB\n"
    )
    found = observed.check_log(None, text, model="Qwen3.5-35B-A3B", on="h100", precision="fp8")
    assert found.plan.deployment.context == 8192
    assert found.plan.deployment.options.chunked_prefill_size == 2048


def test_logged_ones_and_zeros_count() -> None:
    """W19: 1 == True and 0 == False, so they were dropped as switches."""
    values = logged_values("{'max_num_seqs': 1, 'cpu_offload_gb': 0, 'enforce_eager': False}")
    words = as_words(values, {"--max-num-seqs", "--cpu-offload-gb", "--enforce-eager"})
    assert words == ["--max-num-seqs=1", "--cpu-offload-gb=0"]
    text = (
        "INFO [utils.py:233] non-default args: {'model': 'Qwen/Qwen3.5-9B', 'max_num_seqs': 1,"
        " 'max_model_len': 8192}\nAvailable KV cache memory: 4.0 GiB\n"
    )
    assert observed.check_log(None, text, on="h100").plan.deployment.options.max_num_seqs == 1


def test_a_mapped_range_of_a_file_is_no_buffer_of_weights() -> None:
    """Metal maps the file from the first of its tensors to the last; the plan counts tensors."""
    text = (
        "llama_context: n_ctx         = 262144\n"
        "load_tensors:  MTL0_Mapped model buffer size =  5133.75 MiB\n"
        "llama_kv_cache: size = 4352.00 MiB (262144 cells,   8 layers,  1/1 seqs), K (q8_0):"
        " 2176.00 MiB, V (q8_0): 2176.00 MiB\n"
    )
    found = observed.check_log(None, text, model="Qwen3.5-9B", on="m4-pro-24", precision="q4_k_s")
    assert found.agrees
    assert [row.figure for row in found.unplanned] == ["weights, GPU 0 (range of the mapped file)"]


def test_every_engine_with_a_reader_knows_how_its_starts_fail() -> None:
    # KTransformers ends with SGLang's words, and is known by its own arguments alone.
    assert set(REFUSALS.values()) == set(readers()) - {"ktransformers"}
    assert all(reader.refusals for reader in readers().values())


def test_a_command_above_the_log_tells_the_batch() -> None:
    """Qwen3.5-9B UD-Q4_K_XL on an RTX 3080 Ti (Vulkan): 5,133.63 MiB of weights, 416 of compute."""
    text = (
        "$ llama-server --ctx-size 8192 --batch-size 2048 --ubatch-size 2048 -np 1\n"
        "load_tensors:      Vulkan0 model buffer size =  5133.63 MiB\n"
        "llama_context: n_ctx         = 8192\n"
        "sched_reserve:    Vulkan0 compute buffer size =   416.16 MiB\n"
    )
    asked: dict[str, Any] = {"on": "rtx-3080-ti", "precision": "UD-Q4_K_XL"}
    found = observed.check_log(None, text, model="Qwen3.5-9B", **asked)
    assert found.plan.deployment.options.ubatch_size == 2048
    weights = next(row for row in found.rows if row.figure == "weights, GPU 0")
    assert weights.planned is not None
    assert weights.planned[0] == pytest.approx(5133.63, abs=0.02)


def test_a_refusal_at_the_end_of_sglangs_log_is_not_dropped() -> None:
    lines = (
        "server_args=ServerArgs(model_path='Qwen/Qwen3.5-35B-A3B-FP8', tp_size=1,"
        " context_length=131072, mem_fraction_static=0.75)\n"
        "Load weight begin. avail mem=46.61 GB\n"
        "Load weight end. avail mem=11.90 GB, mem usage=34.71 GB.\n"
    )
    refusal = (
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."
        " Current value: self.server_args.mem_fraction_static=0.75"
    )
    found = observed.check_log(None, lines + refusal, on="rtx pro 5000 48gb")
    assert found.refusal == refusal
    assert found.refused_as_planned is False
    assert "the plan starts and holds requests of up to" in found.planned_words
    assert observed.remedies(found)


def test_unbalanced_memory_that_is_only_warned_of_ends_no_start() -> None:
    warning = "WARNING The memory capacity is unbalanced. Some GPUs may be occupied by others.\n"
    log = logs.read_log(warning + "Load weight begin. avail mem=46.61 GB\n")
    assert log.engine == "sglang"
    assert log.refusal is None


ARGUMENTS = (
    "(APIServer pid=1) INFO 11-02 08:00:00 [utils.py:233] non-default args: {'model_tag': 'Qwen/Qwen3.6-27B-FP8',"
    " 'model': 'Qwen/Qwen3.6-27B-FP8', 'max_model_len': 131072, 'limit_mm_per_prompt': {'image': 2, 'audio': 0},"
    " 'max_num_seqs': 32, 'served_model_name': ['mine', 'theirs']}"
)


@given(width=st.integers(60, 140))
def test_arguments_that_were_folded_between_words_say_the_same(width: int) -> None:
    after = (
        "(EngineCore pid=107) INFO 11-02 [gpu_worker.py:508] Available KV cache memory: 31.02 GiB"
    )
    folded = wrap(ARGUMENTS, width, break_long_words=False, break_on_hyphens=False)
    whole, broken = read_log(f"{ARGUMENTS}\n{after}"), read_log("\n".join([*folded, after]))
    assert broken.command == whole.command
    assert broken.figures == whole.figures


SMALL = (
    "llama_context: n_ctx         = 16384\n"
    "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB\n"
)


@pytest.mark.parametrize(
    "line", ["{}", "$ {}", "command: {}", "Launch command: {}", "C:\\llama> {}"]
)
@pytest.mark.parametrize("program", ["llama-server", "llama-cli", "./llama-server.exe"])
def test_a_command_above_a_log_is_read(line: str, program: str) -> None:
    found = read_log(line.format(f"{program} -m Qwen3.5-4B-Q4_K_M.gguf -c 16384 -ub 256\n") + SMALL)
    assert found.command is not None
    assert (found.command.model, found.command.context) == ("Qwen3.5-4B-Q4_K_M.gguf", 16384)
    assert found.command.options["ubatch_size"] == 256
    assert found.command.options["parallel"] == (1 if "cli" in program else 4)  # llama-server's own


def test_what_the_log_prints_of_slots_comes_before_the_command() -> None:
    command = "$ llama-server -m Qwen3.5-4B-Q4_K_M.gguf -c 16384\n"
    loading = "srv    load_model: loading model 'Qwen3.5-4B-Q4_K_M.gguf'\n"
    found = read_log(f"{command}{loading}llama_context: n_seq_max     = 2\n{SMALL}").command
    assert found is not None
    assert found.options["parallel"] == 2


def test_a_value_that_cannot_be_read_is_left_out_of_the_command_and_said() -> None:
    command = (
        "$ llama-server -m Qwen3.5-4B-Q4_K_M.gguf --spec-type mtp --n-cpu-moe many -c 16384 -np 3\n"
    )
    found = read_log(command + SMALL)
    assert found.command is not None
    assert found.command.options["parallel"] == 3
    assert [line.split()[0] for line in found.unread] == ["--spec-type:", "--n-cpu-moe"]
    said = observed.check_log(None, found, on="rtx-3090").notes
    assert set(found.unread) <= set(said)

"""Starts that failed though the plan holds them: what is said, and what to change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner import observed
from planner.cli.main import run
from planner.engines import get_engine
from planner.engines.economies import economies_of
from planner.errors import InputError
from planner.log_text import read_log
from planner.logs import LogCheck
from planner.planning import device_rank
from planner.question import question_of
from planner.search.combining import applied
from planner.unbroken import unbroken
from planner.units import GIB

REFUSALS = (
    "(EngineCore pid=7) ValueError: To serve at least one request with the model's max seq len (98304),"
    " (3.33 GiB KV cache is needed, which is larger than the available KV cache memory (2.05 GiB). Based on"
    " the available memory, the estimated maximum model length is 60480.",
    "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 6144.00 MiB on device 1: cudaMalloc failed: out"
    " of memory",
    "ValueError: max_num_seqs (768) exceeds available Mamba cache blocks (311). Each decode sequence needs a"
    " block, so CUDA graph capture cannot proceed.",
    "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value:"
    " self.server_args.mem_fraction_static=0.71",
)
AROUND = "INFO 09-02 10:00:01 [api_server.py:1] vLLM API server version 0.30.0\n"
LLAMACPP = (
    "load_tensors:        CUDA0 model buffer size = 15300.17 MiB\n"
    "load_tensors:   CPU_Mapped model buffer size =   682.03 MiB\n"
    ".........................................................................................\n"
    "llama_context: constructing llama_context\n"
    "llama_kv_cache: size = 1024.00 MiB (16384 cells, 16 layers, 1/1 seqs), K (f16): 512.00 MiB, V (f16): 512.00 MiB\n"
    "main: server is listening on http://127.0.0.1:8080\n"
)


def _wrapped(line: str, width: int) -> str:
    return "\n".join(line[at : at + width] for at in range(0, len(line), width))


@given(st.sampled_from(REFUSALS), st.integers(48, 120))
def test_a_refusal_that_a_terminal_broke_says_the_same(refusal: str, width: int) -> None:
    text = _wrapped(refusal, width)
    inside_a_word = re.search(r"[a-z ]\n[a-z ]", text) is not None
    assume(text.count("\n") > 1 or inside_a_word)  # of two numbers nobody can tell
    whole, broken = read_log(refusal), read_log(text)
    assert broken.refusal == whole.refusal
    assert broken.suggestion == whole.suggestion
    assert broken.figures.keys() == whole.figures.keys()


def test_a_refusal_that_was_folded_between_words_says_the_same() -> None:
    folded = REFUSALS[0].replace("KV cache is", "KV cache\n    is").replace(" memory,", "\nmemory,")
    assert read_log(folded).suggestion == read_log(REFUSALS[0]).suggestion


@pytest.mark.parametrize("form", ["> {}", "```\n{}\n```"])
def test_a_quoted_refusal_says_the_same(form: str) -> None:
    folded = REFUSALS[0].replace(" memory,", "\nmemory,")
    quoted = form.format(folded.replace("\n", "\n> ") if ">" in form else folded)
    found, whole = read_log(quoted), read_log(REFUSALS[0])
    assert (found.refusal, found.suggestion) == (whole.refusal, whole.suggestion)


def test_a_command_alone_is_sent_to_plan() -> None:
    with pytest.raises(InputError, match="plan --command"):
        _checked("$ vllm serve Qwen/Qwen3.6-27B-FP8 --max-model-len 65536", on="h100")


def test_logs_that_are_whole_stay_as_they_are() -> None:
    for text in (LLAMACPP, AROUND + REFUSALS[0] + "\n" + AROUND, AROUND + "Traceback\n  File x\n"):
        assert list(unbroken(text.splitlines(), ())) == text.splitlines()
        known = read_log(text).reader.cues if "llama" in text else ("KV cache is needed",)
        assert list(unbroken(text.splitlines(), known)) == text.splitlines()


def test_parts_of_a_quote_stay_apart() -> None:
    quote = (
        "Free memory on device (21.84/22.03 GiB) on startup. Available KV cache memory: 9.1 GiB\n"
        "267,842 tokens\n"
        "Maximum concurrency for 32,768 tokens per request: 8.17x\n"
        "measured twice"
    )
    assert list(unbroken(quote.splitlines(), ("Available KV cache",))) == quote.splitlines()


def _checked(text: str, **said: object) -> LogCheck:
    return observed.check_log(None, text, **said)  # type: ignore[arg-type]


SGLANG = (
    "[2026-05-04 10:00:00] server_args=ServerArgs(model_path='Qwen/Qwen3.6-35B-A3B-FP8', context_length=65536,"
    " mem_fraction_static=0.84, tp_size=1, kv_cache_dtype='auto', chunked_prefill_size=8192)\n"
    "[2026-05-04 10:00:30] Load weight end. elapsed=20.00 s, avail mem=57.00 GB, mem usage=34.90 GB.\n"
    '  File "/x/sglang/srt/mem_cache/memory_pool.py", line 480, in _init_mamba_pool\n'
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 17.50 GiB. GPU 0 has a total capacity of"
    " 95.59 GiB of which 15.90 GiB is free. Including non-PyTorch memory, this process has 17179869184.00 GiB"
    " memory in use.\n"
)
VLLM = (
    "INFO 09-02 [api_server.py:1] vLLM API server version 0.30.0\n"
    "INFO 09-02 [utils.py:2] non-default args: {'model': 'Qwen/Qwen3.6-27B-FP8', 'max_model_len': 32768,"
    " 'max_num_seqs': 16, 'gpu_memory_utilization': 0.95}\n"
    "INFO 09-02 [gpu_model_runner.py:3] Model loading took 28.6 GiB memory and 9.9 seconds\n"
    '  File "/x/vllm/v1/worker/gpu_model_runner.py", line 4100, in capture_model\n'
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.30 GiB. GPU 0 has a total capacity of"
    " 44.40 GiB of which 0.20 GiB is free.\n"
)
METAL = (
    "2026-07-26 10:11:10 - INFO - Prompt processing progress: 4096/30000\n"
    "2026-07-26 10:11:40 - INFO - KV Caches: 3 seq, 2.10 GB, latest user cache 30000 tokens\n"
    "[METAL] Command buffer execution failed: Insufficient Memory\n"
)


def test_a_server_whose_cache_found_no_room_asks_for_a_smaller_share() -> None:
    """A start under WSL2: the driver had less than the share promised, and nothing was offered."""
    check = _checked(SGLANG, on="rtx-pro-6000")
    assert check.plan.fits
    assert check.log.suggestion is not None
    assert "--max-mamba-cache-size" in check.log.suggestion.words
    assert any("as under WSL2" in note for note in check.notes)
    (change,) = observed.remedies(check)
    assert change.enough
    taken = change.plan.settings["mem_fraction_static"] * device_rank(change.plan).total
    assert taken <= (34.9 + 15.9 + 1) * GIB


def test_what_lies_beside_the_cache_gets_what_it_lacked() -> None:
    check = _checked(VLLM, on="l40s")
    assert "captured CUDA graphs" in (check.log.suggestion.words if check.log.suggestion else "")
    assert any("1.1 GiB short" in note for note in check.notes)
    (change,) = observed.remedies(check)
    assert change.enough
    share = change.plan.settings["gpu_memory_utilization"]
    assert share * device_rank(change.plan).total <= 0.95 * 44.4 * GIB - 1.1 * GIB
    assert f"--gpu-memory-utilization {share:g}" in (change.command or "")


@pytest.mark.parametrize(
    ("log", "frames", "words"),
    [
        (VLLM, ("determine_available_memory", "profile_run", "execute_model"), "the largest size"),
        (VLLM, ("compile_or_warm_up_model", "_dummy_run", "execute_model"), "captured"),
        (VLLM, ("step", "execute_model"), "answered"),
        (SGLANG, ("capture_one_batch_size", "forward_decode"), "captured"),
        (SGLANG, ("run_batch", "forward_extend"), "answered"),
        (SGLANG, ("init_memory_pool", "_init_pools", "_create_buffers"), "the KV cache"),
    ],
)
def test_a_step_that_a_start_tries_is_no_request(
    log: str, frames: tuple[str, ...], words: str
) -> None:
    """What a start does stands further out in the traceback than what requests do."""
    lines = log.splitlines(keepends=True)
    lines[-2:-1] = (f'  File "/x/y.py", line {n}, in {name}\n' for n, name in enumerate(frames))
    stage = read_log("".join(lines)).stage
    assert stage is not None
    assert words in stage.words


def test_while_weights_load_no_share_is_advised() -> None:
    loading = VLLM.replace("in capture_model", "in load_weights")
    check = _checked(loading, on="l40s")
    assert check.log.was_loading
    for change in observed.remedies(check):
        assert "leave more" not in change.words.lower()


def test_a_mac_that_ran_out_gets_changes_of_its_own() -> None:
    check = _checked(METAL, model="mlx-community/Qwen3.5-35B-A3B-4bit", on="m4-pro-48")
    assert check.plan.deployment.context == 30_000
    assert {row.figure for row in (*check.rows, *check.unplanned)} >= {"kept prompts"}
    found = observed.remedies(check)
    assert found
    least = device_rank(check.plan).headroom
    assert all(change.enough for change in found)
    assert all(change.command for change in found)
    assert "iogpu.wired_limit_mb" in found[0].words
    assert least > 0


def test_a_buffer_that_metal_refuses_gets_a_smaller_step() -> None:
    refused = (
        "RuntimeError: [metal::malloc] Attempting to allocate 40000000000 bytes which is greater than the"
        " maximum allowed buffer size of 30150672384 bytes."
    )
    check = _checked(refused, model="mlx-community/Qwen3.5-9B-4bit", on="m4-pro-48")
    (change,) = observed.remedies(check)
    assert "--prefill-step-size 1536" in (change.command or "")


def test_experts_on_the_gpus_are_the_first_to_go() -> None:
    text = (
        "[2026-05-27 17:10:00] server_args=ServerArgs(model_path='/m/Qwen3.5-35B-A3B-FP8', tp_size=2,"
        " mem_fraction_static=0.85, max_running_requests=2, max_total_tokens=32768,"
        " chunked_prefill_size=4096, kt_weight_path='/m/Qwen3.5-35B-A3B-FP8', kt_method='FP8',"
        " kt_cpuinfer=60, kt_threadpool_count=2, kt_num_gpu_experts=100)\n"
        "[2026-05-27 17:20:00 TP0] Load weight end. elapsed=650.00 s, avail mem=3.90 GB, mem usage=18.60 GB.\n"
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value:"
        " self.server_args.mem_fraction_static=0.85\n"
    )
    check = _checked(text, on="2x rtx-4090 + 512GB RAM")
    assert any("more than planned" in note for note in check.notes)
    first = economies_of(get_engine("ktransformers"), check.plan.deployment)[0]
    assert "--kt-num-gpu-experts 0" in first.title
    changed = applied(question_of(check.plan), first).plan()
    assert device_rank(changed).headroom > device_rank(check.plan).headroom
    assert changed.ram


def test_a_model_put_on_one_gpu_is_started_as_planned_and_ram_is_said() -> None:
    text = (
        "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 142000.00 MiB on device 0: cudaMalloc failed:"
        " out of memory\n"
        "common_init_from_params: failed to load model '/m/Qwen3.5-397B-A17B-Q4_K_S.gguf'\n"
    )
    check = _checked(text, on="4x rtx-3090", context=8192)
    assert any("place the model otherwise" in note for note in check.notes)
    (change,) = observed.remedies(check)
    assert "needs 127.9 GiB of RAM" in change.words
    known = _checked(text, on="4x rtx-3090 + 256GB RAM", context=8192)
    assert "it takes 127.9 GiB of RAM" in known.plan.verdict


def test_a_file_whose_context_was_not_created_is_the_model() -> None:
    text = (
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for rs cache\n"
        "common_init_from_params: failed to create context with model 'Qwen3.5-9B-Q4_K_M.gguf'\n"
    )
    check = _checked(text, on="rtx-3060-12", context=262_144)
    assert "Qwen3.5-9B" in check.plan.deployment.checkpoint.id
    assert check.log.suggestion is not None
    assert "-ctk q8_0" in check.log.suggestion.words


def test_lm_studios_folder_of_mlx_names_the_model() -> None:
    text = (
        "2026-03-09 [DEBUG] [mlx-engine] Loading model from /m/.lmstudio/models/mlx-community/Qwen3.5-9B-4bit\n"
        "[METAL] Command buffer execution failed: Insufficient Memory\n"
    )
    assert _checked(text, on="m4-pro-24").plan.deployment.checkpoint.id.endswith("Qwen3.5-9B-4bit")


def test_of_pytorchs_words_alone_no_server_is_named() -> None:
    alone = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.10 GiB."
    with pytest.raises(InputError) as caught:
        _checked(alone)
    assert str(caught.value).startswith("PyTorch ended with")
    for flag in ("--gpu-memory-utilization in vLLM", "--mem-fraction-static in SGLang"):
        assert flag in str(caught.value)


BREAKDOWN = (
    'time=2026-08-01T07:02:27Z level=INFO source=llama_server.go:1262 msg="waiting"\n'
    "common_memory_breakdown_print: | memory breakdown [MiB] | total    free     self   model   context   compute    unaccounted |\n"
    "common_memory_breakdown_print: |   - CUDA0 (RTX 3090)   | 24124 = 23860 + (6001 =  5200 +     600 +     201) +       -5737 |\n"
    "common_memory_breakdown_print: |   - Host               |                   700 =   545 +       0 +     155                |\n"
)
ESTIMATED = (
    'level=INFO source=memory.go:1 msg=offload library=cuda layers.requested=-1 layers.model=33 layers.offload=33 memory.available="[23.3 GiB]"'
    ' memory.required.full="7.9 GiB" memory.required.kv="1.0 GiB" memory.required.allocations="[7.9 GiB]" memory.weights.total="5.2 GiB"'
    ' memory.graph.full="812.0 MiB"\n'
)


def test_what_ollama_prints_of_devices_is_read() -> None:
    check = _checked(BREAKDOWN, model="Qwen3.5-9B", precision="q4_k_m")
    assert check.plan.deployment.system.accelerator.id == "rtx-3090"
    logged = {row.figure: row.logged for row in check.rows}
    assert logged["model by the breakdown, GPU 0"] == 5200
    assert logged["context by the breakdown, GPU 0"] == 600
    assert logged["compute by the breakdown, host"] == 155
    older = _checked(ESTIMATED, model="Qwen3.5-9B", precision="q4_k_m", on="rtx-3090")
    sizes = {row.figure: row.logged for row in older.rows}
    assert sizes["weights by Ollama's estimate"] == pytest.approx(5.2 * 1024)
    assert sizes["compute graph by Ollama's estimate"] == 812


@pytest.mark.parametrize(
    ("text", "words"),
    [(REFUSALS[0], []), ("no engine's words\n", []), ("", []), (VLLM, ["--on", "l40s"])],
)
def test_json_is_json_whatever_can_be_compared(
    text: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.log"
    path.write_text(text)
    status = run(["check", str(path), *words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert status == (3 if words else 2)
    assert (document["error"] is None) is bool(words)
    assert {
        "engine",
        "refusal",
        "suggestion",
        "rows",
        "unplanned",
        "notes",
        "remedies",
    } <= document.keys()
    assert run(["check", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"].startswith("no LOG")


def test_where_every_figure_agrees_nothing_needs_to_be_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWENPLAN_DATA", str(tmp_path / "data"))
    path = tmp_path / "a.log"
    path.write_text(
        "INFO 07-06 [api_utils.py:200] vLLM API server version 0.24.0\n"
        "INFO 07-06 [api_utils.py:273] non-default args: {'model': 'Qwen/Qwen3.5-9B', 'max_model_len': 32768,"
        " 'max_num_seqs': 16}\n"
        "INFO 07-06 [gpu_model_runner.py:1] Model loading took 17.66 GiB memory and 6.3 seconds\n"
        "INFO 07-06 [gpu_worker.py:508] Available KV cache memory: 3.40 GiB\n"
    )
    assert run(["check", str(path), "--on", "rtx-4090", "--learn"]) == 0
    assert "Nothing needs to be learned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "qwen3.5:35b    3460ffeede54    24 GB    20%/80% CPU/GPU    8192    Forever",
            "20 % of its 24 GB",
        ),
        ("qwen3.5:9b    3460ffeede54    8 GB    100% GPU    8192    Forever", "all of its 8 GB"),
        ("| NVIDIA-SMI 590.10    Driver Version: 590.10 |", "--on local"),
        (
            "(Exit code: 18446744072635812000). Unknown error. Try a different model.",
            "developer log",
        ),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "RAM ran out"),
        ("Error: pull model manifest: 412: it requires a newer version of Ollama.", "renew Ollama"),
        ("Error: unable to load model: /r/models/blobs/sha256-12", "pull it again"),
        ("huggingface_hub.errors.RepositoryNotFoundError: 404", "check the name"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Cuda failure 2 'out of memory'", "NCCL found no room"),
        ("NVRM: Check failed: Out of memory [NV_ERR_NO_MEMORY] (0x51)", "leaves the system more"),
        ("    assert num_cache_lines >= batch", "--max-num-seqs"),
        ("/x/ggml/src/ggml.c:3953: GGML_ASSERT(a->ne[0] == b->ne[0]) failed", "another build"),
    ],
)
def test_what_is_no_log_of_a_server_is_known_all_the_same(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_log(text)
    assert words in str(caught.value)


def test_lines_of_containers_are_not_joined() -> None:
    line = "web-1  | (EngineCore pid=107) INFO [core.py:97] kv_cache_dtype=auto, seed={}".format
    text = [line(number) for number in range(4)]
    assert list(unbroken(text, ("KV cache is needed",))) == text


def test_an_older_wording_says_which_length_starts() -> None:
    text = (
        "ValueError: The model's max seq len (131072) is larger than the maximum number of tokens that can be"
        " stored in KV cache (50112)."
    )
    found = read_log(text)
    assert found.suggestion is not None
    assert found.suggestion.words.endswith("--max-model-len 50112")


def test_a_start_that_lacks_ram_is_not_told_to_take_more_of_it() -> None:
    text = (
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 40960.00 MB)\n"
        "llama_model_load: error loading model: unable to allocate CPU buffer\n"
        "common_init_from_params: failed to load model 'Qwen3.5-122B-A10B-Q4_K_M.gguf'\n"
    )
    check = _checked(text, on="2x rtx-3090", context=4096)
    assert observed.remedies(check) == ()
    assert any(note.startswith("RAM ran out, not the GPU") for note in check.notes)


def test_what_fit_and_lm_studio_say_of_the_length_is_read() -> None:
    fitted = (
        "llama_params_fit_impl: context size reduced from 262144 to 65536 -> need 2000 MiB less memory in total\n"
        "llama_params_fit_impl:   - CUDA0 (NVIDIA GeForce RTX 3090): 41 layers (8 overflowing),  22511 MiB used,   1350 MiB free\n"
        "llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 3090) (0000:01:00.0) - 23862 MiB free\n"
        "srv    load_model: loading model 'Qwen3.5-9B-Q4_K_M.gguf'\n"
    )
    assert _checked(fitted).plan.deployment.context == 65_536
    estimated = (
        "[LM Studio] Live GPU memory info (source 'LMS Core'):\n"
        "  GPU 0: NVIDIA GeForce RTX 3090 (Used: 1.10 GB, Total: 25.77 GB, Free: 24.67 GB)\n"
        "[LM Studio] Model load size estimate with raw num offload layers 'max' and context length '32768':\n"
        "  Model: 5.60 GB\n"
        "  Context: 1.60 GB\n"
        "llama_model_loader: loaded meta data with 52 key-value pairs and 427 tensors from E:\\m\\Qwen3.5-9B-Q4_K_M.gguf (version GGUF V3 (latest))\n"
    )
    check = _checked(estimated)
    assert check.plan.deployment.context == 32_768
    assert {row.figure for row in check.rows} == {
        "model by LM Studio's estimate",
        "context by LM Studio's estimate",
    }


def test_more_layers_than_fit_are_left_to_llama_cpp_first() -> None:
    """The file that somebody has, slower, comes before another file."""
    command = "llama-server -m Qwen3.5-9B-Q8_0.gguf -c 32768 -np 1 -ngl 99"
    plan = observed.plan_command(command, on="rtx-3060-ti")
    assert not plan.fits
    saving = {each.title: each for each in economies_of(get_engine("llamacpp"), plan.deployment)}
    assert not any("-fitt" in title for title in saving)
    economy = saving["let llama.cpp choose -ngl: it puts on the GPU what fits"]
    changed = applied(question_of(plan), economy).plan()
    assert changed.fits
    assert changed.ram


@pytest.mark.parametrize(
    ("text", "engine", "words"),
    [
        (
            "Exception: Capture cuda graph failed: CUDA out of memory. Tried to allocate 512.00 MiB.",
            "sglang",
            "--cuda-graph-max-bs",
        ),
        (
            "CUDA Error: out of memory at /src/vllm/csrc/cumem_allocator.cpp:62",
            "vllm",
            "sleep mode",
        ),
        (
            "llama_model_load: error loading model: mmap failed: Cannot allocate memory",
            "llamacpp",
            "RAM",
        ),
    ],
)
def test_a_line_that_only_one_server_prints_names_it(text: str, engine: str, words: str) -> None:
    found = read_log(text)
    assert found.engine == engine
    assert not found.assumed
    assert found.refusal == text
    assert found.suggestion is not None
    assert words in found.suggestion.words


OLD_BUILD = (
    "main: build = 6912 (1ae74882f) with cc (Ubuntu 13.3.0) 13.3.0 for x86_64-linux-gnu\n"
    "llama_model_load_from_file_impl: using device CUDA0 (NVIDIA GeForce RTX 3060) (0000:01:00.0) - 11500 MiB free\n"
    "srv    load_model: loading model '/models/Qwen3.5-9B-Q4_K_M.gguf'\n"
    "llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'qwen35'\n"
)


def test_a_figure_before_an_objection_does_not_hide_it() -> None:
    found = read_log(OLD_BUILD)
    assert found.figures
    assert found.version == "6912"
    assert "unknown model architecture" in (found.objection or "")
    went_on = read_log(OLD_BUILD + LLAMACPP)
    assert went_on.objection is None is went_on.suggestion


def test_metals_errors_are_those_of_the_program_around_them() -> None:
    metal = "Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"
    llamacpp = f"error: {metal}\nggml_metal_synchronize: error: command buffer 1 failed\n"
    mlx = f"[METAL] Command buffer execution failed: {metal}\n"
    for text, engine, flag in ((llamacpp, "llamacpp", "-ub"), (mlx, "mlx", "--prefill-step-size")):
        found = read_log(text)
        assert found.engine == engine
        assert found.suggestion is not None
        assert flag in found.suggestion.words


@pytest.mark.parametrize(
    ("wanted", "free", "said"),
    [
        ("12.09 GiB", "9.06 GiB", "9.06 GiB were free, 3.03 GiB too little"),
        ("50.00 MiB", "56.88 MiB", "56.88 MiB that were free are not in one"),
    ],
)
@pytest.mark.parametrize("server", ["", "vllm", "sglang"])
def test_what_was_asked_for_is_not_what_was_lacking(
    wanted: str, free: str, said: str, server: str
) -> None:
    line = (
        f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {wanted}. GPU 0 has a total capacity of"
        f" 79.11 GiB of which {free} is free."
    )
    found = read_log(line, server or None).suggestion
    assert found is not None
    assert said in found.words


def test_slots_of_states_are_known_by_their_tensor() -> None:
    line = "    self.temporal_state = torch.zeros(\n" + SGLANG.splitlines()[-1]
    found = read_log(line, "sglang").suggestion
    assert found is not None
    assert "--max-mamba-cache-size" in found.words


def test_experts_placed_by_hand_are_left_to_llamacpp_and_no_margin_is_offered() -> None:
    command = "llama-server -m Qwen3.5-35B-A3B-Q4_K_M.gguf -c 65536 -ngl 99 --n-cpu-moe 20"
    plan = observed.plan_command(command, on="rtx-4070-ti")
    offered = [each.title for each in economies_of(get_engine("llamacpp"), plan.deployment)]
    assert any("-ngl and --n-cpu-moe" in title for title in offered)
    assert not any("-fitt" in title for title in offered)


def test_the_planned_weights_that_found_no_room_are_not_called_unplanned(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A log rounds to a hundredth: the plan's own buffer was "no such piece", its command the cure."""
    words = ["unsloth/Qwen3.5-9B-GGUF:UD-Q6_K_XL", "--on", "rtx-3060-12"]
    assert run(["plan", *words, "--expect-log"]) == 0
    printed = re.search(r"CUDA0 model buffer size = *([\d.]+) MiB", capsys.readouterr().out)
    assert printed is not None
    log = tmp_path / "start.log"
    log.write_text(
        "build: 11151 (abc) with gcc\n"
        f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {printed[1]} MiB on device 0:"
        " cudaMalloc failed: out of memory\n",
        encoding="utf-8",
    )
    assert run(["check", str(log), *words]) == 3
    said = capsys.readouterr().out
    assert "no such piece" not in said
    assert "other programs on the GPU" in said
    assert "Start it as it is planned here" not in said

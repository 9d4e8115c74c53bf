"""Logs of programs around the engines (Ollama, LM Studio, KTransformers, mlx-lm); what explains a difference; what to change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner import logs, observed
from planner.cli.main import run
from planner.engines.log_figure import read_figures
from planner.errors import InputError
from planner.logs import LogCheck
from planner.secrets import without_secrets

OLLAMA = """\
time=2026-11-20T10:00:00.000Z level=INFO source=routes.go:1331 msg="server config" env="map[OLLAMA_CONTEXT_LENGTH:8192 OLLAMA_NUM_PARALLEL:2 HTTPS_PROXY:http://me:SECRET1@proxy:3128]"
time=2026-11-20T10:00:01.000Z level=INFO source=runner.go:1172 msg=load request="{Operation:commit LoraPath:[] Parallel:2 BatchSize:512 FlashAttention:true KvSize:16384 KvCacheType:q8_0 NumThreads:8 GPULayers:33[ID:GPU-0 Layers:33(0..32)] MultiUserCache:false}"
time=2026-11-20T10:00:02.000Z level=INFO source=device.go:240 msg="model weights" device=CUDA0 size="5.0 GiB"
time=2026-11-20T10:00:02.000Z level=INFO source=device.go:245 msg="model weights" device=CPU size="545.6 MiB"
time=2026-11-20T10:00:02.000Z level=INFO source=device.go:251 msg="kv cache" device=CUDA0 size="372.5 MiB"
time=2026-11-20T10:00:02.000Z level=INFO source=device.go:262 msg="compute graph" device=CUDA0 size="493.0 MiB"
"""
LM_STUDIO = """\
2026-11-20 10:00:00 [DEBUG] [LM Studio] GPU Configuration: Strategy: evenly
2026-11-20 10:00:01 [DEBUG] llama_context: n_seq_max     = 1
2026-11-20 10:00:01 [DEBUG] llama_context: n_ctx         = 8192
2026-11-20 10:00:01 [DEBUG] llama_kv_cache:      CUDA0 KV buffer size =   256.00 MiB
2026-11-20 10:00:01 [DEBUG] llama_kv_cache: size =  256.00 MiB (  8192 cells,   8 layers,  1/1 seqs), K (f16):  128.00 MiB, V (f16):  128.00 MiB
2026-11-20 10:00:01 [DEBUG] llama_memory_recurrent:      CUDA0 RS buffer size =    50.25 MiB
"""
KTRANSFORMERS = """\
[2026-11-20 10:00:00] server_args=ServerArgs(model_path='Qwen/Qwen3.5-35B-A3B', context_length=32768, mem_fraction_static=0.85, kt_weight_path='/srv/SECRET2/experts', kt_method='BF16', kt_cpuinfer=32, kt_num_gpu_experts=16)
[2026-11-20 10:00:01] Load weight begin. avail mem=23.10 GB
[2026-11-20 10:01:31] Load weight end. elapsed=90.0 s, type=Qwen3_5MoeForConditionalGeneration, dtype=torch.bfloat16, avail mem=13.40 GB, mem usage=9.70 GB.
"""
MLX = """\
==========
Prompt: 512 tokens, 1200.512 tokens-per-sec
Generation: 128 tokens, 61.250 tokens-per-sec
Peak memory: 6.123 GB
"""

OLLAMA_ON_THE_PROCESSOR = """\
time=2026-05-09T10:33:52.654Z level=INFO source=sched.go:484 msg="system memory" total="28.6 GiB" free="23.1 GiB" free_swap="788.7 MiB"
time=2026-05-09T10:33:52.782Z level=INFO source=ggml.go:136 msg="" architecture=qwen35moe file_type=unknown name=Qwen3.6-35B-A3B description="" num_tensors=733 num_key_values=55
time=2026-05-09T10:33:53.731Z level=INFO source=ggml.go:494 msg="offloaded 0/41 layers to GPU"
time=2026-05-09T10:33:53.731Z level=INFO source=device.go:245 msg="model weights" device=CPU size="9.3 GiB"
time=2026-05-09T10:33:53.731Z level=INFO source=device.go:256 msg="kv cache" device=CPU size="1.6 GiB"
time=2026-05-09T10:33:53.731Z level=INFO source=device.go:272 msg="total memory" size="11.0 GiB"
"""
"""Printed on a ThinkPad T14 with UD-IQ1_M (a smoke run of codebase-tooling-mcp, 2026-05-09)."""
OLLAMA_REQUEST = """\
time=2026-02-21T12:07:55.028-06:00 level=INFO source=runner.go:1284 msg=load request="{Operation:commit LoraPath:[] Parallel:1 BatchSize:512 FlashAttention:Disabled KvSize:16384 KvCacheType: NumThreads:4 GPULayers:20[ID:0 Layers:20(28..47)] MultiUserCache:false ProjectorPath: MainGPU:0 UseMmap:false}"
time=2026-02-21T12:07:55.028-06:00 level=INFO source=ggml.go:494 msg="offloaded 20/49 layers to GPU"
"""
"""The wording of Ollama's runner with flash attention off and no cache type, as on 2026-04-09."""
MLX_CHAT = "  128 tokens · 61.2 tok/s · prompt 1200.5 tok/s · peak 6.12 GB"
"""mlx-lm 0.32.2 cli_ui.py (end_turn)."""


def figures(check: LogCheck) -> dict[str, float]:
    return {row.figure: row.logged for row in (*check.rows, *check.unplanned)}


def test_ollamas_own_engine_is_read_and_told_beside_llamacpp() -> None:
    check = observed.check_log(None, OLLAMA, on="rtx-3060", model="Qwen3.5-9B", precision="q4_k_m")
    assert check.engine == "llamacpp"
    deployment = check.plan.deployment
    assert (deployment.context, deployment.options.parallel) == (8192, 2)
    assert deployment.kv_cache_dtype == "q8_0"
    found = figures(check)
    assert found["weights by Ollama's engine, GPU 0"] == 5 * 1024
    assert found["weights by Ollama's engine, host"] == 545.6
    planned = {row.figure: row.planned for row in check.rows}
    assert planned["KV cache and state by Ollama's engine, GPU 0"] is not None
    assert all(row.agrees is not False for row in check.rows)


def test_a_line_of_lm_studio_is_llamacpps() -> None:
    check = observed.check_log(
        None, LM_STUDIO, on="rtx-3080-ti", model="Qwen3.5-9B", precision="q4_k_m"
    )
    assert check.agrees
    assert sum(row.agrees is True for row in check.rows) >= 4


def test_ktransformers_is_known_by_its_own_arguments() -> None:
    log = logs.read_log(KTRANSFORMERS)
    assert log.engine == "ktransformers"
    check = observed.check_log(None, log, on="rtx-4090 + 256GB RAM")
    assert check.plan.deployment.options.kt_num_gpu_experts == 16
    assert figures(check)["weights"] == 9.7
    assert any(row.figure == "weights" and row.planned for row in check.rows)
    sglang = KTRANSFORMERS.replace("kt_weight_path='/srv/SECRET2/experts'", "kt_weight_path=None")
    assert logs.read_log(sglang.replace("kt_method='BF16'", "kt_method=None")).engine == "sglang"


def test_mlx_prints_its_peak_and_rates() -> None:
    check = observed.check_log(
        None, MLX, on="apple-m4-pro", model="mlx-community/Qwen3.5-9B-MLX-4bit", context=640
    )
    assert check.engine == "mlx"
    found = figures(check)
    assert found["peak memory of MLX"] == 6.123
    assert (found["prefill"], found["decode"]) == (1200.512, 61.25)


def test_what_ollama_printed_on_a_processor_is_read() -> None:
    check = observed.check_log(
        None, OLLAMA_ON_THE_PROCESSOR, on="cpu, 32GB", model="Qwen3.6-35B-A3B",
        precision="UD-IQ1_M",
    )  # fmt: skip
    found = figures(check)
    assert found["weights by Ollama's engine, host"] == pytest.approx(9.3 * 1024)
    assert found["KV cache and state by Ollama's engine, host"] == pytest.approx(1.6 * 1024)
    assert found["memory in all by Ollama's engine"] == 11 * 1024


def test_what_ollamas_runner_was_asked_is_read() -> None:
    command = logs.read_log(OLLAMA_REQUEST).command
    assert command is not None
    assert command.context == 16384
    assert command.kv_cache_dtype is None
    assert command.options["flash_attn"] == "off"
    assert command.options["n_gpu_layers"] == 20
    assert command.options["parallel"] == 1


def test_mlx_chats_end_with_rates_and_peak() -> None:
    found = read_figures([MLX_CHAT], logs.read_log(MLX_CHAT).reader.figures)
    values = {name: reading.value for name, reading in found.items()}
    assert values == {"decode": 61.2, "prefill": 1200.5, "peak memory of MLX": 6.12}
    refused = logs.read_log(MLX_CHAT + "\n[metal::malloc] Resource limit (499000) exceeded.")
    assert refused.refusal is not None


def test_a_default_of_kt_method_makes_no_ktransformers() -> None:
    """Logs of SGLang with a Mamba pool print kt_weight_path=None beside kt_method='AMXINT4'."""
    plain = KTRANSFORMERS.replace("kt_weight_path='/srv/SECRET2/experts'", "kt_weight_path=None")
    assert logs.read_log(plain.replace("'BF16'", "'AMXINT4'")).engine == "sglang"


@pytest.mark.parametrize(
    "text",
    [OLLAMA, OLLAMA_ON_THE_PROCESSOR, OLLAMA_REQUEST, LM_STUDIO, KTRANSFORMERS, MLX, MLX_CHAT],
)
def test_every_line_alone_is_read_or_refused(text: str) -> None:
    for line in text.splitlines():
        try:
            log = logs.read_log(line)
        except InputError:
            continue
        assert all(
            reading.value >= 0 for reading in read_figures(log.lines, log.reader.figures).values()
        )


VLLM = """\
INFO [utils.py:233] non-default args: {{'model': 'Qwen/Qwen3.5-27B-FP8', 'max_model_len': 32768, 'max_num_seqs': 64, 'language_model_only': True}}
INFO [core.py:107] Initializing a V1 LLM engine (v0.33.0) with config: x=1
INFO [gpu_worker.py:436] Free memory on device ({free}/{total} GiB) on startup. Desired GPU memory utilization is (0.92, 72.84 GiB).
INFO [gpu_worker.py:436] Available KV cache memory: 40.00 GiB
"""


@pytest.mark.parametrize(
    ("free", "total", "word"),
    [("72.10", "79.18", "other programs"), ("78.90", "79.18", ""), ("73.00", "74.25", "ECC")],
)
def test_what_is_behind_a_difference_is_told(free: str, total: str, word: str) -> None:
    check = observed.check_log(None, VLLM.format(free=free, total=total), on="h100")
    told = [note for note in check.notes if "other programs" in note or "ECC" in note]
    assert bool(told) is bool(word)
    assert all(word in note for note in told)


REFUSED = """\
INFO [utils.py:299] vLLM API server version 0.33.0
Model loading took 28.51 GiB memory and 14 seconds
ValueError: To serve at least one request with the model's max seq len (131072), 8.33 GiB KV cache is needed, which is larger than the available KV cache memory (7.04 GiB). Based on the available memory, the estimated maximum model length is 112896. api_key=sk-SECRET3abcd
"""


def test_what_to_change_is_planned_with_what_the_log_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.log"
    start.write_text(REFUSED, "utf-8")
    words = ["check", str(start), "Qwen/Qwen3.6-27B-FP8", "--on", "l40s", "--max-num-seqs", "8"]
    run(words)
    said = capsys.readouterr()
    assert "It fits with:" in said.out
    assert "SECRET" not in said.out + said.err
    run([*words, "--json"])
    both = capsys.readouterr()
    assert "SECRET" not in both.out + both.err
    assert json.loads(both.out)["remedies"]
    check = observed.check_log(
        None, REFUSED, on="l40s", model="Qwen/Qwen3.6-27B-FP8", options={"max_num_seqs": 8}
    )
    assert check.measured is not None
    assert check.measured.cache_gib == 7.04
    for advice in observed.remedies(check):
        assert advice.plan.fits is advice.enough


def test_a_start_that_holds_its_workload_needs_no_change() -> None:
    check = observed.check_log(None, VLLM.format(free="78.90", total="79.18"), on="h100")
    assert observed.remedies(check) == ()


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN=hf_SECRETabcdef",
        "--api-key: sk-SECRET12345",
        "Authorization: Bearer SECRETSECRET",
        "at https://me:SECRETpass@host/x",
        "{'api_key': 'SECRETvalue'}",
        "api_key=['SECRETvalue']",
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    assert "SECRET" not in without_secrets(text)
    assert without_secrets("8.18 GiB KV cache is needed for 131072 tokens") == (
        "8.18 GiB KV cache is needed for 131072 tokens"
    )


OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.56 GiB of which 1.27 GiB is free."


def test_a_refusal_of_pytorch_alone_is_vllms_unless_an_engine_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start.log"
    start.write_text(OOM, "utf-8")
    words = ["check", str(start), "Qwen/Qwen3.5-27B", "--on", "rtx-4090"]
    assert run(words) in (0, 3)
    assert "taken for vLLM's; --engine names another" in capsys.readouterr().out
    assert run([*words, "--engine", "sglang"]) in (0, 3)
    text = capsys.readouterr().out
    assert "The start fails, so does the plan" in text
    assert "--engine names another" not in text
    assert run([*words, "--engine", "tensorrt-llm"]) == 2
    assert "prints no log that is read" in capsys.readouterr().err


APPLE = """\
print_info: file type   = Q4_K - Small
print_info: file size   = 5.01 GiB (4.81 BPW)
print_info: general.name          = Qwen3.5-9B
load_tensors:   CPU_Mapped model buffer size =   545.62 MiB
llama_context: n_ctx         = 8192
ggml_metal_init: found device: Apple M4 Pro
llama_kv_cache:       MTL0 KV buffer size =   256.00 MiB
"""
GEFORCE = """\
llama_prepare_model_devices: using device Vulkan0 (NVIDIA GeForce RTX 3080 Ti) (0000:01:00.0) - 11312 MiB free
load_tensors:   CPU_Mapped model buffer size =   545.62 MiB
load_tensors:      Vulkan0 model buffer size =  5133.63 MiB
llama_context: n_ctx         = 8192
llama_kv_cache:    Vulkan0 KV buffer size =   256.00 MiB
"""


def test_weights_are_stored_as_the_log_says() -> None:
    named = observed.check_log(None, APPLE, on="M4 Pro 24GB")
    assert named.plan.deployment.checkpoint.scheme.name == "q4_k_s"
    sized = observed.check_log(None, GEFORCE, model="Qwen3.5-9B")
    assert "UD-Q4_K_XL" in sized.plan.deployment.checkpoint.scheme.title
    assert named.rules_agree
    assert sized.agrees
    untold = GEFORCE.replace("5133.63", "5433.63")
    check = observed.check_log(None, untold, model="Qwen3.5-9B")
    assert check.untold
    assert check.agrees
    assert all(row.planned is None for row in check.unplanned if row.figure.startswith("weights"))
    assert not any(row.figure.startswith("weights") for row in check.rows)
    assert observed.remedies(check) == ()
    said = observed.check_log(None, untold, model="Qwen3.5-9B", precision="q8_0")
    assert not said.untold
    assert not said.agrees


def test_a_server_that_started_is_told_nothing_to_change() -> None:
    check = observed.check_log(None, GEFORCE, on="24GB", model="Qwen3.5-27B", precision="bf16")
    assert not check.plan.fits
    assert observed.remedies(check) == ()


def test_the_log_names_the_machine() -> None:
    check = observed.check_log(None, GEFORCE, model="Qwen3.5-9B")
    assert check.plan.deployment.system.accelerator.id.startswith("rtx-3080-ti")
    with pytest.raises(InputError, match=r"names Apple M4 Pro \(24, 48 or 64 GB\)"):
        observed.check_log(None, APPLE)


@pytest.mark.parametrize(
    "line",
    [
        "--gpu-memory-utilization=0.8600 is equivalent to 0.8351 without CUDA graph memory profiling",
        "The current --gpu-memory-utilization=0.8600 is equivalent to --gpu-memory-utilization=0.8",
        "Free memory on device (43.9/44.39 GiB) on startup. Desired GPU memory utilization is (0.86, 38 GiB).",
    ],
)
def test_the_share_of_the_gpu_is_read_wherever_it_stands(line: str) -> None:
    check = observed.check_log(None, f"{line}\n{REFUSED}", on="l40s", model="Qwen/Qwen3.6-27B-FP8")
    assert check.plan.deployment.options.gpu_memory_utilization == 0.86
    assert check.refused_alike


def test_another_reason_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = tmp_path / "start.log"
    start.write_text(REFUSED, "utf-8")
    run(["check", str(start), "Qwen/Qwen3.6-27B-FP8", "--on", "l40s"])
    said = capsys.readouterr().out
    assert "The plan fails, too, but for another reason: " in said
    assert "so does the plan" not in said

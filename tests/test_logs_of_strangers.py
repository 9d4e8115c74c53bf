"""Logs and commands as strangers paste them: what their lines tell is used, and what helps is said."""

from pathlib import Path

import pytest

from planner import observed
from planner.answer import Plan
from planner.cli.main import run
from planner.emitting.shell import script
from planner.engines.commands import read_command
from planner.errors import InputError
from planner.log_text import read_log

BLOCKS = (
    "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (856). Each decode sequence"
    " requires one Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to"
    " at most 856 or increase gpu_memory_utilization.\n"
)


def test_of_too_many_sequences_so_many_are_advised_as_there_are_blocks() -> None:
    command = "vllm serve Qwen/Qwen3.8-27B --max-model-len 132000 --port 9000"
    plan = Plan.of(observed.plan_command(command, on="h100"))
    assert plan.allocation is not None
    blocks = plan.allocation.pool.num_blocks  # type: ignore[attr-defined]
    assert f"exceeds available Mamba cache blocks ({blocks})" in plan.verdict
    first = plan.first_advice[0]
    assert first.enough
    assert first.command is not None
    assert first.command.endswith(f"--max-num-seqs {blocks} --port 9000")
    for advice in plan.first_advice:
        assert "leave --port" not in advice.words
        if advice.plan.engine == "vllm":
            assert "--port 9000" in (advice.command or "")


def test_the_number_that_a_log_names_is_said_beside_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "server.log"
    path.write_text(BLOCKS)
    run(
        [
            "check",
            str(path),
            "Qwen/Qwen3.6-27B-FP8",
            "--on",
            "h100",
            "--gpu-memory-utilization",
            "0.95",
        ]
    )
    said = capsys.readouterr().out
    assert "It starts with --max-num-seqs 856." in said
    assert "(--max-num-seqs 1)" not in said


NEEDED = (
    "(EngineCore pid=107) ERROR ValueError: To serve at least one request with the models's max seq len"
    " (262144), (5.51 GiB KV cache is needed, which is larger than the available KV cache memory"
    " (1.87 GiB). Based on the available memory, the estimated maximum model length is 75712.\n"
)
BANNER = (
    "(APIServer pid=1) INFO 09-01 19:45:58 [api_utils.py:333]   ▄▄ ▄█ █ █  version 0.28.0\n"
    "(APIServer pid=1) INFO 09-01 19:45:58 [api_utils.py:333]    █▄█▀ █ █  model   Qwen/Qwen3.6-35B-A3B-FP8\n"
)
SERVED = "vllm serve Qwen/Qwen3.6-35B-A3B-FP8 --max-model-len 262144 --enforce-eager"
TORCH = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB.\n"


@pytest.mark.parametrize(
    "above",
    [
        SERVED,
        f"$ {SERVED}",
        f"root@C.4:/workspace# {SERVED}",
        f"~/x ❯ CUDA_VISIBLE_DEVICES=0,1 {SERVED}",
        SERVED.replace(" --", " \\\n  --"),
        f"$ docker run --gpus all vllm/vllm-openai:v0.28.0 {SERVED.removeprefix('vllm serve ')}",
    ],
)
@pytest.mark.parametrize("banner", ["", BANNER])
def test_a_command_above_a_log_is_what_the_server_was_told(above: str, banner: str) -> None:
    told = read_log(f"{above}\n{banner}{NEEDED}").command
    assert told is not None
    assert told.model == "Qwen/Qwen3.6-35B-A3B-FP8"
    assert told.context == 262144
    assert told.options["enforce_eager"] is True


def test_the_banner_names_the_model() -> None:
    told = read_log(BANNER + NEEDED).command
    assert told is not None
    assert told.model == "Qwen/Qwen3.6-35B-A3B-FP8"


def test_what_the_server_prints_comes_before_what_was_typed() -> None:
    printed = "non-default args: {'model': 'Qwen/Qwen3.5-9B', 'max_model_len': 4096}\n"
    told = read_log(f"{SERVED}\n{printed}{NEEDED}").command
    assert told is not None
    assert (told.model, told.context) == ("Qwen/Qwen3.5-9B", 4096)


@pytest.mark.parametrize(
    ("command", "engine", "model"),
    [
        ("./llama-server -hf unsloth/Qwen3.5-9B-GGUF:Q4_K_M -c 65536", "llamacpp", "Qwen3.5-9B"),
        ("$ python3 -m sglang.launch_server --model-path Qwen/Qwen3.5-9B", "sglang", "Qwen3.5-9B"),
        (
            "python -m sglang.launch_server --model Qwen/Qwen3.5-397B-A17B-FP8 --kt-weight-path /mnt/w"
            " --kt-cpuinfer 60 --kt-method FP8",
            "ktransformers",
            "397B",
        ),
    ],
)
def test_a_log_that_names_no_engine_is_of_the_one_that_was_typed(
    command: str, engine: str, model: str
) -> None:
    log = read_log(f"{command}\n{TORCH}")
    assert log.engine == engine
    assert log.command is not None
    assert model in str(log.command.model)


@pytest.mark.parametrize(
    "line",
    [
        "2026-07-26 10:10:10 mlx_lm.server - INFO - Starting httpd at 127.0.0.1 on port 8080...",
        "mlx_lm.server - INFO - Starting httpd at 127.0.0.1 on port 8080...",
        "INFO to serve it run vllm serve MODEL",
        "vllm is ready",
        "vllm serve 'an open quotation",
    ],
)
def test_a_line_that_names_a_program_is_no_command(line: str) -> None:
    log = read_log(f"{line}\nPeak memory: 5.1 GB\n", "mlx")
    assert log.command is None


@pytest.mark.parametrize(
    ("line", "engine", "helps"),
    [
        (
            "AssertionError: In Mamba cache align mode, block_size (2096) must be <="
            " max_num_batched_tokens (2048).",
            "vLLM",
            "--max-num-batched-tokens 2096 or more",
        ),
        (
            "RuntimeError: alloc_req_slots runs out of memory. Please set a smaller number for"
            " `--max-running-requests`. self.req_to_token_pool.available_size()=1, num_reqs=2,",
            "SGLang",
            "--max-mamba-cache-size",
        ),
        (
            "Error: Model loading was stopped due to insufficient system resources. Under the current"
            " settings, this model requires approximately 45.57 GB of memory, and continuing to load it",
            "llama.cpp",
            "LM Studio reckons with 45.57 GB",
        ),
        ("llama_model_load: failed to allocate buffer for rs cache", "llama.cpp", "ended with"),
    ],
)
def test_lines_with_which_starts_end_are_known(line: str, engine: str, helps: str) -> None:
    with pytest.raises(InputError) as caught:
        observed.check_log(None, line)
    assert str(caught.value).startswith(f"{engine} ended with: ")
    assert helps in str(caught.value)


OLLAMA = (
    "time=2026-05-17T11:51:48.453-03:00 level=INFO source=types.go:42 msg="
    '"inference compute" id=GPU-1 filter_id="" library=CUDA compute=8.6 name=CUDA0 description='
    '"NVIDIA GeForce RTX 3090" total="23.6 GiB" available="23.1 GiB"\n'
)


def test_ollama_names_its_cards_and_its_model() -> None:
    processor = OLLAMA.replace("CUDA", "cpu").replace("NVIDIA GeForce RTX 3090", "AMD EPYC")
    loaded = "level=INFO runner.name=registry.ollama.ai/library/qwen3.5:35b\n"
    log = read_log(processor + OLLAMA + OLLAMA.replace("11:51:48", "11:59:00") + loaded)
    assert log.engine == "llamacpp"
    assert log.hardware == "1x NVIDIA GeForce RTX 3090"
    assert log.command is not None
    assert log.command.model is not None
    assert "35b" in log.command.model.lower()
    assert read_log(OLLAMA + OLLAMA.replace("GPU-1", "GPU-2")).hardware == (
        "2x NVIDIA GeForce RTX 3090"
    )


def test_the_memory_breakdown_of_llama_cpp_names_its_cards() -> None:
    row = "common_memory_breakdown_print: |   - CUDA0 (RTX 3090)   | 24124 = 23860 + (15946 = 15364 |\n"
    log = read_log(row + row)
    assert (log.engine, log.hardware) == ("llamacpp", "1x RTX 3090")


def test_the_home_of_a_path_stays_for_the_shell_to_find() -> None:
    command = "llama-server -m '~/my models/Qwen3.5-9B-Q4_K_M.gguf' -c 8192"
    planned = observed.plan_command(command, on="rtx-3090")
    launch = Plan.of(planned).launch
    assert launch is not None
    for typed in (launch.command, script(planned)):
        assert "-m ~/'my models/Qwen3.5-9B-Q4_K_M.gguf' " in typed


def test_the_folder_of_kt_kernels_weights_is_kept() -> None:
    command = (
        "python -m sglang.launch_server --model /mnt/w/Qwen3.5-35B-A3B-FP8 --kt-weight-path"
        " /mnt/w/Qwen3.5-35B-A3B-FP8 --kt-method FP8"
    )
    _, told = read_command(command)
    assert told.options["kt_weight_path"] == "/mnt/w/Qwen3.5-35B-A3B-FP8"


def test_sglangs_refusal_tells_the_share_that_was_asked_for() -> None:
    line = (
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value:"
        " self.server_args.mem_fraction_static=0.74\n"
    )
    told = read_log(line).command
    assert told is not None
    assert told.options["mem_fraction_static"] == 0.74
    assert told.model is None

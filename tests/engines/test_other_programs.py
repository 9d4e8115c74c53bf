"""Commands of programs that run llama.cpp are read as llama-server's; others name what serves the same."""

import shlex

import pytest

import planner
from planner.cli.main import run
from planner.engines.commands import read_command
from planner.engines.llamacpp.relatives import RELATIVES, relative_of
from planner.engines.shell_words import shell_words
from planner.errors import InputError

READ: dict[str, tuple[str, str | None, int, dict[str, object]]] = {
    "koboldcpp --model Qwen3.5-27B-Q4_K_M.gguf --contextsize 16384 --gpulayers 99 --usecublas normal": (
        "Qwen3.5-27B-Q4_K_M.gguf",
        None,
        16_384,
        {"n_gpu_layers": 99, "parallel": 1},
    ),
    "python koboldcpp.py Qwen3.5-9B-Q6_K.gguf --port 5001": (
        "Qwen3.5-9B-Q6_K.gguf",
        None,
        12_288,
        {},
    ),
    "./koboldcpp-linux-x64 -m Qwen3.5-9B-Q6_K.gguf --moecpu 20": (
        "Qwen3.5-9B-Q6_K.gguf",
        None,
        12_288,
        {"n_cpu_moe": 20},
    ),
    "koboldcpp -m Qwen3.5-9B-Q6_K.gguf -c 8192 --quantkv 1 --lowvram": (
        "Qwen3.5-9B-Q6_K.gguf",
        None,
        8192,
        {"kv_offload": False},
    ),
    "koboldcpp -m Qwen3.5-9B-Q6_K.gguf --ctx-size 4096 -nofa": (
        "Qwen3.5-9B-Q6_K.gguf",
        None,
        4096,
        {},
    ),
    "./Qwen3.5-9B-Q4_K_M.llamafile -ngl 999 -c 8192 --server": (
        "Qwen3.5-9B-Q4_K_M.gguf",
        None,
        8192,
        {"n_gpu_layers": 999},
    ),
    "lms load qwen/qwen3.6-27b --gpu max --context-length=32768 -y": (
        "qwen/qwen3.6-27b",
        "q4_k_m",
        32_768,
        {"parallel": 1},
    ),
    "docker model run ai/qwen3.6:27B-Q8_0 hello": ("qwen3.6-27B", "Q8_0", 4096, {}),
    "docker model run hf.co/unsloth/Qwen3.5-9B-GGUF:Q6_K": (
        "unsloth/Qwen3.5-9B-GGUF",
        "Q6_K",
        4096,
        {},
    ),
    "ramalama serve --ctx-size 32768 ollama://qwen3.5:9b": ("qwen3.5:9b", None, 32_768, {}),
    "llama-bench -m Qwen3.6-27B-Q4_K_M.gguf -ngl 99 -p 2048 -n 128 -d 4096": (
        "Qwen3.6-27B-Q4_K_M.gguf",
        None,
        6144,
        {"n_gpu_layers": 99},
    ),
}


@pytest.mark.parametrize("text", READ)
def test_a_relative_is_told_as_llama_server_is(text: str) -> None:
    model, precision, context, options = READ[text]
    engine, told = read_command(text)
    assert engine == "llamacpp"
    assert (told.model, told.precision, told.context) == (model, precision, context)
    assert options.items() <= told.options.items()
    assert not told.kept
    assert "planned as llama.cpp's llama-server" in told.unplanned[0]


@pytest.mark.parametrize("name", RELATIVES)
def test_a_relative_without_its_verb_is_another_program(name: str) -> None:
    found = relative_of([name, "ps"])
    assert (found is None) is bool(RELATIVES[name].verbs)
    assert relative_of([f"{name}-something-else"]) is None or name in ("koboldcpp", "llamafile")


def test_a_flag_of_its_own_is_said_and_not_carried_into_another_command() -> None:
    plan = planner.plan_command(
        "koboldcpp --model Qwen3.5-9B-Q4_K_M.gguf --smartcontext 1", on="rtx-3090"
    )
    assert plan.launch is not None
    assert "--smartcontext" not in plan.launch.argv
    assert any("KoboldCpp's --smartcontext" in note for note in plan.warnings)


INSTEAD = {
    "docker run --gpus all ghcr.io/huggingface/text-generation-inference:3.3.5 --model-id"
    " Qwen/Qwen3.5-9B --max-total-tokens 32768": "vllm serve Qwen/Qwen3.5-9B --max-model-len 32768",
    "lmdeploy serve api_server Qwen/Qwen3.5-27B --tp 2": "vllm serve Qwen/Qwen3.5-27B",
    "python -m mlx_vlm.server --model mlx-community/Qwen3.6-27B-8bit": (
        "mlx_lm.server --model mlx-community/Qwen3.6-27B-8bit"
    ),
    "transformers serve Qwen/Qwen3.5-4B": "qwenplan plan Qwen/Qwen3.5-4B --engine transformers",
    "docker compose up -d vllm": "the command that its service runs",
    "text-generation-launcher": "vllm serve MODEL",
    "frobnicate Qwen3.5-9B": "`qwenplan plan MODEL --on HARDWARE` needs no command",
}


@pytest.mark.parametrize("text", INSTEAD)
def test_what_is_not_planned_names_what_serves_the_same(text: str) -> None:
    with pytest.raises(InputError) as error:
        read_command(text)
    assert str(error.value).endswith(INSTEAD[text])
    assert "\n" not in str(error.value)


def test_paths_of_windows_are_paths() -> None:
    assert shell_words(r".\llama-server.exe -m C:\models\a.gguf") == [
        "./llama-server.exe",
        "-m",
        "C:/models/a.gguf",
    ]
    assert shell_words(r"vllm serve a\ b") == ["vllm", "serve", "a b"]


def test_one_prompt_of_mlx_comes_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """`mlx_lm.generate` was warned of four prompts at once."""
    line = 'plan --on "M3 Max 48GB" --command "mlx_lm.generate --model mlx-community/Qwen3.6-35B-A3B-4bit"'
    assert run(shlex.split(line)) == 0
    said = capsys.readouterr().out
    assert "such prompts at once" not in said
    for words in ("python -m mlx_lm.generate", "python -m mlx_lm generate", "mlx_lm.chat"):
        _, told = read_command(f"{words} --model mlx-community/Qwen3.5-9B-4bit")
        assert told.options["prompt_concurrency"] == 1
    _, served = read_command("python -m mlx_lm.server --model mlx-community/Qwen3.5-9B-4bit")
    assert "prompt_concurrency" not in served.options


@pytest.mark.parametrize(
    ("on", "tokens"),
    [
        ("rtx 3060 12GB", 4096),
        ("rtx 3090", 32_768),
        ("2x rtx 3060 12GB", 32_768),
        ("2x rtx 3090", 262_144),
        ("m4 max 36GB", 32_768),
        ("cpu, 64GB", 4096),
    ],
)
def test_ollama_takes_its_context_by_the_memory_of_all_gpus(on: str, tokens: int) -> None:
    """Source: Ollama v0.33.2 server/routes.go: 47 and 23 GiB of `TotalMemory`."""
    plan = planner.plan_command("ollama run qwen3.5:4b", on=on)
    assert plan.deployment.context == tokens
    said = planner.plan_command("OLLAMA_CONTEXT_LENGTH=8192 ollama run qwen3.5:4b", on=on)
    assert said.deployment.context == 8192


def test_a_server_that_bounds_no_request_is_planned_with_the_usual_length() -> None:
    """Source: mlx-lm 0.32.2 server.py: no limit of a request, caches grow as they are filled."""
    line = "mlx_lm.server --model mlx-community/Qwen3.5-9B-4bit"
    plan = planner.plan_command(line, on="m4 max 64GB")
    assert plan.deployment.context == 32_768
    assert any("bounds no request" in warning and "32,768" in warning for warning in plan.warnings)
    said = planner.plan_command(line, on="m4 max 64GB", context="64k")
    assert said.deployment.context == 65_536
    assert not any("bounds no request" in warning for warning in said.warnings)

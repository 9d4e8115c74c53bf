"""Commands as files and shells hold them: Compose, Kubernetes, variables, programs that run others."""

import pytest

from planner import observed
from planner.emitting import emit
from planner.engines import commands
from planner.engines.manifests import containers_in
from planner.errors import InputError
from planner.planning import Plan

COMPOSE = """
services:
  proxy: {image: nginx, command: nginx -g daemon}
  vllm:
    image: vllm/vllm-openai:v0.20.0
    environment: {MODEL: Qwen/Qwen3.5-9B}
    command: >
      --model ${MODEL}
      --max-model-len 32768
"""
COMPOSE_LIST = """
services:
  llama:
    image: ghcr.io/ggml-org/llama.cpp:server-cuda
    command: ["-hf", "unsloth/Qwen3.6-27B-GGUF:Q4_K_M", "-c", "32768"]
"""
POD = """
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: vllm
    image: registry.local/vllm:own
    env:
    - {name: MODEL, value: Qwen/Qwen3.5-9B}
    command: ["/bin/sh", "-c"]
    args:
    - |
      vllm serve $(MODEL) --max-model-len 32768 --max-num-seqs 8
"""


@pytest.mark.parametrize(
    ("text", "engine", "model", "context"),
    [
        (COMPOSE, "vllm", "Qwen/Qwen3.5-9B", 32_768),
        (COMPOSE_LIST, "llamacpp", "unsloth/Qwen3.6-27B-GGUF", 32_768),
        (POD, "vllm", "Qwen/Qwen3.5-9B", 32_768),
        ("M=Qwen/Qwen3.5-9B; vllm serve $M --max-model-len 8192", "vllm", "Qwen/Qwen3.5-9B", 8192),
        ("vllm serve ${M:-Qwen/Qwen3.5-9B} --max-model-len 8192", "vllm", "Qwen/Qwen3.5-9B", 8192),
        (
            "LLAMA_ARG_HF_REPO=unsloth/Qwen3.6-27B-GGUF:Q4_K_M LLAMA_ARG_CTX_SIZE=16384 llama-server -np 1",
            "llamacpp",
            "unsloth/Qwen3.6-27B-GGUF",
            16_384,
        ),
        (
            "tmux new -d 'vllm serve Qwen/Qwen3.5-9B --max-model-len 8192'",
            "vllm",
            "Qwen/Qwen3.5-9B",
            8192,
        ),
    ],
)
def test_a_server_is_found_wherever_it_stands(
    text: str, engine: str, model: str, context: int
) -> None:
    found, told = commands.read_command(text)
    assert (found, told.model, told.context) == (engine, model, context)


def test_the_release_of_an_image_counts() -> None:
    assert commands.read_command(COMPOSE)[1].options["version"] == "0.20.0"


@pytest.mark.parametrize("form", ["compose", "kubernetes"])
def test_what_is_written_is_read_again(form: str) -> None:
    command = "vllm serve Qwen/Qwen3.5-9B --max-model-len 8192 --max-num-seqs 4"
    plan = observed.plan_command(command, on="rtx-4090")
    again = observed.plan_command(emit(plan, form), on="rtx-4090")
    assert isinstance(again, Plan)
    assert again.deployment.context == plan.deployment.context
    assert again.deployment.options.max_num_seqs == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vllm serve $MODEL", r"\$MODEL is set nowhere"),
        ("vllm serve --config cfg.yaml", "what a file of settings says is not read"),
        ("OLLAMA_CONTEXT_LENGTH=65536 ollama serve", "Ollama's server, which names no model"),
        ("vllm bench throughput --model Qwen/Qwen3.5-9B", "instead: vllm serve Qwen/Qwen3.5-9B$"),
        ("services:\n  web:\n    image: nginx\n", "starts no server that is known"),
        ("image: [\n", "starts no server that is known"),
    ],
)
def test_what_starts_no_server_is_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as error:
        commands.read_command(text)
    assert "\n" not in str(error.value)


def test_a_flag_comes_before_its_variable() -> None:
    command = (
        "docker run -e LLAMA_ARG_MODEL=/models/Qwen3.6-27B-Q4_K_M.gguf -e LLAMA_ARG_CTX_SIZE=65536"
        " -e LLAMA_ARG_MMAP=false -e LLAMA_ARG_NO_KV_OFFLOAD=1 -e LLAMA_ARG_THREADS=8"
        " ghcr.io/ggml-org/llama.cpp:server-cuda -c 8192 -np 2"
    )
    _, told = commands.read_command(command)
    assert told.context == 4096
    assert told.options["load_mode"] == "none"
    assert told.options["kv_offload"] is False
    assert dict(told.environment) == {"LLAMA_ARG_THREADS": "8"}


@pytest.mark.parametrize("row", ["[NINE]", "{<<: [NINE]}"])
def test_a_file_that_repeats_itself_over_and_over_is_not_read(row: str) -> None:
    levels = range(1, 12)
    rows = [f"a{n}: &a{n} " + row.replace("NINE", ",".join([f"*a{n - 1}"] * 9)) for n in levels]
    file = "\n".join(("image: vllm/vllm-openai", "a0: &a0 {k: 1}", *rows))
    assert not list(containers_in(file))

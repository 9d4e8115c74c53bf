"""Answers that people caught us with, each as typed: the right one, line by line.

The ids are those of the list of wrong answers (W) and of missing or misleading ones (M). Lines about
speed, and about what is recommended, have their tests beside those rooms (`tests/throughput`,
`tests/recommending`); logs theirs in `tests/test_pasted_logs.py`.
"""

import json
import shlex

import pytest

import hardware_db
import planner
from planner.asking import tokens_of
from planner.cli.main import run
from planner.cli.sweep import numbers
from planner.cost.prices import cheapest
from planner.errors import InputError
from planner.recommending import Wish
from planner.units import GIB
from planner.wanting import want
from planner.web.asked import Asked

NOT = "!"
"""Before a text that the answer must not have."""

TYPED: tuple[tuple[str, str, int, tuple[str, ...]], ...] = (
    (
        "W2 experts in RAM are found where RAM is scarce",
        "plan qwen3.5-122b-a10b --on rtx-3090 --precision q4_k_m --host-memory-gib 64",
        0,
        ("Tight: 1 request of 32,768 tokens", "--n-cpu-moe 36"),
    ),
    (
        "W2 the same with 16 GiB",
        "plan qwen3.5-35b-a3b --on rtx-3060-12 --precision q4_k_m --host-memory-gib 16",
        0,
        ("Tight: 1 request", "--n-cpu-moe 24"),
    ),
    (
        "W3 solve chooses an engine",
        "solve qwen3.5-27b --on 3090 --precision q4_k_m",
        0,
        ("llama.cpp", "Longest context", f"{NOT}No context fits"),
    ),
    (
        "W4 a plan is the first of the layouts",
        'plan Qwen/Qwen3.5-35B-A3B --on "8x h100" --precision fp8 --concurrency 550 --engine vllm',
        0,
        ("Fits: 550 requests of 32,768 tokens on 8× H100 SXM5 (DP 8 EP)",),
    ),
    (
        "W5 vLLM 0.26 has prefix caching off",
        "plan Qwen/Qwen3.5-35B-A3B --on h100 --precision fp8 --context 8192 --version 0.26.0",
        0,
        ("Room for  159 requests of 8,192 tokens",),
    ),
    (
        "W6 a drafter that does not fit is no error",
        "plan Qwen/Qwen3.5-27B-FP8 --on rtx-4090 --num-speculative-tokens 4 --speculative-method"
        " dflash --draft-model z-lab/Qwen3.5-27B-DFlash --context 32k",
        3,
        ("Does not fit on RTX 4090", "It fits with:"),
    ),
    (
        "W7 Metal's largest buffer",
        'plan qwen3.5-9b --on "m1 max 32" --engine mlx --precision mlx-4bit --context 128022',
        0,
        ("Tight", "one buffer of 31.3 GiB", "--prompt-concurrency 1"),
    ),
    (
        "W8 the id that was asked",
        "plan Qwen/Qwen3-Next-80B-A3B-Thinking-FP8 --on 2xh200",
        0,
        ("vllm serve Qwen/Qwen3-Next-80B-A3B-Thinking-FP8 ",),
    ),
    (
        "W8 the base model",
        "plan Qwen/Qwen3.5-9B-Base --on h100",
        0,
        ("vllm serve Qwen/Qwen3.5-9B-Base ",),
    ),
    (
        "W9 1M is what the family calls so",
        "plan qwen3.5-27b --on 2xh200 --context 1M --yarn",
        0,
        ("--max-model-len 1010000", "1M context"),
    ),
    (
        "W9 without YaRN it is refused with the way",
        "plan qwen3.5-27b --on 2xh200 --context 1M",
        2,
        ("1,010,000 tokens is beyond the native 262,144", "--yarn"),
    ),
    (
        "W10 words of a command come back",
        'plan --on h100 --command "vllm serve Qwen/Qwen3.5-9B --port 9000 --reasoning-parser qwen3'
        ' --served-model-name q --host 0.0.0.0 --api-key x --kv-offloading-size 64"',
        0,
        (
            "--port 9000 --reasoning-parser qwen3 --served-model-name q --host 0.0.0.0 --api-key x",
            "64.0 GiB of host memory",
        ),
    ),
    (
        "W11 a limit that the owner can raise is the first advice",
        'plan qwen3.5-122b-a10b --on "strix halo" --precision q4_k_m',
        3,
        (
            "The system lends the GPU 62.5 GiB by default: raise GTT",
            "It fits with:\n  - Raise GTT (ttm.pages_limit): echo 'options ttm pages_limit=",
        ),
    ),
    (
        "W11 as the processor is called",
        'plan qwen3.5-122b-a10b --on "Ryzen AI Max+ 395" --precision q4_k_m',
        3,
        ("It fits with:\n  - Raise GTT", f"{NOT}Jetson"),
    ),
    (
        "W11 on a Mac",
        'plan qwen3.5-122b-a10b --on "m4 max 64" --precision q3_k_m',
        3,
        ("It fits with:\n  - Raise iogpu.wired_limit_mb: sudo sysctl iogpu.wired_limit_mb=",),
    ),
    (
        "W11 as the owner has set it up",
        'plan qwen3.5-122b-a10b --on "Ryzen AI MAX+ 395 96/32" --precision q4_k_m --engine llamacpp',
        0,
        ("Strix Halo (96 GB for the GPU) 128 GB",),
    ),
    (
        "W12 several machines are joined",
        'plan qwen3.5-397b-a17b --on "4x dgx-spark" --precision q6_k --engine llamacpp',
        0,
        ("(PP 4)", "--rpc MACHINE_2:50052,MACHINE_3:50052,MACHINE_4:50052", "ggml-rpc-server"),
    ),
    (
        "W13 no llama.cpp on a TPU",
        "plan qwen3.5-9b --on tpu-v5e --precision q4_k_m",
        2,
        ("llama.cpp has no backend for Google TPU v5e", f"{NOT}llama.cpp or MLX run there"),
    ),
    (
        "W13 nor on Gaudi",
        "plan qwen3.5-9b --on gaudi3 --precision q4_k_m",
        2,
        ("no backend for Intel Gaudi 3 128GB. vLLM runs there",),
    ),
    (
        "W13 what runs on Arc",
        "plan qwen3.5-9b --on arc-b580 --precision bf16 --engine sglang",
        2,
        ("llama.cpp (SYCL, Vulkan) or vLLM (XPU) run there",),
    ),
    (
        "W15 one pool of a Spark for SGLang",
        "plan qwen3.5-122b-a10b --on dgx-spark --precision fp8 --engine sglang",
        3,
        ("of 115.6 GiB usable (121.7 GiB in all)",),
    ),
    (
        "W15 KTransformers counts no second memory",
        "plan qwen3.5-35b-a3b --on dgx-spark --precision fp8 --engine ktransformers",
        2,
        ("share one memory",),
    ),
    (
        "W16 an NVFP4 cache on Hopper",
        "plan Qwen/Qwen3.5-35B-A3B-FP8 --on h100 --context 32k --kv-cache-dtype nvfp4"
        " --gpu-memory-utilization 0.9",
        0,
        ("KV cache nvfp4",),
    ),
    (
        "W16 fp8_per_token_head needs 8.9",
        "plan Qwen/Qwen3.5-9B --on rtx-3090 --context 8k --kv-cache-dtype fp8_per_token_head",
        2,
        ("needs compute capability 8.9",),
    ),
    (
        "W17 every stage of Qwen3-Next holds a head",
        "plan Qwen/Qwen3-Next-80B-A3B-Instruct --on 4xh200 --pp 4",
        0,
        ("stage 4 of 4", "weights (text)                                 37.97 GiB"),
    ),
    (
        "W18 images 0 alone keep the tower",
        'plan --on h100 --command "vllm serve Qwen/Qwen3.5-9B --max-model-len 32768'
        ' --limit-mm-per-prompt \'{\\"image\\":0}\'"',
        0,
        ("vision tower",),
    ),
    (
        "W18 with videos 0 it goes",
        'plan --on h100 --command "vllm serve Qwen/Qwen3.5-9B --max-model-len 32768'
        ' --limit-mm-per-prompt \'{\\"image\\":0,\\"video\\":0}\'"',
        0,
        (f"{NOT}vision tower",),
    ),
    ("W22 no number", "plan qwen3.5-9b --on h100 --context nan", 2, ("cannot read 'nan'",)),
    (
        "W27 a server that sizes its pool starts",
        'plan --on rtx-5090 --command "python -m sglang.launch_server --model-path'
        ' Qwen/Qwen3.5-9B"',
        0,
        ("Fits: 1 request of 72,985 tokens",),
    ),
    (
        "W27 so does llama-server",
        'plan --on rtx-3090 --command "llama-server -m Qwen3.5-27B-Q4_K_M.gguf"',
        0,
        ("1 request of 106,752 tokens",),
    ),
    (
        "W28 published files have their own size",
        "plan unsloth/Qwen3.5-9B-GGUF:Q4_K_S --on rtx-4090",
        0,
        ("weights (text)                                  4.48 GiB", f"{NOT}4,548"),
    ),
    (
        "W29 an unverified rule is never the first advice",
        "plan qwen3.5-122b-a10b --on dgx-spark --precision fp8",
        3,
        ("It fits with:\n  - Use nvfp4 weights", f"{NOT}- Switch to TensorRT-LLM"),
    ),
    (
        "W30 what a V100 has",
        "plan qwen3.5-9b --on v100-32 --engine llamacpp --precision q8_0",
        0,
        ("(31.7 GiB in all)",),
    ),
    (
        "M3 a repository and its file",
        'plan --on 3090 --command "llama-server -hf unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL -c 32768"',
        0,
        ("GGUF UD-Q4_K_XL", "1 request of 32,768 tokens"),
    ),
    (
        "M3 bartowski's way of naming",
        'plan --on 3090 --command "llama-server -m Qwen_Qwen3.8-27B-Q4_K_M.gguf -c 32768"',
        0,
        ("GGUF Q4_K_M", "1 request of 32,768 tokens"),
    ),
    (
        "M3 mradermacher's",
        'plan --on 3090 --command "llama-server -m Qwen3.8-27B.Q4_K_M.gguf -c 32768"',
        0,
        ("GGUF Q4_K_M",),
    ),
    (
        "M3 a tag of Ollama",
        'plan --on 3090 --command "ollama run qwen3.6:35b"',
        0,
        ("qwen3.6:35b", "OLLAMA_CONTEXT_LENGTH"),
    ),
    (
        "M3 a link to a file's quantization",
        "plan hf.co/unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL --on 3090",
        0,
        ("GGUF UD-Q4_K_XL", "15.73 GiB"),
    ),
    (
        "M3 -MTP- in a file's name",
        'plan --on 3090 --command "llama-server -m Qwen3.5-27B-MTP-Q4_K_M.gguf -c 32768"',
        0,
        ("GGUF Q4_K_M",),
    ),
    (
        "M3 a pruned model",
        'plan --on 16GB --command "llama-server -m Qwen3.6-35B-A3B-REAP-48-Q3K-mixed.gguf -c 54784'
        ' -np 1"',
        0,
        ("133 experts per layer", "on GPU with 16 GB"),
    ),
    (
        "M3 a GGUF's label behind the model",
        "plan Qwen3.5-35B-A3B-UD-Q4_K_XL --on 4090",
        0,
        ("GGUF UD-Q4_K_XL",),
    ),
    (
        "M3 Ollama's pull",
        'plan --on 4090 --command "ollama pull qwen3.5:35b"',
        0,
        ("qwen3.5:35b",),
    ),
    (
        "W27 MLX bounds no request",
        'plan --on "M2 Ultra 64GB" --command "python -m mlx_lm.server --model'
        ' mlx-community/Qwen3.6-27B-8bit"',
        0,
        ("Tight: 1 request of 162,535 tokens",),
    ),
    (
        "W26 Tight says what may be short",
        'plan qwen3.5-27b --on "m4 pro 24" --precision q4_k_m --engine llamacpp --context 8192',
        0,
        ("what grows with use may take", f"{NOT}-0.09 GiB to spare"),
    ),
    (
        "M4 RAM beside the GPU, by --ram",
        "plan qwen3.5-35b-a3b --on 4090 --ram 64 --precision q4_k_m --engine llamacpp",
        0,
        ("RTX 4090", f"{NOT}cannot read"),
    ),
    (
        "M4 a processor and its RAM",
        'plan qwen3.5-9b --on "Ryzen 9 7950X 64GB" --precision q4_k_m --engine llamacpp',
        0,
        ("host", "of 60.0 GiB usable (64.0 GiB in all)"),
    ),
    (
        "M5 advice in JSON, with its command",
        "plan qwen3.5-27b --on 3090 --precision q8_0 --engine llamacpp --json",
        3,
        ('"advice"', '"command"'),
    ),
    (
        "M6 what holds fewer has a status of its own",
        "plan Qwen/Qwen3.5-35B-A3B --on h100 --precision fp8 --concurrency 550 --engine vllm",
        5,
        ("holds 41 of the 550 requests", f"{NOT}Does not fit"),
    ),
    (
        "M8 the engine's own spellings",
        "plan qwen3.5-27b --on 3090 --precision q4_k_m -ngl 99 -c 32768",
        0,
        ("-ngl 99",),
    ),
    (
        "M8 SGLang's own flag",
        'plan --on h100 --command "python -m sglang.launch_server --model-path Qwen/Qwen3.5-9B'
        ' --language-only"',
        0,
        ("SGLang", f"{NOT}did you mean"),
    ),
    (
        "M8 a shell around it",
        "plan --on h100 --command \"bash -c 'vllm serve Qwen/Qwen3.5-9B --max-model-len 32768'\"",
        0,
        ("1 request of 32,768 tokens",),
    ),
    (
        "M8 llama-cli",
        'plan --on 3090 --command "llama-cli -m Qwen3.5-9B-Q4_K_M.gguf -c 8192"',
        0,
        ("1 request of 8,192 tokens",),
    ),
    (
        "M9 a bare name says which size it takes",
        'plan qwen3.5-9b --on "M4 Max" --engine mlx --precision mlx-4bit',
        0,
        ("M4 Max is sold with 36, 48, 64 and 128 GB: 128 GB is assumed",),
    ),
    (
        "M9 the V100",
        "plan qwen3.5-9b --on V100 --engine llamacpp --precision q8_0",
        0,
        ("V100 is sold with 16 and 32 GB: 32 GB is assumed",),
    ),
    (
        "M9 the 3080",
        "plan qwen3.5-4b --on 3080 --engine llamacpp --precision q4_k_m",
        0,
        ("3080 is sold with 10 and 12 GB: 10 GB is assumed",),
    ),
    (
        "M11 Compose mounts or loads the file",
        "plan qwen3.5-27b --on 3090 --precision q4_k_m --engine llamacpp --emit compose",
        0,
        ("volumes:",),
    ),
    (
        "M11 Ollama is llama.cpp here",
        "plan qwen3.5-27b --on 3090 --precision q4_k_m --engine ollama",
        0,
        ("with llama.cpp",),
    ),
    (
        "M14 unequal GPUs are split",
        'plan qwen3.5-27b --on "3090 + 3060" --precision q4_k_m --engine llamacpp',
        0,
        ("GPU 0: ", "GPU 1: ", "one that splits unevenly has 35 GiB"),
    ),
    (
        "M14 others plan by the smallest",
        'plan qwen3.5-4b --on "3090, 3060" --engine vllm --precision bf16',
        0,
        ("an engine that cuts a model into equal parts has 2 x the smallest, 23 GiB",),
    ),
    ("M15 a hosted name", "plan qwen3.6-max --on h100", 2, ("hosted service",)),
    (
        "M17 all experts are all experts",
        "plan qwen3.5-35b-a3b --on 3090 --precision q4_k_m --n-cpu-moe 10000 --ram 64GB",
        0,
        ("all experts in RAM", f"{NOT}10000"),
    ),
    (
        "M17 names of engines",
        "plan qwen3.5-9b --on h100 --engine VLLM --precision bf16",
        0,
        ("vLLM",),
    ),
    (
        "M17 llama.cpp's",
        "plan qwen3.5-9b --on h100 --engine Llama.cpp --precision q8_0",
        0,
        ("llama.cpp",),
    ),
)


@pytest.mark.parametrize(
    ("line", "status", "says"), [row[1:] for row in TYPED], ids=[r[0] for r in TYPED]
)
def test_as_typed(
    line: str, status: int, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(shlex.split(line))
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert found == status, text[:500]
    for words in says:
        if words.startswith(NOT):
            assert words.removeprefix(NOT) not in text
        else:
            assert words in text, text


def test_no_command_that_fails_is_handed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """M5: a plan that does not fit has the commands of its advice, and none of its own."""
    assert (
        run(shlex.split("plan qwen3.5-27b --on 3090 --precision q8_0 --engine llamacpp --json"))
        == 3
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["advice"]
    assert all(advice["command"] for advice in answer["advice"][:1])


DEVICES = {
    "rtx 4070 laptop": ("rtx-4070-laptop", 8),
    "4070": ("rtx-4070", 12),
    "4070 Ti": ("rtx-4070-ti", 12),
    "4070 Super": ("rtx-4070-super", 12),
    "4070s": ("rtx-4070-super", 12),
    "4060": ("rtx-4060", 8),
    "5060 8gb": ("rtx-5060", 8),
    "5050": ("rtx-5050", 8),
    "5090D": ("rtx-5090-d", 32),
    "4090D": ("rtx-4090-d", 24),
    "3080 Ti": ("rtx-3080-ti", 12),
    "3070": ("rtx-3070", 8),
    "3070 Ti": ("rtx-3070-ti", 8),
    "3060 Ti": ("rtx-3060-ti", 8),
    "2080 Ti": ("rtx-2080-ti", 11),
    "GTX 1080 Ti": ("gtx-1080-ti", 11),
    "GTX 1660": ("gtx-1660", 6),
    "TITAN RTX": ("titan-rtx", 24),
    "P40": ("p40", 24),
    "P100": ("p100-16", 16),
    "M40": ("m40-24", 24),
    "A2": ("a2", 16),
    "A16": ("a16", 16),
    "L20": ("l20", 48),
    "A800": ("a800-sxm-80", 80),
    "RTX 4000 Ada": ("rtx-4000-ada", 20),
    "RTX 2000 Ada": ("rtx-2000-ada", 16),
    "RTX 8000": ("quadro-rtx-8000", 48),
    "H100 64": ("h100-64", 64),
    "H100 96": ("h100-96", 96),
    "MI50": ("mi50-32", 32),
    "MI60": ("mi60", 32),
    "MI210": ("mi210", 64),
    "MI300A": ("mi300a", 128),
    "MI308X": ("mi308x", 192),
    "MI350X": ("mi350x", 288),
    "RX 9070": ("rx9070", 16),
    "7900 XT": ("rx7900xt", 20),
    "7800 XT": ("rx7800xt", 16),
    "6800 XT": ("rx6800xt", 16),
    "HX 370 64GB": ("radeon-890m-64", 64),
    "A770": ("arc-a770-16", 16),
    "A770 8GB": ("arc-a770-8", 8),
    "Gaudi 2": ("gaudi2", 96),
    "Orin Nano": ("orin-nano-8", 8),
    "Orin AGX 64GB": ("orin-64", 64),
    "RTX4090 48G": ("rtx-4090-48", 48),
    "A6000 (ECC on)": ("rtx-a6000-ecc", 48),
    "EVO-X2": ("strix-halo-128", 128),
    "Beelink GTR9": ("strix-halo-128", 128),
    "MacBook Pro 16 M3 Max 64GB": ("apple-m3-max", 64),
    "M4 Pro mini 64": ("apple-m4-pro-64", 64),
    "M3 Max 64GB unified memory": ("apple-m3-max", 64),
    "Lenovo PGX": ("gb10", 128),
}
"""As people say it -> the entry, and the GB on its label. Not carried: NVIDIA L2 and Jetson Orin Nano
4 GB, of which no second source for memory and bandwidth was found."""

SYSTEMS = {
    "g6e.2xlarge": ("l40s", 1),
    "g6e.24xlarge": ("l40s", 4),
    "g5.24xlarge": ("a10g", 4),
    "g7e.4xlarge": ("rtx-pro-6000-server", 1),
    "a3-ultragpu-8g": ("h200-sxm", 8),
    "a4-highgpu-8g": ("b200", 8),
    "NC24ads A100 v4": ("a100-pcie-80", 1),
    "NC48ads": ("a100-pcie-80", 2),
    "h100:2": ("h100-sxm", 2),
    "two 3090s": ("rtx-3090", 2),
    "2 3090s": ("rtx-3090", 2),
    "2x RTX 3090 24GB": ("rtx-3090", 2),
    "dgx spark 128GB": ("gb10", 1),
    "two 4070s": ("rtx-4070", 2),
    "kaggle 2xT4": ("t4", 2),
    "2 x RTX A6000 (NVLink)": ("rtx-a6000", 2),
    "2x 3090 with NVLink + 128GB RAM": ("rtx-3090", 2),
}


@pytest.mark.parametrize("said", DEVICES)
def test_devices_as_people_call_them(said: str) -> None:
    """M13."""
    accelerator = hardware_db.resolve(said).accelerator
    identity, label = DEVICES[said]
    assert accelerator.id == identity
    assert accelerator.memory_marketed_gb is not None
    assert accelerator.memory_marketed_gb.value == label
    assert 0.35 * label * GIB < accelerator.total_bytes < 1.02 * label * GIB
    assert accelerator.bandwidth_gb_s is not None
    assert accelerator.bandwidth_gb_s.source


@pytest.mark.parametrize("said", SYSTEMS)
def test_systems_as_people_call_them(said: str) -> None:
    """M13."""
    system = hardware_db.resolve(said)
    assert (system.accelerator.id, system.count) == SYSTEMS[said]


@pytest.mark.parametrize(
    ("said", "gib"),
    [
        ("V100", 31.74),
        ("V100 16GB", 15.78),
        ("rtx 6000 ada", 47.51),
        ("rtx 6000 ada with ecc", 44.43),
    ],
)
def test_what_drivers_report_is_planned_with(said: str, gib: float) -> None:
    """W30."""
    assert hardware_db.resolve(said).accelerator.total_bytes / GIB == pytest.approx(gib, abs=0.01)


@pytest.mark.parametrize(
    ("said", "at_least"),
    [
        ("dgx-spark", 6950),
        ("rtx-5090", 3000),
        ("rtx-pro-6000-ws", 12_000),
        ("strix-halo-128", 1999),
    ],
)
def test_prices_are_those_of_the_street(said: str, at_least: float) -> None:
    """W14: a launch price is no price to buy at, and one without a recent date ranks nothing."""
    bought = cheapest(hardware_db.resolve(said), "purchase")
    assert bought is not None
    assert bought.basis != "launch price"
    assert bought.date is not None
    assert bought.value >= at_least


def test_a_machine_that_is_sold_no_more_has_no_price_to_rank_by() -> None:
    """W14: the M3 Ultra with 512 GB was withdrawn in March 2026."""
    assert cheapest(hardware_db.resolve("m3-ultra-512"), "purchase") is None


def test_a_length_means_the_same_at_every_door() -> None:
    """W9: `plan`, the sweep, the wish and the page read "1M" and "128k" alike."""
    for said, tokens in (("1M", 1_010_000), ("1000k", 1_010_000), ("128k", 131_072)):
        plan = planner.plan("Qwen/Qwen3.5-27B", on="8x h100", context=said, yarn=True)
        swept = planner.sweep("Qwen/Qwen3.5-27B", on="8x h100", contexts=said, yarn=True)
        wanted = want("Qwen3.5-27B", on="8x h100", context=said, yarn=True)
        page = Asked(on="h100", context=said)
        found = {plan.deployment.context, *swept["context"], wanted.context, page.tokens}
        assert found == {tokens}
        assert numbers(said, tokens_of, what="context") == (tokens,)


@pytest.mark.parametrize("speed", [float("nan"), float("inf"), -1.0])
def test_a_least_speed_is_a_number(speed: float) -> None:
    """W22."""
    with pytest.raises(InputError, match="least speed must be a number"):
        Wish(least_speed=speed)


def test_a_document_carries_the_advice() -> None:
    """M5: in Python as on the command line."""
    plan = planner.plan("Qwen/Qwen3.5-9B", on="rtx-3060", precision="bf16", engine="vllm")
    assert not plan.fits
    advice = plan.to_dict()["advice"]
    assert advice[0]["command"].startswith(("vllm serve ", "llama-server "))
    assert planner.plan("Qwen/Qwen3.5-9B", on="h100").to_dict()["advice"] == []


def test_what_a_command_carries_instead_of_a_default_is_a_note() -> None:
    plan = planner.plan("Qwen/Qwen3.5-27B-FP8", on="2x rtx-4090", context="128k", concurrency=4)
    assert any("vLLM would refuse to start" in note for note in plan.notes)
    assert not any("vLLM would refuse to start" in warning for warning in plan.warnings)

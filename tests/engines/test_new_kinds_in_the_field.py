"""Starts that people reported of a model with newer kinds of layers, and the verdicts on them."""

from typing import Any

import pytest

import planner
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.planning import Outcome

NAME = "Qwen3.8-Flash-Next"
STARTS = (Outcome.FITS, Outcome.TIGHT)
SPREAD = Layout(tensor_parallel=8, expert_parallel=True)
MTP3 = {"num_speculative_tokens": 3}
Q4, IQ4 = (f"unsloth/Qwen3.8-Flash-Next-GGUF:UD-{quant}" for quant in ("Q4_K_XL", "IQ4_XS"))
UBATCH = {"ubatch_size": 2048}
FROM_DISK = {"ple_offload_backend": "file"}
ON_GPU = {"ple_offload_embedding": False}
FIVE = {
    "speculative_algorithm": "NEXTN",
    "speculative_num_steps": 4,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 5,
}


@pytest.mark.parametrize(
    ("on", "engine", "precision", "asked", "outcomes"),
    [
        # vllm-project/recipes#870: RadixArk NVFP4, 1.48 requests of 262,144 tokens
        pytest.param(
            "4x rtx-5090", "vllm", "nvfp4", {"context": 262_144, "options": MTP3}, STARTS, id="870"
        ),
        # vllm-project/recipes#923: FP8, table on the host
        pytest.param("4x h100", "vllm", "fp8", {"context": 65_536}, STARTS, id="923"),
        # SemiAnalysisAI/InferenceX#2756: FP8, TP 8 with expert parallelism
        pytest.param(
            "8x h100", "sglang", "fp8", {"context": 65_536, "layout": SPREAD}, STARTS, id="2756"
        ),
        # sgl-project/sglang#37995: one GB10 with the table on disk, two with it on the GPUs
        pytest.param(
            "gb10", "sglang", "nvfp4", {"context": 32_768, "options": FROM_DISK}, STARTS, id="37995"
        ),
        pytest.param(
            "2x gb10",
            "sglang",
            "nvfp4",
            {"context": 32_768, "options": ON_GPU},
            STARTS,
            id="37995b",
        ),
        # blazux/qwen3.8-Flash-DGX#7: vLLM on one GB10 needs a patch that leaves the table on disk
        pytest.param(
            "gb10", "vllm", "nvfp4", {"context": 262_144}, (Outcome.DOES_NOT_FIT,), id="dgx-7"
        ),
        # MiaAI-Lab/Qwen3.8-Flash-Next-Dual-DGX-Sparks#22
        pytest.param(
            "2x gb10", "sglang", "nvfp4", {"options": FIVE}, (Outcome.CANNOT_RUN,), id="sparks-22"
        ),
        # ggml-org/llama.cpp#27742: UD-Q4_K_XL, 131,072 tokens, on one GB10
        pytest.param(
            "gb10", "llamacpp", Q4, {"context": 131_072, "options": UBATCH}, STARTS, id="27742"
        ),
        # nibor1896/Crow#140: UD-Q4_K_XL on an RTX 4090, experts in 110 GB of RAM
        pytest.param(
            "rtx-4090 + 110GB RAM", "llamacpp", Q4, {"context": 81_920}, STARTS, id="crow-140"
        ),
        # ollama/ollama#18078: UD-IQ4_XS with 256k on a MacBook of 128 GB
        pytest.param("m4 max 128", "llamacpp", IQ4, {"context": 262_144}, STARTS, id="18078"),
        # devan-carlin/Qwen3.8-Flash-Next-W4A16: a port; vLLM itself raises on XPU
        pytest.param("4x arc-pro-b70", "vllm", "fp8", {}, (Outcome.CANNOT_RUN,), id="xpu"),
    ],
)
def test_reported_starts_have_the_right_verdict(
    on: str, engine: str, precision: str, asked: dict[str, Any], outcomes: tuple[Outcome, ...]
) -> None:
    repository = "/" in precision
    plan = planner.plan(
        precision if repository else NAME,
        on=on,
        engine=engine,
        precision=None if repository else precision,
        **asked,
    )
    assert plan.outcome in outcomes, plan.verdict


def test_weights_of_a_node_are_those_that_were_seen() -> None:
    """Two GB10 with the table on the GPUs hold about 65 GB each (sgl-project/sglang#37995)."""
    plan = planner.plan(
        NAME, on="2x gb10", engine="sglang", precision="nvfp4", context=32_768, options=ON_GPU
    )
    assert plan.ranks[0].of_kind(Kind.WEIGHTS) == pytest.approx(65e9, rel=0.02)

"""What the explain view shows: a formula with its numbers put in gives the term's bytes."""

import math
import re
from typing import Any

import pytest

import planner
from planner.memory.breakdown import Term

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
FUNCTIONS = {
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "ceil": math.ceil,
    "floor": math.floor,
}
ARITHMETIC = re.compile(r"(?:[\d.\s+*/(),-]|e[+-]?\d+|max|min|ceil|floor)+")
IN_WORDS = {
    "tensors placed here, each padded to the buffer's alignment",
    "peak of ggml's allocator over the graph of T tokens and C cells",
    "context + pools of cuBLAS and matrix kernels",
    "program, libraries, vocabulary",
}
"""Formulas whose parts are too many to be listed."""


def evaluated(term: Term) -> float | None:
    """What the substituted formula gives; None where it is no arithmetic."""
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", term.substituted)
    text = re.sub(r"(\d) ([KMG]iB)\b", lambda found: f"{found[1]} * {UNITS[found[2]]}", text)
    text = text.replace(" x ", " * ").replace("^", "**")
    if ARITHMETIC.fullmatch(text) is None:
        return None
    value = eval(text, {"__builtins__": {}}, FUNCTIONS)
    assert isinstance(value, int | float)
    return value


QUESTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ("vllm", "Qwen3.5-27B", {"num_speculative_tokens": 2}),
    ("vllm", "Qwen3.5-35B-A3B", {"kv_cache_memory_bytes": 2**31}),
    ("vllm", "Qwen3.5-27B", {"cpu_offload_gb": 3.5, "wsl2": True}),
    ("vllm", "Qwen3.5-27B", {"num_speculative_tokens": 2, "speculative_method": "dflash"}),
    ("sglang", "Qwen3.5-35B-A3B", {}),
    ("sglang", "Qwen3.5-27B", {"speculative_algorithm": "NEXTN"}),
    ("sglang", "Qwen3.5-122B-A10B", {"version": "0.5.12", "mm_feature_transport": "cuda_ipc"}),
    ("sglang", "Qwen3.5-4B", {"disable_cuda_graph": True}),
    ("llamacpp", "Qwen3.5-35B-A3B", {}),
    ("transformers", "Qwen3.5-27B", {}),
    ("mlx", "Qwen3.5-27B", {}),
    ("tensorrt-llm", "Qwen3.5-27B", {}),
    ("ktransformers", "Qwen3.5-35B-A3B", {}),
]


@pytest.mark.parametrize(("engine", "model", "options"), QUESTIONS)
def test_the_numbers_put_into_a_formula_give_its_bytes(
    engine: str, model: str, options: dict[str, Any]
) -> None:
    seen = 0
    for on in ("h100", "8x h100", "dgx-spark", "m4-max-128"):
        precision = "q4_k_m" if engine == "llamacpp" else None
        plan = planner.plan(
            model,
            on=on,
            engine=engine,
            options=options,
            precision=precision,
            context="64k",
            concurrency=3,
        )
        for rank in plan.ranks:
            for term in rank.terms:
                value = evaluated(term)
                if value is None:
                    assert term.formula in IN_WORDS
                    continue
                assert abs(value - term.nbytes) <= 1, (on, term.name, term.substituted)
                seen += 1
    assert seen or engine == "llamacpp"

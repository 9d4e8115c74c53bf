"""Suite `transformers`: cache bytes of the model classes themselves, run on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import transformers_cache
from benchmarks.suites.result import CaseResult
from planner.errors import PlannerError
from planner.model.hf_config import read_config
from planner.model.spec import ModelSpec

FILES = ("transformers_cache_measured.json",)

SMALL_MODEL: dict[str, Any] = {
    "model_type": "qwen3_5_text",
    "architectures": ["Qwen3_5ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "vocab_size": 512,
    "max_position_embeddings": 4096,
    "num_hidden_layers": 8,
    "full_attention_interval": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "linear_num_key_heads": 4,
    "linear_num_value_heads": 8,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
"""The small random model that was measured, as far as its cache goes."""

STATE_DTYPE = "torch.float32"
COMPARED = (
    "total_bytes",
    "kv_formula",
    "state_bytes",
    "conv_shape",
    "conv_dtype",
    "rec_shape",
    "rec_dtype",
    "layer_types",
    "logits_dtype",
)
LOGITS_LEFT = "logits_shape: it depends on which call was measured, which no case says"


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per measured point."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8")):
        name = f"{case['dtype']} batch {case['batch']}, {case['tokens']} tokens"
        try:
            expected = {field: case[field] for field in COMPARED}
            yield CaseResult(
                name=name, expected=expected, answered=_answer(case), left_out=(LOGITS_LEFT,)
            )
        except PlannerError as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _model(dtype: str) -> ModelSpec:
    return read_config(SMALL_MODEL | {"dtype": dtype}, name="small random model")


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    model = _model(case["dtype"])
    return transformers_cache(model, case["batch"], case["tokens"]) | {
        "conv_dtype": f"torch.{model.dtype}",
        "rec_dtype": STATE_DTYPE,
        "logits_dtype": f"torch.{model.dtype}",
    }

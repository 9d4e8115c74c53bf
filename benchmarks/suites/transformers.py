"""Suite `transformers`: cache bytes of the model classes themselves, run on a CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.result import CaseResult
from planner.engines.transformers.cache import cache_bytes, cache_layer_classes, state_shapes
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
"""The shape of the logits is left out: it depends on which call was measured, which no case says."""


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per measured point."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8")):
        name = f"{case['dtype']} batch {case['batch']}, {case['tokens']} tokens"
        try:
            expected = {field: case[field] for field in COMPARED}
            yield CaseResult(name=name, expected=expected, answered=_answer(case))
        except PlannerError as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _model(dtype: str) -> ModelSpec:
    return read_config(SMALL_MODEL | {"dtype": dtype}, name="small random model")


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    model, batch, tokens = _model(case["dtype"]), case["batch"], case["tokens"]
    cache = cache_bytes(model, batch=batch, tokens=tokens)
    conv, recurrent = state_shapes(model, batch)
    return {
        "total_bytes": cache.total,
        "kv_formula": cache.kv,
        "state_bytes": cache.state,
        "conv_shape": list(conv),
        "conv_dtype": f"torch.{model.dtype}",
        "rec_shape": list(recurrent),
        "rec_dtype": STATE_DTYPE,
        "layer_types": list(cache_layer_classes(model)),
        "logits_dtype": f"torch.{model.dtype}",
    }

"""Suite `params`: parameters by component, totals, active parameters, BF16 bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import checkpoint_named
from planner.model.parameters import count_parameters

FILES = ("params.json",)


def run(folder: Path) -> Iterator[CaseResult]:
    """Return one result per model of params.json."""
    return models_of(folder, FILES[0])


def models_of(folder: Path, file: str) -> Iterator[CaseResult]:
    """Yield one result per model of a file in the format of params.json."""
    for name, case in json.loads((folder / file).read_text("utf-8")).items():
        try:
            answered = _answer(name, folder)
            answered["layers"] = {key: answered["layers"][key] for key in case["layers"]}
            yield CaseResult(name=name, expected=_expected(case), answered=answered)
        except (LookupError, ValueError) as error:
            yield CaseResult(name=name, unasked=str(error))


def _expected(case: dict[str, Any]) -> dict[str, Any]:
    components = case["components"] | {
        key.partition("(")[0]: count for key, count in case["mtp_components"].items()
    }
    active = case["active_per_token"]
    return {
        "components": sorted(components.items()),
        "text": case["totals"]["text"],
        "vision": case["totals"]["vision"],
        "mtp": case["totals"]["mtp"],
        "total": case["totals"]["text+vision+mtp (checkpoint)"],
        "active_body": active["body_no_embed_no_head"],
        "active_decode": active["body_plus_lm_head"],
        "active_named": active["body_plus_head_plus_full_embed"],
        "active_mtp": case["active_mtp_per_draft_step"],
        "checkpoint_bytes": case["checkpoint_bytes_expected"],
        "layers": case["layers"],
    }


def _answer(name: str, folder: Path) -> dict[str, Any]:
    checkpoint = checkpoint_named(name, folder)
    model, counts = checkpoint.model, count_parameters(checkpoint.model)
    return {
        "components": sorted(counts.components.items()),
        "text": counts.text,
        "vision": counts.vision,
        "mtp": counts.mtp,
        "total": counts.total,
        "active_body": counts.active_body,
        "active_decode": counts.active_decode,
        "active_named": counts.active_named,
        "active_mtp": counts.active_mtp,
        "checkpoint_bytes": checkpoint.nbytes(),
        "layers": {
            "total": model.num_hidden_layers,
            "linear": len(model.linear_attention_layers),
            "full": len(model.full_attention_layers),
            "ple_layer_indices": [i for i, layer in enumerate(model.layers) if layer.ngrams],
        },
    }

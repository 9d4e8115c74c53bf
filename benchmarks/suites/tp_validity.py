"""Suite `tp_validity`: which tensor-parallel sizes load, in BF16 and block FP8, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.result import CaseResult
from planner.engines.sglang.legality import layout_violations, messages
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.ranks import Gpu, Parallel
from planner.engines.sglang.server import Server
from planner.errors import PlannerError

FILES = ("tp_validity_sglang.json",)
COMPARED = ("errors", "fp8_block128_errors", "valid_bf16", "valid_fp8_block")
FAMILY = "Qwen/Qwen3.5-"
"""The cases call models by what comes after it."""


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per model and tensor-parallel size."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8")):
        name = f"{case['model']} TP {case['tp']}"
        expected = {field: case[field] for field in COMPARED if field in case}
        try:
            yield CaseResult(name=name, expected=expected, answered=_answer(case, folder))
        except (LookupError, PlannerError) as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _answer(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    parallel = Parallel(tp_size=case["tp"])
    plain, blocks = (_errors(case["model"], parallel, folder, scheme) for scheme in ("bf16", "fp8"))
    model = checkpoint_named(FAMILY + case["model"], folder).model
    shared_out = replace(parallel, ep_size=parallel.tp_size)
    shared = messages(layout_violations(model, shared_out))
    experts = {rule: text for rule, text in shared.items() if rule == "ep_num_experts"}
    return {
        "errors": plain | experts,
        "fp8_block128_errors": blocks,
        "valid_bf16": not plain,
        "valid_fp8_block": not blocks,
    }


def _errors(model: str, parallel: Parallel, folder: Path, scheme: str) -> dict[str, str]:
    server = Server(
        checkpoint=checkpoint_named(FAMILY + model, folder, scheme=scheme),
        parallel=parallel,
        gpu=Gpu(memory_mib=81559, capability=(9, 0)),
        options=SGLangOptions(),
    )
    return messages(iter(server.load_violations()))

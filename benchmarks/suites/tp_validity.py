"""Suite `tp_validity`: which tensor-parallel sizes load, in BF16 and block FP8, and why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import SGLangServer
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import checkpoint_named, command_of, options_of
from planner.errors import PlannerError
from planner.layout import Layout

FILES = ("tp_validity_sglang.json",)
COMPARED = ("errors", "fp8_block128_errors", "valid_bf16", "valid_fp8_block")
FAMILY = "Qwen/Qwen3.5-"
"""The cases call models by what comes after it."""


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every model and tensor-parallel size."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8")):
        name = f"{case['model']} TP {case['tp']}"
        expected = {field: case[field] for field in COMPARED if field in case}
        try:
            yield CaseResult(name=name, expected=expected, answered=_answer(case, folder))
        except LookupError as error:
            yield CaseResult(name=name, unasked=str(error))
        except PlannerError as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _answer(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    plain, blocks = (_server(case, folder, scheme) for scheme in ("bf16", "fp8"))
    errors, block_errors = plain.load_errors(), blocks.load_errors()
    return {
        "errors": errors | plain.shared_out_errors(),
        "fp8_block128_errors": block_errors,
        "valid_bf16": not errors,
        "valid_fp8_block": not block_errors,
    }


def _server(case: dict[str, Any], folder: Path, scheme: str) -> SGLangServer:
    name = FAMILY + case["model"]
    command = command_of("sglang", name, ["--tp", str(case["tp"])])
    return SGLangServer.of(
        checkpoint_named(name, folder, scheme=scheme),
        command.layout or Layout(),
        options_of("sglang", command),
        memory_mib=81559,
        capability=(9, 0),
    )

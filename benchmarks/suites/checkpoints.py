"""Suite `checkpoints`: published sizes of checkpoints against the sizes that their recipes give.

What a case says about its recipe (repository, format in words) is translated into a scheme; nothing
else is known of it. Rows that tell of someone's own mix are asked with the nearest scheme and
reported in a group of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.words import checkpoint_named
from planner.errors import PlannerError
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_file import model_file
from planner.model.gguf_mix import GgufScheme

FILES = ("checkpoints.json",)

_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_HEADERS = Allowed(
    relative=0.002,
    reason="a file's bytes within 0.2 %: its header and metadata are not known to the byte",
)
_SIDE_FILES = 27 * 10**6
"""Bytes: tokenizer, template and headers beside the tensors take 11 MB (GGUF) to 27 MB."""


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every row of checkpoints.json."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        yield _case(case, folder)


def _case(case: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{case['model']}: {case['repo']} {case['format']}"
    try:
        recipe = recipe_of(case["format"], repo=case["repo"])
        scheme = recipe.scheme
        if isinstance(scheme, GgufScheme):
            text = f"{case['format']} {case['repo']}".lower()
            scheme = replace(scheme, mtp="mtp" in text)
        checkpoint = checkpoint_named(case["model"], folder, scheme=scheme)
        answered = {"bytes": _answer(case, checkpoint)}
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error), group=_group(case, private=False))
    except PlannerError as error:
        return CaseResult(name=name, failure=str(error), group=_group(case, private=False))
    return CaseResult(
        name=f"{name} as {scheme.name}",
        expected={"bytes": _published(case)},
        answered=answered,
        allowed=_allowed(case),
        assumed=(recipe.nearest,) if recipe.nearest else (),
        group=_group(case, private=recipe.nearest is not None),
    )


def _published(case: dict[str, Any]) -> int:
    return round(float(case["published_size"]) * _UNITS[case["unit"]])


def _answer(case: dict[str, Any], checkpoint: Checkpoint) -> int:
    scheme, scope = checkpoint.scheme, case["scope"]
    if isinstance(scheme, GgufScheme):
        size = model_file(checkpoint.model, scheme)
        return size.tensor_bytes if scope.startswith("tensor bytes") else size.file_bytes
    if scope.startswith(("text only", "vLLM")):
        return checkpoint.nbytes("text")
    return checkpoint.nbytes()


def _group(case: dict[str, Any], *, private: bool) -> str:
    if private:
        return "private mix"
    if case["scope"].startswith("vLLM"):
        return "resident, flags unknown"
    if case["unit"] != "B":
        return "rounded"
    return "tensor bytes" if case["scope"].startswith("tensor bytes") else "file size"


def _allowed(case: dict[str, Any]) -> dict[str, Allowed]:
    tensors = case["scope"].startswith("tensor bytes")
    if case["unit"] == "B":
        return {} if tensors else {"bytes": _HEADERS}
    decimals = len(case["published_size"].partition(".")[2])
    last_digit = _UNITS[case["unit"]] / 10**decimals
    slack, reason = last_digit / 2, "the published size is rounded"
    if "approx" in case["scope"]:
        slack, reason = last_digit, "the published size is said to be approximate"
    if not tensors:
        slack += _SIDE_FILES
        reason += "; files beside the tensors take up to 27 MB"
    return {"bytes": Allowed(absolute=slack, reason=reason)}

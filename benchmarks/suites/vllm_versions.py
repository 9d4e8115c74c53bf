"""Suite `vllm_versions`: the same core answers from earlier releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.result import CaseResult
from benchmarks.suites.vllm_cases import KINDS, answered_error, ask, cases, layout_error, name_of
from planner.errors import PlannerError

FILES = ("vllm_versions.json",)
FIELDS = {
    "mamba_cache_mode": "mamba_cache_mode",
    "block_size": "block_size",
    "page_bytes": "attn_page_bytes",
    "mamba_page_unpadded": "mamba_page_bytes_unpadded",
    "num_blocks": "num_blocks",
    "max_concurrency": "max_concurrency",
    "logged_tokens": "kv_cache_size_tokens",
}


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per case and release."""
    for case in cases(folder / FILES[0]):
        yield _compare(case, folder)


def _compare(case: dict[str, Any], folder: Path) -> CaseResult:
    version = case["vllm_version"]
    name = f"{version} {name_of(case)}"
    try:
        plan = ask(case, version, folder)
    except (PlannerError, LookupError) as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}", group=version)
    expected = {field: case[field] for field in FIELDS if field in case}
    answered = {field: plan.figures.get(FIELDS[field]) for field in expected}
    if "groups" in case:
        expected["groups"] = [[KINDS[kind], layers] for kind, layers in case["groups"]]
        answered["groups"] = [[g["kind"], g["layers"]] for g in plan.figures["groups"]]
    if "error" in case:
        expected["error"] = layout_error(case["error"])
        answered["error"] = answered_error(plan)
    else:
        expected["starts"] = True
        answered["starts"] = plan.allocation is not None and plan.allocation.shortfall == 0
    return CaseResult(name=name, expected=expected, answered=answered, group=version)

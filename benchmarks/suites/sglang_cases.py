"""Translates cases of SGLang's own code, for the suites `sglang` and `sglang_more`.

A case tells the free memory before and after loading, which no plan takes: the server is asked for
its defaults, pools and refusals directly. Its flags go through the planner's own reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import SGLangServer
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import checkpoint_named, command_of, flag_words, options_of
from planner.errors import LayoutError, PlannerError
from planner.layout import Layout
from planner.units import GIB

SPELLED = {"disable_piecewise_cuda_graph": "disable_prefill_cuda_graph"}
"""Flags of older releases that mean the same option."""
GRAPHS_OFF = {
    "cuda_graph_backend_decode": "disable_decode_cuda_graph",
    "cuda_graph_backend_prefill": "disable_prefill_cuda_graph",
}
"""Flags whose value "disabled" is an option of its own."""
SAME = "SAME_AS_MODEL"
WHILE_LOADING = "weights exceed free memory"
LOADING_SAID = "pool.error: the case names no message of the engine, only that loading fails"


def compare_all(path: Path) -> Iterator[CaseResult]:
    """Compare every case of a file."""
    for case in json.loads(path.read_text("utf-8"))["cases"]:
        yield compare(case, path.parent)


def compare(case: dict[str, Any], folder: Path) -> CaseResult:
    """Compare one case."""
    name = case["id"]
    try:
        server = server_of(case, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error))
    except PlannerError as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    expected, left = _expected(case)
    try:
        answered = _answer(case, server)
    except PlannerError as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    return CaseResult(name=name, expected=expected, answered=answered, left_out=left)


def _expected(case: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    pool = dict(case.get("pool") or {})
    left: tuple[str, ...] = ()
    message = pool.get("error")
    if message is not None and message.startswith(WHILE_LOADING):
        pool["error"], left = "loading", (LOADING_SAID,)
    elif message is not None:
        pool["error"] = "; ".join(dict.fromkeys(message.split("; ")))  # stages say the same
    return {
        **{f"resolved.{key}": value for key, value in (case.get("resolved") or {}).items()},
        **{f"pool.{key}": value for key, value in pool.items()},
        **({"error": case["error"]} if "error" in case else {}),
        "model_load_errors": case.get("model_load_errors", {}),
    }, left


def server_of(case: dict[str, Any], folder: Path) -> SGLangServer:
    """Return the server that a case describes.

    Raises:
        LookupError: the planner has no word for something that the case asks.
        PlannerError: it refuses a flag.
    """
    asked = case["input"]
    flags = {SPELLED.get(name, name): value for name, value in asked["flags"].items()}
    for name, option in GRAPHS_OFF.items():
        if flags.get(name) == "disabled":
            del flags[name]
            flags[option] = True
    if flags.get("speculative_draft_model_path") == SAME:
        flags["speculative_draft_model_path"] = asked["model"]
    # A switch that is off is the default; SGLang has no --no-... for it.
    flags = {name: value for name, value in flags.items() if value is not False}
    command = command_of("sglang", asked["model"], flag_words(flags))
    if strange := [line for line in command.unplanned if "not a flag" in line]:
        raise LookupError("; ".join(strange))
    capability = asked["compute_capability"]
    precision = recipe_of(asked["weights_precision"])
    return SGLangServer.of(
        checkpoint_named(asked["model"], folder, scheme=precision.scheme),
        command.layout or Layout(),
        options_of("sglang", command, version=case["version"]),
        memory_mib=asked["gpu_mem_mib"],
        capability=(capability[0], capability[1]),
        kv_cache_dtype=command.kv_cache_dtype or "auto",
    )


def _answer(case: dict[str, Any], server: SGLangServer) -> dict[str, Any]:
    errors = server.load_errors()
    if "moe_intermediate" in errors:  # such cases also ask whether sharing experts out would do
        errors |= server.shared_out_errors()
    answered: dict[str, Any] = {"model_load_errors": errors}
    refused = server.option_error()
    if refused is not None:
        return answered | {"error": refused}
    answered |= {f"resolved.{key}": value for key, value in server.resolved().items()}
    try:
        pool = server.pool(
            before=case["input"]["pre_model_load_gib"] * GIB,
            after=case["input"]["available_after_load_gib"] * GIB,
        )
    except LayoutError as error:
        return answered | {"error": f"AssertionError: {error}"}
    if asked := (case.get("pool") or {}).get("stages"):
        pool |= {"stages": _stages(pool, asked)}
    return answered | {f"pool.{key}": value for key, value in pool.items()}


def _stages(pool: dict[str, Any], asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pool as each pipeline stage sees it: they differ in the bytes of a token."""
    cells = pool["pp_stage_cell_bytes"]
    return [
        {key: pool.get(key) for key in stage} | {"cell_bytes_per_token": cell}
        for stage, cell in zip(asked, cells, strict=True)
    ]

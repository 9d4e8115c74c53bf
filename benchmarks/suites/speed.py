"""Suite `speed`: step times of kernel tables and of measured serving of the 397B.

Kernel preset: `speed_reference.json`, decode and prefill (points that carry a flag of the source are
a group of their own). Serving preset: `serving_397b.json`, measured time per output token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import SECONDS, CaseResult
from benchmarks.suites.words import checkpoint_named, system_named
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.throughput import Banded, NoEstimate, SpeedEstimate, Workload, estimate_speed

FILES = ("speed_reference.json",)
SERVING = "serving_397b.json"

_ONE_SHOT = 2**40
"""Chunk of a prompt that is not cut."""


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per point of both files."""
    kernel = json.loads((folder / FILES[0]).read_text("utf-8"))
    for row in _rows(kernel["decode"]):
        group = "kernel decode, flagged" if row["flags"] else "kernel decode"
        yield _asked(_decode, row, group, folder)
    for row in _rows(kernel["prefill"]):
        group = "kernel prefill, flagged" if row["flags"] else "kernel prefill"
        yield _asked(_prefill, row, group, folder)
    places = (folder / SERVING, folder.parent / "field" / SERVING, folder / "field" / SERVING)
    serving = next((place for place in places if place.is_file()), None)
    if serving is None:
        yield CaseResult(name=SERVING, failure=f"{SERVING} is not there", group="serving")
        return
    for row in json.loads(serving.read_text("utf-8"))["cases"]:
        yield _asked(_serving, row, "serving", folder)


def _asked(
    ask: Callable[[dict[str, Any], Path], tuple[float, Banded]],
    row: dict[str, Any],
    group: str,
    folder: Path,
) -> CaseResult:
    keys = ("system", "backend", "model", "prec", "layout", "tp", "ep", "b", "ctx", "isl", "conc")
    name = " ".join(f"{key}={row[key]}" for key in keys if key in row)
    try:
        truth, seconds = ask(row, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error), group=group)
    return CaseResult(
        name=name,
        expected={SECONDS: truth},
        answered={SECONDS: seconds.value},
        within_band=seconds.holds(truth),
        group=group,
    )


def _checkpoint(row: dict[str, Any], model: str, folder: Path) -> Checkpoint:
    return checkpoint_named(model, folder, scheme=recipe_of(row["prec"]).scheme)


def _decode(row: dict[str, Any], folder: Path) -> tuple[float, Banded]:
    workload = Workload(
        prompt_tokens=row["ctx"], depth=row["ctx"], concurrency=row["b"] * row["dp"]
    )
    found = _kernel(row, folder, workload)
    return row["tpot_ms"] / 1e3, found.time_per_output_token


def _prefill(row: dict[str, Any], folder: Path) -> tuple[float, Banded]:
    workload = Workload(prompt_tokens=row["isl"], prompts_together=row["b"])
    found = _kernel(row, folder, workload, chunk=row["chunk"] or _ONE_SHOT)
    if found.prefill is None:
        raise LookupError("no estimate of the prompt")
    return row["ttft_ms"] / 1e3, found.prefill.seconds


def _kernel(
    row: dict[str, Any], folder: Path, workload: Workload, *, chunk: int = _ONE_SHOT
) -> SpeedEstimate:
    layout = Layout(
        tensor_parallel=row["tp"], data_parallel=row["dp"], expert_parallel=row["ep"] > 1
    )
    found = estimate_speed(
        _checkpoint(row, f"Qwen3.5-{row['model']}", folder),
        system_named(row["system"], layout.accelerators),
        layout,
        engine=row["backend"],
        workload=workload,
        kv_cache_dtype=row["kv"],
        preset="kernel",
        chunk=chunk,
    )
    return _answered(found)


def _serving(row: dict[str, Any], folder: Path) -> tuple[float, Banded]:
    # Experts over some of the ranks, cut over the rest, weigh on a rank as over all of them.
    layout = Layout(tensor_parallel=row["tp"], expert_parallel=row["ep"] > 1)
    found = estimate_speed(
        _checkpoint(row, "Qwen3.5-397B-A17B", folder),
        system_named(row["system"], row["tp"]),
        layout,
        engine="sglang",
        workload=Workload(
            prompt_tokens=row["isl"], output_tokens=row["osl"], concurrency=row["conc"]
        ),
    )
    return row["meas_tpot"] / 1e3, _answered(found).time_per_output_token


def _answered(found: SpeedEstimate | NoEstimate) -> SpeedEstimate:
    if isinstance(found, NoEstimate):
        raise LookupError(found.reason)
    return found


def _rows(table: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (dict(zip(table["columns"], row, strict=True)) for row in table["rows"])

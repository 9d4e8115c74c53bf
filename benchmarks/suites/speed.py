"""Suite `speed`: step times of kernel tables and of measured serving of the 397B.

Kernel preset: `speed_reference.json`, decode and prefill (points that carry a flag of the source are
a group of their own). Serving preset: `serving_397b.json`, measured time per output token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hardware_db
from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.published import scheme_name
from benchmarks.suites.result import CaseResult
from planner.layout import Layout
from planner.throughput import Banded, NoEstimate, SpeedEstimate, Workload, estimate_speed

FILES = ("speed_reference.json",)
SERVING = "serving_397b.json"

_SYSTEMS = {
    "b200_sxm": "b200",
    "b300_sxm": "b300",
    "gb200": "gb200",
    "gb300": "gb300",
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200-sxm",
    "rtx_pro_6000_server": "rtx-pro-6000-server",
    "l40s": "l40s",
    "a100_sxm": "a100-sxm-80",
}
_SCHEMES = {"bf16": "bf16", "fp8": "fp8", "nvfp4": "nvfp4-experts", "fp4": "nvfp4-experts"}
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
    except (LookupError, ValueError) as error:
        return CaseResult(name=name, failure=str(error), group=group)
    return CaseResult(
        name=name,
        expected={"seconds": truth},
        answered={"seconds": seconds.value},
        within_band=seconds.holds(truth),
        group=group,
    )


def _system(row: dict[str, Any]) -> str:
    """The accelerator by the database's name of it."""
    name = str(row["system"])
    return _SYSTEMS.get(name, name.replace("_", "-"))


def _scheme(row: dict[str, Any]) -> str:
    precision = str(row["prec"])
    return _SCHEMES.get(precision) or scheme_name(precision)


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
        checkpoint_named(f"Qwen3.5-{row['model']}", folder, scheme=_scheme(row)),
        hardware_db.resolve(f"{layout.accelerators}x {_system(row)}"),
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
        checkpoint_named("Qwen3.5-397B-A17B", folder, scheme=_scheme(row)),
        hardware_db.resolve(f"{row['tp']}x {_system(row)}"),
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

"""Suite `overheads`: KV memory left, given the weights loaded; the error is in GiB.

A row of overheads.json marked `suite` is a start-up whose log prints weights and KV memory. What
lies between them and the budget is what the planner estimates; `error` is the difference.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.result import CaseResult
from hardware_db import Figure, HardwareError, System, resolve
from planner.engines import get_engine
from planner.engines.vllm import VllmOptions
from planner.errors import PlannerError
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.planning import Plan
from planner.question import Question

FILES = ("overheads.json",)
GIB = 2**30
OVERHEADS = (Kind.RUNTIME, Kind.ACTIVATIONS, Kind.CUDA_GRAPHS)
HARDWARE = {
    "3090": "rtx-3090",
    "4090": "rtx-4090",
    "5090": "rtx-5090",
    "a6000": "rtx-a6000",
    "pro 6000": "rtx-pro-6000",
    "h100": "h100-sxm",
    "h200": "h200-sxm",
    "b200": "b200",
    "l4": "l4",
    "l40s": "l40s",
    "a100-80": "a100-sxm-80",
    "a100-40": "a100-sxm-40",
    "gb10": "gb10",
    "strixhalo": "strix-halo-128",
}
PRECISIONS = (
    ("nvfp4", "nvfp4-ct"),
    ("awq", "awq-int4"),
    ("gptq", "gptq-int4-all"),
    ("int4", "w4a16"),
    ("fp8", "fp8"),
)


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per row of the suite; grouped by discrete NVIDIA and the rest."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        if row["suite"]:
            yield _compare(row, folder)


def _compare(row: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{row['id']} {row['gpu']} {row['arch']['name']} {row['version']}"
    try:
        plan = _ask(row, folder)
    except (PlannerError, LookupError, ValueError) as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    if not plan.ranks:
        return CaseResult(name=name, failure=plan.verdict)
    terms = [term for term in plan.ranks[0].terms if term.kind in OVERHEADS]
    below = sum(term.band.below for term in terms if term.band)
    above = sum(term.band.above for term in terms if term.band)
    estimate = sum(term.nbytes for term in terms)
    truth = row["ovh"] * GIB
    discrete = not plan.deployment.system.accelerator.is_unified
    nvidia = plan.deployment.system.accelerator.vendor == "nvidia"
    boot = plan.allocation.first_boot if plan.allocation else None
    cold = above + (boot[1] if boot and _cold(row) else 0)
    return CaseResult(
        name=name,
        expected={"overhead_gib": row["ovh"]},
        answered={"overhead_gib": round(estimate / GIB, 3)},
        error=abs(truth - estimate) / GIB,
        tolerance=0.0,
        within_band=estimate - below <= truth <= estimate + cold,
        group="NVIDIA, own memory" if discrete and nvidia else "others",
    )


def _cold(row: dict[str, Any]) -> bool:
    """The start was a first one, or the log does not say that it was not."""
    return row.get("compile") not in ("warm", "eager")


def _ask(row: dict[str, Any], folder: Path) -> Plan:
    utilization = row["util"]
    version = re.match(r"\d+\.\d+\.\d+", row["version"])
    if version is None:
        raise LookupError(f"release {row['version']}")
    speculative = re.search(r"num_spec_tokens=(\d+)", row.get("spec") or "")
    options = VllmOptions(
        version=version[0],
        gpu_memory_utilization=utilization,
        max_num_seqs=row["N"],
        max_num_batched_tokens=row["T"],
        num_speculative_tokens=int(speculative[1]) if speculative else 0,
        language_model_only=bool(row["text_only"]),
        enforce_eager=bool(row["eager"]),
        wsl2=row["gpu"].endswith("-WSL"),
    )
    return Question(
        checkpoint=checkpoint_named(row["arch"]["name"], folder, scheme=_precision(row)),
        system=_system(row),
        engine=get_engine("vllm"),
        context=row["max_model_len"] or 32_768,
        concurrency=1,
        layout=Layout(tensor_parallel=row["tp"], pipeline_parallel=row["pp"]),
        options=options,
    ).plan()


def _precision(row: dict[str, Any]) -> str:
    words = f"{row['quant']} {row['model']}".lower()
    return next((name for word, name in PRECISIONS if word in words), "bf16")


def _system(row: dict[str, Any]) -> System:
    """The database's card with the memory that the log's machine had."""
    gpu = row["gpu"].lower().rstrip("?").removesuffix("-wsl")
    count = row["tp"] * row["pp"]
    try:
        system = resolve(f"{count}x {HARDWARE.get(gpu, gpu)}")
    except HardwareError:  # no card of ours: its memory is known all the same
        system = resolve(f"{count}x custom:{row['total']}GiB")
    measured = Figure(value=row["total"] * 1024, source="the start-up log", grade="A")
    accelerator = dataclasses.replace(
        system.accelerator, memory_cuda_mib=measured, memory_cuda_wddm_mib=measured
    )
    return dataclasses.replace(system, accelerator=accelerator)

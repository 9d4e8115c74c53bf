"""Suite `overheads`: KV memory left, given the weights loaded; the error is in GiB.

A row of overheads.json marked `suite` is a start-up whose log prints weights and KV memory. What
lies between them and the budget is what the planner estimates; `error` is the difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.figures import sum_of
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import (
    checkpoint_named,
    command_of,
    flag_words,
    options_of,
    release_of,
    system_named,
    with_memory,
)
from hardware_db import System, resolve
from planner.errors import PlannerError
from planner.layout import Layout
from planner.memory.breakdown import Kind
from planner.planning import Plan

FILES = ("overheads.json",)
GIB = 2**30
CONTEXT = 32_768
OVERHEADS = (Kind.RUNTIME, Kind.ACTIVATIONS, Kind.CUDA_GRAPHS)
FIRST_START = (
    "a first start may take what the plan names for it beyond its band (the log does not say that"
    " it was a later one)"
)


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per row of the suite; grouped by discrete NVIDIA and the rest."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        if row["suite"]:
            yield _compare(row, folder)


def _compare(row: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{row['id']} {row['gpu']} {row['arch']['name']} {row['version']}"
    try:
        plan, assumed = _ask(row, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error))
    except PlannerError as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    if not plan.ranks:
        return CaseResult(name=name, failure=plan.verdict)
    answer, truth = sum_of(plan, *OVERHEADS), row["ovh"] * GIB
    accelerator = plan.deployment.system.accelerator
    own = not accelerator.is_unified and accelerator.vendor == "nvidia"
    boot = plan.allocation.first_boot if plan.allocation else None
    within = answer.nbytes - answer.below <= truth <= answer.nbytes + answer.above
    if not within and boot and _first(row):
        within = truth <= answer.nbytes + answer.above + boot[1]
        assumed += (FIRST_START,) if within else ()
    return CaseResult(
        name=name,
        expected={"overhead_gib": row["ovh"]},
        answered={"overhead_gib": round(answer.nbytes / GIB, 3)},
        error=abs(truth - answer.nbytes) / GIB,
        within_band=within,
        assumed=assumed,
        group="NVIDIA, own memory" if own else "others",
    )


def _first(row: dict[str, Any]) -> bool:
    """The start was a first one, or the log does not say that it was not."""
    return row.get("compile") not in ("warm", "eager")


def _ask(row: dict[str, Any], folder: Path) -> tuple[Plan, tuple[str, ...]]:
    version = release_of(row["version"].partition("rc")[0])
    if version is None:
        raise LookupError(f"release {row['version']}")
    name = row["arch"]["name"]
    flags = {
        "gpu_memory_utilization": row["util"],
        "max_num_seqs": row["N"],
        "max_num_batched_tokens": row["T"],
        "language_model_only": bool(row["text_only"]),
        "enforce_eager": bool(row["eager"]),
    }
    if tokens := _drafted(row.get("spec")):
        flags["speculative_config"] = {"method": "mtp", "num_speculative_tokens": tokens}
    command = command_of("vllm", name, flag_words(flags))
    wsl2 = row["gpu"].endswith("-WSL")
    recipe = recipe_of(_quantization(row["quant"]), repo=row["model"])
    checkpoint = checkpoint_named(name, folder, scheme=recipe.scheme)
    native = checkpoint.model.max_position_embeddings
    length = row["max_model_len"] or CONTEXT
    plan = planner.plan(
        checkpoint,
        on=_system(row),
        engine="vllm",
        context=length,
        kv_cache_dtype=command.kv_cache_dtype or "auto",
        layout=Layout(tensor_parallel=row["tp"], pipeline_parallel=row["pp"]),
        options=options_of("vllm", command, version=version, wsl2=wsl2),
        yarn=length > native,  # it ran, so the log's command asked for it
    )
    notes = [recipe.nearest] if recipe.nearest else []
    if not row["max_model_len"]:
        notes.append(f"no length is logged: {CONTEXT:,} tokens, on which no overhead depends")
    return plan, tuple(notes)


def _quantization(logged: str | None) -> str:
    """VLLM logs ``quantization=None`` for weights as they are."""
    return "bf16" if logged in (None, "None") else logged


def _drafted(spec: str | None) -> int:
    found = re.search(r"num_spec_tokens=(\d+)", spec or "")
    return int(found[1]) if found else 0


def _system(row: dict[str, Any]) -> System:
    """The database's card with the memory that the log's machine had."""
    gpu = row["gpu"].rstrip("?").removesuffix("-WSL")
    count = row["tp"] * row["pp"]
    try:
        system = system_named(gpu, count)
    except LookupError:  # no card of ours: its memory is known all the same
        system = resolve(f"{count}x custom:{row['total']}GiB")
    return with_memory(system, row["total"], "the start-up log")

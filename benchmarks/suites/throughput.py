"""Suite `throughput`: time per output token of real machines, and whether the stated band holds it.

Points of `throughput.json` of the kinds serving and decode without speculation, and the decode rates
of `cases.json` that were measured without speculation. Groups are one user (decode) and several at
once (serving).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.speed_doubts import doubts_of, rig_of, source_of
from benchmarks.suites.speed_points import SpeedPoint, SpeedQuestion, results
from benchmarks.suites.words import (
    accelerator_named,
    cache_named,
    checkpoint_named,
    engine_named,
    system_named,
)
from hardware_db import System
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.throughput import Speculation, Workload

FILES = ("throughput.json", "cases.json")

_KINDS = ("serving", "decode")
_TOLD_IN_FOOTNOTES = {
    "sx-rtx-pro-6000-maxq-?-45.7-None": "q8_0",
    "sx-v100-sxm2-32-?-33.3-None": "q4_k_m",
}
"""Precisions that the rows of sudoingX/qwen38-mtp leave out and the footnotes of its README tell."""
_LONG = 1000
"""Tokens from which on a first token's time is the prompt's."""
_AGGREGATE = "aggregate"
_WITHOUT = ("no spec", "no mtp")


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per measured point."""
    return results(questions(folder))


def questions(folder: Path, *, drafts: bool = False) -> Iterator[SpeedQuestion]:
    """(name, function that reads the point) of every case that belongs to the suite.

    Args:
        folder: where the files are.
        drafts: those with speculation as well.
    """
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        if row["kind"] in _KINDS and (drafts or not row.get("spec")):
            yield row["id"], partial(_from_throughput, row, folder)
    for case in json.loads((folder / FILES[1]).read_text("utf-8"))["cases"]:
        for index, rate in enumerate(case["throughput"]):
            if rate["phase"] == "decode" and _without_speculation(case, rate):
                name = f"{case['id']}#{index}"
                yield name, partial(_from_case, case, rate, name, folder)


def prompts(folder: Path) -> Iterator[SpeedQuestion]:
    """(name, function that reads the point) of every prompt timed alone: one user's first token."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        cached = "shared-prefix" in (row.get("notes") or "")
        alone = row.get("conc") == 1 and row.get("ttft_ms") and not cached
        if alone and (row.get("isl") or 0) >= _LONG:
            yield f"{row['id']}, prompt", partial(_prompt, row, folder)


def _prompt(row: dict[str, Any], folder: Path) -> SpeedPoint:
    point = _from_throughput(row | {"spec": None}, folder)
    return replace(
        point,
        prefill=True,
        rate=row["isl"] / row["ttft_ms"] * 1e3,
        workload=Workload(prompt_tokens=row["isl"]),
    )


def _from_throughput(row: dict[str, Any], folder: Path) -> SpeedPoint:
    accelerators = row.get("n_gpu") or row["tp"]
    system = system_named(row["hw"], accelerators)
    shared = "shared-prefix" in (row.get("notes") or "")  # its cache is there: nobody computes it
    # DP attention: the ranks of the group are shared out between replicas of attention.
    tensor = row["tp"] // row["dp"] if row["dp"] > 1 and accelerators == row["tp"] else row["tp"]
    return SpeedPoint(
        name=row["id"],
        rig=rig_of(row["source"], system.accelerator.id, accelerators, row.get("cpu")),
        source=source_of(row["source"]),
        lies="GPU, drafts" if row.get("spec") else "GPU",
        prefill=False,
        rate=1e3 / row["tpot_ms"] if row.get("tpot_ms") else 0.0,
        checkpoint=_stored(
            row["model"],
            _TOLD_IN_FOOTNOTES.get(row["id"], row["quant"]),
            row.get("checkpoint"),
            folder,
        ),
        system=system,
        layout=Layout(
            tensor_parallel=tensor, data_parallel=row["dp"], expert_parallel=row["ep"] > 1
        ),
        engine=engine_named(row["engine"]),
        workload=Workload(
            prompt_tokens=0 if shared else row["isl"],
            cached=row["isl"] if shared else 0,
            output_tokens=row["osl"] if row["kind"] == "serving" else None,
            concurrency=row["conc"],
            depth=row["depth"],
            shared_prefix=row["isl"] if shared else 0,
        ),
        cache=cache_named(row.get("kv_dtype")),
        state=cache_named(row.get("ssm_dtype")),
        speculation=_speculation(row.get("spec")),
        doubts=doubts_of(row),
    )


def _from_case(case: dict[str, Any], rate: dict[str, Any], name: str, folder: Path) -> SpeedPoint:
    note = (rate["note"] or "").lower()
    in_ram = "on cpu" in f"{case['flags']} {case['hardware']}".lower()
    wall = note.startswith(_AGGREGATE)
    tensor, count = case["tp"] or 1, case["gpu_count"] or 1
    system = _machine(case["hardware"], count)
    checkpoint = _stored(case["model"], _precision(case, note), case["checkpoint"], folder)
    rest = count // tensor
    # llama.cpp spreads layers over several devices; servers that say TP below the count replicate.
    layers = case["tp"] is None
    prompt, answer = _tokens(rate["prompt"]) or 0, _tokens(rate["gen"])
    depth = _tokens(rate["depth"])
    return SpeedPoint(
        name=name,
        rig=rig_of(case["source"], system.accelerator.id, count, None),
        source=source_of(case["source"]),
        lies="RAM" if in_ram else "GPU",
        prefill=False,
        rate=rate["tok_s"] / rate["batch"],
        checkpoint=checkpoint,
        system=system,
        layout=Layout(
            tensor_parallel=tensor,
            pipeline_parallel=rest if layers else case["pp"] or 1,
            data_parallel=1 if layers or case["pp"] else rest,
        ),
        engine=engine_named(case["engine"]),
        workload=Workload(
            prompt_tokens=prompt,
            output_tokens=answer if wall else None,
            concurrency=rate["batch"],
            depth=prompt + (answer or 0) // 2 if depth is None else depth,
        ),
        cache=cache_named(case["kv_cache_dtype"]),
        state="auto",
        wall=wall,
        placement=_experts_in_ram(checkpoint) if in_ram else _in_equal_parts(checkpoint, system),
    )


def _machine(hardware: str, count: int) -> System:
    """What a source calls ``Radeon AI PRO R9700 32GB`` or ``RTX 5070 Ti + 5060 Ti (2x16GB)``.

    Raises:
        LookupError: it cannot be told.
    """
    hardware = hardware.partition(" + CPU RAM")[0]
    if "+" in hardware:
        found = system_named(hardware, count)
        if found.mixed:
            return found
    return system_named(accelerator_named(hardware), count)


def _experts_in_ram(checkpoint: Checkpoint) -> Placement:
    """All routed experts computed by the CPU, of which the planner assumes the memory."""
    rows = list(checkpoint.rows("text"))
    if not checkpoint.model.tie_word_embeddings:
        rows = [row for row in rows if row.tensor.component != "embed_tokens"]
    experts = sum(row.nbytes for row in rows if row.tensor.component == "moe.routed_experts")
    return Placement(
        device=sum(row.nbytes for row in rows) - experts,
        host_computed=experts,
        host_computed_experts=experts,
    )


def _in_equal_parts(checkpoint: Checkpoint, system: System) -> Placement | None:
    """Unequal accelerators of equal memory: llama.cpp gives each the same share of the layers."""
    if not system.mixed:
        return None
    part = checkpoint.nbytes("text") // system.count
    return Placement(device=part * system.count, of_accelerators=(part,) * system.count)


def _stored(model: str, precision: str | None, repo: str | None, folder: Path) -> Checkpoint:
    """What was served.

    Raises:
        LookupError: how it was stored is not told.
    """
    if precision is None:
        raise LookupError("the precision is not told")
    return checkpoint_named(model, folder, scheme=recipe_of(precision, repo=repo or "").scheme)


def _speculation(text: str | None) -> Speculation | None:
    if text is None:
        return None
    if not text.startswith("mtp") or not text[3:].isdigit():
        raise LookupError(f"speculation {text!r}: how many tokens it drafts is not told")
    return Speculation(tokens=int(text[3:]))


def _precision(case: dict[str, Any], note: str) -> str | None:
    """The precision of a rate; some sources measure a second one beside that of the case."""
    return "fp8" if note == "fp8 checkpoint" else case["quant"]


def _without_speculation(case: dict[str, Any], rate: dict[str, Any]) -> bool:
    note = (rate["note"] or "").lower()
    return note.startswith(_WITHOUT) or not (case["spec"] or note.endswith("spec"))


def _tokens(text: int | str | None) -> int | None:
    if isinstance(text, str):
        return int(text.removesuffix("k")) * 1000 if text.endswith("k") else int(text)
    return text

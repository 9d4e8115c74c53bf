"""Suite `throughput`: time per output token of real machines, and whether the stated band holds it.

Points of `throughput.json` of the kinds serving and decode without speculation, and the decode rates
of `cases.json` that were measured without speculation. Groups are how well founded the planner says
its answer is, roughness apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hardware_db
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import accelerator_named, cache_named, checkpoint_named, engine_named
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.throughput import SpeedEstimate, Workload, estimate_speed

FILES = ("throughput.json", "cases.json")

_KINDS = ("serving", "decode")
_AGGREGATE = "aggregate"
_WITHOUT = ("no spec", "no mtp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measurement as a question.

    Attributes:
        name: which one.
        checkpoint: what was served.
        machine: the hardware, as `hardware_db.resolve` reads it.
        layout: how it was spread.
        engine: what served it.
        workload: prompts, answers, how many at once.
        cache: KV-cache dtype.
        state: dtype of the SSM state.
        seconds: measured time per output token.
        wall: measured over whole requests, prefill included, not between tokens.
    """

    name: str
    checkpoint: Checkpoint
    machine: str
    layout: Layout
    engine: str
    workload: Workload
    cache: str
    state: str
    seconds: float
    wall: bool

    def answer(self) -> SpeedEstimate:
        """The planner's answer.

        Raises:
            LookupError: there is no estimate; the text says why.
        """
        found = estimate_speed(
            self.checkpoint,
            hardware_db.resolve(self.machine),
            self.layout,
            engine=self.engine,
            workload=self.workload,
            kv_cache_dtype=self.cache,
            ssm_dtype=self.state,
        )
        if not isinstance(found, SpeedEstimate):
            raise LookupError(found.reason)
        return found


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per measured point."""
    for name, read in questions(folder):
        try:
            point = read()
            found = point.answer()
        except LookupError as error:
            yield CaseResult(name=name, unasked=str(error), group="not expressed")
            continue
        yield _result(point, found)


def questions(folder: Path) -> Iterator[tuple[str, Any]]:
    """(name, function that reads the point) of every case that belongs to the suite."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        if row["kind"] in _KINDS and not row.get("spec"):
            yield row["id"], lambda row=row: _from_throughput(row, folder)
    for case in json.loads((folder / FILES[1]).read_text("utf-8"))["cases"]:
        for index, rate in enumerate(case["throughput"]):
            if rate["phase"] == "decode" and _without_speculation(case, rate):
                name = f"{case['id']}#{index}"
                yield name, lambda c=case, r=rate, n=name: _from_case(c, r, n, folder)


def _result(point: Point, found: SpeedEstimate) -> CaseResult:
    rate = found.total.scaled(1 / point.workload.concurrency) if point.wall else found.per_user
    rough = ", rough" if found.rough else ""
    return CaseResult(
        name=point.name,
        expected={"seconds": point.seconds},
        answered={"seconds": 1 / rate.value},
        within_band=rate.holds(1 / point.seconds),
        group=f"{found.calibration.basis}{rough}",
    )


def _from_throughput(row: dict[str, Any], folder: Path) -> Point:
    accelerators = row.get("n_gpu") or row["tp"]
    # DP attention: the ranks of the group are shared out between replicas of attention.
    tensor = row["tp"] // row["dp"] if row["dp"] > 1 and accelerators == row["tp"] else row["tp"]
    return Point(
        name=row["id"],
        checkpoint=_stored(row["model"], row["quant"], row.get("checkpoint"), folder),
        machine=f"{accelerators}x {row['hw']}",
        layout=Layout(
            tensor_parallel=tensor, data_parallel=row["dp"], expert_parallel=row["ep"] > 1
        ),
        engine=engine_named(row["engine"]),
        workload=Workload(
            prompt_tokens=row["isl"],
            output_tokens=row["osl"] if row["kind"] == "serving" else None,
            concurrency=row["conc"],
            depth=row["depth"],
            shared_prefix=row["isl"] if "shared-prefix" in (row.get("notes") or "") else 0,
        ),
        cache=cache_named(row.get("kv_dtype")),
        state=cache_named(row.get("ssm_dtype")),
        seconds=row["tpot_ms"] / 1e3,
        wall=False,
    )


def _from_case(case: dict[str, Any], rate: dict[str, Any], name: str, folder: Path) -> Point:
    note = (rate["note"] or "").lower()
    if "on cpu" in f"{case['flags']} {case['hardware']}".lower():
        raise LookupError("experts on the CPU: the source names no host bandwidth")
    wall = note.startswith(_AGGREGATE)
    tensor, count = case["tp"] or 1, case["gpu_count"] or 1
    rest = count // tensor
    # llama.cpp spreads layers over several devices; servers that say TP below the count replicate.
    layers = case["tp"] is None
    prompt, answer = _tokens(rate["prompt"]) or 0, _tokens(rate["gen"])
    depth = _tokens(rate["depth"])
    return Point(
        name=name,
        checkpoint=_stored(case["model"], _precision(case, note), case["checkpoint"], folder),
        machine=f"{count}x {accelerator_named(case['hardware'])}",
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
        seconds=rate["batch"] / rate["tok_s"],
        wall=wall,
    )


def _stored(model: str, precision: str | None, repo: str | None, folder: Path) -> Checkpoint:
    """What was served.

    Raises:
        LookupError: how it was stored is not told.
    """
    if precision is None:
        raise LookupError("the precision is not told")
    return checkpoint_named(model, folder, scheme=recipe_of(precision, repo=repo or "").scheme)


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

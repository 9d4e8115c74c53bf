"""Measured speeds as questions: what `throughput_more.json` says of a run, in the planner's words.

A translation: what cannot be told is a LookupError, which fails the case. Where a source says that
weights lie in RAM but not which, the placement is what llama.cpp's --fit would leave on the host.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Literal

from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.result import SECONDS, CaseResult
from benchmarks.suites.speed_doubts import UNTOLD, Doubt, doubts_of, rig_of, source_of
from benchmarks.suites.words import (
    accelerator_named,
    cache_named,
    checkpoint_named,
    engine_named,
)
from hardware_db import HardwareError, System, resolve
from planner.engines.llamacpp.options import LlamacppOptions
from planner.errors import PlannerError
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.checkpoint import Checkpoint
from planner.throughput import (
    Banded,
    Speculation,
    SpeedEstimate,
    Workload,
    estimate_speed,
)
from planner.throughput.constants import family, table

GIB = 1 << 30
Lies = Literal["GPU", "GPU, drafts", "RAM", "RAM, drafts", "CPU"]

_MACHINES = {
    "rtx-pro-6000": "rtx-pro-6000-ws",
    "rtx5060ti": "rtx-5060-ti-16",
    "rtx3080ti-laptop": "rtx-3080-ti-laptop",
    "rtx4050m": "rtx-4050-laptop",
    "rtx4060m": "rtx-4060-laptop",
    "rtx2050": "rtx-2050-laptop",
    "rtx-pro-3000m": "rtx-pro-3000-laptop",
    "rtx4070s": "rtx-4070-super",
    "rtx2080ti": "rtx-2080-ti-22",
    "rtx3090ti": "rtx-3090-ti",
    "gtx1060": "gtx-1060-6",
    "rx580": "rx-580-8",
    "rx9060xt": "rx-9060-xt-16",
    "v100": "v100-sxm2-32",
    "mi50": "mi50-32",
    "h100": "h100-sxm",
    "apple-m4-m4 pro": "apple-m4-pro",
    "apple-m4-m4 max": "apple-m4-max",
    "strix-halo": "strix-halo-128-gtt",
    "radeon780m": "radeon-780m",
    "radeon890m": "radeon-890m",
}
_CACHES = {
    "q8": "q8_0",
    "int8": "int8_per_token_head",
    "auto (BF16)": "bfloat16",
    "tqk8v4": "turboquant_k8v4",
    "tq4nc": "turboquant_4bit_nc",
    "q8_0/q8_0": "q8_0",
    "q8_0/q4_0": "q8_0",
    "turbo3": "turboquant_3bit_nc",
    "turbo4/turbo3": "turboquant_k3v4_nc",
}
_SPARE = 2.0
"""GiB of a card that hold no weights where --fit decides: caches, buffers, its margin."""

_DRAFTED = re.compile(r"(?:mtp|eagle/mtp)[ -]?(?:n=)?(\d+)")
_ANYWHERE = re.compile(r"(iq[1-4]_[a-z]+|q[2-8]_(?:k_[a-z]+|k|0|1))", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPoint:
    """One measured speed as a question.

    Attributes:
        name: which one.
        rig: source, card, CPU: what is held out together.
        source: who published it.
        lies: where the weights lie, and whether the run drafts.
        prefill: a prompt's speed was measured, not decoding.
        rate: measured tokens per second of one user (of the prompt, if `prefill`).
        wall: measured over whole requests, prefill included, not between tokens.
        doubts: why its source is good for less than a printed table or log.
    """

    name: str
    rig: str
    source: str
    lies: Lies
    prefill: bool
    rate: float
    checkpoint: Checkpoint
    system: System
    layout: Layout
    engine: str
    workload: Workload
    cache: str = "auto"
    state: str = "auto"
    chunk: int | None = None
    placement: Placement | None = None
    ram: float | None = None
    speculation: Speculation | None = None
    wall: bool = False
    doubts: tuple[Doubt, ...] = ()

    @property
    def doubt(self) -> float:
        """How many times the usual error its source is good for."""
        return prod(doubt.times for doubt in self.doubts)

    @property
    def untold(self) -> bool:
        """Whether its source does not tell what the figure is of."""
        return any(doubt.times >= UNTOLD for doubt in self.doubts)

    @property
    def group(self) -> str:
        """The sub-heading: what was measured, and where the weights lie."""
        several = self.workload.concurrency > 1
        what = "prefill" if self.prefill else "serving" if several else "decode"
        return f"{what}, {self.lies}"

    def answer(self) -> Banded:
        """Return the planner's rate.

        Raises:
            LookupError: there is no estimate; the text says why.
        """
        found = estimate_speed(
            self.checkpoint,
            self.system,
            self.layout,
            engine=self.engine,
            workload=self.workload,
            kv_cache_dtype=self.cache,
            ssm_dtype=self.state,
            speculation=self.speculation,
            chunk=self.chunk,
            placement=self.placement,
            ram_bandwidth=self.ram,
        )
        if not isinstance(found, SpeedEstimate):
            raise LookupError(found.reason)
        if self.prefill:
            assert found.prefill is not None
            return found.prefill.tokens_per_second
        if self.wall:
            return found.total.scaled(1 / self.workload.concurrency)
        return found.per_user


SpeedQuestion = tuple[str, Callable[[], SpeedPoint]]
"""A case's name, and what reads it (LookupError: it cannot be expressed)."""


def results(questions: Iterable[SpeedQuestion]) -> Iterator[CaseResult]:
    """Ask every question; compare seconds per token."""
    for name, read in questions:
        try:
            point = read()
            found = point.answer()
        except (LookupError, PlannerError) as error:
            yield CaseResult(name=name, unasked=str(error), group="not expressed")
            continue
        yield CaseResult(
            name=name,
            expected={SECONDS: 1 / point.rate},
            answered={SECONDS: 1 / found.value},
            within_band=found.holds(point.rate),
            group=point.group,
        )


def point_of(row: Mapping[str, Any], folder: Path) -> SpeedPoint:
    """Read a row of throughput_more.json.

    Raises:
        LookupError: the source does not tell what the question needs.
    """
    kind: str = row["kind"]
    engine = _engine(row["engine"], row.get("backend"))
    checkpoint = _checkpoint(row["model"], str(row["quant"]), row.get("file_gib"), folder)
    alone = kind.endswith("-cpu")
    system = replace(_system(row), cpu=row.get("cpu"))
    count = row.get("n_gpu") or 1
    layered = family(engine) == "llamacpp" and not alone
    workload = _workload(row, kind)
    return SpeedPoint(
        name=row["id"],
        rig=rig_of(row["source"], system.accelerator.id, count, row.get("cpu")),
        source=source_of(row["source"]),
        lies=_lies(kind),
        prefill=kind.startswith("prefill"),
        rate=_rate(row, kind),
        checkpoint=checkpoint,
        system=system,
        layout=Layout(pipeline_parallel=count) if layered else Layout(tensor_parallel=row["tp"]),
        engine=engine,
        workload=workload,
        cache=_cache(row.get("kv_dtype")),
        state=cache_named(row.get("ssm_dtype")),
        chunk=row.get("ubatch"),
        placement=_placement(row, kind, checkpoint, system, workload),
        ram=row.get("ram_gb_s"),
        speculation=_speculation(row, kind),
        doubts=doubts_of(row),
    )


def _engine(name: str, backend: str | None) -> str:
    if name.lower().startswith("ik_llama"):
        return "ik-llamacpp"
    ours = name.lower().startswith("igllama") or "llama.cpp" in name.lower() or name == "LM Studio"
    engine = "llamacpp" if ours else engine_named(name)
    variants: Mapping[str, str] = table("rules")["backend"].get((backend or "").lower(), {})
    return variants.get(engine, engine)


def _cache(dtype: str | None) -> str:
    return _CACHES.get(dtype or "") or cache_named(dtype)


def _system(row: Mapping[str, Any]) -> System:
    found = _resolved(str(row["hw"]), row["hw_name"], row.get("n_gpu") or 1)
    if isinstance(found, str):
        raise LookupError(found)
    return found


@cache
def _resolved(name: str, words: str, count: int) -> System | str:
    """The system, or why it cannot be told (kept, since looking in vain takes long)."""
    if name == "cpu":
        return resolve("custom:24GiB")
    try:
        try:
            accelerator = resolve(_MACHINES.get(name, name)).accelerator.id
        except HardwareError:
            accelerator = accelerator_named(words)
        return resolve(f"{count}x {accelerator}")
    except LookupError as error:
        return str(error)


@cache
def _checkpoint(name: str, text: str, size: float | None, folder: Path) -> Checkpoint:
    """The nearest recipe: by its name, by a type named anywhere in it, by the file's size."""
    if "exl3" in text:
        raise LookupError(f"precision {text!r} is of an engine that the planner does not have")
    found = _ANYWHERE.search(text)
    tried = [text, f"gguf-{text}", *([found[1].lower()] if found else [])]
    for word in tried:
        try:
            return checkpoint_named(name, folder, scheme=recipe_of(word).scheme)
        except (LookupError, PlannerError):
            continue
    size = size or _size_told(text)
    if not size:
        raise LookupError(f"precision {text!r} of the source cannot be told")
    types = ("iq2_m", "q3_k_s", "q3_k_m", "iq4_xs", "q4_k_m", "q5_k_m", "q6_k", "q8_0")
    files = [checkpoint_named(name, folder, scheme=word) for word in types]
    return min(files, key=lambda one: abs(one.nbytes("text") - size * GIB))


def _size_told(text: str) -> float | None:
    found = re.search(r"(\d+(?:\.\d+)?) ?GI?B", text, re.IGNORECASE)
    return float(found[1]) if found else None


def _workload(row: Mapping[str, Any], kind: str) -> Workload:
    depth = row.get("depth") or 0
    if kind.startswith("prefill"):
        whole = depth == row["isl"]
        return Workload(prompt_tokens=row["isl"], cached=0 if whole else depth)
    middle = depth + (row.get("osl") or 0) // 2
    return Workload(prompt_tokens=depth, depth=middle, concurrency=row.get("conc") or 1)


def _rate(row: Mapping[str, Any], kind: str) -> float:
    return float(row["prefill_tok_s" if kind.startswith("prefill") else "decode_tok_s_user"])


def _lies(kind: str) -> Lies:
    drafts = kind.endswith("-spec")
    if kind.endswith("-cpu"):
        return "CPU"
    if "offload" in kind:
        return "RAM, drafts" if drafts else "RAM"
    return "GPU, drafts" if drafts else "GPU"


def _speculation(row: Mapping[str, Any], kind: str) -> Speculation | None:
    if not kind.endswith("-spec"):
        return None
    text = str(row.get("spec"))
    found = _DRAFTED.match(text)
    if found is None and text.startswith("mtp") and "llama" in row["engine"].lower():
        return Speculation(tokens=LlamacppOptions().spec_draft_n_max)  # what nobody changed
    if found is None:
        raise LookupError(f"speculation {text!r}: how many tokens it drafts is not told")
    return Speculation(tokens=int(found[1]))


def _placement(
    row: Mapping[str, Any],
    kind: str,
    checkpoint: Checkpoint,
    system: System,
    workload: Workload,
) -> Placement | None:
    rows = [
        one
        for one in checkpoint.rows("text")
        if one.tensor.component != "embed_tokens" or checkpoint.model.tie_word_embeddings
    ]
    whole = sum(one.nbytes for one in rows)
    experts = sum(one.nbytes for one in rows if one.tensor.component == "moe.routed_experts")
    layers = checkpoint.model.num_hidden_layers
    if kind.endswith("-cpu"):
        return Placement(
            device=0,
            host_computed=whole,
            host_computed_experts=experts,
            host_layers=layers,
            prompts_stream=False,
        )
    if "offload" not in kind:
        return None
    room = round((system.accelerator.total_bytes / GIB - _SPARE) * GIB) * system.count
    off = layers + 1 - row["ngl"] if row.get("ngl") is not None else 0
    off = min(layers, max(0, off))
    moved = row.get("n_cpu_moe")
    if row["engine"] == "KTransformers":
        moved = layers
    if moved is None and not off:
        host = max(0, whole - room)
        return Placement(
            device=whole - host,
            host_computed=host,
            host_computed_experts=min(host, experts),
            host_layers=0 if experts else round(layers * host / whole),
        )
    moved = min(layers, moved or 0)
    host_experts = experts * max(moved, off) // layers
    host = host_experts + (whole - experts) * off // layers
    if whole - host > room + GIB:
        raise LookupError("the card does not hold what the source leaves on it: the driver spills")
    return Placement(
        device=whole - host,
        host_computed=host,
        host_computed_experts=host_experts,
        host_layers=off,
    )

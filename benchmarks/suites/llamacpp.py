"""Suite `llamacpp`: every buffer of llama.cpp per device, caches, outputs and graphs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.models import model_named
from benchmarks.suites.result import CaseResult
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.log_figures import log_figures
from planner.engines.llamacpp.placement import Placement, experts_on_host
from planner.errors import PlannerError
from planner.model.gguf_mix import GgufScheme
from planner.model.gguf_tensors import block_count
from planner.model.spec import ModelSpec
from planner.units import MIB

FILES = ("llamacpp.json",)
FULL_NAMES = {
    "next80": "Qwen3-Next-80B-A3B-Instruct",
    "coder-next": "Qwen3-Coder-Next",
    "q38-2.4T": "Qwen3.8-2.4T-A95B",
}
SERIES = {"q36-": "Qwen3.6-", "q38-": "Qwen3.8-"}
"""How the cases abbreviate models; without a prefix they mean Qwen3.5."""
WITHOUT_MTP = "-nomtp"
LOGGED_DIGITS = 2


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per case of llamacpp.json."""
    for case in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        flags = " ".join(f"{key}={value}" for key, value in case["case"].items() if key != "m")
        name = f"{case['model']} on {case['n_gpu']}: {flags}"
        try:
            yield CaseResult(
                name=name,
                expected=_expected(case),
                answered=_answer(case, folder),
                group=case.get("tag"),
            )
        except (LookupError, PlannerError, ValueError) as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}")


def _expected(case: dict[str, Any]) -> dict[str, Any]:
    fields = {
        f"{name}.{part}": size
        for name, parts in case["buffers"].items()
        for part, size in parts.items()
    }
    for field in (
        "kv_mib",
        "k_mib",
        "v_mib",
        "rs_mib",
        "r_mib",
        "s_mib",
        "output_mib",
        "kv_cells",
        "kv_layers",
        "kv_streams",
        "rs_cells",
        "n_ctx",
        "pipeline",
        "graph_nodes",
        "graph_splits",
    ):
        if field in case:
            fields[field] = case[field]
    return fields


def _answer(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    flags, gpus = case["case"], case["n_gpu"]
    model, scheme = _model(case["model"], folder)
    blocks = block_count(model, mtp=scheme.mtp)
    devices = 1 if flags.get("sm") == "none" and gpus else gpus
    placement = Placement(
        devices=devices,
        blocks=blocks,
        n_gpu_layers=int(flags.get("ngl", blocks + 1)),
        shares=_shares(flags, devices),
        overrides=experts_on_host(int(flags.get("ncmoe", 0)), host=devices),
        kv_offload=flags.get("kvo", "1") == "1",
    )
    context = _context(flags)
    figures = log_figures(
        model,
        scheme,
        placement,
        context,
        mtp=flags.get("load_mtp", "0") == "1",
        op_offload=flags.get("opo", "1") == "1",
        repack=flags.get("repack", "1") == "1",
        dry_run=True,
    )
    answer: dict[str, Any] = {
        f"{name}.{part}": getattr(buffer, part)
        for name, buffer in figures.buffers.items()
        for part in ("model", "context", "compute")
    }
    return answer | {
        "kv_mib": _mib(figures.k_bytes + figures.v_bytes),
        "k_mib": _mib(figures.k_bytes),
        "v_mib": _mib(figures.v_bytes),
        "rs_mib": _mib(figures.r_bytes + figures.s_bytes),
        "r_mib": _mib(figures.r_bytes),
        "s_mib": _mib(figures.s_bytes),
        "output_mib": _mib(figures.output_bytes),
        "kv_cells": context.n_ctx_seq,
        "kv_layers": figures.kv_layers,
        "kv_streams": context.n_streams,
        "rs_cells": context.n_seq_max,
        "n_ctx": context.cells,
        "pipeline": figures.pipeline,
        "graph_nodes": figures.graph_nodes,
        "graph_splits": figures.graph_splits,
    }


def _model(label: str, folder: Path) -> tuple[ModelSpec, GgufScheme]:
    name, _, mix = label.rpartition("-")
    mtp = not name.endswith(WITHOUT_MTP)
    name = name.removesuffix(WITHOUT_MTP)
    if name in FULL_NAMES:
        full = FULL_NAMES[name]
    else:
        prefix = next((short for short in SERIES if name.startswith(short)), "")
        full = SERIES.get(prefix, "Qwen3.5-") + name.removeprefix(prefix)
    return model_named(full, folder), GgufScheme(mix=mix.upper(), mtp=mtp)


def _shares(flags: dict[str, str], devices: int) -> tuple[float, ...]:
    """The cases' devices have equal free memory, unless -ts says otherwise."""
    if "ts" in flags:
        return tuple(float(part) for part in flags["ts"].split(","))[:devices]
    return (1.0,) * devices


def _context(flags: dict[str, str]) -> Context:
    sequences = int(flags.get("np", "1"))
    return Context(
        kind="mtp" if flags.get("ctx_type") == "mtp" else "trunk",
        n_ctx=int(flags["c"]),
        n_seq_max=sequences,
        kv_unified=flags.get("kvu", "0") == "1",
        n_batch=int(flags.get("b", "2048")),
        n_ubatch=int(flags.get("ub", "512")),
        n_outputs_max=int(flags.get("nout", sequences)),
        n_rs_seq=int(flags.get("rs_seq", "0")),
        flash_attn=flags.get("fa", "on") != "off",
        type_k=flags.get("ctk", "f16"),
        type_v=flags.get("ctv", "f16"),
    )


def _mib(size: int) -> float:
    """As the log prints it."""
    return round(size / MIB, LOGGED_DIGITS)

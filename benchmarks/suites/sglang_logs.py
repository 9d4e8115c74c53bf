"""Anchors from real SGLang start-up logs; they run as group "logs" of the suite `sglang`.

A log rounds to two decimals of a GiB (which it calls GB), K and V apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hardware_db
from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.result import CaseResult
from planner.engines.engine import Deployment
from planner.engines.sglang import SGLANG, SGLangOptions
from planner.engines.sglang.pool import Allocated
from planner.engines.sglang.ranks import Gpu, Parallel
from planner.engines.sglang.server import Server
from planner.engines.sglang.weights import draft_weights
from planner.errors import PlannerError
from planner.layout import Layout
from planner.units import GIB

FILE = "sglang_logs.json"
ROUNDING_GIB = 0.011
ROUNDING_SHARE = 0.005
LOGGED_VERSION = "0.5.23"
UNIFIED = "gb10"
PLENTY = 2.0**40
"""Bytes: so much that only the row's own flags limit the pools."""


def rows_beside(folder: Path) -> list[dict[str, Any]]:
    """The rows of sglang_logs.json in `folder`; none if there is no such file."""
    path = folder / FILE
    return list(json.loads(path.read_text("utf-8"))) if path.is_file() else []


def run(rows: list[dict[str, Any]], folder: Path) -> Iterator[CaseResult]:
    """One result per row; `folder` is where models are looked up."""
    for row in rows:
        name = row["what"]
        try:
            answered = _answer(row, folder)
        except (LookupError, PlannerError) as error:
            yield CaseResult(name=name, failure=f"{type(error).__name__}: {error}", group="logs")
            continue
        expected = {key: value for key, value in row["logged"].items() if key in answered}
        if not expected:
            yield CaseResult(name=name, failure="no figure of it can be asked", group="logs")
            continue
        in_gib = all(key.endswith(("_GiB", "_GB")) for key in expected)
        yield CaseResult(
            name=name,
            expected=expected,
            answered=answered,
            error=max(abs(answered[key] - expected[key]) for key in expected) if in_gib else None,
            tolerance=ROUNDING_GIB if in_gib else ROUNDING_SHARE,
            group="logs",
        )


def _number(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text)
    return int(found[1]) if found else None


def _server(what: str, folder: Path, **options: Any) -> Server:
    """The server that a row's words describe; 27B-class means the shapes of 27B."""
    found = re.search(r"(Qwen3\.\d-[\w.]+?B)\b|\b(\d+B)(?:-class)?\b", what)
    if found is None:
        raise LookupError(f"no model in {what!r}")
    name = found[1] or f"Qwen3.5-{found[2]}"
    precision = "w8a8-int8" if "INT8" in what else "gptq-int4" if "int4" in what else "bf16"
    return Server(
        checkpoint=checkpoint_named(name, folder, scheme=precision),
        parallel=Parallel(tp_size=_number(r"TP(\d+)", what) or 1),
        gpu=Gpu(memory_mib=1e6, capability=(9, 0)),
        options=SGLangOptions(
            version=LOGGED_VERSION, page_size=_number(r"page (\d+)", what), **options
        ),
        kv_cache_dtype="fp8_e4m3" if "fp8 KV" in what else "auto",
    )


def _answer(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    logged, what = row["logged"], row["what"].replace("same, ", "Qwen3.6-27B INT8 page 64 ")
    formula = " ".join((row["formula"] or {}).values())
    if "mtp_intermediate_GiB" in logged:
        return _speculating(what, formula, folder)
    if "fraction_ok" in logged:
        return {
            "fraction_ok": _judged(logged["fraction_ok"], folder, warned=False),
            "fraction_bad": _judged(logged["fraction_bad"], folder, warned=True),
        }
    if "slots_used_at_cap" in logged:
        server = _server("Qwen3.5-27B", folder, max_mamba_cache_size=logged["max_mamba_cache_size"])
        pool = server.pool(free_before_load=PLENTY, free_after_load=PLENTY)
        return {"max_running_requests": pool.max_running_requests}
    slots = _number(r"--max-mamba-cache-size (\d+)", what) or _number(r"\((\d+)\+1\)", formula)
    tokens = logged.get("kv_tokens")
    server = _server(what, folder, max_mamba_cache_size=slots, max_total_tokens=tokens)
    slot, taken = server.geometry.slot, _taken(server)
    return {
        "bytes": slot.nbytes // slot.layers,
        "kv_bytes_per_token": server.geometry.cells[0],
        "K_GB": taken.k_cache / GIB,
        "V_GB": taken.v_cache / GIB,
        "ssm_state_GB": taken.ssm_state / GIB,
    }


def _taken(server: Server) -> Allocated:
    """What `server` allocates where memory is no limit."""
    pool = server.pool(free_before_load=PLENTY, free_after_load=PLENTY)
    return server.allocated(pool)


def _speculating(what: str, formula: str, folder: Path) -> dict[str, Any]:
    requests = _number(r"c=(\d+)", what)
    tokens = _number(r"\((\d+)\+64\)", formula)
    if requests is None or tokens is None:
        raise LookupError("the row names neither requests nor tokens")
    server = _server(
        what,
        folder,
        speculative_algorithm="NEXTN",
        disable_radix_cache=True,
        max_running_requests=requests,
        max_total_tokens=tokens,
    )
    taken = _taken(server)
    return {
        "target_GDN_state_GiB": taken.state / GIB,
        "mtp_intermediate_GiB": taken.intermediate / GIB,
        "target_KV_GiB": (taken.k_cache + taken.v_cache) / GIB,
        "draft_KV_GiB": taken.draft_kv / GIB,
        "draft_worker_load_GiB": sum(draft_weights(server).values()) / GIB,
    }


def _judged(fractions: list[float], folder: Path, *, warned: bool) -> list[float]:
    """Those of `fractions` that the planner warns of, or those that it does not."""
    return [fraction for fraction in fractions if _warns(fraction, folder) is warned]


def _warns(fraction: float, folder: Path) -> bool:
    system = hardware_db.resolve(UNIFIED)
    allocation = SGLANG.allocate(
        Deployment(
            checkpoint=checkpoint_named("Qwen3.5-27B", folder, scheme="fp8"),
            system=system,
            layout=Layout(),
            context=32768,
            concurrency=1,
            kv_cache_dtype="auto",
            options=SGLangOptions(mem_fraction_static=fraction),
        )
    )
    return any("unified memory" in note for note in allocation.warnings)

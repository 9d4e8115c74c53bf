"""Write a start as a case for the reference suites, without a word that tells whose start it was.

A case holds the model's public name, the hardware, the flags that memory depends on and the figures
that the engine printed: no line of the log, no path, no address, no key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from planner.logs import LogCheck
from planner.model.catalog import catalog
from planner.planning import Plan
from planner.registry import find
from planner.units import GIB

FIGURES: Mapping[str, str] = MappingProxyType(
    {
        "weights": "model_loading_gib",
        "KV cache memory": "available_kv_gib",
        "KV cache size": "kv_tokens",
        "concurrency": "max_concurrency",
        "padding of state pages": "padding_pct",
        "CUDA graphs": "cudagraph_actual_gib",
        "CUDA graphs as vLLM estimates them": "cudagraph_est_gib",
        "KV cache that one request needs": "kv_needed_gib",
    }
)
"""Figures of logs -> their names in the cases; any other keeps its own."""

BLOCK = "block size"


def case_of(check: LogCheck) -> dict[str, Any]:
    """Return the start that was checked as a case, in the form of the suite ``field``."""
    plan = check.plan
    deployment, options = plan.deployment, plan.deployment.options
    checkpoint, accelerator = deployment.checkpoint, deployment.system.accelerator
    layout = deployment.layout
    figures = {row.figure: row.logged for row in (*check.rows, *check.unplanned)}
    measured = {FIGURES.get(name, name): value for name, value in figures.items() if name != BLOCK}
    if "kv_tokens" in measured:
        measured["kv_tokens"] = int(measured["kv_tokens"])
    case: dict[str, Any] = {
        "kinds": ["log"],
        "model": checkpoint.model.name.rpartition("/")[2],
        "checkpoint": _public(checkpoint.id),
        "quant": checkpoint.scheme.name,
        "engine": plan.engine_title,
        "engine_version": check.version or plan.engine_version,
        "hardware": accelerator.name,
        "gpu_count": layout.accelerators,
        "gpu_mem_gib": round(accelerator.total_bytes / GIB, 2),
        "tp": layout.tensor_parallel,
        "pp": layout.pipeline_parallel,
        "ep": layout.expert_parallel or None,
        "max_model_len": deployment.context,
        "gpu_memory_utilization": getattr(options, "gpu_memory_utilization", None),
        "mem_fraction_static": getattr(options, "mem_fraction_static", None),
        "max_num_seqs": getattr(options, "max_num_seqs", None),
        "max_num_batched_tokens": getattr(options, "max_num_batched_tokens", None),
        "kv_cache_dtype": deployment.kv_cache_dtype,
        "spec": _speculation(plan),
        "prefix_caching": getattr(options, "enable_prefix_caching", None),
        "block_size": int(figures[BLOCK]) if BLOCK in figures else None,
        "flags": " ".join(_flags(plan)) or None,
        "measured": measured,
        "throughput": [],
        "verdict": "does_not_start" if check.refusal is not None else None,
        "source": "qwenplan check --report",
        "quote": None,
        "confidence": "high",
        "notes": None,
    }
    digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:12]
    return {"id": f"report-{digest}", **case}


def cases_document(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return cases as the file that the suites read and an issue can carry."""
    date = datetime.now(UTC).date().isoformat()
    document = {"what": f"starts reported by qwenplan check, {date}", "cases": list(cases)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _public(name: str) -> str | None:
    """Return a checkpoint's name where it is a published one; a path of somebody's says who he is."""
    known = {repo for entry in catalog() for repo in (entry.id, *entry.checkpoints)}
    return name if name in known or find(name) is not None else None


def _speculation(plan: Plan) -> str | None:
    drafted = plan.deployment.options.draft_tokens
    return f"mtp n={drafted}" if drafted else None


def _flags(plan: Plan) -> Iterator[str]:
    """Yield the flags of the planned command; a value that may be a path or an address is left out."""
    if plan.launch is None:
        return
    words = [word for word in plan.launch.argv if word != plan.deployment.checkpoint.id]
    flag = ""
    for word in words:
        if word.startswith("-"):
            flag = word
            yield word
        elif flag and not any(mark in word for mark in "/\\~@"):
            yield word

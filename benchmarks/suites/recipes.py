"""Suite `recipes`: deployments that people publish fit where they say so, and do not where not.

A recipe's command goes through the planner's own reader; nothing is looked up by its number. Where
a recipe promises no context, a short one is asked for: the claim is then that it starts. Where its
degrees of parallelism do not make up its count, the planner chooses the layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.precisions import recipe_of
from benchmarks.suites.published_words import drafting, names, words_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.words import (
    cache_named,
    checkpoint_named,
    command_of,
    engine_named,
    options_of,
    release_of,
    system_named,
)
from planner.errors import PlannerError
from planner.layout import Layout
from planner.planning import Plan

FILES = ("recipes.json",)
SHORT = 4096
"""Tokens asked for where a recipe names no context."""

SMALL_POOL = "its own pool is smaller than its context: a request of the pool's size is asked for"
NO_CONTEXT = f"no context is promised: {SHORT:,} tokens are asked for"
PLANNED_LAYOUT = "its degrees do not make up its accelerators: the planner's layout is asked for"
JOINED = "several nodes and one llama-server: whoever runs the recipe joins them by RPC"
STARTS_ANYHOW = ("sglang",)
"""Engines that start with less room than the context asked for."""

_CONTEXT_FLAGS = ("--context-length", "--max-model-len", "--max-total-tokens")
_FIELDS = {
    "tensor_parallel": "tp",
    "pipeline_parallel": "pp",
    "max_model_len": "ctx",
    "context_length": "ctx",
    "ctx_size": "ctx",
    "mem_fraction_static": "gpu_memory_utilization",
    "max_running_requests": "max_num_seqs",
}
"""What recipes' templates are called -> the field of the row."""
_SHARE = {"vllm": "--gpu-memory-utilization", "sglang": "--mem-fraction-static"}
_SEQUENCES = {"vllm": "--max-num-seqs", "sglang": "--max-running-requests"}
_SPECULATION = ("--speculative-config", "--speculative-algorithm", "--speculative-algo")
_NOTE = re.compile(r"\b(\w+)=(\d+)")
_VERSION = re.compile(r"(?:SGLang|vLLM) v?\d+\.\d+\.\d+")
_DRAFTERS = ("dflash", "dspark")


def run(folder: Path) -> Iterator[CaseResult]:
    """Compare every recipe, grouped by engine."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        yield _compare(row, folder)


def _compare(row: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{row['id']} {row['model']} on {row['count']} x {row['hardware']}, {row['engine']}"
    try:
        plan, notes = ask(row, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error), group=row["engine"])
    except PlannerError as error:
        return CaseResult(name=name, failure=str(error), group=row["engine"])
    claimed = row["expected_fits"]
    return CaseResult(
        name=name if plan.fits is claimed else f"{name} [{plan.verdict}]",
        expected={"fits": claimed},
        answered={"fits": plan.fits},
        assumed=notes,
        group=row["engine"],
    )


def ask(row: dict[str, Any], folder: Path) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan for a recipe, and what had to be assumed.

    Raises:
        LookupError: the model, the precision or the hardware cannot be told.
        PlannerError: the planner does not know the engine, or refuses the question.
    """
    engine = engine_named(row["engine"])
    recipe = recipe_of(row["precision"], repo=row["model"].partition(" ")[0].partition(":")[0])
    checkpoint = checkpoint_named(row["model"], folder, scheme=recipe.scheme)
    words, notes = _words(row, engine)
    command = command_of(engine, row["model"].partition(" ")[0], words)
    promised = row["ctx"] and (engine not in STARTS_ANYHOW or names(words, *_CONTEXT_FLAGS))
    context = row["ctx"] if promised else SHORT
    spread = row["tp"] * row["pp"] * row["dp"] == row["count"]
    layout = Layout(
        tensor_parallel=row["tp"],
        pipeline_parallel=row["pp"],
        data_parallel=row["dp"],
        expert_parallel=row["ep"] > 1,
    )
    version = _VERSION.search(row.get("evidence") or "")
    assumed = [*notes, *([recipe.nearest] if recipe.nearest else [])]
    assumed += [] if promised else [NO_CONTEXT]
    assumed += [] if spread else [PLANNED_LAYOUT]
    pool = command.options.get("max_total_tokens") or context
    assumed += [SMALL_POOL] if pool < context else []
    context = min(context, pool)
    plan = planner.plan(
        checkpoint,
        on=system_named(row["hardware"], row["count"]),
        engine=engine,
        context=context,
        kv_cache_dtype=cache_named(row["kv_cache_dtype"]),
        layout=layout if spread else None,
        options=options_of(engine, command, version=release_of(version[0] if version else None)),
        yarn=context > checkpoint.model.max_position_embeddings,
    )
    return plan, tuple(assumed)


def _words(row: dict[str, Any], engine: str) -> tuple[list[str], tuple[str, ...]]:
    """The recipe's command as words; what only its fields say is added."""
    told = dict(_NOTE.findall(row.get("note") or ""))
    fields = {name: row[field] for name, field in _FIELDS.items() if row.get(field) is not None}
    fields |= {name: value for name, value in row.items() if value is not None} | told
    words, notes = words_of(row.get("flags"), engine, fields)
    for flags, field in ((_SHARE, "gpu_memory_utilization"), (_SEQUENCES, "max_num_seqs")):
        flag = flags.get(engine)
        if flag and row.get(field) is not None and not names(words, flag):
            words += [flag, str(row[field])]
    if engine == "vllm" and "max_num_batched_tokens" in told:
        flag = "--max-num-batched-tokens"
        words += [] if names(words, flag) else [flag, told["max_num_batched_tokens"]]
    if engine == "llamacpp" and not names(words, "-np", "--parallel"):
        words += ["--parallel", "1"]
    if engine == "llamacpp" and row["nodes"] > 1 and not names(words, "--rpc"):
        words += ["--rpc", ",".join(f"node{node}:50052" for node in range(2, row["nodes"] + 1))]
        notes = (*notes, JOINED)
    if row.get("mtp_tokens") and not names(words, *_SPECULATION):
        text = f"{row.get('flags')} {row.get('source')} {row.get('evidence')}".lower()
        drafter = any(word in text for word in _DRAFTERS)
        words += drafting(engine, "dflash" if drafter else "mtp", row["mtp_tokens"])
    return words, notes

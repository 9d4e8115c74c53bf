"""Suite `recipes`: deployments that people publish fit where they say so, and do not where not.

A recipe's fields and flags become a deployment; nothing is looked up by its number. Where a recipe
promises no context, a short one is asked for: the claim is then that it starts. Where its degrees of
parallelism do not make up its count, the engine's own way of spreading is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.flags import given_options, options_from
from benchmarks.suites.hardware_names import system_named
from benchmarks.suites.models import model_named
from benchmarks.suites.published import engine_name
from benchmarks.suites.result import CaseResult
from planner.engines import get_engine
from planner.errors import PlannerError
from planner.layout import Layout
from planner.model.catalog import catalog, find
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme
from planner.planning import Plan
from planner.question import Question

FILES = ("recipes.json",)
SHORT = 4096
"""Tokens asked for where a recipe names no context."""

STARTS_ANYHOW = ("sglang",)
"""Engines that start with less room than the context asked for."""

_CONTEXT_FLAGS = ("--context-length", "--max-model-len", "--max-total-tokens")

_MODEL = re.compile(
    r"Qwen3(?:\.\d+)?-(?:Coder-Next|Next-80B-A3B-(?:Instruct|Thinking)|[\d.]+[BT](?:-A\d+B)?)"
)
# (precision, word in the checkpoint's name) -> scheme; the first match wins.
_SCHEMES = (
    ("bf16", "", "bf16"),
    ("fp8", "", "fp8"),
    ("nvfp4", "unsloth", "nvfp4-all"),
    ("nvfp4", "", "nvfp4"),
    ("int8", "w8a8", "w8a8-int8"),
    ("int4", "awq", "awq-int4-g32"),
    ("int4", "gptq", "gptq-int4"),
    ("int4", "", "autoround-int4"),
)


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per recipe; the groups are the engines."""
    for row in json.loads((folder / FILES[0]).read_text("utf-8"))["cases"]:
        yield _compare(row, folder)


def _compare(row: dict[str, Any], folder: Path) -> CaseResult:
    name = f"{row['id']} {row['model']} on {row['count']} x {row['hardware']}, {row['engine']}"
    try:
        plan = ask(row, folder)
    except (PlannerError, LookupError) as error:
        return CaseResult(name=name, failure=str(error), group=row["engine"])
    claimed = row["expected_fits"]
    if plan.fits is not claimed:
        name += f" [{plan.verdict}]"
    return CaseResult(
        name=name,
        expected={"fits": claimed},
        answered={"fits": plan.fits},
        group=row["engine"],
    )


def ask(row: dict[str, Any], folder: Path) -> Plan:
    """The plan for a recipe.

    Raises:
        LookupError: the model, the precision or the hardware cannot be told.
        PlannerError: the planner does not know the engine, or refuses the question.
    """
    engine = get_engine(_engine(row["engine"]))
    checkpoint = checkpoint_of(row["model"], row["precision"], folder)
    flags = given_options(row)
    context = row["ctx"] if row["ctx"] and _promised(engine.name, row["flags"]) else SHORT
    spread = row["tp"] * row["pp"] * row["dp"] == row["count"]
    return Question(
        checkpoint=checkpoint,
        system=system_named(row["hardware"], row["count"]),
        engine=engine,
        context=context,
        concurrency=1,
        kv_cache_dtype=row["kv_cache_dtype"],
        layout=Layout(
            tensor_parallel=row["tp"],
            pipeline_parallel=row["pp"],
            data_parallel=row["dp"],
            expert_parallel=row["ep"] > 1,
        )
        if spread
        else None,
        options=options_from(engine, flags),
        yarn=context > checkpoint.model.max_position_embeddings,
    ).plan()


def _engine(name: str) -> str:
    """The planner's name of an engine: the known ones, else the source's without its notes."""
    try:
        return engine_name(name)
    except LookupError:
        return name.partition("(")[0].strip()


def _promised(engine: str, flags: str) -> bool:
    """The recipe says that a request of its context can be served.

    vLLM and llama.cpp refuse to start where the context does not fit; SGLang starts and refuses
    longer requests, so that there a context that no flag names is only the model's own.
    """
    return engine not in STARTS_ANYHOW or any(flag in flags for flag in _CONTEXT_FLAGS)


def checkpoint_of(name: str, precision: str, folder: Path) -> Checkpoint:
    """The checkpoint that a recipe names: the catalog's, or its model in the nearest scheme.

    Raises:
        LookupError: no model of the family is in the name, or the precision is not told.
    """
    known = find(name)
    quantized = known is not None and known[1] != "bf16"
    scheme = known[1] if known is not None and quantized else _scheme(name, precision)
    match = _MODEL.search(name)
    if match is None:
        raise LookupError(f"no model of the family in {name!r}")
    model = model_named(_full_name(match[0]), folder)
    return Checkpoint(
        id=name.split()[0].partition(":")[0],
        model=model,
        scheme=get_scheme(scheme),
        source="recipe",
    )


def _full_name(short: str) -> str:
    """Some say the size alone ("397B") where the model has a longer name."""
    if find(short) is not None:
        return short
    longer = [entry.id for entry in catalog() if entry.id.rpartition("/")[2].startswith(short)]
    return longer[0] if longer else short


def _scheme(name: str, precision: str) -> str:
    if precision.startswith("gguf-"):
        return precision.removeprefix("gguf-")
    for kind, word, scheme in _SCHEMES:
        if precision == kind and word in name.lower():
            return scheme
    raise LookupError(f"precision {precision!r} of {name} cannot be told")

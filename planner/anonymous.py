"""Write a start as a case for the reference suites, without a word that tells whose start it was.

A case holds the model's public name, the hardware, the flags that memory depends on and the figures
that the engine printed: no line of the log, no path, no address, no key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from planner.engines import FACES
from planner.engines.command import Command
from planner.engines.commands import read_words
from planner.engines.options import declared
from planner.logs import LogCheck
from planner.model.catalog import catalog
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.registry import find
from planner.units import GIB

BLOCK = "block size"


def case_of(
    check: LogCheck,
    *,
    source: str = "qwenplan check --report",
    speeds: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the start that was checked as a case, in the form of the suite ``field``.

    Args:
        check: the log against its plan.
        source: see `case_of_plan`.
        speeds: likewise.
    """
    return case_of_plan(
        check.plan,
        {row.figure: row.logged for row in (*check.rows, *check.unplanned)},
        version=check.version,
        refused=check.refusal is not None,
        source=source,
        speeds=speeds,
        told=check.told,
    )


def case_of_plan(
    plan: Plan,
    figures: Mapping[str, float],
    *,
    version: str | None,
    source: str,
    refused: bool = False,
    speeds: Sequence[Mapping[str, Any]] = (),
    told: Command | None = None,
) -> dict[str, Any]:
    """Return what was measured of a plan's deployment as a case, likewise.

    Args:
        plan: what was run, as planned.
        figures: what was measured, by its name in logs.
        version: the engine's release, where it was told.
        source: which command measured it.
        refused: the start failed for want of memory.
        speeds: rates, each with ``phase``, ``tok_s``, ``batch``, ``prompt``, ``gen``, ``depth``.
        told: what is known of the start: nothing else of the plan is stated. None: it was started
            as planned.
    """
    deployment = plan.deployment
    options: Mapping[str, Any] = (
        {name: getattr(deployment.options, name) for name in declared(type(deployment.options))}
        if told is None
        else told.options
    )
    context: int | None = deployment.context
    cache: str | None = deployment.kv_cache_dtype
    if told is not None:
        context, cache = told.context, told.kv_cache_dtype
        version = version or told.options.get("version")
    checkpoint, accelerator = deployment.checkpoint, deployment.system.accelerator
    layout = deployment.layout
    measured = measured_fields(plan.engine, figures)
    case: dict[str, Any] = {
        "kinds": ["log", *(["throughput"] if speeds else [])],
        "model": _model(checkpoint),
        "checkpoint": _public(checkpoint.id),
        "quant": _scheme(checkpoint),
        "engine": plan.engine_title,
        "engine_version": version,
        "hardware": accelerator.name,
        "gpu_count": layout.accelerators,
        "gpu_mem_gib": round(accelerator.total_bytes / GIB, 2),
        "tp": layout.tensor_parallel,
        "pp": layout.pipeline_parallel,
        "ep": layout.expert_parallel or None,
        "max_model_len": context,
        "gpu_memory_utilization": options.get("gpu_memory_utilization"),
        "mem_fraction_static": options.get("mem_fraction_static"),
        "max_num_seqs": options.get("max_num_seqs"),
        "max_num_batched_tokens": options.get("max_num_batched_tokens"),
        "kv_cache_dtype": cache,
        "spec": _speculation(plan) if told is None or told.options else None,
        "prefix_caching": options.get("enable_prefix_caching"),
        "block_size": int(figures[BLOCK]) if BLOCK in figures else None,
        "flags": " ".join(_flags(plan, told)) or None,
        "measured": measured,
        "throughput": [dict(speed) for speed in speeds],
        "verdict": "does_not_start" if refused else None,
        "source": source,
        "quote": None,
        "confidence": "high",
        "notes": None,
    }
    digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:12]
    return {"id": f"report-{digest}", **case}


def measured_fields(engine: str, figures: Mapping[str, float]) -> dict[str, Any]:
    """Return figures under the names that reference cases have for them.

    Args:
        engine: who printed them.
        figures: by their names in logs; of one device, with the device behind a comma.
    """
    reader = FACES[engine].log
    found: dict[str, Any] = {}
    taken = {BLOCK}
    for name, parts in (reader.fields if reader is not None else {}).items():
        if parts[0].endswith(","):
            of_devices = {
                figure.removeprefix(parts[0]).strip(): value
                for figure, value in figures.items()
                if figure.startswith(parts[0])
            }
            if of_devices:
                found[name] = {_DEVICES.get(part, part): v for part, v in of_devices.items()}
                taken |= {figure for figure in figures if figure.startswith(parts[0])}
        elif all(part in figures for part in parts):
            value = round(sum(figures[part] for part in parts), 3)
            found[name] = int(value) if value == int(value) else value
            taken |= set(parts)
    return found | {name: value for name, value in figures.items() if name not in taken}


_DEVICES = {"host": "Host"}
"""Names of devices in reference cases, where they differ from those of a check."""


def cases_document(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return cases as the file that the suites read and an issue can carry."""
    date = datetime.now(UTC).date().isoformat()
    document = {"what": f"reported by qwenplan, {date}", "cases": list(cases)}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _public(name: str) -> str | None:
    """Return a checkpoint's name where it is a published one; a path of somebody's says who he is.

    A name that is only spelled like a published one is not: a folder may be called like an owner.
    """
    known = {repo for entry in catalog() for repo in (entry.id, *entry.checkpoints)}
    if name in known:
        return name
    row = find(name)
    if row is None or row.named:
        return None
    return next((own for own in (row.name, row.repo) if own.lower() == name.lower()), None)


def _model(checkpoint: Checkpoint) -> str | None:
    """Return the published model; of a file, whose name is somebody's own, the first of its shapes."""
    own, entries = checkpoint.model, catalog()
    if any(entry.model.name == own.name for entry in entries):
        return own.name.rpartition("/")[2]
    alike = (
        entry.model.name.rpartition("/")[2]
        for entry in entries
        if (entry.model.hidden_size, entry.model.layer_types, entry.model.mlp)
        == (own.hidden_size, own.layer_types, own.mlp)
    )
    return next(alike, None)


def _scheme(checkpoint: Checkpoint) -> str | None:
    """Return how weights are stored; a file's own name is no word of ours."""
    name = checkpoint.scheme.name
    own = checkpoint.id.endswith(".gguf") and _QUANT.fullmatch(name) is None
    return None if own else name


_QUANT = re.compile(r"(?i)(?:gguf-)?(?:ud-)?(?:i?q\d|tq\d|bf16|f16|f32|mxfp4)[\w-]{0,20}")


def _speculation(plan: Plan) -> str | None:
    drafted = plan.deployment.options.draft_tokens
    return f"mtp n={drafted}" if drafted else None


def _flags(plan: Plan, told: Command | None) -> Iterator[str]:
    """Yield the flags that were told; one whose value may be a path or an address is left out."""
    argv = tuple(_words(plan, told))
    for flag, values in _with_values(argv):
        private = any(mark in value for value in values for mark in "/\\~@")
        if not private and plan.deployment.checkpoint.id not in values:
            yield from (flag, *values)


def _words(plan: Plan, told: Command | None) -> Iterator[str]:
    """Yield the words of the planned command; of one that was told, only what it told."""
    argv = plan.written.argv if plan.written is not None else ()
    if told is None:
        yield from argv
        return
    for flag, values in _with_values(argv):
        back = read_words(plan.engine, (flag, *values))
        if (back.context, back.kv_cache_dtype) != (None, None) and not back.options:
            known = told.context if back.context is not None else told.kv_cache_dtype
            if known is not None:
                yield from (flag, *values)
    known_options = declared(type(plan.deployment.options))
    for name, value in told.options.items():
        option = known_options.get(name)
        if option is not None and option.flags and value not in (None, ""):
            yield from option.words(value)


def _with_values(argv: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each flag of a command with the words behind it."""
    flag, values = "", list[str]()
    for word in (*argv, "-"):
        if not word.startswith("-"):
            values.append(word)
            continue
        if flag:
            yield flag, tuple(values)
        flag, values = word, []

"""A published run as a deployment: model, precision, machine, release and flags in our words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from benchmarks.suites.flags import options_from, parsed_flags
from benchmarks.suites.hardware_names import system_named
from benchmarks.suites.models import model_named
from benchmarks.suites.published import engine_name, model_name, scheme_name
from hardware_db import Figure, System
from planner.engines import get_engine
from planner.layout import Layout
from planner.model.catalog import find
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme
from planner.planning import Plan
from planner.question import Question

GIB = 2**30

_NOTE = re.compile(r"\s*\(.*\)\s*$")
_RELEASE = re.compile(r"(?<![\d.-])(\d+)\.(\d+)(?:\.(\d+))?(?!\d)")
_MONTH = re.compile(r"(20\d\d-\d\d)")

BUILDS = {"2026-04": "0.19.0", "2026-05": "0.21.0", "2026-06": "0.23.0", "2026-09": "0.27.0"}
"""A build of the main branch, told by its month, -> the release whose rules are nearest: as the
sources that name both month and release say."""

_OLDEST = (0, 17, 0)
_UNTOLD = {"int8": "w8a8-int8", "int4": "autoround-int4", "int4 class": "autoround-int4"}
"""Precisions of which only the bits are told -> what people mean most often."""

_CACHES = {"bf16": "bfloat16", "auto": "auto"}


def ask(case: dict[str, Any], folder: Path, *, any_weights: bool = False, **changes: Any) -> Plan:
    """The plan for a case.

    Args:
        case: a row of cases.json.
        folder: where the cases lie.
        any_weights: the answer does not depend on how weights are stored.
        changes: `context` and `concurrency`, and engine options by their names (None: not given).

    Raises:
        LookupError: something that decides cannot be told.
        PlannerError: the planner refuses the question.
    """
    engine = get_engine(engine_name(case["engine"]))
    context = changes.pop("context", None) or case["max_model_len"]
    concurrency = changes.pop("concurrency", 1)
    checkpoint = checkpoint_of(case, folder, any_weights=any_weights)
    given = _flags(case) | {name: str(value) for name, value in changes.items()}
    if engine.name == "vllm" and (version := release(case["engine_version"])):
        given["version"] = version
    if engine.name == "sglang" and (version := release(case["engine_version"])):
        given["version"] = version
    context = context or checkpoint.model.max_position_embeddings
    count = case["gpu_count"] or case["tp"] or 1
    tensor = case["tp"] or 1
    return Question(
        checkpoint=checkpoint,
        system=machine_of(case, count),
        engine=engine,
        context=context,
        concurrency=concurrency,
        kv_cache_dtype=cache_of(case),
        layout=Layout(tensor_parallel=tensor) if case["tp"] or count == 1 else None,
        options=options_from(engine, given),
        yarn=context > checkpoint.model.max_position_embeddings,
    ).plan()


def checkpoint_of(case: dict[str, Any], folder: Path, *, any_weights: bool = False) -> Checkpoint:
    """The checkpoint of a case: the catalog's where its name is known, else by its precision."""
    known = find(case["checkpoint"] or "")
    if known is not None and known[1] != "bf16":
        scheme = known[1]
    else:
        try:
            scheme = scheme_of(case["quant"])
        except LookupError:
            if not any_weights:
                raise
            scheme = "bf16"
    # Where a source leaves the generation open, any of the same shape does.
    name = re.sub(r"Qwen3\.(x|5/3\.6)", "Qwen3.5", _NOTE.sub("", case["model"]))
    model = model_named(model_name(name), folder)
    return Checkpoint(id=model.name, model=model, scheme=get_scheme(scheme), source="field case")


def scheme_of(precision: str | None) -> str:
    """The scheme that a precision means.

    Raises:
        LookupError: it cannot be told.
    """
    if precision is None:
        raise LookupError("the precision is not told")
    text = _NOTE.sub("", precision).strip()
    if text.lower() == "awq-int4" and "compressed-tensors" in precision:
        return "awq-int4-g32"
    if text.lower() == "gptq-int4":
        return "gptq-int4-all"
    first = text.split(" + ")[0].split(",")[0]
    return _UNTOLD.get(first.lower()) or scheme_name(first)


def machine_of(case: dict[str, Any], count: int) -> System:
    """The machine, with the memory that the case says it had; memory alone where it has no name."""
    measured = case["gpu_mem_gib"]
    name = case["hardware"]
    if name is None:
        name = f"{round(measured)} GiB" if measured else _roomy(case)
    system = system_named(name, count)
    if not measured:
        return system
    figure = Figure(value=round(measured * 1024), source="the case", grade="A")
    accelerator = dataclasses.replace(system.accelerator, memory_cuda_mib=figure)
    return dataclasses.replace(system, accelerator=accelerator)


def _roomy(case: dict[str, Any]) -> str:
    """A machine with room for what was measured: nobody says which one it was."""
    sizes = [value for name, value in case["measured"].items() if name.endswith("_gib") and value]
    return f"{round(2 * sum(sizes)) + 16} GiB"


def cache_of(case: dict[str, Any]) -> str:
    """The KV cache dtype; unsaid is "auto"."""
    name = _NOTE.sub("", case["kv_cache_dtype"] or "auto").strip()
    return _CACHES.get(name, name)


def release(text: str | None) -> str | None:
    """The release whose rules a build follows; None where nothing is told.

    A pre-release, or a build "about" a release, is a build of the main branch before it: it
    follows the release before.
    """
    if text is None:
        return None
    found = _RELEASE.search(text)
    if found is None:
        month = _MONTH.search(text)
        return BUILDS.get(month[1]) if month else None
    version = int(found[1]), int(found[2]), int(found[3] or 0)
    early = "~" in text or "rc" in text or "dev" in text
    if early and version < (0, 2, 0):
        return None  # a local build that carries no release's number
    if early and version[2] > 0 and version > _OLDEST:
        version = (version[0], version[1], version[2] - 1)
    return ".".join(str(part) for part in version)


def _flags(case: dict[str, Any]) -> dict[str, str]:
    """The case's flags and fields as options by name."""
    given = parsed_flags(case["flags"] or "", {})
    for field, names in (
        ("gpu_memory_utilization", ("gpu_memory_utilization",)),
        ("mem_fraction_static", ("mem_fraction_static",)),
        ("max_num_seqs", ("max_num_seqs", "max_running_requests", "parallel")),
        ("max_num_batched_tokens", ("max_num_batched_tokens", "ubatch_size")),
        ("prefix_caching", ("enable_prefix_caching",)),
    ):
        if case.get(field) is not None:
            given |= dict.fromkeys(names, str(case[field]))
    return given | _speculation(case["spec"])


def _speculation(spec: dict[str, Any] | None) -> dict[str, str]:
    """What a case says about drafting.

    Raises:
        LookupError: how many tokens are drafted is not told.
    """
    if not spec:
        return {}
    method = str(spec["method"]).lower()
    if "steps" in spec:
        return {
            "speculative_algorithm": "NEXTN",
            "speculative_num_steps": str(spec["steps"]),
            "speculative_eagle_topk": "1",
            "speculative_num_draft_tokens": str(spec["draft_tokens"]),
        }
    if "rs_seq" in spec:
        return {"spec_type": "draft-mtp", "spec_draft_n_max": str(spec["rs_seq"])}
    if method == "ngram":
        return {}
    if "n" not in spec:
        raise LookupError(f"how many tokens {method} drafts is not told")
    given = {"num_speculative_tokens": str(spec["n"])}
    return given | ({"speculative_method": "dflash"} if method == "dflash" else {})

"""A published run as a question: model, precision, machine, release and flags in the planner's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.precisions import Recipe, recipe_of
from benchmarks.suites.published_words import drafting, names, words_of
from benchmarks.suites.words import (
    cache_named,
    checkpoint_named,
    command_of,
    engine_named,
    options_of,
    release_of,
    system_named,
    with_memory,
)
from hardware_db import System, resolve
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan

GIB = 2**30

_FLAGS = {
    "gpu_memory_utilization": {"vllm": "--gpu-memory-utilization"},
    "mem_fraction_static": {"sglang": "--mem-fraction-static"},
    "max_num_seqs": {
        "vllm": "--max-num-seqs",
        "sglang": "--max-running-requests",
        "llamacpp": "--parallel",
    },
    "max_num_batched_tokens": {"vllm": "--max-num-batched-tokens", "llamacpp": "--ubatch-size"},
}
"""Field of a case -> the flag that says the same."""


_LAUNCHED = {
    "sglang-cmp170hx-27b-c1": "--disable-radix-cache --max-total-tokens 24576",
    "sglang-cmp170hx-27b-c4": "--disable-radix-cache --max-total-tokens 20480",
}
"""How a case's name begins -> flags that its source's launch script has and its row leaves out.

Source: Ciender/CMP-170HX-SGLang-Qwen3.6-Benchmarks b86cd3c scripts/serve-qwen36-27b.sh.
"""

_LENT = re.compile(r"\b(\d+) GB GTT")
"""A verdict's word on what the owner lends the GPU of a shared memory."""
_SEVERAL = re.compile(r"[A-Z0-9]+(?:/[A-Z0-9]+)+")
"""Several precisions at once: "FP8/NVFP4/BF16"."""
_SIZES = re.compile(r"\((\d+B)/(\d+B)\b")
"""Two sizes of a series that a source does not tell apart: "Qwen3.6 FP8 (27B/35B per its file)"."""
_DFLASH = (1, 15)
"""Fewest and most tokens that a DFlash drafter drafts: its blocks are of 16, the first is known."""
_FORK = "ik_llama"

ROOMY = "custom:1024GiB"
ANY_MACHINE = "the hardware is not told: any with room does, for the figure does not depend on it"


def readings(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every case that the words of one may mean; the case itself where they are plain.

    Of several precisions or sizes each is one, of a drafter's untold tokens the fewest and the most.
    """
    sizes, spec = _SIZES.search(case["model"]), case["spec"] or {}
    if sizes is not None:
        series = case["model"].partition(" ")[0]
        for size in sizes.groups():
            yield from readings(case | {"model": f"{series}-{size}"})
    elif several_at_once(case):
        for precision in case["quant"].split("/"):
            yield from readings(case | {"quant": precision})
    elif str(spec.get("method")).lower() == "dflash" and "n" not in spec:
        for tokens in _DFLASH:
            yield from readings(case | {"spec": spec | {"n": tokens}})
    else:
        yield case


def several_at_once(case: dict[str, Any]) -> bool:
    """Return whether a case speaks of several precisions, each of which its verdict is about."""
    return _SEVERAL.fullmatch(case["quant"] or "") is not None


def ask(
    case: dict[str, Any],
    folder: Path,
    *,
    any_weights: bool = False,
    any_machine: bool = False,
    **changes: Any,
) -> Plan:
    """Return the plan for a case.

    Args:
        case: a row of cases.json.
        folder: where the cases lie.
        any_weights: the answer does not depend on how weights are stored.
        any_machine: nor on the machine, where the case names none.
        changes: `context` and `concurrency`, and engine options by their names.

    Raises:
        LookupError: something that decides cannot be told.
        PlannerError: the planner refuses the question.
    """
    engine = engine_named(case["engine"])
    context = changes.pop("context", None) or case["max_model_len"]
    concurrency = changes.pop("concurrency", 1)
    checkpoint = checkpoint_of(case, folder, any_weights=any_weights)
    command = command_of(engine, checkpoint.id, _words(case, engine, concurrency))
    native = checkpoint.model.max_position_embeddings
    context = context or native
    count = case["gpu_count"] or case["tp"] or 1
    fits_layout = case["tp"] or count == 1
    return planner.plan(
        checkpoint,
        on=machine_of(case, count, any_machine=any_machine),
        engine=engine,
        context=context,
        concurrency=concurrency,
        kv_cache_dtype=cache_named(case["kv_cache_dtype"]),
        layout=Layout(tensor_parallel=case["tp"] or 1) if fits_layout else None,
        options=options_of(engine, command, version=release_of(case["engine_version"]), **changes),
        yarn=context > native,
    )


def checkpoint_of(case: dict[str, Any], folder: Path, *, any_weights: bool = False) -> Checkpoint:
    """Return the checkpoint of a case: by its repository where known, else by its precision."""
    try:
        if case["quant"] is None:
            raise LookupError("the precision is not told")
        if several_at_once(case):
            raise LookupError(f"several precisions at once: {case['quant']}")
        if _FORK in case["quant"]:
            raise LookupError(f"{_FORK} is another program than llama.cpp")
        scheme = stored_in(case).scheme
    except LookupError:
        if not any_weights:
            raise
        return checkpoint_named(case["model"], folder)
    return checkpoint_named(case["model"], folder, scheme=scheme)


def stored_in(case: dict[str, Any]) -> Recipe:
    """Return how a case's weights are stored, as far as it tells.

    Raises:
        LookupError: it does not.
    """
    return recipe_of(case["quant"], repo=case["checkpoint"] or "")


def unnamed(case: dict[str, Any]) -> bool:
    """Return whether a case tells neither its hardware nor the memory of it."""
    return case["hardware"] is None and not case["gpu_mem_gib"]


def machine_of(case: dict[str, Any], count: int, *, any_machine: bool = False) -> System:
    """Return the machine, with the memory that the case says it had.

    Args:
        case: a row of cases.json.
        count: accelerators.
        any_machine: where none is told, any with room does.

    Raises:
        LookupError: neither a name nor the memory is told.
    """
    measured, name = case["gpu_mem_gib"], case["hardware"]
    if unnamed(case):
        if any_machine:
            return resolve(f"{count}x {ROOMY}")
        raise LookupError("neither the hardware nor its memory is told")
    system = system_named(name or f"{round(measured)} GiB", count)
    lent, label = _LENT.search(case["verdict"] or ""), system.accelerator.memory_marketed_gb
    if lent is not None and label is not None and system.accelerator.is_unified:
        gpu = int(lent[1])
        system = resolve(f"{system.accelerator.id} {gpu}/{label.value - gpu:g}")
    return with_memory(system, measured, "the case") if measured else system


def _words(case: dict[str, Any], engine: str, concurrency: int) -> list[str]:
    """The case's flags and fields as the words of a command."""
    words, _ = words_of(f"{case['flags'] or ''}; {case['quant'] or ''}", engine)
    for start, flags in _LAUNCHED.items():
        words += flags.split() if case["id"].startswith(start) else ()
    for field, spelled in _FLAGS.items():
        flag = spelled.get(engine)
        if flag and case.get(field) is not None and not names(words, flag):
            words += [flag, str(case[field])]
    if engine == "llamacpp" and not names(words, "-np", "--parallel"):
        words += ["--parallel", str(concurrency)]
    if engine == "vllm" and case.get("prefix_caching") is not None:
        words.append(f"--{'' if case['prefix_caching'] else 'no-'}enable-prefix-caching")
    return words + _speculation(case["spec"], engine)


def _speculation(spec: dict[str, Any] | None, engine: str) -> list[str]:
    """What a case says about drafting.

    Raises:
        LookupError: how many tokens are drafted is not told, or nobody plans the method.
    """
    if not spec:
        return []
    method = str(spec["method"]).lower()
    if "steps" in spec:
        return (
            f"--speculative-algorithm NEXTN --speculative-num-steps {spec['steps']}"
            f" --speculative-eagle-topk 1 --speculative-num-draft-tokens {spec['draft_tokens']}"
        ).split()
    if method == "ngram":
        return []  # it drafts from the text itself: no weights and no cache of its own
    tokens = spec.get("n", spec.get("rs_seq"))
    if tokens is None:
        raise LookupError(f"how many tokens {method} drafts is not told")
    return drafting(engine, "dflash" if method == "dflash" else "mtp", tokens)

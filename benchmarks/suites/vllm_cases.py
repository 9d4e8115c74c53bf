"""Translates cases of vLLM's own code into questions, and plans into their fields.

A case's question is a command line: its keys are vLLM's arguments, and the planner's own reader of
``vllm serve`` reads them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import planner
from benchmarks.suites.figures import error_of, figures, resolved, starts, vllm
from benchmarks.suites.result import Allowed, CaseResult
from benchmarks.suites.words import (
    checkpoint_named,
    command_of,
    configured,
    flag_words,
    options_of,
    system_named,
)
from planner.errors import PlannerError
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan

ARGUMENTS = {
    "tp": "tensor_parallel_size",
    "pp": "pipeline_parallel_size",
    "ep": "enable_expert_parallel",
    "dp": "data_parallel_size",
    "dcp": "decode_context_parallel_size",
    "mtp": "num_speculative_tokens",
    "available_bytes": "available",
}
"""Short keys of the cases -> vLLM's arguments."""
NOT_ARGUMENTS = ("model", "gpu", "probe", "available", "num_speculative_tokens")
DEFAULT_GPU = "h200"
KINDS = {"MambaSpec": "state", "FullAttentionSpec": "attention"}
PLAIN = (
    "block_size",
    "mamba_block_size",
    "attn_page_bytes",
    "attn_bytes_per_token_per_layer",
    "attn_kv_heads_per_rank",
    "mamba_page_bytes_unpadded",
    "mamba_page_bytes",
    "mamba_shapes",
    "num_speculative_blocks",
    "num_prefill_checkpoint_blocks",
    "layers_per_group_by_pp",
    "bytes_per_block",
    "blocks_per_request",
    "needed_bytes_for_one_request",
    "num_blocks",
    "kv_cache_size_tokens",
    "max_concurrency",
    "max_model_len_that_fits",
)
STATE_FIGURES = (
    "mamba_block_size",
    "mamba_page_bytes_unpadded",
    "mamba_page_bytes",
    "mamba_shapes",
    "num_speculative_blocks",
    "num_prefill_checkpoint_blocks",
)
"""Figures that a model without recurrent state does not have: null, or a zero that says nothing."""
RESOLVED = (
    "attn_backends",
    "gdn_prefill_backend",
    "enable_prefix_caching",
    "mamba_cache_mode",
    "max_model_len",
    "max_num_batched_tokens",
    "use_v2_model_runner",
    "cudagraph_mode",
    "cudagraph_capture_max",
)
GIVEN = ("max_num_seqs", "gpu_memory_utilization")
"""Where a case gives them, what the plan uses is compared; else the engine's default, so named."""
BEYOND = "is greater than the derived max_model_len"
BEYOND_LEFT = "error: a length beyond the model's own is refused before any engine is asked"
LOWERED = (
    "cudagraph_capture_max: the plan lowered max_num_seqs to one that starts, and graphs follow it"
)


def cases(path: Path) -> list[dict[str, Any]]:
    """Return the cases of one file."""
    loaded: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cases"]
    return loaded


def name_of(case: dict[str, Any]) -> str:
    """Return a case in words."""
    return " ".join(f"{key}={value}" for key, value in case["case"].items())


def question_of(case: dict[str, Any]) -> dict[str, Any]:
    """Return a case's question by vLLM's argument names."""
    return {ARGUMENTS.get(key, key): value for key, value in case["case"].items()}


def available_of(question: Mapping[str, Any]) -> tuple[int, ...]:
    """Return bytes for the cache: one figure for all ranks, or one per pipeline stage."""
    available = question.get("available")
    if available is None:
        return ()
    return tuple(available) if isinstance(available, list) else (available,)


def checkpoint_of(case: dict[str, Any], folder: Path) -> Checkpoint:
    """Return what a case loads: NAME, NAME-FP8, or BASE@SCHEME with its quantization_config.

    Raises:
        LookupError: the model is not known.
    """
    name = str(case["case"]["model"])
    if "quantization_config" in case:
        base = str(case.get("base_model") or name.partition("@")[0])
        return configured(base, folder, case["quantization_config"])
    fp8 = name.endswith("-FP8")
    return checkpoint_named(name.removesuffix("-FP8"), folder, scheme="fp8" if fp8 else "bf16")


def ask(case: dict[str, Any], version: str, folder: Path) -> Plan:
    """Return the plan for a case's question.

    Raises:
        LookupError: the planner has no word for something that the case asks.
        PlannerError: the planner refuses the question.
    """
    question, checkpoint = question_of(case), checkpoint_of(case, folder)
    arguments = {name: value for name, value in question.items() if name not in NOT_ARGUMENTS}
    arguments.setdefault("language_model_only", True)  # as the program that made the cases does
    if tokens := question.get("num_speculative_tokens"):
        arguments["speculative_config"] = {"method": "mtp", "num_speculative_tokens": tokens}
    if available := available_of(question):
        arguments["kv_cache_memory_bytes"] = min(available)
    command = command_of("vllm", checkpoint.id, flag_words(arguments))
    if strange := [line for line in command.unplanned if "not a flag" in line]:
        raise LookupError("; ".join(strange))
    layout = command.layout or Layout()
    overrides = question.get("hf_overrides", {}).get("text_config", {})
    return planner.plan(
        checkpoint,
        on=system_named(question.get("gpu", DEFAULT_GPU), layout.accelerators),
        engine="vllm",
        context=command.context or checkpoint.model.max_position_embeddings,
        kv_cache_dtype=command.kv_cache_dtype or "auto",
        layout=layout,
        options=options_of("vllm", command, version=version),
        yarn=command.yarn or "max_position_embeddings" in overrides,
    )


def engine_sentence(text: str) -> str:
    """Return the engine's own message inside a raised error."""
    text = re.sub(r"^\w*Error: ", "", text.strip())
    if "Value error, " in text:
        text = text.partition("Value error, ")[2].partition(" [type=")[0]
    return text.partition("\n")[0]


def compare(
    case: dict[str, Any],
    folder: Path,
    *,
    weights: Allowed | None = None,
) -> CaseResult:
    """Compare one case of 0.33.0.

    Args:
        case: the case.
        folder: where it lies.
        weights: how far the bytes of weights may be off, and why; None: not at all.
    """
    name = name_of(case)
    try:
        plan = ask(case, case["vllm_version"], folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error))
    except PlannerError as error:
        if BEYOND in case.get("error", "") and "beyond the native" in str(error):
            refused = {"refused": True}
            return CaseResult(
                name=name, expected=refused, answered=refused, left_out=(BEYOND_LEFT,)
            )
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    expected: dict[str, Any] = {}
    answered: dict[str, Any] = {}
    left: list[str] = []
    if "error" in case:
        expected["error"], answered["error"] = engine_sentence(case["error"]), error_of(plan)
    details = vllm(plan, available_of(question_of(case)))
    if "block_size" in case and not details:
        return CaseResult(name=name, failure=plan.verdict)
    stateless = "mamba_dtypes" in case and case["mamba_dtypes"] is None
    for field in PLAIN:
        if field not in case:
            continue
        if stateless and field in STATE_FIGURES:
            expected[field], answered[field] = None, details.get(field)
        else:
            expected[field], answered[field] = case[field], details.get(field)
    if "groups" in case:
        expected |= _groups(case, stateless=stateless)
        answered["groups"] = [list(group.values()) for group in details["groups"]]
        answered["mamba_dtypes"] = details.get("mamba_dtypes")
    allowed: dict[str, Allowed] = {}
    ours = details.get("params", ())
    for index, theirs in enumerate(case.get("params", ())):
        for field in ("param_bytes", "draft_param_bytes"):
            key = f"stage {theirs['rank_pp']} {field}"
            expected[key] = theirs[field]
            if index < len(ours):
                answered[key] = ours[index][field]
            if weights is not None:
                allowed[key] = weights
    if "resolved" in case:
        left += _resolved(case, plan, expected, answered)
    return CaseResult(
        name=name, expected=expected, answered=answered, allowed=allowed, left_out=tuple(left)
    )


def _groups(case: dict[str, Any], *, stateless: bool) -> dict[str, Any]:
    groups = [
        [KINDS[g["kind"]], g["layers"], g["block_size"], g["page_bytes"], g["blocks_per_req"]]
        for g in case["groups"]
    ]
    dtypes = None if stateless else [t.removeprefix("torch.") for t in case["mamba_dtypes"]]
    return {"groups": groups, "mamba_dtypes": dtypes}


def _resolved(
    case: dict[str, Any], plan: Plan, expected: dict[str, Any], answered: dict[str, Any]
) -> list[str]:
    """Put the resolved options beside each other; returns what is left out, and why."""
    theirs, ours, given = case["resolved"], resolved(plan), question_of(case)
    lowered = "max_num_seqs" not in given and (
        ours.get("max_num_seqs") != ours.get("default_max_num_seqs")
    )
    for field in RESOLVED:
        if not (lowered and field == "cudagraph_capture_max"):
            expected[field], answered[field] = theirs[field], ours.get(field)
    for field in GIVEN:
        name = field if given.get(field) is not None else f"default_{field}"
        expected[name], answered[name] = theirs[field], ours.get(name)
    return [LOWERED] if lowered else []


def compare_all(path: Path, *, weights: Allowed | None = None) -> Iterator[CaseResult]:
    """Compare every case of a file."""
    for case in cases(path):
        yield compare(case, path.parent, weights=weights)


def compare_release(case: dict[str, Any], folder: Path, fields: Mapping[str, str]) -> CaseResult:
    """Compare one case of an earlier release.

    Args:
        case: the case.
        folder: where it lies.
        fields: the case's figure -> ours.
    """
    version = case["vllm_version"]
    name = f"{version} {name_of(case)}"
    try:
        plan = ask(case, version, folder)
    except LookupError as error:
        return CaseResult(name=name, unasked=str(error), group=version)
    except PlannerError as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}", group=version)
    details = figures(plan)
    expected = {field: case[field] for field in fields if field in case}
    answered = {field: details.get(fields[field]) for field in expected}
    if "groups" in case:
        expected["groups"] = [[KINDS[kind], layers] for kind, layers in case["groups"]]
        answered["groups"] = [[g["kind"], g["layers"]] for g in details["groups"]]
    if "error" in case:
        expected["error"], answered["error"] = engine_sentence(case["error"]), error_of(plan)
    expected["starts"], answered["starts"] = "error" not in case, starts(plan)
    return CaseResult(name=name, expected=expected, answered=answered, group=version)

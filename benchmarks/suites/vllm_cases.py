"""Translates cases of the three vLLM files into deployments, and plans into their fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.result import CaseResult
from hardware_db import resolve
from planner.engines import get_engine
from planner.engines.vllm import VllmOptions
from planner.engines.vllm.answer import VllmAnswer
from planner.errors import PlannerError
from planner.layout import Layout
from planner.planning import Outcome, Plan
from planner.question import Question

GPUS = {
    "h100": "h100-sxm",
    "h200": "h200-sxm",
    "b200": "b200",
    "a100": "a100-sxm-80",
    "rtx4090": "rtx-4090",
    "rtx5090": "rtx-5090",
    "rtxpro6000": "rtx-pro-6000",
    "gb10": "gb10",
}
SPELLED = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "enable_expert_parallel": "ep",
    "dp": "data_parallel_size",
    "dcp": "decode_context_parallel_size",
    "mtp": "num_speculative_tokens",
    "available_bytes": "available",
}
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


def cases(path: Path) -> list[dict[str, Any]]:
    """The cases of one file."""
    loaded: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cases"]
    return loaded


def question_of(case: dict[str, Any]) -> dict[str, Any]:
    """A case's question by the names that are asked for below."""
    return {SPELLED.get(key, key): value for key, value in case["case"].items()}


def available_of(question: dict[str, Any]) -> tuple[int, ...]:
    """Bytes for the cache: one figure for all ranks, or one per pipeline stage."""
    available = question.get("available")
    if available is None:
        return ()
    return tuple(available) if isinstance(available, list) else (available,)


def ask(case: dict[str, Any], version: str, folder: Path) -> Plan:
    """The plan for a case's question."""
    question = question_of(case)
    name = str(question["model"])
    fp8 = name.endswith("-FP8")
    checkpoint = checkpoint_named(
        name.removesuffix("-FP8"), folder, scheme="fp8" if fp8 else "bf16"
    )
    if "dtype" in question:
        model = replace(checkpoint.model, dtype=question["dtype"])
        checkpoint = replace(checkpoint, model=model)
    layout = Layout(
        tensor_parallel=question.get("tp", 1),
        pipeline_parallel=question.get("pp", 1),
        data_parallel=question.get("data_parallel_size", 1),
        expert_parallel=bool(question.get("ep", False)),
        context_parallel=question.get("decode_context_parallel_size", 1),
    )
    gpu = GPUS.get(question.get("gpu", "h200"), question.get("gpu", "h200"))
    overrides = question.get("hf_overrides", {}).get("text_config", {})
    longest = overrides.get("max_position_embeddings")
    context = question.get("max_model_len") or checkpoint.model.max_position_embeddings
    limits = question.get("limit_mm_per_prompt", {})
    options = VllmOptions(
        version=version,
        gpu_memory_utilization=question.get("gpu_memory_utilization"),
        max_num_seqs=question.get("max_num_seqs"),
        max_num_batched_tokens=question.get("max_num_batched_tokens"),
        enable_prefix_caching=question.get("enable_prefix_caching"),
        num_speculative_tokens=question.get("num_speculative_tokens", 0),
        block_size=question.get("block_size"),
        mamba_cache_dtype=question.get("mamba_cache_dtype", "auto"),
        mamba_ssm_cache_dtype=question.get("mamba_ssm_cache_dtype", "auto"),
        language_model_only=question.get("language_model_only", True),
        limit_images=limits.get("image"),
        limit_videos=limits.get("video"),
        enforce_eager=question.get("enforce_eager", False),
        gdn_prefill_backend=question.get("gdn_prefill_backend", "auto"),
        mm_encoder_tp_mode=question.get("mm_encoder_tp_mode", "weights"),
        kv_cache_memory_bytes=min(available_of(question), default=None),
        engram_across_dp=question.get("engram_config", {}).get("embedding_across_dp", False),
        indexer_kv_dtype=question.get("attention_config", {}).get("indexer_kv_dtype", "auto"),
    )
    return Question(
        checkpoint=checkpoint,
        system=resolve(f"{layout.accelerators}x {gpu}"),
        engine=get_engine("vllm"),
        context=context,
        concurrency=1,
        kv_cache_dtype=question.get("kv_cache_dtype", "auto"),
        layout=layout,
        options=options,
        yarn=longest is not None,
    ).plan()


def details_of(case: dict[str, Any], plan: Plan) -> Mapping[str, Any]:
    """The plan's figures; where stages have unequal memory, those of the pool that they make."""
    available = available_of(question_of(case))
    answer = plan.allocation
    if len(available) < 2 or not isinstance(answer, VllmAnswer):
        return plan.figures
    return replace(answer, pool=replace(answer.pool, available=available)).figures()


def name_of(case: dict[str, Any]) -> str:
    """A case in words."""
    return " ".join(f"{key}={value}" for key, value in case["case"].items())


def layout_error(text: str) -> str:
    """The engine's own sentence inside a raised error."""
    text = re.sub(r"^\w*Error: ", "", text.strip())
    if "Value error, " in text:
        text = text.partition("Value error, ")[2].partition(" [type=")[0]
    return text.partition("\n")[0]


def answered_error(plan: Plan) -> str | None:
    """What the planner says the engine raises."""
    if plan.outcome is Outcome.CANNOT_RUN:
        return plan.refusals[0].engine_message or plan.refusals[0].reason
    return plan.allocation.refusal if plan.allocation else None


def compare(case: dict[str, Any], folder: Path) -> CaseResult:
    """One case of vllm.json or vllm_extra.json."""
    name = name_of(case)
    try:
        plan = ask(case, case["vllm_version"], folder)
    except (PlannerError, LookupError) as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    expected: dict[str, Any] = {}
    answered: dict[str, Any] = {}
    if "error" in case:
        expected["error"] = layout_error(case["error"])
        answered["error"] = answered_error(plan)
    details = details_of(case, plan)
    if "block_size" in case and not details:
        return CaseResult(name=name, failure=plan.verdict)
    for field in PLAIN:
        if field in case:
            expected[field], answered[field] = case[field], details.get(field)
    if "groups" in case:
        expected["groups"] = [
            [KINDS[g["kind"]], g["layers"], g["block_size"], g["page_bytes"], g["blocks_per_req"]]
            for g in case["groups"]
        ]
        answered["groups"] = [list(group.values()) for group in details["groups"]]
        expected["mamba_dtypes"] = [t.removeprefix("torch.") for t in case["mamba_dtypes"]]
        answered["mamba_dtypes"] = details["mamba_dtypes"]
    for ours, theirs in zip(details.get("params", ()), case.get("params", ()), strict=False):
        stage = f"stage {theirs['rank_pp']}"
        for field in ("param_bytes", "draft_param_bytes"):
            expected[f"{stage} {field}"], answered[f"{stage} {field}"] = theirs[field], ours[field]
    if "resolved" in case and plan.allocation is not None:
        resolved = plan.settings
        lowered = resolved["max_num_seqs"] != resolved["default_max_num_seqs"]
        for field in RESOLVED:
            if lowered and field == "cudagraph_capture_max":
                continue  # the plan chose a max_num_seqs that starts, and graphs follow it
            expected[field] = case["resolved"][field]
            answered[field] = plan.settings.get(field)
        for field in ("max_num_seqs", "gpu_memory_utilization"):
            expected[field] = case["resolved"][field]
            answered[field] = resolved[f"default_{field}"]
    return CaseResult(name=name, expected=expected, answered=answered)


def compare_all(path: Path) -> Iterator[CaseResult]:
    """Every case of a file."""
    for case in cases(path):
        yield compare(case, path.parent)

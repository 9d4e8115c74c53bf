"""Suite `flash_next_vllm`: pools, weights and refusals of vLLM 0.33.0's own code for new layer kinds.

The figures of `vllm`, and those that indexed attention and n-gram tables add.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.suites.figures import error_of
from benchmarks.suites.result import CaseResult
from benchmarks.suites.vllm_cases import PLAIN, ask, cases, engine_sentence, name_of
from planner.engines.vllm.indexed import topk_buffer_bytes
from planner.errors import PlannerError
from planner.planning import Plan

FILES = ("flash_next_vllm.json",)

FIELDS = {name: name for name in PLAIN if name != "layers_per_group_by_pp"} | {
    "ple_conv_page_bytes_unpadded": "window_bytes",
    "qsa_ring_tokens": "ring_tokens",
    "qsa_index_page_bytes": "index_page_bytes",
}
"""Field of a case -> figure of the plan."""

RESOLVED = (
    "attn_backends",
    "gdn_prefill_backend",
    "enable_prefix_caching",
    "mamba_cache_mode",
    "mamba_ssm_cache_dtype",
    "max_model_len",
    "max_num_batched_tokens",
    "use_v2_model_runner",
    "cudagraph_mode",
)


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per case."""
    for case in cases(folder / FILES[0]):
        yield compare(case, folder)


def compare(case: dict[str, Any], folder: Path) -> CaseResult:
    """One case: its pool, its weights on GPU and host, or the error that it raises."""
    name = name_of(case)
    try:
        plan = ask(case, case["vllm_version"], folder)
    except (PlannerError, LookupError) as error:
        return CaseResult(name=name, failure=f"{type(error).__name__}: {error}")
    if "error" in case:
        expected, answered = engine_sentence(case["error"]), error_of(plan)
        return CaseResult(name=name, expected={"error": expected}, answered={"error": answered})
    if plan.allocation is None:
        return CaseResult(name=name, failure=plan.verdict)
    wanted, found = _pool(case, plan)
    weights, ours = _weights(case, plan)
    settings = {field: case["resolved"][field] for field in RESOLVED}
    settled = {field: plan.settings.get(field) for field in RESOLVED}
    return CaseResult(
        name=name, expected=wanted | weights | settings, answered=found | ours | settled
    )


def _pool(case: dict[str, Any], plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    figures = plan.figures
    expected = {theirs: case[theirs] for theirs in FIELDS}
    answered = {theirs: figures.get(ours) for theirs, ours in FIELDS.items()}
    # Theirs count an indexer's keys as layers of the attention group.
    expected["blocks of each group"] = [group["blocks_per_req"] for group in case["groups"]]
    answered["blocks of each group"] = [group["blocks_per_req"] for group in figures["groups"]]
    return expected, answered


def _weights(case: dict[str, Any], plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    (theirs,), (ours,) = case["params"], plan.figures["params"]
    model = plan.deployment.checkpoint.model
    tokens, layers = plan.settings["max_num_batched_tokens"], len(model.full_attention_layers)
    drafting = model.mtp.num_layers if theirs["draft_param_bytes"] and model.mtp else 0
    expected = {
        field: theirs[field]
        for field in (
            "param_bytes",
            "draft_param_bytes",
            "host_param_bytes",
            "qsa_topk_buffer_bytes",
            "draft_qsa_topk_buffer_bytes",
        )
    }
    answered = {
        "param_bytes": ours["param_bytes"],
        "draft_param_bytes": ours["draft_param_bytes"],
        "host_param_bytes": ours["table_bytes"],
        "qsa_topk_buffer_bytes": topk_buffer_bytes(model, tokens=tokens, layers=layers),
        "draft_qsa_topk_buffer_bytes": topk_buffer_bytes(model, tokens=tokens, layers=drafting),
    }
    return expected, answered

"""Suite `sglang`: resolved defaults, pools, running requests and refusals of SGLang."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.suites import sglang_logs
from benchmarks.suites.models import checkpoint_named
from benchmarks.suites.result import CaseResult
from planner.engines.sglang.legality import layout_violations, messages
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.ranks import Gpu, parallel_of
from planner.engines.sglang.server import Server
from planner.errors import LayoutError, PlannerError
from planner.layout import Layout
from planner.units import GIB

FILES = ("sglang.json",)
SCHEMES = {"int4": "gptq-int4"}
"""Precisions of the cases that the planner calls otherwise."""
SPELLED = {
    "cuda_graph_max_bs_decode": "cuda_graph_max_bs",
    "mamba_scheduler_strategy": "mamba_radix_cache_strategy",
    "disable_piecewise_cuda_graph": "disable_prefill_cuda_graph",
}
"""Flags of newer or older releases that mean the same option."""
GRAPHS_OFF = {
    "cuda_graph_backend_decode": "disable_decode_cuda_graph",
    "cuda_graph_backend_prefill": "disable_prefill_cuda_graph",
}
"""Flags whose value "disabled" is an option of its own."""
WITHOUT_MEMORY = (
    "dtype",
    "quantization",
    "trust_remote_code",
    "load_format",
    "mamba_track_interval",
    "moe_runner_backend",
    "linear_attn_backend",
    "mm_attention_backend",
    "enable_mixed_chunk",
    "schedule_policy",
    "schedule_conservativeness",
    "num_continuous_decode_steps",
    "disable_custom_all_reduce",
    "enable_flashinfer_allreduce_fusion",
    "reasoning_parser",
    "tool_call_parser",
    "nnodes",
    "dist_init_addr",
)
"""Flags that change no pool; the precision of the weights is a field of the case's own."""
SAME = "SAME_AS_MODEL"


def run(folder: Path) -> Iterator[CaseResult]:
    """One result per case of sglang.json, then the anchors from logs in it or beside it."""
    document = json.loads((folder / FILES[0]).read_text("utf-8"))
    for case in document["cases"]:
        try:
            yield CaseResult(
                name=case["id"], expected=_expected(case), answered=_answer(case, folder)
            )
        except (LookupError, PlannerError, TypeError) as error:
            yield CaseResult(name=case["id"], failure=f"{type(error).__name__}: {error}")
    yield from sglang_logs.run(document.get("logs") or sglang_logs.rows_beside(folder), folder)


def _expected(case: dict[str, Any]) -> dict[str, Any]:
    pool = dict(case.get("pool") or {})
    if "error" in pool:
        pool["error"] = _message(pool["error"])
    return {
        **{f"resolved.{key}": value for key, value in (case.get("resolved") or {}).items()},
        **{f"pool.{key}": value for key, value in pool.items()},
        **({"error": case["error"]} if "error" in case else {}),
        "model_load_errors": case.get("model_load_errors", {}),
    }


def _message(text: str) -> str:
    """Return the engine's message; pipeline stages that say the same count once."""
    if text.startswith("weights exceed free memory"):
        return "loading"
    return "; ".join(dict.fromkeys(text.split("; ")))


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """The flags that concern memory, by the names of the planner's options."""
    flags = {SPELLED.get(name, name): value for name, value in given.items()}
    for name, option in GRAPHS_OFF.items():
        if flags.pop(name, None) == "disabled":
            flags[option] = True
    if flags.pop("enable_dp_attention", False):
        flags["attn_dp_size"] = flags.pop("dp_size", 1)
    return {name: value for name, value in flags.items() if name not in WITHOUT_MEMORY}


def server_of(case: dict[str, Any], folder: Path) -> Server:
    """The server that a case describes."""
    asked = case["input"]
    flags = _flags(asked["flags"])
    layout = Layout(
        tensor_parallel=flags.pop("tp_size", 1),
        pipeline_parallel=flags.pop("pp_size", 1),
        data_parallel=flags.pop("dp_size", 1),
    )
    kv_cache_dtype = flags.pop("kv_cache_dtype", "auto")
    if flags.get("speculative_draft_model_path") == SAME:
        flags["speculative_draft_model_path"] = asked["model"]
    capability = asked["compute_capability"]
    precision = asked["weights_precision"]
    options = SGLangOptions(version=case["version"], **flags)
    return Server(
        checkpoint=checkpoint_named(
            asked["model"], folder, scheme=SCHEMES.get(precision, precision)
        ),
        parallel=parallel_of(layout, options),
        gpu=Gpu(memory_mib=asked["gpu_mem_mib"], capability=(capability[0], capability[1])),
        options=options,
        kv_cache_dtype=kv_cache_dtype,
    )


def _answer(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    server = server_of(case, folder)
    errors = messages(iter(server.load_violations()))
    shared_out = replace(server.parallel, ep_size=server.parallel.tp_size)
    if "moe_intermediate" in errors:  # such cases also ask whether sharing experts out would do
        experts = messages(layout_violations(server.checkpoint.model, shared_out))
        errors |= {rule: text for rule, text in experts.items() if rule == "ep_num_experts"}
    answered: dict[str, Any] = {"model_load_errors": errors}
    options = server.option_violations()
    if options:
        return answered | {"error": options[0].engine_message}
    answered |= {f"resolved.{key}": value for key, value in _resolved(server).items()}
    try:
        pool = server.pool(
            free_before_load=case["input"]["pre_model_load_gib"] * GIB,
            free_after_load=case["input"]["available_after_load_gib"] * GIB,
        )
    except LayoutError as error:
        return answered | {"error": f"AssertionError: {error}"}
    return answered | {f"pool.{key}": value for key, value in _pool(server, pool).items()}


def _resolved(server: Server) -> dict[str, Any]:
    resolved, speculation = server.resolved, server.resolved.speculation
    return {
        "mem_fraction_static": resolved.mem_fraction_static,
        "chunked_prefill_size": resolved.chunked_prefill_size,
        "decode_cuda_graph_max_bs": resolved.decode_cuda_graph_max_bs,
        "decode_graph_backend": resolved.decode_graph_backend,
        "prefill_graph_backend": resolved.prefill_graph_backend,
        "prefill_graph_buckets": resolved.prefill_graph_buckets,
        "page_size": resolved.page_size,
        "attention_backend": resolved.attention_backend,
        "mamba_radix_cache_strategy": resolved.mamba_radix_cache_strategy,
        "max_running_requests": resolved.max_running_requests,
        "speculative_num_draft_tokens": speculation.num_draft_tokens if speculation else None,
        "speculative_num_steps": speculation.num_steps if speculation else None,
        "disable_overlap_schedule": resolved.disable_overlap_schedule,
        "ep_size": server.parallel.ep_size,
        "attn_dp_size": server.parallel.attn_dp_size,
    }


def _pool(server: Server, pool: Pool) -> dict[str, Any]:
    geometry, speculation = pool.geometry, server.resolved.speculation
    slot = geometry.slot
    return {
        "cell_bytes_per_token": geometry.cells[0],
        "max_total_num_tokens": pool.max_total_num_tokens,
        "max_running_requests": pool.max_running_requests,
        "mamba_cache_per_req": slot.nbytes,
        "conv_shape": [list(slot.conv_shape)],
        "temporal_shape": list(slot.temporal_shape),
        "ssm_dtype": f"torch.{slot.ssm_dtype}",
        "conv_dtype": f"torch.{slot.conv_dtype}",
        "n_linear_layers": slot.layers,
        "max_mamba_cache_size": pool.max_mamba_cache_size,
        "mamba_ratio": geometry.mamba_ratio,
        "draft_layers": (speculation.draft_layers or None) if speculation else None,
        "attn_tp": server.parallel.attn_tp_size,
        "pp_stage_cell_bytes": list(geometry.cells),
        "pp_stage_tokens_before_min": list(pool.stage_tokens),
        "error": (pool.failure.engine_message or pool.failure.kind) if pool.failure else None,
    }

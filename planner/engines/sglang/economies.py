"""What of an SGLang deployment can be changed so that the same memory holds more."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Deployment
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.server import Server
from planner.units import ceil_div

SMALL_CHUNK = 2048
"""Tokens per prefill step that SGLang itself takes on GPUs below 35 GiB (server_args)."""

HIGH_FRACTION = 0.9
"""Published deployments on small cards go up to 0.94; beyond, nothing is left for prefill."""


def economies(deployment: Deployment, server: Server) -> Iterator[Economy]:
    """Changes that free memory for the pools, those that are already made left out."""
    options: SGLangOptions = deployment.options
    resolved = server.resolved
    hybrid = deployment.checkpoint.model.linear is not None
    sequences = ceil_div(deployment.concurrency, server.parallel.pools)
    groups = server.parallel.attn_dp_size
    slots = sequences * server.geometry.mamba_ratio * groups
    if hybrid and options.max_mamba_cache_size is None:
        yield Economy(
            title="only as many state slots as the workload needs"
            f" (--max-mamba-cache-size {slots} --max-running-requests {sequences * groups})",
            loses="further requests wait",
            cost=1,
            options={
                "max_mamba_cache_size": slots,
                "max_running_requests": sequences * groups,
            },
            group="state slots",
        )
    if options.chunked_prefill_size is None and resolved.chunked_prefill_size > SMALL_CHUNK:
        yield Economy(
            title=f"smaller prefill chunks (--chunked-prefill-size {SMALL_CHUNK})",
            loses="prompts are computed in more steps",
            cost=2,
            options={"chunked_prefill_size": SMALL_CHUNK},
        )
    if options.speculative_algorithm is not None:
        yield Economy(
            title="do not draft with the MTP module",
            loses="slower decoding",
            cost=2,
            options={
                "speculative_algorithm": None,
                "speculative_num_steps": None,
                "speculative_eagle_topk": None,
                "speculative_num_draft_tokens": None,
                "speculative_draft_model_path": None,
            },
        )
    if hybrid and not options.disable_radix_cache:
        yield Economy(
            title="no prefix cache, one state slot per request (--disable-radix-cache)",
            loses="prompts that begin alike are computed again",
            cost=2,
            options={"disable_radix_cache": True},
        )
    if options.mem_fraction_static is None and resolved.mem_fraction_static < HIGH_FRACTION:
        yield Economy(
            title=f"more memory for weights and pools (--mem-fraction-static {HIGH_FRACTION:g})",
            loses="less room for activations: large prefill batches may run out of memory",
            cost=3,
            options={"mem_fraction_static": HIGH_FRACTION},
        )
    if server.cache_format.bits >= 16:
        yield Economy(
            title="FP8 KV cache (--kv-cache-dtype fp8_e4m3)",
            loses="a little accuracy on long contexts",
            cost=3,
            kv_cache_dtype="fp8_e4m3",
        )
    linear = deployment.checkpoint.model.linear
    if linear is not None and linear.mamba_ssm_dtype == "float32" and not options.mamba_ssm_dtype:
        yield Economy(
            title="16-bit recurrent state (--mamba-ssm-dtype bfloat16)",
            loses="a little accuracy: the model asks for 32-bit state",
            cost=3,
            options={"mamba_ssm_dtype": "bfloat16"},
        )
    if options.decode_graphs:
        yield Economy(
            title="no CUDA graphs (--disable-cuda-graph)",
            loses="much slower decoding of few sequences",
            cost=3,
            options={"disable_cuda_graph": True},
        )


def knobs(deployment: Deployment) -> Iterator[Knob]:
    """What can be solved for: the share of memory for weights and pools."""
    yield Knob(
        question="smallest utilization",
        option="mem_fraction_static",
        values=tuple(percent / 100 for percent in range(1, 100)),
    )

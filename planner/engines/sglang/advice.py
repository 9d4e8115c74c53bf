"""Find what would hold a workload that the defaults do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Deployment
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.overheads import SAFE_UNIFIED_FRACTION, UNIFIED_SOURCE, Budget
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.server import Server
from planner.units import GIB, ceil_div, round_up

MOST_SLOTS = 10**6
MOST_FRACTION = 0.95


def holds(server: Server, pool: Pool, *, sequences: int, context: int) -> bool:
    """Say whether `pool` runs `sequences` of `context` tokens at once on one attention group."""
    tokens = pool.max_total_num_tokens or 0
    by_tokens = tokens // round_up(context, server.resolved.page_size)
    running = pool.max_running_requests or 0
    return pool.failure is None and min(by_tokens, running) >= sequences


def split_that_holds(
    server: Server, budget: Budget, *, sequences: int, context: int
) -> tuple[str, ...]:
    """Return the flags under which the same memory holds `sequences`; empty if no split does.

    The state pool gets exactly the slots that they need, the KV pool the rest.
    """
    groups = server.parallel.attn_dp_size
    slots = sequences * server.geometry.mamba_ratio * groups
    if slots > MOST_SLOTS:
        return ()
    options = replace(server.options, max_mamba_cache_size=slots)
    flags = ["--max-mamba-cache-size", str(slots)]
    running = server.resolved.max_running_requests
    if running is not None and running // groups < sequences:
        options = replace(options, max_running_requests=sequences * groups)
        flags += ["--max-running-requests", str(sequences * groups)]
    tried = replace(server, options=options)
    pool = tried.pool(
        free_before_load=budget.free_before_load, free_after_load=budget.free_after_load
    )
    return tuple(flags) if holds(tried, pool, sequences=sequences, context=context) else ()


def holding_notes(
    server: Server, budget: Budget, pool: Pool, *, sequences: int, context: int
) -> tuple[str, ...]:
    """Say why fewer than `sequences` run at once on a group, and which flags change that."""
    if pool.failure is not None or holds(server, pool, sequences=sequences, context=context):
        return ()
    running, ratio = pool.max_running_requests or 0, pool.geometry.mamba_ratio
    notes = []
    if running < sequences and pool.limited_by == "state pool":
        slots = sequences * ratio
        needed = (slots + server.rules.budgets_padding_slot) * pool.geometry.stage_slot_bytes
        notes.append(
            f"the state pool of {pool.max_mamba_cache_size:,} slots runs {running:,} requests at"
            f" {ratio} slots each; {sequences:,} need {slots:,} slots ({needed / GIB:.1f} GiB)"
        )
    elif running < sequences:
        given = server.options.max_running_requests is not None
        cause = "as given" if given else "SGLang's own bound"
        notes.append(f"SGLang runs {running:,} requests at once ({cause})")
    flags = split_that_holds(server, budget, sequences=sequences, context=context)
    if flags:
        notes.append(f"with {' '.join(flags)} the same memory holds the workload")
    elif running < sequences and pool.limited_by == "state pool":
        notes.append(
            "to run more: --mamba-ssm-dtype bfloat16 halves the state,"
            " --disable-radix-cache takes one slot per request and no prefix cache"
        )
    return tuple(notes)


def fraction_that_serves(server: Server, budget: Budget, *, context: int) -> float | None:
    """Return the smallest mem_fraction_static, in steps of 0.01, that serves one sequence.

    Up to 0.95; on unified memory up to what was seen to work.
    """
    if budget.free_after_load < 0:
        return None  # weights that exceed the device do so under every fraction
    least = int(server.resolved.mem_fraction_static * 100) + 1
    most = SAFE_UNIFIED_FRACTION if server.gpu.integrated else MOST_FRACTION
    for percent in range(least, round(most * 100) + 1):
        options = replace(server.options, mem_fraction_static=percent / 100)
        tried = replace(server, options=options)
        pool = tried.pool(
            free_before_load=budget.free_before_load, free_after_load=budget.free_after_load
        )
        if holds(tried, pool, sequences=1, context=context):
            return percent / 100
    return None


def starting_notes(server: Server, budget: Budget, pool: Pool, *, context: int) -> tuple[str, ...]:
    """Say which mem_fraction_static would start it where the present one does not."""
    if holds(server, pool, sequences=1, context=context):
        return ()
    fraction = fraction_that_serves(server, budget, context=context)
    if fraction is None:
        return ()
    left = budget.free_before_load * (1 - fraction) / GIB
    return (
        f"--mem-fraction-static {fraction:g} would start it, with {left:.1f} GiB instead of"
        f" {budget.free_before_load * (1 - server.resolved.mem_fraction_static) / GIB:.1f} GiB"
        " left for activations and CUDA graphs",
    )


SMALL_CHUNK = 2048
"""Tokens per prefill step that SGLang itself takes on GPUs below 35 GiB (server_args)."""

HIGH_FRACTION = 0.9
"""Published deployments on small cards go up to 0.94; beyond, nothing is left for prefill."""


def safe_share(server: Server) -> Economy | None:
    """Return the share that passed on unified memory; None where it is said or no larger anyway."""
    unsaid = server.options.mem_fraction_static is None
    larger = server.resolved.mem_fraction_static > SAFE_UNIFIED_FRACTION
    if not (server.gpu.integrated and unsaid and larger):
        return None
    return Economy(
        title=f"what passed on unified memory (--mem-fraction-static {SAFE_UNIFIED_FRACTION:g})",
        loses=f"fewer requests at once; larger shares were seen to run out: {UNIFIED_SOURCE}",
        cost=1,
        options={"mem_fraction_static": SAFE_UNIFIED_FRACTION},
    )


def economies(deployment: Deployment, server: Server) -> Iterator[Economy]:
    """Yield changes that free memory for the pools, those already made left out."""
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
    unsaid = options.mem_fraction_static is None
    if resolved.mem_fraction_static < HIGH_FRACTION and (unsaid or not server.gpu.integrated):
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
    """Yield what can be solved for: the share of memory for weights and pools."""
    yield Knob(
        question="smallest utilization",
        option="mem_fraction_static",
        values=tuple(percent / 100 for percent in range(1, 100)),
    )

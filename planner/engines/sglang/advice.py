"""What would hold a workload that the defaults do not hold."""

from __future__ import annotations

from dataclasses import replace

from planner.engines.sglang.budget import SAFE_UNIFIED_FRACTION, Budget
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.server import Server
from planner.units import GIB, round_up

MOST_SLOTS = 10**6
MOST_FRACTION = 0.95


def holds(server: Server, pool: Pool, *, sequences: int, context: int) -> bool:
    """`pool` runs `sequences` of `context` tokens at once on one attention group."""
    tokens = pool.max_total_num_tokens or 0
    by_tokens = tokens // round_up(context, server.resolved.page_size)
    running = pool.max_running_requests or 0
    return pool.failure is None and min(by_tokens, running) >= sequences


def split_that_holds(
    server: Server, budget: Budget, *, sequences: int, context: int
) -> tuple[str, ...]:
    """Flags under which the same memory holds `sequences`; empty if no split does.

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
    """Why fewer than `sequences` run at once on a group, and which flags would change that."""
    if pool.failure is not None or holds(server, pool, sequences=sequences, context=context):
        return ()
    running, ratio = pool.max_running_requests or 0, pool.geometry.mamba_ratio
    notes = []
    if running < sequences and pool.limited_by == "state pool":
        slots = sequences * ratio
        needed = (slots + server.rules.padding_slot) * pool.geometry.stage_slot_bytes
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
    """The smallest mem_fraction_static, in steps of 0.01, that serves one sequence.

    Up to 0.95; on unified memory up to what was seen to work.
    """
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
    """Which mem_fraction_static would start it where the present one does not."""
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

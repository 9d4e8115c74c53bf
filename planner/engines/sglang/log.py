"""Read SGLang's start-up log, and write the lines that a plan expects in it.

"GB" in it is GiB. Of lines that target and drafter both print, the first is the target's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import (
    Basis,
    Bounds,
    LogFigure,
    Measured,
    Merge,
    Reading,
    read_figures,
)
from planner.engines.sglang.answer import SglangAnswer
from planner.engines.sglang.overheads import Budget, budget_of
from planner.engines.sglang.pool import LEAST_ESTIMATE, Pool
from planner.engines.sglang.server import Server, cache_flag, server_of
from planner.memory.breakdown import Kind
from planner.units import GIB, MIB

BEFORE, AFTER = "free before loading", "free after loading"
SLOTS, TOKENS, RUNNING = "state slots", "KV tokens", "requests at once"
ALLOCATOR = 0.03
"""Share by which what loading takes may exceed the tensors. Assumed."""

LEAST_SLOTS, MOST_SLOTS = 3, 5
"""State slots of a running request with a radix cache, by strategy and release."""

PLENTY = 2.0**50
"""Bytes: so many that memory limits nothing."""

_GB = r"(?P<value>-?[\d.]+) ?GB"
_POOL = "Mamba Cache is allocated"


def _pool_figure(name: str, pattern: str, *, cue: str = _POOL, unit: str = "GiB") -> LogFigure:
    """Return a figure that follows from free memory before and after loading."""
    return LogFigure(
        name=name,
        cue=cue,
        patterns=(pattern,),
        unit=unit,
        basis=Basis.MEMORY,
        step=0.01 if unit == "GiB" else 1.0,
        merge=Merge.FIRST,
    )


FIGURES = (
    LogFigure(
        name="mem fraction static",
        cue="leave no GPU memory for the KV cache",
        patterns=(r"--mem-fraction-static=(?P<value>\d+\.\d+)",),
        unit="share",
        basis=Basis.RULE,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name="least mem fraction static",
        cue="minimum viable",
        patterns=(r"minimum viable = 1 - available/pre = (?P<value>-?\d+\.\d+)",),
        unit="share",
        basis=Basis.ESTIMATE,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name="state slots computed",
        cue="mamba",
        patterns=(r"max_mamba_cache_size=(?P<value>-?\d+)[ ,]",),
        unit="slots",
        basis=Basis.ESTIMATE,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name="state per slot",
        cue="mamba_cache_per_req=",
        patterns=(r"mamba_cache_per_req=(?P<value>[\d.]+) MB",),
        unit="MiB",
        basis=Basis.RULE,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name="state slots per request",
        cue="mamba_ratio=",
        patterns=(r"mamba_ratio=(?P<value>\d+)",),
        unit="slots",
        basis=Basis.RULE,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name=BEFORE,
        cue="Load weight begin",
        patterns=(rf"Load weight begin\. avail mem={_GB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name="weights",
        cue="Load weight end",
        patterns=(rf"mem usage={_GB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.WEIGHTS,),
        slack=ALLOCATOR,
        step=0.01,
        merge=Merge.FIRST,
    ),
    LogFigure(
        name=AFTER,
        cue="Load weight end",
        patterns=(rf"avail mem={_GB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.LEAST,
    ),
    _pool_figure(SLOTS, r"max_mamba_cache_size: (?P<value>\d+)", unit="slots"),
    _pool_figure("conv state", rf"conv_state size: {_GB}"),
    _pool_figure("SSM state", rf"ssm_state size: {_GB}"),
    _pool_figure("SSM state of drafts", rf"intermediate_ssm_state_cache size: {_GB}"),
    _pool_figure("conv state of drafts", rf"intermediate_conv_window_cache size: {_GB}"),
    _pool_figure(
        TOKENS,
        r"#tokens: (?P<value>\d+)",
        cue="KV Cache is allocated",
        unit="tokens",
    ),
    _pool_figure(
        TOKENS,
        r"max_total_num_tokens=(?P<value>\d+)",
        cue="max_total_num_tokens=",
        unit="tokens",
    ),
    _pool_figure("keys", rf"K size: {_GB}", cue="KV Cache is allocated"),
    _pool_figure("values", rf"V size: {_GB}", cue="KV Cache is allocated"),
    _pool_figure(
        RUNNING,
        r"max_running_requests=(?P<value>\d+)",
        cue="max_total_num_tokens=",
        unit="requests",
    ),
    LogFigure(
        name="prefill chunk",
        cue="max_total_num_tokens=",
        patterns=(r"chunked_prefill_size=(?P<value>-?\d+)",),
        unit="tokens",
        basis=Basis.RULE,
    ),
    LogFigure(
        name="longest request",
        cue="max_total_num_tokens=",
        patterns=(r"context_len=(?P<value>\d+)",),
        unit="tokens",
        basis=Basis.ASKED,
    ),
    LogFigure(
        name="CUDA graphs",
        cue="graph end",
        patterns=(rf"mem usage={_GB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.CUDA_GRAPHS,),
        step=0.01,
        merge=Merge.SUM,
    ),
)


EXPLAINS = MappingProxyType(
    {
        BEFORE: (
            1.0,
            "{less:.1f} GiB were taken before loading, beyond CUDA and collectives: other programs hold"
            " them, and --mem-fraction-static counts from what was free",
        )
    }
)
"""Figure -> how far it must be off, and what that means."""

FIELDS = MappingProxyType(
    {
        "weights_gib": ("weights",),
        "max_total_num_tokens": (TOKENS,),
        "mamba_state_gib": ("conv state", "SSM state"),
        "mamba_intermediate_gib": ("SSM state of drafts", "conv state of drafts"),
        "kv_gib": ("keys", "values"),
        "cudagraph_actual_gib": ("CUDA graphs",),
        "free_before_load_gib": (BEFORE,),
        "free_after_load_gib": (AFTER,),
    }
)
"""Names of a reference case -> figures."""

TORCH_DTYPES = {"auto": "bfloat16", "fp8_e4m3": "float8_e4m3fn", "fp8_e5m2": "float8_e5m2"}
"""Value of ``--kv-cache-dtype`` -> what the log calls it."""


def log_lines(answer: SglangAnswer) -> tuple[str, ...]:
    """Return the lines on memory that SGLang would print at start-up, with the plan's figures.

    Figures that depend on the estimate of free memory say so.

    Source: SGLang 0.5.23 model_executor/model_runner.py, mem_cache/memory_pool.py,
    managers/scheduler.py.
    """
    loading = loading_lines(answer.budget)
    if not answer.starts and answer.refusal and answer.pool.max_running_requests is None:
        return (*loading, answer.refusal)
    return (*loading, *pool_lines(answer.server, answer.pool))


def loading_lines(budget: Budget) -> tuple[str, ...]:
    """Return what is printed around loading."""
    before, after = budget.free_before_load, budget.free_after_load
    return (
        f"Load weight begin. avail mem={before / GIB:.2f} GB (estimate)",
        f"Load weight end. avail mem={after / GIB:.2f} GB,"
        f" mem usage={(before - after) / GIB:.2f} GB. (estimate)",
    )


def pool_lines(server: Server, pool: Pool) -> tuple[str, ...]:
    """Return what is printed of the pools."""
    resolved, taken = server.resolved, server.allocated(pool)

    def size(nbytes: int) -> str:
        return f"{nbytes / GIB:.2f}"

    state = (
        f"Mamba Cache is allocated. max_mamba_cache_size: {pool.max_mamba_cache_size},"
        f" conv_state size: {size(taken.conv_state)}GB, ssm_state size: {size(taken.ssm_state)}GB"
    )
    if resolved.speculation is not None:
        state += (
            f" intermediate_ssm_state_cache size: {size(taken.intermediate_ssm)}GB"
            f" intermediate_conv_window_cache size: {size(taken.intermediate_conv)}GB"
        )
    tokens, flag = pool.max_total_num_tokens, cache_flag(server.kv_cache_dtype)
    return (
        state,
        f"KV Cache is allocated. dtype: torch.{TORCH_DTYPES.get(flag, flag)}, #tokens: {tokens},"
        f" K size: {size(taken.k_cache)} GB, V size: {size(taken.v_cache)} GB",
        f"max_total_num_tokens={tokens}, chunked_prefill_size={resolved.chunked_prefill_size},"
        f" max_prefill_tokens={server.options.max_prefill_tokens},"
        f" max_running_requests={pool.max_running_requests},"
        f" context_len={resolved.context_length}",
    )


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Yield CUDA graphs as the plan estimates them, and what SGLang's errors tell of its rules."""
    if isinstance(allocation, SglangAnswer):
        geometry, resolved = allocation.pool.geometry, allocation.server.resolved
        yield f"mamba_cache_per_req={geometry.stage_slot_bytes / MIB:.2f} MB"
        yield f"mamba_ratio={geometry.mamba_ratio}"
        yield (
            "leave no GPU memory for the KV cache under"
            f" --mem-fraction-static={resolved.mem_fraction_static}"
        )
    graphs = allocation.ranks[0].of_kind(Kind.CUDA_GRAPHS)
    if graphs:
        yield f"Capture cuda graph end. mem usage={graphs / GIB:.2f} GB"


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Return the lines for the free memory that the log states before and after loading.

    The pools shrink with what was free before (a share of it stays outside) and grow with what is
    free after. Of a log without these lines the pools' own sizes are taken, and what slots and
    tokens cost is compared.
    """
    before, after = logged.get(BEFORE), logged.get(AFTER)
    if before is not None and after is not None:
        early, late = before.step / 2, after.step / 2
        return Bounds(
            low=_lines(deployment, (before.value + early) * GIB, (after.value - late) * GIB),
            high=_lines(deployment, (before.value - early) * GIB, (after.value + late) * GIB),
        )
    slots, tokens = logged.get(SLOTS), logged.get(TOKENS)
    if slots is None or tokens is None:
        return None
    options = replace(
        deployment.options,
        max_mamba_cache_size=int(slots.value) * server_of(deployment).parallel.attn_dp_size,
        max_total_tokens=int(tokens.value),
    )
    lines = _lines(replace(deployment, options=options), PLENTY, PLENTY)
    return Bounds(low=lines, high=lines, taken=frozenset((SLOTS, TOKENS)))


def beyond(
    deployment: Deployment, allocation: Allocation, logged: Mapping[str, Reading]
) -> Measured | None:
    """Return what a start took beyond the estimates, before loading and by loading.

    Of a log that does not tell what was free before, loading took all of it.

    The pools follow from both. What fixes them is their own sizes, where the log prints them.
    """
    if not isinstance(allocation, SglangAnswer) or AFTER not in logged:
        return None
    budget = allocation.budget
    after = int(logged[AFTER].value * GIB)
    before = int(logged[BEFORE].value * GIB) if BEFORE in logged else budget.free_before_load
    if not 0 < after <= before:
        return None
    planned = budget.free_before_load - budget.free_after_load
    loading = (before - after) - planned
    fixed: tuple[str, ...] = ()
    if SLOTS in logged and TOKENS in logged:
        slots = int(logged[SLOTS].value) * allocation.server.parallel.attn_dp_size
        tokens = int(logged[TOKENS].value)
        fixed = ("--max-total-tokens", str(tokens), "--max-mamba-cache-size", str(slots))
    return Measured(
        difference=budget.free_before_load - before + loading,
        cache_gib=logged[AFTER].value,
        fixed_by=fixed,
        loading=loading,
    )


def requests_told(lines: Sequence[str]) -> dict[str, Any]:
    """Return what the pools tell of two arguments.

    A radix cache takes several state slots for each running request: where there are fewer, it is
    off. Where they would run more than the server does, the number of requests was given.
    """
    found = {name: reading.value for name, reading in read_figures(lines, FIGURES).items()}
    if not {SLOTS, TOKENS, RUNNING} <= found.keys():
        return {}
    slots, running = found[SLOTS], found[RUNNING]
    told = {"max_running_requests": int(running)}
    if slots < LEAST_SLOTS * running:
        return told | {"disable_radix_cache": True}
    own = min(slots // MOST_SLOTS, found[TOKENS] // 2, LEAST_ESTIMATE)
    return told if running < own else {}


def _lines(deployment: Deployment, before: float, after: float) -> tuple[str, ...]:
    server = server_of(deployment)
    pool = server.pool(free_before_load=before, free_after_load=after)
    if pool.failure is not None:
        return ()
    budget = budget_of(server, deployment.system.accelerator, deployment.lesson)
    return (*loading_lines(budget), *pool_lines(server, pool))

"""SGLang's start-up log: its figures, and what the engine was told.

"GB" in it is GiB. Of lines that target and drafter both print, the first is the target's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import Basis, Bounds, LogFigure, LogReader, Merge, Reading
from planner.engines.logged_arguments import as_words, logged_values
from planner.engines.sglang.answer import pool_details
from planner.engines.sglang.budget import budget_of
from planner.engines.sglang.command import read_command
from planner.engines.sglang.command_flags import TABLE
from planner.engines.sglang.engine import SGLANG, server_of
from planner.engines.sglang.launch import log_lines
from planner.memory.breakdown import Kind
from planner.units import GIB

BEFORE, AFTER = "free before loading", "free after loading"
SLOTS, TOKENS = "state slots", "KV tokens"
PLENTY = 2.0**50
"""Bytes: so many that memory limits nothing."""

_GB = r"(?P<value>-?[\d.]+) ?GB"
_POOL = "Mamba Cache is allocated"


def _pool_figure(name: str, pattern: str, *, cue: str = _POOL, unit: str = "GiB") -> LogFigure:
    """A figure that follows from free memory before and after loading."""
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
    _pool_figure("keys", rf"K size: {_GB}", cue="KV Cache is allocated"),
    _pool_figure("values", rf"V size: {_GB}", cue="KV Cache is allocated"),
    _pool_figure(
        "requests at once",
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
        basis=Basis.RULE,
    ),
    LogFigure(
        name="CUDA graphs",
        cue="graph end",
        patterns=(rf"mem usage={_GB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.SUM,
    ),
)


def logged_command(lines: Sequence[str]) -> Command | None:
    """What SGLang was told: the arguments that it prints, with the defaults it resolved."""
    for line in reversed(lines):
        _, mark, text = line.partition("server_args=")
        if mark:
            values = logged_values(text)
            if not values.get("model_path"):
                return None
            return read_command(as_words(values, {*TABLE.values, *TABLE.switches}))
    return None


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """CUDA graphs, as the plan estimates them."""
    graphs = allocation.ranks[0].of_kind(Kind.CUDA_GRAPHS)
    if graphs:
        yield f"Capture cuda graph end. mem usage={graphs / GIB:.2f} GB"


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """The lines for the free memory that the log states before and after loading.

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


def _lines(deployment: Deployment, before: float, after: float) -> tuple[str, ...]:
    server = server_of(deployment)
    budget = budget_of(server, deployment.system.accelerator)
    pool = server.pool(free_before_load=before, free_after_load=after)
    if pool.failure is not None:
        return ()
    allocation = replace(
        SGLANG.allocate(deployment), starts=True, details=pool_details(server, budget, pool)
    )
    return log_lines(server, allocation)


LOG_READER = LogReader(
    marks=(
        "server_args=ServerArgs(",
        "Mamba Cache is allocated.",
        "KV Cache is allocated.",
        "Load weight begin. avail mem=",
        "max_total_num_tokens=",
        "sglang",
    ),
    version=(r"(?i)sglang(?:\[\w+\])?(?:==| version[:=]? ?v?| v)(?P<version>\d+\.\d+\.\d+[\w.]*)",),
    figures=FIGURES,
    starts="server_args=",
    command=logged_command,
    also=also,
    given_memory=given_memory,
)

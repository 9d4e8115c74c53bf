"""SGLang as an engine: refusals, allocation, command, log."""

from __future__ import annotations

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Allocation, Deployment, Engine, Launch, Refusal
from planner.engines.sglang import economies as saving
from planner.engines.sglang.answer import (
    capacity_of,
    missing_bytes,
    pool_details,
    resolved_options,
    start_error,
    warnings_of,
)
from planner.engines.sglang.budget import Budget, budget_of
from planner.engines.sglang.device import gpu_of
from planner.engines.sglang.launch import launch_of, log_lines
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.parallel import parallel_of
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.refusing import refusals_of
from planner.engines.sglang.server import Server
from planner.engines.sglang.terms import OUTSIDE, rank_terms
from planner.layout import Degrees
from planner.memory.breakdown import Rank
from planner.units import ceil_div


class SGLang(Engine[SGLangOptions, Allocation]):
    """The policy of SGLang; the release is an option."""

    name = "sglang"
    title = "SGLang"
    options_type = SGLangOptions
    degrees = Degrees(
        tensor=True,
        pipeline=True,
        data=True,
        expert=True,
        expert_with_data=False,
        data_over_nodes=False,
        pipeline_with_data=False,
    )

    def version(self, options: SGLangOptions) -> str:
        """The release whose rules are asked for."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Why SGLang cannot run it; see `refusing`."""
        return tuple(refusals_of(deployment, server_of(deployment)))

    def allocate(self, deployment: Deployment) -> Allocation:
        """Budget, pools and capacity.

            static budget = free after loading - free before x (1 - mem_fraction_static)
            state slots   = budget x q / (1 + q) / bytes per slot
            tokens        = what is left / bytes per token
            requests      = min(max_running_requests, tokens / 2, slots / slots per request)

        Source: SGLang 0.5.23 mem_cache/kv_cache_configurator.py.
        """
        server = server_of(deployment)
        budget = budget_of(server, deployment.system.accelerator)
        pool = _pool(server, budget, 0)
        context = deployment.context

        def serves(extra: int) -> bool:
            tried = _pool(server, budget, extra)
            return tried.failure is None and (tried.max_total_num_tokens or 0) >= context

        starts = serves(0)
        sequences = ceil_div(deployment.concurrency, server.parallel.pools)
        ranks = _ranks(server, budget, pool, sequences=sequences, context=context)
        outside = sum(term.nbytes for term in ranks[0].terms if term.name in OUTSIDE)
        native = deployment.checkpoint.model.max_position_embeddings
        capacity = capacity_of(server, pool, context=context, most=max(native, context))
        return Allocation(
            ranks=ranks,
            capacity=capacity,
            starts=starts,
            shortfall=missing_bytes(serves),
            refusal=start_error(server, pool, context=context),
            kv_cache_dtype=server.cache_format.name,
            resolved=resolved_options(server),
            details=pool_details(server, budget, pool),
            warnings=warnings_of(server, deployment, budget, pool, outside),
            at_worst=_at_worst(server, budget, ranks, asked=deployment.concurrency, context=context)
            if starts and capacity.sequences >= deployment.concurrency
            else "",
        )

    def launch(self, deployment: Deployment, allocation: Allocation) -> Launch:
        """The command with exactly the flags that the plan assumed."""
        return launch_of(deployment, server_of(deployment))

    def expected_log(self, deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
        """The lines on memory that it would print."""
        return log_lines(server_of(deployment), allocation)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Changes that free memory for the pools."""
        return tuple(saving.economies(deployment, server_of(deployment)))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Settings that can be solved for."""
        return tuple(saving.knobs(deployment))


SGLANG = SGLang()


def server_of(deployment: Deployment) -> Server:
    """The server that `deployment` describes."""
    return Server(
        checkpoint=deployment.checkpoint,
        parallel=parallel_of(deployment.layout, deployment.options),
        gpu=gpu_of(deployment.system.accelerator),
        options=deployment.options,
        kv_cache_dtype=deployment.kv_cache_dtype,
        context=deployment.context,
    )


def _pool(server: Server, budget: Budget, extra: int) -> Pool:
    """The pools if `extra` bytes more were free after loading."""
    return server.pool(
        free_before_load=budget.free_before_load, free_after_load=budget.free_after_load + extra
    )


def _at_worst(
    server: Server, budget: Budget, ranks: tuple[Rank, ...], *, asked: int, context: int
) -> str:
    """What the pools hold if everything loaded takes as much as its band allows, if that is less.

    The two pools split what is left: spare bytes of one are of no use to the other, so that the
    ranks' headroom does not tell.
    """
    runtime = budget.runtime_band.above
    pool = server.pool(
        free_before_load=max(1, budget.free_before_load - runtime),
        free_after_load=budget.free_after_load - max(rank.band.above for rank in ranks),
    )
    held = capacity_of(server, pool, context=context).sequences
    if pool.failure is None and held >= asked:
        return ""
    what = f"the pools hold {held:,} of them" if held else "not even one of them runs"
    return f"at the far end of the estimates' band {what}"


def _ranks(
    server: Server, budget: Budget, pool: Pool, *, sequences: int, context: int
) -> tuple[Rank, ...]:
    stages, parallel = budget.stages, server.parallel
    count = parallel.tp_size * parallel.replicas
    ranks = []
    for stage in stages:
        name = "each GPU" if count > 1 else "GPU 0"
        if len(stages) > 1:
            name = f"stage {stage.index + 1} of {len(stages)}"
        terms = rank_terms(server, budget, stage, pool, sequences=sequences, context=context)
        ranks.append(
            Rank(name=name, count=count, total=budget.total, usable=budget.total, terms=terms)
        )
    return tuple(sorted(ranks, key=lambda rank: rank.headroom))

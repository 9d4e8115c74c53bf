"""Turn pools into the planner's answer: capacity, what is missing, what to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from functools import cached_property
from typing import Any

from hardware_db.records import frozen_with_cache
from planner.bisection import largest_holding
from planner.columns import choose, smaller
from planner.engines.engine import Allocation, Capacity, Deployment
from planner.engines.sglang.advice import holding_notes, starting_notes
from planner.engines.sglang.options import HICACHE_RATIO, LONGER_CONTEXT
from planner.engines.sglang.overheads import (
    OUTSIDE,
    SAFE_UNIFIED_FRACTION,
    UNIFIED_SOURCE,
    Budget,
)
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.releases import RULES, version_key
from planner.engines.sglang.server import Server, cache_flag
from planner.engines.sglang.tables import table_words
from planner.memory.placement import Placement
from planner.units import MIB, ceil_div, format_gib, format_tokens, round_up

MOST = 2**46
"""Bytes beyond which no memory would help."""


@frozen_with_cache
class SglangAnswer(Allocation):
    """What SGLang would allocate.

    Attributes:
        deployment: the question.
        capacity: how far the memory goes.
        server: what was asked, with every default resolved.
        budget: the memory that it finds and what is loaded.
        pool: its pools, per attention group.
    """

    deployment: Deployment = field(repr=False)
    capacity: Capacity = field()
    server: Server
    budget: Budget
    pool: Pool

    @cached_property
    def shortfall(self) -> int:
        """Bytes missing to start and serve one sequence; zero if it starts, or if none would help."""

        def serves(extra: int) -> bool:
            tried = pool_with(self.server, self.budget, extra)
            return serves_one(tried, self.deployment.context)

        return missing_bytes(serves)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know: settings that would do are looked for when that is asked."""
        outside = sum(term.nbytes for term in self.ranks[0].terms if term.name in OUTSIDE)
        return (
            *table_words(self.deployment, self.server),
            *warnings_of(self.server, self.deployment, self.budget, self.pool, outside),
        )

    def settings(self) -> dict[str, Any]:
        """Return every option that memory depends on, as resolved, by flag name."""
        server = self.server
        resolved, options, speculation = (
            server.resolved,
            server.options,
            server.resolved.speculation,
        )
        return {
            "version": server.rules.version,
            "tp_size": server.parallel.tp_size,
            "pp_size": server.parallel.pp_size,
            "dp_size": server.parallel.replicas,
            "attn_dp_size": server.parallel.attn_dp_size,
            "ep_size": server.parallel.ep_size,
            "mem_fraction_static": resolved.mem_fraction_static,
            "chunked_prefill_size": resolved.chunked_prefill_size,
            "max_prefill_tokens": options.max_prefill_tokens,
            "max_running_requests": resolved.max_running_requests,
            "max_total_tokens": options.max_total_tokens,
            "context_length": resolved.context_length,
            "page_size": resolved.page_size,
            "attention_backend": resolved.attention_backend,
            "decode_cuda_graph_max_bs": resolved.decode_cuda_graph_max_bs,
            "decode_graph_backend": resolved.decode_graph_backend,
            "prefill_graph_backend": resolved.prefill_graph_backend,
            "prefill_graph_buckets": resolved.prefill_graph_buckets,
            "disable_radix_cache": resolved.disable_radix_cache,
            "disable_overlap_schedule": resolved.disable_overlap_schedule,
            "mamba_radix_cache_strategy": resolved.mamba_radix_cache_strategy,
            "mamba_full_memory_ratio": options.mamba_full_memory_ratio,
            "mamba_ssm_dtype": server.geometry.slot.ssm_dtype,
            "kv_cache_dtype": cache_flag(server.kv_cache_dtype),
            "speculative_algorithm": options.speculative_algorithm,
            "speculative_num_steps": speculation.num_steps if speculation else None,
            "speculative_eagle_topk": speculation.eagle_topk if speculation else None,
            "speculative_num_draft_tokens": speculation.num_draft_tokens if speculation else None,
        }

    def figures(self) -> dict[str, Any]:
        """Return SGLang's own figures; pools are those of one attention group."""
        pool, budget, geometry = self.pool, self.budget, self.pool.geometry
        taken = self.server.allocated(pool)
        return {
            "max_total_num_tokens": pool.max_total_num_tokens,
            "max_running_requests": pool.max_running_requests,
            "max_mamba_cache_size": pool.max_mamba_cache_size,
            "mamba_ratio": geometry.mamba_ratio,
            "mamba_cache_per_req": geometry.slot.nbytes,
            "conv_state_bytes": geometry.slot.conv_bytes,
            "ssm_state_bytes": geometry.slot.ssm_bytes,
            "cell_bytes_per_token": list(geometry.cells),
            "stage_tokens": list(pool.stage_tokens),
            "static_budget_bytes": pool.budget,
            "intermediate_reserved_bytes": pool.intermediate_bytes,
            "allocated_bytes": {each.name: getattr(taken, each.name) for each in fields(taken)},
            "free_before_load_bytes": budget.free_before_load,
            "free_after_load_bytes": budget.free_after_load,
            "weights": [
                {"rank_pp": stage.index, "target": stage.target, "draft": stage.draft}
                for stage in budget.stages
            ],
        }


def capacity_of(server: Server, pool: Pool, *, context: int, most: int | None = None) -> Capacity:
    """Return how far the pools go, all attention groups and replicas together.

    Args:
        server: the server.
        pool: its pools.
        context: tokens per sequence; may be a column.
        most: tokens of the longest sequence that the model takes; None: that the server accepts.
    """
    tokens, running = pool.max_total_num_tokens or 0, pool.running
    by_tokens = _held_by_tokens(server, pool, context)
    longest = server.options.context_length or most or server.resolved.context_length
    return Capacity(
        sequences=sequences_of(server, pool, context=context),
        tokens=tokens * server.parallel.pools,
        longest_context=choose(running > 0, min(tokens, longest), 0),
        limited_by=choose(by_tokens < running, "KV cache", pool.limited_by),
        blocks=tokens // server.resolved.page_size,
        block_size=server.resolved.page_size,
    )


def _held_by_tokens(server: Server, pool: Pool, context: int) -> int:
    return (pool.max_total_num_tokens or 0) // round_up(context, server.resolved.page_size)


def sequences_of(server: Server, pool: Pool, *, context: int) -> int:
    """Return how many sequences the pools hold, all attention groups and replicas together."""
    held: int = smaller(_held_by_tokens(server, pool, context), pool.running)
    return held * server.parallel.pools


def pool_with(server: Server, budget: Budget, extra: int = 0) -> Pool:
    """Return the pools if `extra` bytes more were free after loading."""
    return server.pool(
        free_before_load=budget.free_before_load, free_after_load=budget.free_after_load + extra
    )


def serves_one(pool: Pool, context: int) -> bool:
    """Say whether a server with these pools starts and holds one sequence of `context` tokens."""
    return pool.failure is None and (pool.max_total_num_tokens or 0) >= context


def missing_bytes(serves: Callable[[int], bool]) -> int:
    """Return the least bytes, in whole MiB, that more free memory would need; 0 if none would help.

    Args:
        serves: whether the server starts and holds one sequence with so many bytes more.
    """
    if serves(0) or not serves(MOST):
        return 0
    return (1 + largest_holding(lambda extra: not serves(extra * MIB), MOST // MIB)) * MIB


def placement_of(server: Server, budget: Budget) -> Placement:
    """Return where the weights that a step multiplies lie: on the GPUs, every rank and replica."""
    parallel, tied = server.parallel, server.checkpoint.model.tie_word_embeddings
    stages, chunk = budget.stages, server.resolved.chunked_prefill_size
    on_each = sum(stage.multiplied_bytes(tied=tied and stage is stages[-1]) for stage in stages)
    return Placement(
        device=on_each * parallel.tp_size * parallel.replicas,
        chunk=chunk if chunk > 0 else None,
    )


def host_cache_bytes(server: Server, pool: Pool) -> int:
    """Return the bytes that the prefix cache takes in host memory, all ranks together.

        per rank: hicache_size x 10^9, or ratio x (tokens x cell + slots x state)

    Source: SGLang 0.5.23 mem_cache/hybrid_cache/hybrid_pool_assembler.py, pool_host/base.py,
    hicache_auto_size.py.
    """
    options, parallel, geometry = server.options, server.parallel, pool.geometry
    if not options.enable_hierarchical_cache or pool.failure is not None:
        return 0
    ranks = parallel.tp_size * parallel.replicas
    if options.hicache_size:
        return options.hicache_size * 10**9 * ranks * parallel.pp_size
    tokens, slots = pool.max_total_num_tokens or 0, pool.max_mamba_cache_size or 0
    cells = sum(geometry.cells) + geometry.draft_kv_bytes
    on_gpus = tokens * cells + slots * geometry.slot.nbytes
    return int((options.hicache_ratio or HICACHE_RATIO) * on_gpus) * ranks


def _host_notes(deployment: Deployment, server: Server, needed: int) -> tuple[str, ...]:
    """Say what the prefix cache in host memory takes, and whether the machine has it."""
    if not needed:
        return ()
    options, have = server.options, deployment.host_memory
    what = f"--enable-hierarchical-cache takes {format_gib(needed)} of host memory"
    if have is None:
        return (f"{what}: see that the machine has that much free, or set --hicache-size",)
    if needed <= have:
        return ()
    if options.hicache_size or options.hicache_ratio is not None:
        return (f"{what}, the machine has {format_gib(have)}: SGLang does not start; take less",)
    return (f"{what}, the machine has {format_gib(have)}: SGLang takes less by itself",)


def start_error(server: Server, pool: Pool, *, context: int) -> str | None:
    """Return why it does not start or hold one sequence, in the engine's words if it has any."""
    if pool.failure is not None:
        return pool.failure.engine_message or pool.failure.reason
    tokens = pool.max_total_num_tokens or 0
    if tokens < context:
        return (
            f"the KV pool holds {format_tokens(tokens)} tokens; SGLang would start, but refuse"
            f" requests of {format_tokens(context)}"
        )
    return None


def length_notes(server: Server, pool: Pool) -> tuple[str, ...]:
    """Say how much the server holds where it accepts longer requests than that."""
    tokens, length = pool.max_total_num_tokens, server.resolved.context_length
    if tokens is None or tokens >= length:
        return ()
    return (
        f"the KV pool holds {format_tokens(tokens)} tokens: SGLang starts with --context-length"
        f" {length}, but refuses requests longer than the pool",
    )


def warnings_of(
    server: Server, deployment: Deployment, budget: Budget, pool: Pool, outside: int
) -> tuple[str, ...]:
    """Return what a user should know, one sentence each."""
    resolved, options = server.resolved, server.options
    notes = [*_version_notes(server)]
    notes += _host_notes(deployment, server, host_cache_bytes(server, pool))
    if pool.max_total_num_tokens and pool.max_total_num_tokens >= deployment.context:
        notes += length_notes(server, pool)
    notes += starting_notes(server, budget, pool, context=deployment.context)
    notes += holding_notes(
        server,
        budget,
        pool,
        sequences=ceil_div(deployment.concurrency, server.parallel.pools),
        context=deployment.context,
    )
    left = budget.free_before_load * (1 - resolved.mem_fraction_static) - outside
    if options.mem_fraction_static is not None and left < resolved.reserve_mib * MIB:
        notes.append(
            f"--mem-fraction-static {resolved.mem_fraction_static:g} leaves {format_gib(int(left))}"
            f" for activations and CUDA graphs; SGLang's own rule keeps"
            f" {resolved.reserve_mib / 1024:.1f} GiB"
        )
    elif left < 0:
        notes.append(
            f"what SGLang allocates after sizing its pools exceeds the reserve by"
            f" {format_gib(int(-left))}"
        )
    if server.gpu.integrated and resolved.mem_fraction_static > SAFE_UNIFIED_FRACTION:
        notes.append(
            f"on unified memory --mem-fraction-static above {SAFE_UNIFIED_FRACTION:g} was seen to run"
            f" out of memory ({UNIFIED_SOURCE}); this plan has {resolved.mem_fraction_static:.3f}"
        )
    native = deployment.checkpoint.model.max_position_embeddings
    if resolved.context_length > native:
        notes.append(
            f"beyond {format_tokens(native)} tokens SGLang needs the YaRN override and"
            f" {LONGER_CONTEXT}=1; its scaling is static and may cost"
            " quality on short texts"
        )
    if server.checkpoint.model.attention.indexer is not None:
        notes.append("SGLang's rules for indexed attention and n-gram tables were read, not run")
    return tuple(notes)


def notes_of(server: Server) -> tuple[str, ...]:
    """Return what else is worth knowing."""
    if server.gpu.hip:
        return ("the rules were checked on NVIDIA devices; ROCm follows the same files",)
    return ()


def _version_notes(server: Server) -> list[str]:
    asked, read = server.options.version, server.rules.version
    if version_key(asked) == version_key(read) or asked.strip() == read:
        return []
    newest = version_key(asked) > version_key(RULES[-1].version)
    what = "newer than the newest release read" if newest else "between two releases read"
    return [f"SGLang {asked} is {what}: the rules of {read} are assumed"]

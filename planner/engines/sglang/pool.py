"""SGLang's pools: so many state slots, so many tokens, so many requests at once.

The engine computes in GiB as floating point, and so does this port: its integers depend on it.

Source: SGLang 0.5.23 mem_cache/kv_cache_configurator.py (_profile_available_bytes,
_handle_max_mamba_cache, resolve_max_num_reqs) and model_executor/pool_configurator.py; earlier
releases by `versions`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.parallel import Parallel
from planner.engines.sglang.state import StateSlot, state_slot
from planner.engines.sglang.versions import Rules
from planner.formats.cache import CacheFormat
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.model.spec import ModelSpec
from planner.units import GIB, MIB

LEAST_ESTIMATE, MOST_ESTIMATE = 2048, 4096
"""Bounds of the automatic cap on running requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFailure:
    """Why the engine would not start.

    Attributes:
        kind: "loading", "state pool", "requests" or "KV pool".
        engine_message: how the engine's own message begins; None where it runs out of memory.
        reason: the same in plain words.
    """

    kind: str
    reason: str
    engine_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What the pools are cut into on one rank.

    Attributes:
        slot: state of one slot, all layers of the model.
        stage_slot_bytes: bytes of one slot that every pipeline stage is charged.
        cells: bytes of one token per pipeline stage (0: a stage without full attention).
        mamba_ratio: state slots per running request.
        draft_kv_bytes: bytes per token of the drafter's own pool, outside the budget.
    """

    slot: StateSlot
    stage_slot_bytes: int
    cells: tuple[int, ...]
    mamba_ratio: int
    draft_kv_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the engine prints (or would print) about its pools, per attention group.

    Attributes:
        max_mamba_cache_size: state slots; None if it failed before.
        max_total_num_tokens: tokens of the KV pool; None if the engine does not start.
        stage_tokens: tokens that each pipeline stage could hold.
        max_running_requests: requests at once; None if the engine does not start.
        limited_by: what bounds the running requests.
        intermediate_bytes: bytes kept for verifying drafted tokens.
        budget: bytes for weights' neighbours: state pool and KV pool together.
        failure: why the engine does not start, or None.
    """

    geometry: Geometry
    budget: int
    max_mamba_cache_size: int | None = None
    max_total_num_tokens: int | None = None
    stage_tokens: tuple[int, ...] = ()
    max_running_requests: int | None = None
    limited_by: str = "state pool"
    intermediate_bytes: int = 0
    failure: PoolFailure | None = None


def geometry_of(
    model: ModelSpec,
    *,
    parallel: Parallel,
    resolved: Resolved,
    options: SGLangOptions,
    rules: Rules,
    cache_format: CacheFormat,
) -> Geometry:
    """Sizes of slots and cells of `model` in this layout.

    Raises:
        LayoutError: state channels or heads do not divide.
    """
    slot = state_slot(model, attn_tp_size=parallel.attn_tp_size, ssm_dtype=options.mamba_ssm_dtype)
    stages = parallel.stages(model.num_hidden_layers)
    share = 1.0
    if rules.state_by_stage and parallel.pp_size > 1:
        linear = model.linear_attention_layers
        largest = max(sum(layer in stage for layer in linear) for stage in stages)
        share = largest / max(len(linear), 1)
    per_layer = kv_bytes_per_token_per_layer(
        model.attention, cache_format=cache_format, tensor_parallel=parallel.attn_tp_size
    )
    counts = [sum(layer in stage for layer in model.full_attention_layers) for stage in stages]
    cells = tuple(count * per_layer for count in counts)
    speculation, draft_kv = resolved.speculation, 0
    if speculation is not None:
        if speculation.draft_layers:
            cells = tuple(
                cell + int(cell * speculation.draft_layers / count) if count else cell
                for cell, count in zip(cells, counts, strict=True)
            )
        elif model.mtp is not None:
            draft_kv = model.mtp.num_layers * per_layer
    return Geometry(
        slot=slot,
        stage_slot_bytes=int(slot.nbytes * share),
        cells=cells,
        mamba_ratio=mamba_ratio(resolved, rules),
        draft_kv_bytes=draft_kv,
    )


def mamba_ratio(resolved: Resolved, rules: Rules) -> int:
    """State slots that one running request may occupy.

    1 without radix cache; else 3, and with a tracking buffer 1 more (lazy, or no overlap) or 2.

    Source: SGLang 0.5.23 mem_cache/kv_cache_configurator.py (_calculate_mamba_ratio).
    """
    if resolved.disable_radix_cache:
        return 1
    if not resolved.mamba_radix_cache_strategy.startswith("extra_buffer"):
        return 3
    if resolved.speculation is not None and rules.mtp_extra_slots is not None:
        return 3 + rules.mtp_extra_slots
    lazy = resolved.mamba_radix_cache_strategy == "extra_buffer_lazy"
    return 4 if lazy or resolved.disable_overlap_schedule else 5


def size_pool(
    geometry: Geometry,
    *,
    resolved: Resolved,
    parallel: Parallel,
    options: SGLangOptions,
    rules: Rules,
    multimodal: bool,
    free_before_load: float,
    free_after_load: float,
) -> Pool:
    """The pools that the engine makes of the memory it finds.

    Args:
        geometry: slot and cell sizes.
        resolved: resolved defaults.
        parallel: degrees of parallelism.
        options: what the user set.
        rules: the release's rules.
        multimodal: the model has a vision tower.
        free_before_load: bytes free on the tightest rank before weights.
        free_after_load: bytes free there once target and drafter are loaded.

    Returns:
        The pools; with `failure` where the engine would stop.
    """
    before, after = free_before_load / GIB, free_after_load / GIB
    reserve_mib = rules.multimodal_reserve_mib if multimodal else 0
    if reserve_mib and options.mm_feature_transport != "cpu":
        reserve_mib += 1024
    rest = after - before * (1 - resolved.mem_fraction_static) - reserve_mib / 1024
    pool = Pool(geometry=geometry, budget=int(rest * GIB))
    if after < 0:
        return replace(
            pool,
            failure=PoolFailure(
                kind="loading", reason="the weights alone exceed the memory of the device"
            ),
        )
    slots, intermediate, rest = _state_pool(
        rest, geometry, resolved=resolved, parallel=parallel, options=options, rules=rules
    )
    pool = replace(pool, max_mamba_cache_size=slots, intermediate_bytes=intermediate)
    if slots <= 0:
        per_slot = geometry.stage_slot_bytes / MIB
        return replace(
            pool,
            failure=PoolFailure(
                kind="state pool",
                reason="no memory is left for the recurrent states under mem_fraction_static",
                engine_message=(
                    "RuntimeError: Not enough GPU memory for hybrid (mamba/linear-attention) state"
                    f" cache. Computed max_mamba_cache_size={slots}"
                    f" (total_rest_memory={rest:.2f} GB, mamba_cache_per_req={per_slot:.2f} MB)."
                )
                if rules.pool_errors
                else None,
            ),
        )
    rest -= (slots + rules.padding_slot) * geometry.stage_slot_bytes / GIB
    if rest <= 0:
        least = ceil((1 - after / before) * 1000) / 1000
        return replace(
            pool,
            failure=PoolFailure(
                kind="KV pool",
                reason=(
                    "weights and recurrent states leave nothing for the KV cache;"
                    f" mem_fraction_static must be above {least:.3f}"
                ),
                engine_message=(
                    "ValueError: Loaded weights leave no GPU memory for the KV cache under"
                    f" --mem-fraction-static={resolved.mem_fraction_static}."
                    f" Raise --mem-fraction-static above {least:.3f}"
                )
                if rules.pool_errors
                else None,
            ),
        )
    return _with_requests(
        pool, int(rest * GIB), resolved=resolved, parallel=parallel, options=options, rules=rules
    )


def _state_pool(
    rest: float,
    geometry: Geometry,
    *,
    resolved: Resolved,
    parallel: Parallel,
    options: SGLangOptions,
    rules: Rules,
) -> tuple[int, int, float]:
    """State slots, bytes kept for verification, and the GiB left before the slots are paid."""
    size, ratio = geometry.stage_slot_bytes, geometry.mamba_ratio
    running = resolved.max_running_requests
    tokens = resolved.speculation.num_draft_tokens if resolved.speculation else 0
    pad = int(rules.padding_slot)
    requests = max(1, (running or 0) // parallel.attn_dp_size)
    kept = 0
    if tokens and rules.uncapped_intermediate:
        kept, tokens = size * requests * tokens, 0
        rest -= kept / GIB
    if options.max_mamba_cache_size is not None:
        slots = options.max_mamba_cache_size // parallel.attn_dp_size
        verified = min(requests, slots // ratio)
    elif resolved.disable_radix_cache and running is not None:
        slots = verified = requests
    else:
        share = options.mamba_full_memory_ratio
        budget = rest * share / (1 + share) * GIB
        if tokens:
            slots = int((budget - size * (1 + tokens) * pad) // (size * (1 + tokens / ratio)))
        else:
            slots = int((budget - size * pad) // size)
        verified = min(requests, slots // ratio)
    if tokens:
        kept = size * (verified + pad) * tokens
        rest -= kept / GIB
    return slots, kept, rest


def _with_requests(
    pool: Pool,
    kv_bytes: int,
    *,
    resolved: Resolved,
    parallel: Parallel,
    options: SGLangOptions,
    rules: Rules,
) -> Pool:
    """`pool` with its tokens and running requests."""
    page = resolved.page_size
    unbounded = options.max_total_tokens or 2**62
    stage_tokens = tuple(
        kv_bytes // cell // page * page if cell else unbounded for cell in pool.geometry.cells
    )
    tokens = min(stage_tokens)
    if options.max_total_tokens is not None and options.max_total_tokens < tokens:
        tokens = options.max_total_tokens // page * page
    estimate = int(tokens / resolved.context_length * 512)
    estimate = max(min(estimate, MOST_ESTIMATE), LEAST_ESTIMATE)
    running, limited_by = resolved.max_running_requests, "max_running_requests"
    if running is None:
        limit = min(estimate, tokens // 2) if rules.estimate_by_tokens else estimate
    else:
        limit = max(1, running // parallel.attn_dp_size)
        if rules.running_cap == "half the tokens":
            limit = min(limit, tokens // 2)
        elif rules.running_cap == "estimate":
            limit = min(limit, estimate)
    by_state = (pool.max_mamba_cache_size or 0) // pool.geometry.mamba_ratio
    if by_state <= limit:
        limit, limited_by = by_state, "state pool"
    pool = replace(
        pool, stage_tokens=stage_tokens, max_total_num_tokens=tokens, limited_by=limited_by
    )
    if limit > 0:
        return replace(pool, max_running_requests=limit)
    return replace(
        pool,
        max_total_num_tokens=None,
        failure=PoolFailure(
            kind="requests",
            reason="the state pool has fewer slots than one running request needs",
            engine_message=(
                "RuntimeError: Hybrid (mamba/linear-attention) state cache is too small to serve"
                f" any requests. max_mamba_cache_size={pool.max_mamba_cache_size},"
                f" mamba_ratio={pool.geometry.mamba_ratio}, resulting max_num_reqs={limit}."
            )
            if rules.pool_errors
            else None,
        ),
    )

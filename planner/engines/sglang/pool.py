"""Size SGLang's pools: so many state slots, so many tokens, so many requests at once.

The engine computes in GiB as floating point, and so does this port: its integers depend on it.

Source: SGLang 0.5.23 mem_cache/kv_cache_configurator.py (_profile_available_bytes,
_handle_max_mamba_cache, resolve_max_num_reqs), model_executor/pool_configurator.py and
mem_cache/memory_pool.py (MambaPool, MHATokenToKVPool, ReqToTokenPool); earlier releases by
`releases`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil

from hardware_db.records import frozen
from planner.columns import choose, is_zero, larger, smaller, whole
from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.ranks import Parallel
from planner.engines.sglang.releases import Rules
from planner.engines.sglang.state import Geometry
from planner.units import GIB, MIB

LEAST_ESTIMATE, MOST_ESTIMATE = 2048, 4096
"""Bounds of the automatic cap on running requests."""
PADDING_SLOTS = 1
"""Slots that every state buffer has beyond those asked, budgeted or not."""
TRY_STATE = (
    "Try: (1) reduce --max-running-requests, (2) increase --mem-fraction-static, (3) reduce"
    " --speculative-num-draft-tokens, or (4) use GPUs with more memory."
)
TRY_REQUESTS = (
    "Try: (1) reduce --max-running-requests, (2) increase --mem-fraction-static, or (3) use GPUs"
    " with more memory."
)
"""How SGLang's own messages end."""


@frozen
class PoolFailure:
    """Why the engine would not start.

    Attributes:
        kind: "loading", "state pool", "requests" or "KV pool".
        engine_message: the engine's own message in full; None where it runs out of memory.
        reason: the same in plain words.
    """

    kind: str
    reason: str
    engine_message: str | None = None


@frozen
class Pool:
    """What the engine prints (or would print) about its pools, per attention group.

    Where lengths are a column, so are the running requests and what bounds them.

    Attributes:
        max_mamba_cache_size: state slots; None if it failed before.
        max_total_num_tokens: tokens of the KV pool; None if the engine does not start.
        stage_tokens: tokens that each pipeline stage holds by itself, max_total_tokens at most.
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

    @property
    def running(self) -> int:
        """Requests at once; zero if the engine does not start."""
        return 0 if self.max_running_requests is None else self.max_running_requests


def size_pool(
    geometry: Geometry,
    *,
    resolved: Resolved,
    parallel: Parallel,
    options: SGLangOptions,
    rules: Rules,
    images_mib: int,
    free_before_load: float,
    free_after_load: float,
) -> Pool:
    """Return the pools that the engine makes of the memory it finds.

    Args:
        geometry: slot and cell sizes.
        resolved: resolved defaults.
        parallel: degrees of parallelism.
        options: what the user set.
        rules: the release's rules.
        images_mib: MiB of the budget that are kept for images.
        free_before_load: bytes free on the tightest rank before weights.
        free_after_load: bytes free there once target and drafter are loaded.

    Returns:
        The pools; with `failure` where the engine would stop.
    """
    before, after = free_before_load / GIB, free_after_load / GIB
    rest = after - before * (1 - resolved.mem_fraction_static) - images_mib / 1024
    made = partial(Pool, geometry=geometry, budget=int(rest * GIB))
    if after < 0:
        return made(
            failure=PoolFailure(
                kind="loading", reason="the weights alone exceed the memory of the device"
            ),
        )
    slots, intermediate, rest = _state_pool(
        rest, geometry, resolved=resolved, parallel=parallel, options=options, rules=rules
    )
    made = partial(made, max_mamba_cache_size=slots, intermediate_bytes=intermediate)
    if slots <= 0:
        per_slot = geometry.stage_slot_bytes / MIB
        return made(
            failure=PoolFailure(
                kind="state pool",
                reason="no memory is left for the recurrent states under --mem-fraction-static",
                engine_message=(
                    "RuntimeError: Not enough GPU memory for hybrid (mamba/linear-attention) state"
                    f" cache. Computed max_mamba_cache_size={slots}"
                    f" (total_rest_memory={rest:.2f} GB, mamba_cache_per_req={per_slot:.2f} MB)."
                    f" {TRY_STATE}"
                )
                if rules.pool_errors
                else None,
            ),
        )
    rest -= (slots + rules.budgets_padding_slot) * geometry.stage_slot_bytes / GIB
    if rest <= 0:
        viable = 1 - after / before
        least = ceil(viable * 1000) / 1000
        return made(
            failure=PoolFailure(
                kind="KV pool",
                reason=(
                    "weights and recurrent states leave nothing for the KV cache;"
                    f" --mem-fraction-static must be above {least:.3f}"
                ),
                engine_message=(
                    "ValueError: Loaded weights leave no GPU memory for the KV cache under"
                    f" --mem-fraction-static={resolved.mem_fraction_static}."
                    f" Raise --mem-fraction-static above {least:.3f}"
                    f" (minimum viable = 1 - available/pre = {viable:.4f})."
                    " If using speculative decoding, draft weights are now counted."
                )
                if rules.pool_errors
                else None,
            ),
        )
    return _with_requests(
        made,
        int(rest * GIB),
        geometry,
        slots=slots,
        resolved=resolved,
        parallel=parallel,
        options=options,
        rules=rules,
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
    """Return the state slots, bytes kept for verification, and GiB left before the slots are paid."""
    size, ratio = geometry.stage_slot_bytes, geometry.mamba_ratio
    running = resolved.max_running_requests
    tokens = resolved.speculation.num_draft_tokens if resolved.speculation else 0
    pad = int(rules.budgets_padding_slot)
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
    made: Callable[..., Pool],
    kv_bytes: int,
    geometry: Geometry,
    *,
    slots: int,
    resolved: Resolved,
    parallel: Parallel,
    options: SGLangOptions,
    rules: Rules,
) -> Pool:
    """Return what `made` makes of the tokens and the running requests."""
    page = resolved.page_size
    most = options.max_total_tokens or 2**62
    stage_tokens = tuple(
        min(kv_bytes // cell, most) // page * page if cell else most for cell in geometry.cells
    )
    tokens = min(stage_tokens) // page * page
    estimate = whole(tokens / resolved.context_length * 512)
    estimate = larger(smaller(estimate, MOST_ESTIMATE), LEAST_ESTIMATE)
    running = resolved.max_running_requests
    if running is None:
        limit = smaller(estimate, tokens // 2) if rules.estimate_by_tokens else estimate
    else:
        limit = max(1, running // parallel.attn_dp_size)
        if rules.running_cap == "half the tokens":
            limit = min(limit, tokens // 2)
        elif rules.running_cap == "estimate":
            limit = smaller(limit, estimate)
    by_state = slots // geometry.mamba_ratio
    limited_by = choose(by_state <= limit, "state pool", "--max-running-requests")
    limit = smaller(limit, by_state)
    made = partial(made, stage_tokens=stage_tokens, limited_by=limited_by)
    if not is_zero(larger(limit, 0)):  # no estimate is zero: all of a column, or nothing
        return made(max_total_num_tokens=tokens, max_running_requests=limit)
    return made(
        failure=PoolFailure(
            kind="requests",
            reason="the state pool has fewer slots than one running request needs",
            engine_message=(
                "RuntimeError: Hybrid (mamba/linear-attention) state cache is too small to serve"
                f" any requests. max_mamba_cache_size={slots},"
                f" mamba_ratio={geometry.mamba_ratio}, resulting max_num_reqs={limit}."
                f" {TRY_REQUESTS}"
            )
            if rules.pool_errors
            else None,
        ),
    )


@frozen
class Allocated:
    """Bytes that the pools really take on the rank of the largest stage, as SGLang logs them.

    Attributes:
        conv_state: convolution states of all slots and the padding slot.
        ssm_state: SSM states of the same.
        intermediate_ssm: SSM states of drafted tokens under verification.
        intermediate_conv: convolution windows of the same.
        k_cache: keys, padding page included.
        v_cache: values, likewise.
        padding_page: the part of keys and values that is the padding page.
        draft_kv: the drafter's own KV pool.
        request_table: token indices of every running request.
        beside: windows of n-gram embeddings and rings of indexers, beside the pools.
    """

    conv_state: int
    ssm_state: int
    intermediate_ssm: int
    intermediate_conv: int
    k_cache: int
    v_cache: int
    padding_page: int
    draft_kv: int
    request_table: int
    beside: int = 0

    @property
    def state(self) -> int:
        """Conv and SSM states together."""
        return self.conv_state + self.ssm_state

    @property
    def intermediate(self) -> int:
        """Everything kept for verification."""
        return self.intermediate_ssm + self.intermediate_conv


def allocated_of(pool: Pool, *, resolved: Resolved) -> Allocated:
    """Return what `pool` really takes; zeros where the engine would not get so far.

    More than was budgeted: a padding page of KV, the drafter's pool, the request table, in older
    releases the padding slot; less where neighbouring convolution windows share memory.
    """
    geometry, speculation = pool.geometry, resolved.speculation
    slot = geometry.slot
    slots = (pool.max_mamba_cache_size or 0) + PADDING_SLOTS
    running, tokens = pool.running, pool.max_total_num_tokens or 0
    page, cell = resolved.page_size, max(geometry.cells)
    drafted = speculation.num_draft_tokens if speculation is not None else 0
    verified = choose(running > 0, running + PADDING_SLOTS, 0) if speculation is not None else 0
    chain = speculation is not None and speculation.eagle_topk == 1
    ssm, both = slot.ssm_bytes * drafted, slot.verification_bytes(drafted, chain=chain)
    rows = tokens + page if tokens else 0

    whole_slot = slot.nbytes

    def staged(size: int) -> int:
        return size * geometry.stage_slot_bytes // whole_slot

    return Allocated(
        conv_state=staged(slots * slot.conv_bytes),
        ssm_state=staged(slots * slot.ssm_bytes),
        intermediate_ssm=staged(verified * ssm),
        intermediate_conv=staged(verified * (both - ssm)) if drafted else 0,
        k_cache=rows * cell // 2,
        v_cache=rows * cell // 2,
        padding_page=page * cell if tokens else 0,
        draft_kv=rows * geometry.draft_kv_bytes,
        request_table=choose(
            running > 0, (running + 1) * (resolved.context_length + 4 + drafted) * 4, 0
        ),
        beside=choose(
            running > 0,
            (slots + verified * drafted) * geometry.window_bytes + running * geometry.ring_bytes,
            0,
        ),
    )

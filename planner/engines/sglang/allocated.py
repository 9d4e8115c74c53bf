"""What SGLang really allocates for its pools on one rank, as it logs it.

More than it budgets: a padding page of KV, the drafter's pool, the request table; less where
neighbouring convolution windows share memory.

Source: SGLang 0.5.23 mem_cache/memory_pool.py (MambaPool, MHATokenToKVPool, ReqToTokenPool).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.engines.sglang.pool import Pool
from planner.engines.sglang.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """Bytes on the rank of the largest stage.

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

    @property
    def state(self) -> int:
        """Conv and SSM states together."""
        return self.conv_state + self.ssm_state

    @property
    def intermediate(self) -> int:
        """Everything kept for verification."""
        return self.intermediate_ssm + self.intermediate_conv


def allocated_of(server: Server, pool: Pool) -> Allocated:
    """What `pool` takes; zeros where the engine would not get so far."""
    geometry, resolved, speculation = pool.geometry, server.resolved, server.resolved.speculation
    slot, pad = geometry.slot, int(server.rules.padding_slot)
    slots = (pool.max_mamba_cache_size or 0) + pad
    running, tokens = pool.max_running_requests or 0, pool.max_total_num_tokens or 0
    page, cell = resolved.page_size, max(geometry.cells)
    drafted = speculation.num_draft_tokens if speculation is not None else 0
    verified = running + pad if speculation is not None and running else 0
    chain = speculation is not None and speculation.eagle_topk == 1
    ssm, both = slot.ssm_bytes * drafted, slot.verification_bytes(drafted, chain=chain)
    rows = tokens + page if tokens else 0

    def staged(size: int) -> int:
        return size * geometry.stage_slot_bytes // slot.nbytes

    return Allocated(
        conv_state=staged(slots * slot.conv_bytes),
        ssm_state=staged(slots * slot.ssm_bytes),
        intermediate_ssm=staged(verified * ssm),
        intermediate_conv=staged(verified * (both - ssm)) if drafted else 0,
        k_cache=rows * cell // 2,
        v_cache=rows * cell // 2,
        padding_page=page * cell if tokens else 0,
        draft_kv=rows * geometry.draft_kv_bytes,
        request_table=(running + 1) * (resolved.context_length + 4 + drafted) * 4 if running else 0,
    )

"""Size what SGLang's pools are cut into on one rank: a request's state, and a token's KV.

Source: SGLang 0.5.23 configs/mamba_utils.py, mem_cache/kv_cache_configurator.py and
model_executor/pool_configurator.py; earlier releases by `releases`.
"""

from __future__ import annotations

from math import prod

from hardware_db.records import frozen
from planner.engines.sglang.defaults import Resolved
from planner.engines.sglang.indexed import index_bytes_per_token, ring_bytes, window_bytes
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.ranks import Parallel
from planner.engines.sglang.releases import Rules
from planner.errors import LayoutError, UnsupportedModelError
from planner.formats.cache import CacheFormat
from planner.memo import Key, remembered
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.model.spec import ModelSpec

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CONV_DTYPE = "bfloat16"
"""SGLANG_MAMBA_CONV_DTYPE's default."""


@frozen
class StateSlot:
    """Conv and SSM state of one slot in one linear-attention layer on one rank.

    Attributes:
        conv_shape: (channels, kernel - 1).
        temporal_shape: (value heads, d_v, d_k).
        ssm_dtype: dtype of the SSM state.
        layers: linear-attention layers of the model.
    """

    conv_shape: tuple[int, int]
    temporal_shape: tuple[int, int, int]
    ssm_dtype: str
    layers: int
    conv_dtype: str = CONV_DTYPE

    @property
    def conv_bytes(self) -> int:
        """Bytes of the conv state, all layers."""
        return self.layers * prod(self.conv_shape) * DTYPE_BYTES[self.conv_dtype]

    @property
    def ssm_bytes(self) -> int:
        """Bytes of the SSM state, all layers."""
        return self.layers * prod(self.temporal_shape) * DTYPE_BYTES[self.ssm_dtype]

    @property
    def nbytes(self) -> int:
        """Bytes of one slot, all layers (``mamba_cache_per_req``)."""
        return self.conv_bytes + self.ssm_bytes

    def verification_bytes(self, draft_tokens: int, *, chain: bool) -> int:
        """Return the bytes of one request's states while `draft_tokens` are verified.

            D x SSM + conv x (D + K - 2) / (K - 1)     (chain: neighbouring windows overlap)
            D x (SSM + conv)                           (tree)

        Source: SGLang 0.5.23 mem_cache/memory_pool.py (MambaPool, deduplicated conv windows).
        """
        if not chain:
            return draft_tokens * self.nbytes
        window = self.conv_shape[1]
        conv = self.conv_bytes // window * (draft_tokens + window - 1)
        return draft_tokens * self.ssm_bytes + conv


def state_slot(model: ModelSpec, *, attn_tp_size: int, ssm_dtype: str | None) -> StateSlot:
    """Return the state of `model` on one of `attn_tp_size` ranks.

    Key heads that do not divide are extended to one per rank; the pool's arithmetic accepts that,
    the model does not load (see `legality`).

    Args:
        model: the architecture.
        attn_tp_size: ranks that share one copy of the state.
        ssm_dtype: the flag; None takes the config's dtype, float32 where it has none.

    Raises:
        LayoutError: channels or value heads do not divide; the text is the engine's.
        UnsupportedModelError: the model has no linear attention.

    Source: SGLang 0.5.23 configs/mamba_utils.py (Mamba2StateShape.create, mamba2_state_dtype).
    """
    linear = model.linear
    if linear is None:
        raise UnsupportedModelError(
            f"{model.name} has no linear attention: SGLang's rules are planned for hybrids only"
        )
    groups = linear.linear_num_key_heads
    if groups % attn_tp_size:
        groups += attn_tp_size - groups
    channels = linear.value_dim + 2 * groups * linear.linear_key_head_dim
    for size in (channels, linear.linear_num_value_heads):
        if size % attn_tp_size:
            raise LayoutError(f"{size} is not divisible by {attn_tp_size}")
    declared = ssm_dtype or linear.mamba_ssm_dtype
    return StateSlot(
        conv_shape=(channels // attn_tp_size, linear.linear_conv_kernel_dim - 1),
        temporal_shape=(
            linear.linear_num_value_heads // attn_tp_size,
            linear.linear_value_head_dim,
            linear.linear_key_head_dim,
        ),
        ssm_dtype=declared if declared in DTYPE_BYTES else "float32",
        layers=len(model.linear_attention_layers),
    )


@frozen
class Geometry:
    """What the pools are cut into on one rank.

    Attributes:
        slot: state of one slot, all layers of the model.
        stage_slot_bytes: bytes of one slot that every pipeline stage is charged.
        cells: bytes of one token per pipeline stage (0: a stage without full attention).
        mamba_ratio: state slots per running request.
        draft_kv_bytes: bytes per token of the drafter's own pool, outside the budget.
        window_bytes: window of an n-gram embedding per slot, outside the budget.
        ring_bytes: raw keys of indexers and their positions per request, outside the budget.
    """

    slot: StateSlot
    stage_slot_bytes: int
    cells: tuple[int, ...]
    mamba_ratio: int
    draft_kv_bytes: int
    window_bytes: int = 0
    ring_bytes: int = 0


def _of_parts(
    model: ModelSpec,
    *,
    parallel: Parallel,
    resolved: Resolved,
    options: SGLangOptions,
    rules: Rules,
    cache_format: CacheFormat,
) -> Key:
    """Return what the sizes depend on: nothing of that is how large the device's memory is."""
    ratio, page = mamba_ratio(resolved, rules), resolved.page_size
    held = (model, parallel, options, rules, cache_format)
    return held, (ratio, page, resolved.speculation)


@remembered(_of_parts)
def geometry_of(
    model: ModelSpec,
    *,
    parallel: Parallel,
    resolved: Resolved,
    options: SGLangOptions,
    rules: Rules,
    cache_format: CacheFormat,
) -> Geometry:
    """Return the sizes of slots and cells of `model` in this layout.

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
    per_layer += index_bytes_per_token(model, page_size=resolved.page_size, options=options)
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
        window_bytes=window_bytes(model),
        ring_bytes=ring_bytes(model),
    )


def mamba_ratio(resolved: Resolved, rules: Rules) -> int:
    """Return the state slots that one running request may occupy.

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

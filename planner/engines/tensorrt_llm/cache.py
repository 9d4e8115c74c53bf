"""Size TensorRT-LLM's cache as a straight line: bytes = slope x tokens + intercept.

Every schedulable request holds a recurrent state from the start; what is left holds KV blocks.
"""

from __future__ import annotations

from hardware_db.records import frozen
from planner.columns import larger, smaller
from planner.engines.engine import Deployment, but_machine
from planner.engines.tensorrt_llm.options import TensorRtLlmOptions
from planner.formats import CacheFormat, dtype_bytes, get_cache_format
from planner.memo import remembered
from planner.memory.kv_cache import kv_bytes_per_token
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.units import ceil_div, round_up

PADDING_DUMMIES = 1
"""A state for the request that pads CUDA graphs (one per draft length; drafting is not covered)."""


@frozen
class Pool:
    """The caches of one rank; budget, batch and tokens may be columns (`planner.columns`).

    Attributes:
        slope: bytes that a token of context takes.
        intercept: bytes that are taken whatever runs.
        state_bytes: one request's state, all DeltaNet layers of the rank.
        slots: states that are held.
        budget: bytes for everything.
        tokens_per_block: tokens of a KV block.
        max_batch_size: requests scheduled at once on this rank.
    """

    slope: int
    intercept: int
    state_bytes: int
    slots: int
    budget: int
    tokens_per_block: int
    max_batch_size: int

    @property
    def tokens(self) -> int:
        """Tokens that fit, in whole blocks: (budget - intercept) // slope."""
        fitting: int = larger(0, self.budget - self.intercept) // max(self.slope, 1)
        return fitting // self.tokens_per_block * self.tokens_per_block

    def sequence_tokens(self, context: int) -> int:
        """Return the tokens that one sequence of `context` takes: whole blocks."""
        return round_up(context, self.tokens_per_block)

    def sequences(self, context: int) -> int:
        """Return the sequences of `context` that are resident at once on this rank."""
        held: int = smaller(self.max_batch_size, self.tokens // self.sequence_tokens(context))
        return held

    def need(self, context: int, sequences: int) -> int:
        """Return the bytes that `sequences` of `context` need."""
        return self.intercept + sequences * self.sequence_tokens(context) * self.slope


def attention_ranks(deployment: Deployment) -> int:
    """Return the ranks over which attention and state are cut: 1 with attention data parallelism."""
    return 1 if deployment.options.enable_attention_dp else deployment.layout.tensor_parallel


def request_groups(deployment: Deployment) -> int:
    """Return the groups of ranks with their own requests."""
    return deployment.layout.tensor_parallel // attention_ranks(deployment)


def batch_size(deployment: Deployment) -> int:
    """Return `max_batch_size`: as given, else the asked concurrency, shared over the groups."""
    given = deployment.options.max_batch_size
    return given or ceil_div(deployment.concurrency, request_groups(deployment))


def cache_format(deployment: Deployment) -> CacheFormat:
    """Return the format of the KV cache; auto is the model's dtype."""
    name = deployment.kv_cache_dtype
    return get_cache_format(deployment.checkpoint.model.dtype if name == "auto" else name)


def state_bytes(deployment: Deployment) -> int:
    """Return the bytes of one request's state on one rank.

        layers x (conv channels / tp x (kernel - 1) x b + value heads / tp x d_v x d_k x s)

    b: bytes of the model's dtype; s: of `mamba_ssm_cache_dtype`. auto is the model's dtype: the
    config's `mamba_ssm_dtype` is not read (it was, for a while, and the state was float32).

    Source: TensorRT-LLM kv_cache/mamba_cache_manager/mamba_cache_manager_v2.py@28295084,
    model_loader.py (validate_and_set_mamba_ssm_cache_dtype, resolve_ssm_cache_dtype).
    """
    model, options = deployment.checkpoint.model, deployment.options
    linear, tp = model.linear, attention_ranks(deployment)
    if linear is None:
        return 0
    asked = options.mamba_ssm_cache_dtype
    ssm = model.dtype if asked == "auto" else asked
    conv_width, ssm_width = map(dtype_bytes, (model.dtype, ssm))
    per_layer = conv_state_bytes(
        linear, dtype_bytes=conv_width, tensor_parallel=tp
    ) + ssm_state_bytes(linear, dtype_bytes=ssm_width, tensor_parallel=tp)
    return len(model.linear_attention_layers) * per_layer


@remembered(but_machine)
def _line(deployment: Deployment) -> tuple[int, int]:
    """Return the bytes that a token takes on one rank, and those of one request's state."""
    options: TensorRtLlmOptions = deployment.options
    state = state_bytes(deployment)
    slope = kv_bytes_per_token(
        deployment.checkpoint.model,
        cache_format=cache_format(deployment),
        tensor_parallel=attention_ranks(deployment),
    )
    if options.enable_block_reuse and options.periodic_snapshot_interval:
        slope += ceil_div(state, options.periodic_snapshot_interval)
    return slope, state


def build_pool(deployment: Deployment, budget: int, *, batch: int) -> Pool:
    """Return the caches that `budget` bytes of one rank make with `max_batch_size` of `batch`.

        slope     = KV bytes per token (+ state / snapshot interval with block reuse)
        intercept = (max_batch_size + padding dummies + 1 with attention DP) x state

    Source: TensorRT-LLM _util.py@00043967, kv_cache/mamba_cache_manager/common.py@28295084.
    """
    options: TensorRtLlmOptions = deployment.options
    slope, state = _line(deployment)
    slots = batch + PADDING_DUMMIES + int(options.enable_attention_dp) if state else 0
    return Pool(
        slope=slope,
        intercept=slots * state,
        state_bytes=state,
        slots=slots,
        budget=budget,
        tokens_per_block=options.tokens_per_block,
        max_batch_size=batch,
    )

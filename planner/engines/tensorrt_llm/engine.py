"""Plan TensorRT-LLM: refusals, allocation, command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hardware_db.records import frozen, frozen_with_cache
from planner.bisection import largest_of_each
from planner.columns import choose, larger, smaller
from planner.engines.columns import Columns
from planner.engines.engine import (
    Capacity,
    Deployment,
    Engine,
    FullAllocation,
    Launch,
    Refusal,
    but_machine,
)
from planner.engines.kinds import kind_refusals
from planner.engines.tensorrt_llm.cache import (
    Pool,
    batch_size,
    build_pool,
    cache_format,
    request_groups,
)
from planner.engines.tensorrt_llm.options import (
    DEFAULT_MAX_BATCH_SIZE,
    READ_VERSION,
    TensorRtLlmOptions,
    source,
)
from planner.engines.tensorrt_llm.overheads import fixed_terms, weights
from planner.engines.tensorrt_llm.refusals import CACHES, refusals, unverified
from planner.engines.yarn import yarn_parameters
from planner.layout import Degrees, Layout
from planner.memo import remembered
from planner.memory.breakdown import Kind, Rank, Term, device_name
from planner.memory.placement import Placement
from planner.provenance import Confidence
from planner.units import ceil_div, plain_number

CONFIG_FILE = "trtllm.yaml"


@frozen_with_cache
class TensorRtLlmAnswer(FullAllocation):
    """What TensorRT-LLM would allocate.

    Attributes:
        options: as they were asked.
        layout: how the model is spread.
        context: tokens of the longest sequence.
        cache_dtype: format of the KV cache as it was asked.
        pool: the caches of one rank.
        weights: bytes by ``part.component`` on one rank.
    """

    options: TensorRtLlmOptions
    layout: Layout
    context: int
    cache_dtype: str
    pool: Pool
    weights: Mapping[str, int]

    def settings(self) -> dict[str, Any]:
        """Return every option as the server resolves it."""
        options, layout = self.options, self.layout
        return {
            "version": READ_VERSION,
            "tp_size": layout.tensor_parallel,
            "ep_size": layout.expert_ranks if layout.expert_parallel else 1,
            "enable_attention_dp": options.enable_attention_dp,
            "max_batch_size": self.pool.max_batch_size,
            "max_num_tokens": options.max_num_tokens,
            "max_seq_len": self.context,
            "free_gpu_memory_fraction": options.free_gpu_memory_fraction,
            "tokens_per_block": options.tokens_per_block,
            "enable_block_reuse": options.enable_block_reuse,
            "periodic_snapshot_interval": options.periodic_snapshot_interval,
            "mamba_ssm_cache_dtype": options.mamba_ssm_cache_dtype,
            "kv_cache_dtype": self.cache_dtype,
        }

    def figures(self) -> dict[str, Any]:
        """Return the caches of one rank, in bytes and tokens."""
        pool = self.pool
        return {
            "slope_bytes_per_token": pool.slope,
            "intercept_bytes": pool.intercept,
            "state_bytes_per_request": pool.state_bytes,
            "state_slots": pool.slots,
            "budget_bytes": pool.budget,
            "max_tokens": pool.tokens,
            "weight_components": dict(self.weights),
        }


class TensorRtLlm(Engine[TensorRtLlmOptions, TensorRtLlmAnswer]):
    """The policy of TensorRT-LLM's PyTorch backend."""

    name = "tensorrt-llm"
    title = "TensorRT-LLM"
    options_type = TensorRtLlmOptions
    degrees = Degrees(tensor=True, expert=True)
    cache_dtypes = CACHES
    verified = False

    def version(self, options: TensorRtLlmOptions) -> str:
        """Return the state of the main branch that was read."""
        return READ_VERSION

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why TensorRT-LLM cannot run it; see `refusals`."""
        return _refusals(deployment)

    def allocate(self, deployment: Deployment) -> TensorRtLlmAnswer:
        """Return the budget, states, blocks and capacity of one rank (all are alike).

            budget = free_gpu_memory_fraction x (usable - weights - runtime - activation peak)
            tokens = (budget - states) // bytes per token

        Source: TensorRT-LLM _util.py@00043967 (memory free after load and profiling).
        """
        context, found = deployment.context, _found(deployment)
        pool, missing, capacity = found.pool, found.missing, found.capacity
        components = weights(deployment)
        return TensorRtLlmAnswer(
            ranks=(found.rank,),
            capacity=replace(
                capacity,
                blocks=pool.tokens // pool.tokens_per_block,
                block_size=pool.tokens_per_block,
            ),
            starts=not missing,
            shortfall=missing,
            refusal=_start_error(pool) if missing else None,
            kv_cache_dtype=cache_format(deployment).name,
            placement=_placement(deployment, components),
            options=deployment.options,
            layout=deployment.layout,
            context=context,
            cache_dtype=deployment.kv_cache_dtype,
            pool=pool,
            weights=components,
            warnings=_warnings(deployment, pool),
            notes=_notes(deployment),
        )

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts up to the native length."""
        return range(1, deployment.checkpoint.model.max_position_embeddings + 1)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once."""
        asked: Any = replace(deployment, context=contexts, concurrency=concurrencies)
        found = _found(asked)
        return Columns.of_ranks(
            (found.rank,),
            contexts,
            starts=found.missing == 0,
            tight=False,
            sequences=found.capacity.sequences,
            tokens=found.capacity.tokens,
            longest_context=found.capacity.longest_context,
            limited_by=found.capacity.limited_by,
        )

    def launch(self, deployment: Deployment, answer: TensorRtLlmAnswer) -> Launch:
        """Return `trtllm-serve` with exactly the options that the plan assumed."""
        return _launch(deployment, answer)


TENSORRT_LLM = TensorRtLlm()


@remembered(but_machine)
def _refusals(deployment: Deployment) -> tuple[Refusal, ...]:
    """Return why it cannot run; nothing of that depends on the workload."""
    return kind_refusals(TENSORRT_LLM, deployment) or tuple(refusals(deployment))


@frozen
class _Found:
    """One rank: what lies on it, what is missing to serve one sequence, how far it goes."""

    pool: Pool
    rank: Rank
    missing: int
    capacity: Capacity


def _found(deployment: Deployment) -> _Found:
    """Return what a deployment comes to; its context and concurrency may be columns."""
    options: TensorRtLlmOptions = deployment.options
    accelerator, context = deployment.system.accelerator, deployment.context
    usable = accelerator.usable_bytes
    fixed = fixed_terms(deployment)
    taken = sum(term.nbytes for term in fixed)
    budget = int(options.free_gpu_memory_fraction * max(0, usable - taken))
    groups = request_groups(deployment)
    pool = build_pool(deployment, budget, batch=batch_size(deployment))
    asked = ceil_div(deployment.concurrency, groups)
    missing = max(0, taken - usable) or larger(0, pool.need(context, 1) - budget)
    native = deployment.checkpoint.model.max_position_embeddings
    most = larger(native, context) if deployment.yarn else native
    widest = _widest(deployment, budget)
    held = build_pool(deployment, budget, batch=widest).sequences(context)
    sequences = choose(missing == 0, held, 0)
    return _Found(
        pool=pool,
        rank=Rank(
            name=device_name(alike=deployment.layout.accelerators, unified=accelerator.is_unified),
            count=deployment.layout.tensor_parallel,
            total=accelerator.total_bytes,
            usable=taken + budget if taken < usable else usable,
            terms=(*fixed, *_cache_terms(pool, context, asked)),
        ),
        missing=missing,
        capacity=Capacity(
            sequences=sequences * groups,
            tokens=pool.tokens * groups,
            longest_context=smaller(pool.tokens, most),
            limited_by=_limit(deployment, sequences, widest),
        ),
    )


def _widest(deployment: Deployment, budget: int) -> Any:
    """Return `max_batch_size` under which the most sequences fit: the user's, or found by asking."""
    given, context = deployment.options.max_batch_size, deployment.context
    if given is not None:
        return int(given)

    def holds(batch: Any) -> Any:
        return build_pool(deployment, budget, batch=batch).sequences(context) >= batch

    return larger(1, largest_of_each(holds, DEFAULT_MAX_BATCH_SIZE, context))


def _limit(deployment: Deployment, sequences: Any, widest: Any) -> Any:
    """Return what stops the number of sequences from growing; one word, or a column of them."""
    if deployment.options.max_batch_size is None:
        most = sequences == DEFAULT_MAX_BATCH_SIZE
        return choose(most, "--max_batch_size", "states and KV blocks")
    return choose(sequences == widest, "--max_batch_size", "KV blocks")


def _cache_terms(pool: Pool, context: int, sequences: int) -> tuple[Term, ...]:
    tokens = pool.sequence_tokens(context)
    terms = [
        Term(
            name="KV cache",
            kind=Kind.KV_CACHE,
            nbytes=sequences * tokens * pool.slope,
            confidence=Confidence.ENGINE_RULE,
            formula="sequences x tokens (whole blocks) x bytes per token",
            values={
                "sequences": sequences,
                "tokens (whole blocks)": tokens,
                "bytes per token": pool.slope,
            },
            source=source("pyexecutor/_util.py"),
        )
    ]
    if pool.state_bytes:
        terms.append(
            Term(
                name="recurrent states (all slots)",
                kind=Kind.RECURRENT_STATE,
                nbytes=pool.intercept,
                confidence=Confidence.ENGINE_RULE,
                formula="slots x bytes of a state",
                values={"slots": pool.slots, "bytes of a state": pool.state_bytes},
                source=source("kv_cache/mamba_cache_manager/"),
            )
        )
    return tuple(terms)


def _start_error(pool: Pool) -> str:
    if pool.budget < pool.intercept:
        slots = pool.budget // pool.state_bytes
        return (
            f"The V2 Mamba state pool has only {slots} slots but needs at least {pool.slots}"
            " live/dummy slots. Increase the KV cache budget or allocate a larger Mamba pool_ratio."
        )
    return f"the KV cache holds {pool.tokens:,} tokens, fewer than one sequence needs"


def _warnings(deployment: Deployment, pool: Pool) -> tuple[str, ...]:
    notes = list(unverified(deployment))
    if deployment.options.max_batch_size is None and pool.slots:
        notes.append(
            f"every request of max_batch_size holds a state from the start: the command says"
            f" {pool.max_batch_size} instead of the default {DEFAULT_MAX_BATCH_SIZE}"
        )
    return tuple(notes)


def _placement(deployment: Deployment, components: Mapping[str, int]) -> Placement:
    """Return where the weights that a step multiplies lie: on the GPUs, every rank alike."""
    left_out = () if deployment.checkpoint.model.tie_word_embeddings else ("text.embed_tokens",)
    on_each = sum(
        size
        for name, size in components.items()
        if name.startswith("text.") and name not in left_out
    )
    return Placement(
        device=on_each * deployment.layout.tensor_parallel, chunk=deployment.options.max_num_tokens
    )


def _notes(deployment: Deployment) -> tuple[str, ...]:
    if deployment.checkpoint.model.vision is None:
        return ()
    return ("the vision tower is assumed to lie whole on every rank",)


def _launch(deployment: Deployment, answer: TensorRtLlmAnswer) -> Launch:
    options = answer.options
    layout, checkpoint = deployment.layout, deployment.checkpoint
    argv = ["trtllm-serve", checkpoint.id]
    if layout.tensor_parallel > 1:
        argv += ["--tp_size", str(layout.tensor_parallel)]
    if layout.expert_parallel:
        argv += ["--ep_size", str(layout.expert_ranks)]
    argv += ["--max_batch_size", str(answer.pool.max_batch_size)]
    argv += ["--max_num_tokens", str(options.max_num_tokens)]
    argv += ["--max_seq_len", str(deployment.context)]
    fraction = plain_number(options.free_gpu_memory_fraction)
    argv += ["--kv_cache_free_gpu_memory_fraction", fraction]
    lines = _config_lines(deployment)
    notes = []
    if lines:
        argv += ["--config", CONFIG_FILE]
        notes.append(f"{CONFIG_FILE}: {{{', '.join(lines)}}}")
    model = checkpoint.model
    if deployment.yarn and deployment.context > model.max_position_embeddings:
        rope = json.dumps(yarn_parameters(model, deployment.context))
        notes.append(f"in config.json, set rope_parameters to {rope} (not verified)")
    nodes = deployment.nodes
    if nodes > 1:
        notes.append(f"start it on {nodes} nodes with trtllm-llmapi-launch under MPI or Slurm")
    return Launch(argv=tuple(argv), notes=tuple(notes))


def _config_lines(deployment: Deployment) -> list[str]:
    """Return what has no flag, as YAML in flow style."""
    options: TensorRtLlmOptions = deployment.options
    cache: dict[str, Any] = {}
    if deployment.kv_cache_dtype != "auto":
        cache["dtype"] = cache_format(deployment).name
    if options.mamba_ssm_cache_dtype != "auto":
        cache["mamba_ssm_cache_dtype"] = options.mamba_ssm_cache_dtype
    if not options.enable_block_reuse:
        cache["enable_block_reuse"] = False
    if options.periodic_snapshot_interval:
        interval = options.periodic_snapshot_interval
        cache["mamba_state_config"] = {"periodic_snapshot_interval": interval}
    if options.tokens_per_block != TensorRtLlmOptions().tokens_per_block:
        cache["tokens_per_block"] = options.tokens_per_block
    lines = []
    if options.enable_attention_dp:
        lines.append('"enable_attention_dp": true')
    if cache:
        cache["free_gpu_memory_fraction"] = options.free_gpu_memory_fraction
        lines.append(f'"kv_cache_config": {json.dumps(cache)}')
    return lines

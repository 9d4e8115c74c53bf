"""Answer with vLLM's allocation: typed figures, ranks with the asked workload, warnings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from typing import Any

from hardware_db.records import frozen_with_cache
from planner.columns import choose, smaller, whole
from planner.engines.engine import Allocation, Capacity, Deployment
from planner.engines.kinds import served
from planner.engines.vllm.budget import Budget, utilization_of
from planner.engines.vllm.cache import Pool
from planner.engines.vllm.drafter import drafter_of
from planner.engines.vllm.formats import cache_flag, cache_warnings, kernel_warnings
from planner.engines.vllm.indexed import (
    host_table_bytes,
    ring_tokens,
    table_notes,
    table_shortage,
    table_warnings,
    window_state_bytes,
)
from planner.engines.vllm.overheads import FIRST_BOOT
from planner.engines.vllm.pool import (
    cache_terms,
    conv_dtype,
    exports_checkpoints,
    kv_dtype,
    prefix_caching,
    ssm_dtype,
    tokens_line,
)
from planner.engines.vllm.releases import (
    Rules,
    attention_backend,
    capture_sizes,
    gdn_prefill_backend,
    is_newer_than_read,
)
from planner.engines.vllm.weights import StageWeights, loads_vision, placement_of
from planner.memory.breakdown import Rank, device_name
from planner.memory.kv_cache import kv_heads_per_rank
from planner.memory.placement import Placement
from planner.units import GIB, ceil_div, format_gib, format_tokens

STATE_FIGURES = (
    "mamba_block_size",
    "mamba_page_bytes_unpadded",
    "mamba_page_bytes",
    "mamba_shapes",
    "mamba_dtypes",
    "num_speculative_blocks",
    "num_prefill_checkpoint_blocks",
)
"""Figures that a model without recurrent state does not have."""


@frozen_with_cache
class VllmAnswer(Allocation):
    """What vLLM would allocate.

    Attributes:
        budget: memory per stage, and what decides whether it starts.
        pool: the cache pool; the budget's, unless it is replaced by that of a known memory.
    """

    budget: Budget = field(repr=False)
    pool: Pool = field(repr=False)

    @cached_property
    def capacity(self) -> Capacity:
        """How far the memory goes."""
        budget, context = self.budget, self.budget.deployment.context
        sequences, tokens = self._held
        return Capacity(
            sequences=sequences,
            tokens=tokens,
            longest_context=budget.longest_context,
            limited_by=limited_by(budget, context),
            blocks=self.pool.num_blocks,
            block_size=self.pool.page.block_size,
        )

    @cached_property
    def _held(self) -> tuple[int, int]:
        """Sequences and tokens that are resident at once."""
        return held_at_once(self.budget, self.budget.deployment.context, self.starts)

    def holds(self, sequences: int) -> bool:
        """Say whether so many sequences are held at the asked context."""
        return self._held[0] >= sequences

    @cached_property
    def shortfall(self) -> int:
        """Bytes missing on the tightest rank to start and serve one sequence; zero if it starts."""
        return self.budget.shortfall

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user can act on, one sentence each."""
        deployment, rules = self.budget.deployment, self.budget.rules
        _, notes = utilization_of(deployment, rules)
        offloaded = _offloaded(deployment, self.placement)
        return (*notes, *_warnings(deployment, rules, offloaded))

    @property
    def align(self) -> bool:
        """State is kept at block boundaries ("align"), as prefix caching asks for."""
        return prefix_caching(self.budget.deployment.options, self.budget.rules)

    @property
    def max_concurrency(self) -> float:
        """Requests of the asked length that the pool holds, as the log prints it."""
        return self.pool.max_concurrency(self.budget.deployment.context)

    @property
    def tokens_logged(self) -> int:
        """N of "GPU KV cache size: N tokens"."""
        return tokens_line(
            self.pool,
            self.budget.rules,
            context=self.budget.deployment.context,
            align=self.align,
        )

    @property
    def needed(self) -> tuple[int, ...]:
        """Stage -> bytes that one request of the asked length takes."""
        blocks = self.pool.blocks_per_request(self.budget.deployment.context)
        return tuple(blocks * size for size in self.pool.bytes_per_block)

    @property
    def longest_estimated(self) -> int:
        """Tokens of the longest request up to the asked one, as vLLM estimates it."""
        return min(self.budget.deployment.context, self.pool.longest_context())

    def settings(self) -> dict[str, Any]:
        """Return every option as the engine resolves it."""
        budget, deployment = self.budget, self.budget.deployment
        options, accelerator = deployment.options, deployment.system.accelerator
        model, step, rules = deployment.checkpoint.model, budget.step, budget.rules
        sizes = capture_sizes(
            accelerator,
            max_num_seqs=step.sequences,
            num_speculative_tokens=options.num_speculative_tokens,
        )
        return {
            "version": rules.version,
            "gpu_memory_utilization": budget.utilization,
            "default_gpu_memory_utilization": rules.gpu_memory_utilization,
            "max_model_len": deployment.context,
            "max_num_batched_tokens": step.tokens,
            "max_num_seqs": step.sequences,
            "default_max_num_seqs": budget.default_sequences,
            "enable_prefix_caching": self.align,
            "mamba_cache_mode": "align" if self.align else "none",
            "mamba_ssm_cache_dtype": ssm_dtype(deployment) if model.linear else None,
            "cache_dtype": deployment.kv_cache_dtype,
            "attn_backends": _backends(deployment),
            "gdn_prefill_backend": gdn_prefill_backend(accelerator, options.gdn_prefill_backend),
            "use_v2_model_runner": rules.model_runner == "V2",
            "cudagraph_mode": "NONE" if options.enforce_eager else "FULL_AND_PIECEWISE",
            "cudagraph_capture_max": 0 if options.enforce_eager else max(sizes),
            "vision_tower": loads_vision(model, options),
        }

    def figures(self) -> dict[str, Any]:
        """Return the pool's figures under the names that the engine uses, and weights by stage."""
        pool, deployment = self.pool, self.budget.deployment
        options, attention = deployment.options, deployment.checkpoint.model.attention
        state_block_size = pool.page.block_size if self.align else deployment.context
        tokens = ceil_div(deployment.context, pool.context_parallel)
        blocks = {
            "attention": pool.page.block_size,
            "state": state_block_size,
            "window": state_block_size,
            "draft": pool.page.draft_block_size,
            "ring": ring_tokens(attention.indexer, options) if attention.indexer else 0,
            "sliding": pool.page.draft_block_size,
        }
        held = {
            "state": pool.state_blocks,
            "window": pool.state_blocks,
            "ring": 1,
            "sliding": pool.sliding_blocks(tokens),
        }
        figures: dict[str, Any] = {
            "block_size": pool.page.block_size,
            "mamba_block_size": state_block_size,
            "mamba_cache_mode": "align" if self.align else "none",
            "attn_page_bytes": pool.page.nbytes,
            "attn_bytes_per_token_per_layer": pool.page.attention_bytes_per_token,
            "attn_kv_heads_per_rank": kv_heads_per_rank(
                attention, tensor_parallel=deployment.layout.tensor_parallel
            ),
            "mamba_page_bytes_unpadded": pool.page.state_bytes,
            "mamba_page_bytes": pool.page.nbytes,
            "mamba_shapes": _state_shapes(deployment),
            "mamba_dtypes": [conv_dtype(deployment), ssm_dtype(deployment)],
            "window_bytes": window_state_bytes(deployment, dtype=conv_dtype(deployment)) or None,
            "ring_tokens": blocks["ring"] or None,
            "index_page_bytes": pool.page.index_bytes or None,
            "num_speculative_blocks": options.num_speculative_tokens,
            "num_prefill_checkpoint_blocks": int(
                exports_checkpoints(deployment, self.budget.rules)
            ),
            "groups": [
                {
                    "kind": group.kind,
                    "layers": len(group.layers),
                    "block_size": blocks[group.kind],
                    "page_bytes": pool.page.nbytes,
                    "blocks_per_req": held[group.kind]
                    if group.kind in held
                    else ceil_div(tokens, blocks[group.kind]),
                }
                for group in pool.groups
            ],
            "layers_per_group_by_pp": [list(counts) for counts in pool.layers_per_group],
            "bytes_per_block": list(pool.bytes_per_block),
            "blocks_per_request": pool.blocks_per_request(deployment.context),
            "needed_bytes_for_one_request": list(self.needed),
            "num_blocks": pool.num_blocks,
            "max_model_len_that_fits": self.longest_estimated,
            "max_concurrency": self.max_concurrency,
            "kv_cache_size_tokens": self.tokens_logged,
            "num_blocks_at_worst": self.budget.worst.num_blocks,
            "params": [_parameters(stage) for stage in self.budget.stages],
            "available_bytes": list(pool.available),
        }
        if deployment.checkpoint.model.linear is None:
            figures |= dict.fromkeys(STATE_FIGURES)
        return figures


def _backends(deployment: Deployment) -> list[str]:
    """Return the attention backends by kind of layer, Gated DeltaNet first."""
    model, accelerator = deployment.checkpoint.model, deployment.system.accelerator
    rows = dict.fromkeys(row for kind in model.kinds if (row := served().get(("vllm", kind))))
    own = [name for row in rows for name in row.backends]
    if model.attention.indexer is None:
        own.append(attention_backend(accelerator, cache_flag(deployment.kv_cache_dtype)))
    return [*(["GDN_ATTN"] if model.linear is not None else []), *own]


def _state_shapes(deployment: Deployment) -> list[list[int]]:
    linear, tp = deployment.checkpoint.model.linear, deployment.layout.tensor_parallel
    if linear is None:
        return []
    rows = linear.linear_conv_kernel_dim - 1 + deployment.options.num_speculative_tokens
    return [
        [rows, linear.conv_dim // tp],
        [
            linear.linear_num_value_heads // tp,
            linear.linear_value_head_dim,
            linear.linear_key_head_dim,
        ],
    ]


def _parameters(stage: StageWeights) -> dict[str, Any]:
    return {
        "rank_pp": stage.index,
        "param_bytes": stage.loaded.parameters,
        "draft_param_bytes": stage.loaded.draft,
        "table_bytes": stage.loaded.table,
        "buffer_bytes": stage.loaded.buffers,
        "components": dict(stage.loaded.components),
    }


def held_at_once(budget: Budget, context: Any, starts: Any) -> tuple[Any, Any]:
    """Return sequences and tokens that are resident at once; numbers or columns.

    Args:
        budget: the budget.
        context: tokens per sequence.
        starts: whether the engine starts and serves one of them.
    """
    replicas = budget.deployment.layout.data_parallel
    resident = smaller(budget.pool.sequences(context), budget.step.sequences) * replicas
    tokens = whole(budget.pool.max_concurrency(context) * context) * replicas
    return choose(starts, resident, 0), tokens


def limited_by(budget: Budget, context: Any) -> Any:
    """Return what stops the number of sequences from growing; one word, or a column of them."""
    more = budget.pool.sequences(context) > budget.step.sequences
    return choose(more, "--max-num-seqs", "cache blocks")


def answer_of(budget: Budget, *, notes: tuple[str, ...] = ()) -> VllmAnswer:
    """Return the allocation that a budget comes to; `notes`: what is worth knowing of the budget."""
    deployment = budget.deployment
    placement = placement_of(deployment, budget.stages, chunk=budget.step.tokens)
    tables, lacking = deployment.nodes * host_table_bytes(deployment), table_shortage(deployment)
    beside = 0 if deployment.system.accelerator.is_unified else tables
    return VllmAnswer(
        ranks=tuple(sorted(_ranks(budget), key=lambda rank: rank.headroom)),
        starts=budget.starts and not lacking,
        refusal=budget.refusal or lacking,
        kv_cache_dtype=kv_dtype(deployment),
        placement=placement,
        host_bytes=_offloaded(deployment, placement) + beside or None,
        budget=budget,
        pool=budget.pool,
        notes=(*notes, *table_notes(deployment)),
        first_boot=FIRST_BOOT,
        at_worst=budget.at_worst,
    )


def _offloaded(deployment: Deployment, placement: Placement) -> int:
    """Return the bytes of weights and KV blocks that are kept in host memory."""
    return placement.host_streamed + int(deployment.options.kv_offloading_size * GIB)


def _ranks(budget: Budget) -> Iterator[Rank]:
    """Yield one rank per stage, with the cache that the asked workload needs."""
    deployment, layout = budget.deployment, budget.deployment.layout
    asked = ceil_div(deployment.concurrency, layout.data_parallel)
    caches = cache_terms(deployment, budget.rules, budget.step.tokens, asked)
    for index, (terms, cache) in enumerate(zip(budget.terms, caches, strict=True)):
        yield Rank(
            name=_stage_name(index, deployment),
            count=layout.tensor_parallel * layout.data_parallel,
            total=budget.total,
            usable=budget.cap,
            terms=(*terms, *cache),
        )


def _stage_name(index: int, deployment: Deployment) -> str:
    layout = deployment.layout
    if layout.pipeline_parallel > 1:
        return f"stage {index + 1} of {layout.pipeline_parallel}"
    unified = deployment.system.accelerator.is_unified
    return device_name(alike=layout.accelerators, unified=unified)


def _warnings(deployment: Deployment, rules: Rules, host: int) -> Iterator[str]:
    drafter = drafter_of(deployment)
    if drafter is not None and drafter.assumed:
        yield f"drafter: {drafter.assumed}"
    yield from kernel_warnings(deployment.checkpoint, deployment.system.accelerator)
    yield from cache_warnings(deployment)
    yield from table_warnings(deployment)
    if is_newer_than_read(rules.version):
        yield f"vLLM {rules.version} is newer than the newest release read: its rules are assumed"
    native = deployment.checkpoint.model.max_position_embeddings
    if deployment.context > native:
        yield (
            f"beyond {format_tokens(native)} tokens vLLM needs the YaRN override that the command"
            " carries; its scaling is static and may cost quality on short texts"
        )
    if not rules.subtracts_cuda_graphs and not deployment.options.enforce_eager:
        yield (
            f"vLLM {rules.version} does not take CUDA graphs off its budget: leave about 1 GiB"
            " outside --gpu-memory-utilization"
        )
    if host:
        yield _host_warning(deployment, host)


def _host_warning(deployment: Deployment, host: int) -> str:
    """Return what to say about the host memory that offloaded weights and KV blocks take."""
    system, have = deployment.system, deployment.host_memory
    needed = f"{format_gib(host)} of host memory for what is offloaded (pinned)"
    if have is None:
        return f"vLLM takes {needed}: see that the machine has them free"
    if host > have:
        return f"vLLM takes {needed}; {system.name} has {format_gib(have)}: offload less"
    return f"vLLM takes {needed} of the {format_gib(have)} of {system.name}"

"""Make the cache pool of a deployment, and the terms of what its workload takes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.engines.engine import Deployment
from planner.engines.vllm.cache import (
    KERNEL_BLOCK,
    Group,
    Page,
    Pool,
    align_page,
    group_layers,
    widen_page,
)
from planner.engines.vllm.drafter import drafter_of
from planner.engines.vllm.indexed import index_page_bytes, window_state_bytes
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import Rules, gdn_prefill_backend, kernels_of, source
from planner.engines.vllm.weights import stage_layers
from planner.formats import CacheFormat, dtype_bytes, get_cache_format
from planner.memo import Key, remembered
from planner.memory.breakdown import Kind, Term
from planner.memory.kv_cache import kv_bytes_per_token_per_layer
from planner.memory.recurrent_state import conv_state_bytes, ssm_state_bytes
from planner.provenance import Confidence


def model_dtype(deployment: Deployment) -> str:
    """Return the dtype that the model is served in: the flag, else what config.json says."""
    asked: str = deployment.options.dtype
    return deployment.checkpoint.model.dtype if asked == "auto" else asked


def kv_dtype(deployment: Deployment) -> str:
    """Return the KV cache dtype that "auto" becomes."""
    name = deployment.kv_cache_dtype
    return model_dtype(deployment) if name == "auto" else name


def cache_format(deployment: Deployment) -> CacheFormat:
    """Return the format of the KV cache."""
    return get_cache_format(kv_dtype(deployment))


def conv_dtype(deployment: Deployment) -> str:
    """Return the dtype of the convolution state: the flag, else the model's."""
    asked: str = deployment.options.mamba_cache_dtype
    return model_dtype(deployment) if asked == "auto" else asked


def ssm_dtype(deployment: Deployment) -> str:
    """Return the dtype of the recurrent state: the flag, else the config's `mamba_ssm_dtype`.

    Configs of Qwen3-Next name none: the state then has the convolution's dtype.

    Source: vLLM 0.33.0 models/config.py.
    """
    asked: str = deployment.options.mamba_ssm_cache_dtype
    if asked != "auto":
        return asked
    linear = deployment.checkpoint.model.linear
    told = linear.mamba_ssm_dtype if linear is not None else None
    return told or conv_dtype(deployment)


def prefix_caching(options: VllmOptions, rules: Rules) -> bool:
    """Say whether prefix caching is on: asked for, or the release's default."""
    if options.enable_prefix_caching is None:
        return rules.prefix_caching
    return options.enable_prefix_caching


def exports_checkpoints(deployment: Deployment, rules: Rules) -> bool:
    """Say whether DeltaNet prefill exports checkpoints (0.33.0, prefix caching, FlashInfer)."""
    asked = deployment.options.gdn_prefill_backend
    return (
        rules.prefill_checkpoints
        and deployment.checkpoint.model.linear is not None
        and prefix_caching(deployment.options, rules)
        and gdn_prefill_backend(deployment.system.accelerator, asked) == "flashinfer"
    )


def state_bytes(deployment: Deployment) -> int:
    """Return the bytes of one sequence's state of one DeltaNet layer on one rank.

        (conv kernel - 1 + n) x conv channels / tp x bytes + value heads / tp x d_v x d_k x bytes

    Source: vLLM 0.33.0 layers/mamba/mamba_utils.py; one more convolution row per drafted token.
    """
    model, options = deployment.checkpoint.model, deployment.options
    linear, tp = model.linear, deployment.layout.tensor_parallel
    if linear is None:
        return 0
    rows = linear.linear_conv_kernel_dim - 1 + options.num_speculative_tokens
    conv = dtype_bytes(conv_dtype(deployment))
    ssm = dtype_bytes(ssm_dtype(deployment))
    return conv_state_bytes(
        linear, dtype_bytes=int(conv), tensor_parallel=tp, rows=rows
    ) + ssm_state_bytes(linear, dtype_bytes=int(ssm), tensor_parallel=tp)


def state_blocks(deployment: Deployment, rules: Rules) -> int:
    """Return the blocks that a request holds in each state group.

        1 + n without prefix caching;  2 + n with it;  one more with prefill checkpoints

    Source: vLLM 0.33.0 v1/kv_cache_interface.py (MambaSpec.max_memory_usage_bytes).
    """
    blocks = 1 + int(deployment.options.num_speculative_tokens)
    if prefix_caching(deployment.options, rules):
        blocks += 1
    return blocks + int(exports_checkpoints(deployment, rules))


def _of_page(deployment: Deployment, rules: Rules) -> Key:
    cut, device = deployment.layout.tensor_parallel, kernels_of(deployment.system.accelerator)
    held = (deployment.checkpoint, deployment.options, rules)
    return held, (cut, deployment.kv_cache_dtype, device)


@remembered(_of_page)
def page_of(deployment: Deployment, rules: Rules) -> Page:
    """Return the common page of a layer on one rank, a drafter's layers apart."""
    sm10, _ = kernels_of(deployment.system.accelerator)
    window = window_state_bytes(deployment, dtype=conv_dtype(deployment))
    page = align_page(
        attention_bytes_per_token=kv_bytes_per_token_per_layer(
            deployment.checkpoint.model.attention,
            cache_format=cache_format(deployment),
            tensor_parallel=deployment.layout.tensor_parallel,
        ),
        state_bytes=max(state_bytes(deployment), window),
        block_size=deployment.options.block_size,
        prefill_checkpoints=exports_checkpoints(deployment, rules),
        kernel_block=2 * KERNEL_BLOCK if rules.wide_alignment and sm10 else KERNEL_BLOCK,
    )
    keys = index_page_bytes(deployment, block_size=page.block_size, dtype=model_dtype(deployment))
    return replace(page, index_bytes=keys)


def build_pool(
    deployment: Deployment, rules: Rules, available: Sequence[int], *, step_tokens: int
) -> Pool:
    """Return the pool that `available` bytes per stage make.

    Args:
        deployment: the question.
        rules: the release's rules.
        available: pipeline stage -> bytes for the pool.
        step_tokens: max_num_batched_tokens: so many are in flight beside a sliding window.
    """
    return empty_pool(deployment, rules, step_tokens).holding(tuple(available))


def _with_rules(deployment: Deployment, rules: Rules, step_tokens: int) -> Key:
    """Return what the pool depends on: replicas do not count, and experts lie beside it."""
    layout = deployment.layout
    held, page = _of_page(deployment, rules)
    return held, (page, layout.pipeline_parallel, layout.context_parallel, step_tokens)


@remembered(_with_rules)
def empty_pool(deployment: Deployment, rules: Rules, step_tokens: int) -> Pool:
    """Return the pool without its bytes: pages and groups do not depend on the workload."""
    checkpoint, layout = deployment.checkpoint, deployment.layout
    model, options = checkpoint.model, deployment.options
    page = page_of(deployment, rules)
    drafting = model.mtp.num_layers if options.drafts_by_itself and model.mtp else 0
    drafter = drafter_of(deployment)
    if drafter is not None:
        kept = get_cache_format("bfloat16").bits // cache_format(deployment).bits
        page = widen_page(page, draft_bytes_per_token=drafter.kv_bytes_per_token // int(kept))
    first_draft = model.num_hidden_layers
    first_apart = first_draft + drafting
    apart = range(first_apart, first_apart + (drafter.num_layers if drafter else 0))
    sliding = drafter.sliding_layers if drafter else 0
    groups = group_layers(
        attention=(*model.full_attention_layers, *range(first_draft, first_apart)),
        state=model.linear_attention_layers,
        draft=apart[sliding:],
        sliding=apart[:sliding],
        window=model.ngram_layers,
        ring=(*model.full_attention_layers, *range(first_draft, first_apart))
        if model.attention.indexer
        else (),
        factor=rules.grouping_factor,
    )
    stages = stage_layers(model.num_hidden_layers, layout.pipeline_parallel)
    held = [set(layers) for layers in stages]
    held[-1] |= {*range(first_draft, first_apart), *apart}
    per_group = tuple(
        tuple(sum(layer in here for layer in group.layers) for group in groups) for here in held
    )
    return Pool(
        page=page,
        groups=groups,
        layers_per_group=per_group,
        bytes_per_block=tuple(_block_bytes(page, groups, counts) for counts in per_group),
        available=(),
        state_blocks=state_blocks(deployment, rules) if model.linear is not None else 0,
        null_block=rules.start_check == "all groups and null block",
        context_parallel=layout.context_parallel,
        sliding_tokens=_sliding_tokens(deployment, rules, step_tokens) if sliding else 0,
    )


def _block_bytes(page: Page, groups: Sequence[Group], counts: Sequence[int]) -> int:
    """Return the bytes of one block id: the pages of the largest group, an indexer's keys too."""
    return max(
        count * (page.nbytes + (page.index_bytes if group.kind == "attention" else 0))
        for group, count in zip(groups, counts, strict=True)
        if group.kind != "ring"
    )


def _sliding_tokens(deployment: Deployment, rules: Rules, step_tokens: int) -> int:
    """Return the tokens that a request keeps in a sliding window.

        window - 1 + batches in flight * max_num_batched_tokens

    Source: vLLM 0.33.0 config/vllm.py (max_in_flight_tokens), with asynchronous scheduling.
    """
    drafter = drafter_of(deployment)
    assert drafter is not None
    stages = deployment.layout.pipeline_parallel
    overlapping = rules.model_runner == "V2" or stages == 1
    return drafter.window - 1 + (stages + int(overlapping)) * step_tokens


def _of_workload(deployment: Deployment, rules: Rules, step_tokens: int, sequences: int) -> Key:
    held, said = _with_rules(deployment, rules, step_tokens)
    return held, (said, deployment.context, sequences)


@remembered(_of_workload)
def cache_terms(
    deployment: Deployment, rules: Rules, step_tokens: int, sequences: int
) -> tuple[tuple[Term, ...], ...]:
    """Return per stage the cache that so many sequences need on a rank, whatever there is of it."""
    pool = empty_pool(deployment, rules, step_tokens)
    return tuple(
        tuple(_cache_terms(deployment, pool, size, sequences)) for size in pool.bytes_per_block
    )


def _cache_terms(
    deployment: Deployment, pool: Pool, bytes_per_block: int, sequences: int
) -> Iterator[Term]:
    """Yield KV cache and recurrent state of the asked workload on one rank, in whole blocks.

    A pool of fixed size is taken whole, whatever the workload needs of it.
    """
    where = source("v1/core/kv_cache_utils.py, v1/kv_cache_interface.py")
    blocks = pool.attention_blocks(deployment.context)
    workload = sequences * pool.blocks_per_request(deployment.context) + 1
    yield Term(
        name="KV cache",
        kind=Kind.KV_CACHE,
        nbytes=sequences * blocks * bytes_per_block,
        confidence=Confidence.ENGINE_RULE,
        formula="sequences x blocks per sequence x bytes per block",
        values={
            "sequences": sequences,
            "blocks per sequence": blocks,
            "bytes per block": bytes_per_block,
        },
        source=where,
    )
    groups = pool.state_groups + pool.window_groups
    if groups:
        yield Term(
            name="recurrent state",
            kind=Kind.RECURRENT_STATE,
            nbytes=sequences * groups * pool.state_blocks * bytes_per_block,
            confidence=Confidence.ENGINE_RULE,
            formula="sequences x state groups x blocks per group x bytes per block",
            values={
                "sequences": sequences,
                "state groups": groups,
                "blocks per group": pool.state_blocks,
                "bytes per block": bytes_per_block,
            },
            source=where,
        )
    if pool.ring_groups:
        yield Term(
            name="raw keys of indexers",
            kind=Kind.KV_CACHE,
            nbytes=sequences * pool.ring_groups * bytes_per_block,
            confidence=Confidence.ENGINE_RULE,
            formula="sequences x bytes per block",
            values={"sequences": sequences, "bytes per block": bytes_per_block},
            source=where,
        )
    yield Term(
        name="null block",
        kind=Kind.KV_CACHE,
        nbytes=bytes_per_block,
        confidence=Confidence.ENGINE_RULE,
        formula="bytes per block",
        values={"bytes per block": bytes_per_block},
        source=where,
    )
    fixed = deployment.options.kv_cache_memory_bytes
    if fixed is not None and fixed > workload * bytes_per_block:
        yield Term(
            name="rest of the fixed KV cache",
            kind=Kind.KV_CACHE,
            nbytes=fixed - workload * bytes_per_block,
            confidence=Confidence.ENGINE_RULE,
            formula="kv_cache_memory_bytes - blocks of the workload x bytes per block",
            values={
                "kv_cache_memory_bytes": fixed,
                "blocks of the workload": workload,
                "bytes per block": bytes_per_block,
            },
            source=where,
        )


def tokens_line(pool: Pool, rules: Rules, *, context: int, align: bool) -> int:
    """Return N of the log line "GPU KV cache size: N tokens", as the release counts it.

    Until 0.20.0 it counts blocks per group: about a quarter of the capacity of this family.

    Source: vLLM v1/core/kv_cache_utils.py of 0.17.1 to 0.33.0.
    """
    if rules.tokens_line == "concurrency x length":
        return int(pool.max_concurrency(context) * context)
    least = (
        pool.page.block_size
        if align or not pool.state_groups
        else min(pool.page.block_size, context)
    )
    return pool.num_blocks // len(pool.groups) * least

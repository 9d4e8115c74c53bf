"""Write what starts a plan: `vllm serve`, and what it would print about memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.engines.containers import HEAD_ADDRESS
from planner.engines.engine import Deployment, Launch
from planner.engines.options import written_words
from planner.engines.vllm.answer import VllmAnswer
from planner.engines.vllm.cache import Group
from planner.engines.vllm.drafter import Drafter, drafter_of
from planner.engines.vllm.formats import BFLOAT16, cache_flag
from planner.engines.vllm.indexed import json_text, kind_flags
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import capability, rules_of
from planner.engines.yarn import yarn_override
from planner.memory.breakdown import Kind
from planner.units import GIB, plain_number

SIZED = "GPU KV cache size"
"""First line after the pool was found to be large enough."""


def launch(deployment: Deployment, answer: VllmAnswer) -> Launch:
    """Return `vllm serve` with exactly the flags that the plan assumed.

    A value is written out where the user gave it or where the plan differs from the engine's
    default.
    """
    options: VllmOptions = deployment.options
    drafter = drafter_of(deployment)
    argv = ["vllm", "serve", deployment.checkpoint.id]
    if deployment.checkpoint.revision:
        argv += ["--revision", deployment.checkpoint.revision]
    argv += ["--max-model-len", str(deployment.context)]
    argv += _layout_words(deployment)
    argv += _memory_words(deployment, answer)
    argv += _speculation_words(options, drafter)
    argv += _limit_words(options)
    argv += kind_flags(options)
    argv += written_words(options)
    environment = {}
    if deployment.yarn and deployment.context > deployment.checkpoint.model.max_position_embeddings:
        argv += ["--hf-overrides", yarn_override(deployment.checkpoint.model, deployment.context)]
        environment["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] = "1"
    if deployment.lesson is not None and rules_of(options.version).startup_plan:
        environment["VLLM_ENABLE_STARTUP_PLAN"] = "1"  # what a start measured holds for the next
    found = _over_nodes(deployment, argv, environment)
    if drafter is None or drafter.model:
        return found
    note = 'name the drafter: its repository goes into --speculative-config as "model"'
    return replace(found, notes=(*found.notes, note))


def _layout_words(deployment: Deployment) -> Iterator[str]:
    layout = deployment.layout
    for flag, degree in (
        ("--tensor-parallel-size", layout.tensor_parallel),
        ("--pipeline-parallel-size", layout.pipeline_parallel),
        ("--data-parallel-size", layout.data_parallel),
        ("--decode-context-parallel-size", layout.context_parallel),
    ):
        if degree > 1:
            yield from (flag, str(degree))
    if layout.expert_parallel:
        yield "--enable-expert-parallel"


def _memory_words(deployment: Deployment, answer: VllmAnswer) -> Iterator[str]:
    """Yield what bounds the cache: its size or the GPU's share, sequences, dtypes."""
    options, budget = deployment.options, answer.budget
    if options.kv_cache_memory_bytes is not None:
        yield from ("--kv-cache-memory-bytes", str(options.kv_cache_memory_bytes))
    elif (
        options.gpu_memory_utilization is not None
        or budget.utilization != budget.rules.gpu_memory_utilization
    ):
        yield from ("--gpu-memory-utilization", plain_number(budget.utilization))
    if options.max_num_seqs is not None or budget.step.sequences != budget.default_sequences:
        yield from ("--max-num-seqs", str(budget.step.sequences))
    if deployment.kv_cache_dtype != "auto":
        yield from ("--kv-cache-dtype", cache_flag(deployment.kv_cache_dtype))
    have = capability(deployment.system.accelerator)
    if options.dtype != "auto":
        yield from ("--dtype", options.dtype)
    elif have is not None and have < BFLOAT16:
        yield from ("--dtype", "half")


def _speculation_words(options: VllmOptions, drafter: Drafter | None) -> list[str]:
    if not options.num_speculative_tokens:
        return []
    config: dict[str, Any] = {"method": options.speculative_method}
    if drafter is not None and drafter.model:
        config["model"] = drafter.model
    config["num_speculative_tokens"] = options.num_speculative_tokens
    return ["--speculative-config", json_text(config)]


def _limit_words(options: VllmOptions) -> list[str]:
    limits = {"image": options.limit_images, "video": options.limit_videos}
    given = {kind: most for kind, most in limits.items() if most is not None}
    return ["--limit-mm-per-prompt", json_text(given)] if given else []


def _over_nodes(deployment: Deployment, argv: list[str], environment: dict[str, str]) -> Launch:
    """Return one command, or one per node where the layout leaves the node."""
    nodes, model = deployment.nodes, (deployment.checkpoint.id,)
    if nodes == 1:
        return Launch(argv=tuple(argv), environment=environment, model=model)
    shared = ["--nnodes", str(nodes), "--master-addr", HEAD_ADDRESS]
    first = (*argv, *shared, "--node-rank", "0")
    rest = tuple(
        (*argv, *shared, "--node-rank", str(rank), "--headless") for rank in range(1, nodes)
    )
    return Launch(
        argv=first,
        environment=environment,
        model=model,
        per_node=rest,
        notes=(f"run one command on each of the {nodes} nodes; HEAD_ADDRESS is the first node's",),
    )


def expected_log(deployment: Deployment, answer: VllmAnswer) -> tuple[str, ...]:
    """Return the lines on memory that a start prints; the last is the error that ends it, if any.

    A share that no GPU has free ends it before anything is loaded, memory that is too short before
    the pool is sized, too many sequences after that.
    """
    lines = log_lines(deployment, answer)
    if answer.starts or not answer.refusal:
        return lines
    error = f"ValueError: {answer.refusal}"
    fixed = deployment.options.kv_cache_memory_bytes is not None
    if not fixed and answer.budget.utilization >= 1:
        return (error,)
    sized = next(place for place, line in enumerate(lines) if line.startswith(SIZED))
    return (*(lines[:sized] if answer.shortfall else lines), error)


def log_lines(deployment: Deployment, answer: VllmAnswer) -> tuple[str, ...]:
    """Return every line on memory that a whole start prints, with the plan's figures put in."""
    pool, page = answer.pool, answer.pool.page
    weights = answer.ranks[0].of_kind(Kind.WEIGHTS) / GIB
    lines = []
    if page.state_bytes:
        padding = 100 * (page.nbytes / page.state_bytes - 1)
        lines += [
            f"Setting attention block size to {page.block_size} tokens to ensure that"
            " attention page size is >= mamba page size.",
            f"Padding mamba page size by {padding:.2f}% to ensure that mamba page size and"
            " attention page size are exactly equal.",
        ]
    lines += [
        f"Model loading took {weights:.2f} GiB memory (estimate)",
        *_padding_layers(pool.groups),
        f"Available KV cache memory: {min(pool.available) / GIB:.2f} GiB (estimate)",
        f"{SIZED}: {answer.tokens_logged:,} tokens",
        f"Maximum concurrency for {deployment.context:,} tokens per request:"
        f" {answer.max_concurrency:.2f}x",
        f"vllm cache_config_info with initialization after num_gpu_blocks is: {pool.num_blocks}",
    ]
    return tuple(lines)


def _padding_layers(groups: tuple[Group, ...]) -> list[str]:
    """Return the warnings on groups that are filled up to the widest (v1/core/kv_cache_utils.py)."""
    size = max(len(group.layers) for group in groups)
    counts: dict[str, int] = {}
    for group in groups:
        counts[group.kind] = counts.get(group.kind, 0) + len(group.layers)
    return [
        f"Add {-count % size} padding layers, may waste at most {100 * (-count % size) / count:.2f}%"
        " KV cache memory"
        for count in counts.values()
        if count % size
    ]

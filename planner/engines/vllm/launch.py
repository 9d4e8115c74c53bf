"""What to type for vLLM, and what it would print."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from planner.engines.containers import HEAD_ADDRESS
from planner.engines.engine import Allocation, Deployment, Launch
from planner.engines.vllm.cache import Pool
from planner.engines.vllm.cache_dtypes import cache_flag
from planner.engines.vllm.defaults import (
    attention_backend,
    batch_defaults,
    capability,
    capture_sizes,
    gdn_prefill_backend,
    ssm_dtype,
)
from planner.engines.vllm.drafters import Drafter, drafter_of
from planner.engines.vllm.kernels import BFLOAT16
from planner.engines.vllm.legality import loads_vision
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.overheads import Step
from planner.engines.vllm.pool import prefix_caching
from planner.engines.vllm.rules import Rules, rules_of
from planner.engines.yarn import yarn_parameters
from planner.memory.breakdown import Kind
from planner.units import GIB, plain_number


def kv_dtype(deployment: Deployment) -> str:
    """The KV cache dtype that "auto" becomes."""
    name = deployment.kv_cache_dtype
    return deployment.checkpoint.model.dtype if name == "auto" else name


def resolve(deployment: Deployment, rules: Rules, step: Step, utilization: float) -> dict[str, Any]:
    """Every option as the engine resolves it."""
    options, accelerator = deployment.options, deployment.system.accelerator
    model = deployment.checkpoint.model
    backends = ["GDN_ATTN"] if model.linear is not None else []
    sizes = capture_sizes(
        accelerator,
        max_num_seqs=step.sequences,
        num_speculative_tokens=options.num_speculative_tokens,
    )
    return {
        "version": rules.version,
        "gpu_memory_utilization": utilization,
        "default_gpu_memory_utilization": rules.gpu_memory_utilization,
        "max_model_len": deployment.context,
        "max_num_batched_tokens": step.tokens,
        "max_num_seqs": step.sequences,
        "default_max_num_seqs": batch_defaults(accelerator, rules).max_num_seqs,
        "enable_prefix_caching": prefix_caching(options, rules),
        "mamba_cache_mode": "align" if prefix_caching(options, rules) else "none",
        "mamba_ssm_cache_dtype": ssm_dtype(model, options) if model.linear else None,
        "cache_dtype": deployment.kv_cache_dtype,
        "attn_backends": [
            *backends,
            attention_backend(accelerator, cache_flag(deployment.kv_cache_dtype)),
        ],
        "gdn_prefill_backend": gdn_prefill_backend(accelerator, options.gdn_prefill_backend),
        "use_v2_model_runner": rules.model_runner == "V2",
        "cudagraph_mode": "NONE" if options.enforce_eager else "FULL_AND_PIECEWISE",
        "cudagraph_capture_max": 0 if options.enforce_eager else max(sizes),
        "vision_tower": loads_vision(model, options),
    }


def start_error(deployment: Deployment, pool: Pool, step: Step, seqs_refused: bool) -> str:
    """What vLLM raises when it does not start (0.33.0 wording)."""
    length = deployment.context
    short = pool.shortfall(length)
    if short and min(pool.available) <= 0:
        return "No available memory for the cache blocks."
    if short:
        pairs = zip(pool.available, pool.bytes_per_block, strict=True)
        available, size = min(pairs, key=lambda pair: pair[0] - pair[1])
        need = pool.blocks_per_request(length) * size
        have = available - (size if pool.null_block else 0)
        fits = pool.longest_context()
        hint = (
            f" Based on the available memory, the estimated maximum model length is {fits}."
            if fits
            else ""
        )
        return (
            f"To serve at least one request with the model's max seq len ({length}),"
            f" ({round(need / GIB, 2)} GiB KV cache is needed, which is larger than the available"
            f" KV cache memory ({round(have / GIB, 2)} GiB).{hint}"
        )
    if seqs_refused:
        return (
            f"max_num_seqs ({step.sequences}) exceeds available Mamba cache blocks"
            f" ({pool.num_blocks})."
        )
    return "the fixed KV cache memory and the weights exceed the GPU's memory"


def launch(deployment: Deployment, allocation: Allocation) -> Launch:
    """`vllm serve` with exactly the flags that the plan assumed.

    A value is written out where the user gave it or where the plan differs from the engine's
    default.
    """
    options: VllmOptions = deployment.options
    layout, resolved = deployment.layout, allocation.resolved
    rules = rules_of(options.version)
    argv = ["vllm", "serve", deployment.checkpoint.id]
    if deployment.checkpoint.revision:
        argv += ["--revision", deployment.checkpoint.revision]
    argv += ["--max-model-len", str(deployment.context)]
    for flag, degree in (
        ("--tensor-parallel-size", layout.tensor_parallel),
        ("--pipeline-parallel-size", layout.pipeline_parallel),
        ("--data-parallel-size", layout.data_parallel),
    ):
        if degree > 1:
            argv += [flag, str(degree)]
    if layout.expert_parallel:
        argv.append("--enable-expert-parallel")
    if options.kv_cache_memory_bytes is not None:
        argv += ["--kv-cache-memory-bytes", str(options.kv_cache_memory_bytes)]
    elif (
        options.gpu_memory_utilization is not None
        or resolved["gpu_memory_utilization"] != rules.gpu_memory_utilization
    ):
        argv += ["--gpu-memory-utilization", plain_number(resolved["gpu_memory_utilization"])]
    if options.max_num_seqs is not None or (
        resolved["max_num_seqs"] != resolved["default_max_num_seqs"]
    ):
        argv += ["--max-num-seqs", str(resolved["max_num_seqs"])]
    if options.max_num_batched_tokens is not None:
        argv += ["--max-num-batched-tokens", str(options.max_num_batched_tokens)]
    if deployment.kv_cache_dtype != "auto":
        argv += ["--kv-cache-dtype", cache_flag(deployment.kv_cache_dtype)]
    have = capability(deployment.system.accelerator)
    if have is not None and have < BFLOAT16:
        argv += ["--dtype", "half"]
    argv += _switches(options, drafter_of(deployment))
    if deployment.yarn and deployment.context > deployment.checkpoint.model.max_position_embeddings:
        argv += ["--hf-overrides", yarn_override(deployment)]
    environment = {}
    if deployment.yarn and deployment.context > deployment.checkpoint.model.max_position_embeddings:
        environment["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] = "1"
    found = _over_nodes(deployment, argv, environment)
    drafter = drafter_of(deployment)
    if drafter is None or drafter.model:
        return found
    note = 'name the drafter: its repository goes into --speculative-config as "model"'
    return replace(found, notes=(*found.notes, note))


def _switches(options: VllmOptions, drafter: Drafter | None) -> list[str]:
    words: list[str] = []
    if options.enable_prefix_caching is not None:
        on = options.enable_prefix_caching
        words.append("--enable-prefix-caching" if on else "--no-enable-prefix-caching")
    if options.num_speculative_tokens:
        speculative: dict[str, Any] = {"method": options.speculative_method}
        if drafter is not None and drafter.model:
            speculative["model"] = drafter.model
        speculative["num_speculative_tokens"] = options.num_speculative_tokens
        words += ["--speculative-config", json.dumps(speculative)]
    if options.block_size is not None:
        words += ["--block-size", str(options.block_size)]
    for name in ("mamba_cache_dtype", "mamba_ssm_cache_dtype"):
        if getattr(options, name) != "auto":
            words += [f"--{name.replace('_', '-')}", getattr(options, name)]
    if options.language_model_only:
        words.append("--language-model-only")
    if options.limit_images is not None:
        limit = {"image": options.limit_images}
        if options.limit_images == 0:
            limit["video"] = 0
        words += ["--limit-mm-per-prompt", json.dumps(limit)]
    if options.gdn_prefill_backend != "auto":
        words += ["--gdn-prefill-backend", options.gdn_prefill_backend]
    if options.mm_encoder_tp_mode != "weights":
        words += ["--mm-encoder-tp-mode", options.mm_encoder_tp_mode]
    if options.decode_context_parallel_size > 1:
        size = options.decode_context_parallel_size
        words += ["--decode-context-parallel-size", str(size)]
    if options.enforce_eager:
        words.append("--enforce-eager")
    if options.cpu_offload_gb:
        words += ["--cpu-offload-gb", plain_number(options.cpu_offload_gb)]
    return words


def yarn_override(deployment: Deployment) -> str:
    """`--hf-overrides` that scales RoPE beyond the native context (YaRN, static factor).

    Source: the model cards of the family ("Processing Ultra-Long Texts") and vLLM 0.33.0.
    """
    model = deployment.checkpoint.model
    rope = yarn_parameters(model, deployment.context)
    override: dict[str, Any] = {"rope_parameters": rope}
    return json.dumps({"text_config": override} if model.vision is not None else override)


def _over_nodes(deployment: Deployment, argv: list[str], environment: dict[str, str]) -> Launch:
    """One command, or one per node where the layout leaves the node."""
    system = deployment.system
    per_node = system.accelerators_per_node
    nodes = -(-deployment.layout.accelerators // per_node)
    if nodes == 1:
        return Launch(argv=tuple(argv), environment=environment)
    shared = ["--nnodes", str(nodes), "--master-addr", HEAD_ADDRESS]
    first = (*argv, *shared, "--node-rank", "0")
    rest = tuple(
        (*argv, *shared, "--node-rank", str(rank), "--headless") for rank in range(1, nodes)
    )
    return Launch(
        argv=first,
        environment=environment,
        per_node=rest,
        notes=(f"run one command on each of the {nodes} nodes; HEAD_ADDRESS is the first node's",),
    )


def expected_log(deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
    """Lines on memory that vLLM would print at start-up; the last is the error that ends it, if any.

    A share that no GPU has free ends it before anything is loaded, memory that is too short before
    the pool is sized, too many sequences after that.
    """
    lines = log_lines(deployment, allocation)
    if allocation.starts or not allocation.refusal:
        return lines
    error = f"ValueError: {allocation.refusal}"
    fixed = deployment.options.kv_cache_memory_bytes is not None
    if not fixed and allocation.resolved["gpu_memory_utilization"] >= 1:
        return (error,)
    sized = next(place for place, line in enumerate(lines) if line.startswith(SIZED))
    return (*(lines[:sized] if allocation.shortfall else lines), error)


SIZED = "GPU KV cache size"
"""First line after the pool was found to be large enough."""


def log_lines(deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
    """Every line on memory that a whole start prints, with the plan's figures put in."""
    details, rank = allocation.details, allocation.ranks[0]
    weights = rank.of_kind(Kind.WEIGHTS) / GIB
    available = min(details["available_bytes"]) / GIB
    padding = 0.0
    if details["mamba_page_bytes_unpadded"]:
        padding = 100 * (details["mamba_page_bytes"] / details["mamba_page_bytes_unpadded"] - 1)
    lines = []
    if details["mamba_page_bytes_unpadded"]:
        lines += [
            f"Setting attention block size to {details['block_size']} tokens to ensure that"
            " attention page size is >= mamba page size.",
            f"Padding mamba page size by {padding:.2f}% to ensure that mamba page size and"
            " attention page size are exactly equal.",
        ]
    lines += [
        f"Model loading took {weights:.2f} GiB memory (estimate)",
        *_padding_layers(details["groups"]),
        f"Available KV cache memory: {available:.2f} GiB (estimate)",
        f"GPU KV cache size: {details['kv_cache_size_tokens']:,} tokens",
        f"Maximum concurrency for {deployment.context:,} tokens per request:"
        f" {details['max_concurrency']:.2f}x",
        "vllm cache_config_info with initialization after num_gpu_blocks is:"
        f" {details['num_blocks']}",
    ]
    return tuple(lines)


def _padding_layers(groups: list[dict[str, Any]]) -> list[str]:
    """The warnings about groups that are filled up to the widest (v1/core/kv_cache_utils.py)."""
    size = max(group["layers"] for group in groups)
    counts: dict[str, int] = {}
    for group in groups:
        counts[group["kind"]] = counts.get(group["kind"], 0) + group["layers"]
    return [
        f"Add {-count % size} padding layers, may waste at most {100 * (-count % size) / count:.2f}%"
        " KV cache memory"
        for count in counts.values()
        if count % size
    ]

"""Say what TensorRT-LLM refuses, and what was not verified."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.engine import Deployment, Refusal
from planner.engines.tensorrt_llm.cache import attention_ranks
from planner.engines.tensorrt_llm.options import source
from planner.errors import InputError
from planner.formats import get_cache_format

LEAST = (8, 0)
FP8_LEAST = (8, 9)
NVFP4_LEAST = (10, 0)
KERNELS = frozenset({"fp8-block", "fp8", "nvfp4", "nvfp4-marlin"})
"""Formats that its guides for this family name, beside 16 bit."""
GUIDED_TYPES = frozenset({"qwen3_5_moe", "qwen3_5_moe_text", "qwen3_next", "qwen3", "qwen3_moe"})
"""`model_type`s that its support matrix and guides name."""
CACHES = ("bfloat16", "float16", "fp8")


def refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield every reason why TensorRT-LLM cannot run `deployment`."""
    yield from _hardware(deployment)
    yield from _layout(deployment)
    yield from _formats(deployment)


def _hardware(deployment: Deployment) -> Iterator[Refusal]:
    accelerator = deployment.system.accelerator
    have = accelerator.capability
    if accelerator.vendor not in ("nvidia", "custom"):
        yield Refusal(
            reason=f"TensorRT-LLM runs on NVIDIA GPUs, not on {accelerator.name}",
            source=source("docs/source/reference/support-matrix.md"),
        )
    elif have is not None and have < LEAST:
        yield Refusal(
            reason=f"TensorRT-LLM needs compute capability 8.0, {accelerator.name} has"
            f" {accelerator.compute_capability}",
            source=source("docs/source/reference/support-matrix.md"),
        )


def _layout(deployment: Deployment) -> Iterator[Refusal]:
    model, layout, tp = deployment.checkpoint.model, deployment.layout, attention_ranks(deployment)
    if layout.pipeline_parallel > 1 or layout.data_parallel > 1:
        yield Refusal(
            reason=f"{layout}: pipeline stages and replicas are not planned for TensorRT-LLM",
            source=source("mapping.py"),
            remedy="use tensor (and expert) parallelism",
        )
    heads = model.attention.num_attention_heads
    if heads % tp:
        yield Refusal(
            reason=f"{heads} attention heads do not divide by TP {tp}",
            source=source("_torch/modules/attention.py"),
        )
    linear = model.linear
    if linear is not None and (linear.linear_num_value_heads % tp or linear.conv_dim % tp):
        yield Refusal(
            reason=f"{linear.linear_num_value_heads} DeltaNet value heads do not divide by TP {tp}",
            engine_message="mamba_num_heads must be divisible by tp_size",
            source=source("kv_cache/mamba_cache_manager/mamba_cache_manager_v2.py"),
            remedy="attention data parallelism (enable_attention_dp) does not cut them",
        )
    kv = model.attention.num_key_value_heads
    if kv % tp and tp % kv:
        yield Refusal(
            reason=f"{kv} KV heads can neither be divided over nor replicated on {tp} ranks",
            source=source("_torch/modules/attention.py"),
        )
    if model.moe is None and layout.expert_parallel:
        yield Refusal(
            reason="expert parallelism needs a model with experts, this one is dense",
            source=source("mapping.py"),
        )
    if deployment.options.enable_attention_dp and layout.tensor_parallel == 1:
        yield Refusal(
            reason="attention data parallelism needs several ranks",
            source=source("llmapi/llm_args.py"),
            remedy="leave enable_attention_dp off on one GPU",
        )


def _formats(deployment: Deployment) -> Iterator[Refusal]:
    accelerator, kernels = deployment.system.accelerator, deployment.checkpoint.kernels
    recipe = deployment.checkpoint.recipe.name
    foreign = sorted(set(kernels) - KERNELS)
    if foreign:
        yield Refusal(
            reason=f"{recipe} weights ({', '.join(foreign)}) in TensorRT-LLM were not verified for"
            " this family",
            source=source("docs/source/features/quantization.md"),
            remedy="use BF16, FP8 or NVFP4",
        )
    fp8_cache = deployment.kv_cache_dtype.lower().startswith("fp8")
    old = accelerator.vendor == "nvidia" and (accelerator.capability or (0, 0)) < FP8_LEAST
    if old and (fp8_cache or {"fp8", "fp8-block"} & set(kernels)):
        yield Refusal(
            reason=f"FP8 needs compute capability 8.9, {accelerator.name} has"
            f" {accelerator.compute_capability}",
            source=source("docs/source/features/quantization.md"),
        )
    name = deployment.kv_cache_dtype
    if name != "auto" and not _known_cache(name):
        yield Refusal(
            reason=f"a KV cache in {name} is not planned for TensorRT-LLM",
            source=source("llmapi/llm_args.py (KvCacheConfig.dtype)"),
            remedy=f"use auto, {', '.join(CACHES)}",
        )


def _known_cache(name: str) -> bool:
    try:
        return get_cache_format(name).name in CACHES
    except InputError:
        return False


def unverified(deployment: Deployment) -> Iterator[str]:
    """Yield what nobody checked, as warnings."""
    model, accelerator = deployment.checkpoint.model, deployment.system.accelerator
    yield (
        "TensorRT-LLM's cache rule was read, not run; weights per rank, runtime and activation peak"
        " are assumed"
    )
    if model.model_type not in GUIDED_TYPES:
        yield (
            "TensorRT-LLM's guides name models with experts; that it serves this dense model was"
            " not verified"
        )
    nvfp4 = any(kernel.startswith("nvfp4") for kernel in deployment.checkpoint.kernels)
    if (
        nvfp4
        and accelerator.vendor == "nvidia"
        and (accelerator.capability or (0, 0)) < NVFP4_LEAST
    ):
        yield (
            "NVFP4 has kernels from compute capability 10.0 on; below, moe_config.backend MARLIN is"
            " used elsewhere and was not verified for this family"
        )
    if deployment.yarn and deployment.context > model.max_position_embeddings:
        yield "how TensorRT-LLM takes YaRN for this family was not verified (see the notes)"
    if model.linear is None:
        return
    options = deployment.options
    if options.mamba_ssm_cache_dtype == "auto" and model.linear.mamba_ssm_dtype == "float32":
        yield (
            f"auto keeps the state in {model.dtype}; builds between pull request 14599"
            " and its fix keep it in float32, twice as large (mamba_ssm_cache_dtype says it)"
        )
    if options.enable_block_reuse and not options.periodic_snapshot_interval:
        yield (
            "prefixes are reused at kept states only, and none are kept by default: set"
            " periodic_snapshot_interval for prefix caching"
        )

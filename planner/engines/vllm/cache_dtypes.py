"""Which KV-cache dtypes vLLM takes, and on which hardware."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.engine import Deployment, Refusal
from planner.engines.vllm.defaults import capability
from planner.engines.vllm.rules import source
from planner.formats import get_cache_format

TAKEN = (
    "bfloat16",
    "float16",
    "fp8",
    "fp8_e5m2",
    "int8_per_token_head",
    "fp8_per_token_head",
    "int4_per_token_head",
    "nvfp4",
    "turboquant_k8v4",
    "turboquant_4bit_nc",
    "turboquant_k3v4_nc",
    "turboquant_3bit_nc",
)
"""CacheDType of config/cache.py, without aliases and what other models or Gaudi alone can use."""

ALIASES = ("fp8_e4m3", "nvfp4_4over6")
"""Names of its own for the same bytes."""

NVFP4_MAJOR = 10
"""Compute capability from which NVFP4 caches have kernels (FlashInfer with TensorRT-LLM's)."""


def cache_flag(name: str) -> str:
    """The value of --kv-cache-dtype that `name` means ("bf16" is no value of it)."""
    lowered = name.lower()
    return lowered if lowered in ("auto", *ALIASES) else get_cache_format(name).name


def cache_warnings(deployment: Deployment) -> Iterator[str]:
    """Where sources disagree on whether a cache dtype runs."""
    have = capability(deployment.system.accelerator)
    newer = have is not None and have[0] > NVFP4_MAJOR
    if deployment.kv_cache_dtype.lower() in ("nvfp4", "nvfp4_4over6") and newer:
        yield (
            f"vLLM's sources name compute capability {NVFP4_MAJOR}.x for an NVFP4 KV cache; a"
            " deployment on an RTX 5090 was published, so the plan assumes that it runs"
        )


def cache_refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Why vLLM cannot keep its cache in the asked dtype."""
    if deployment.kv_cache_dtype == "auto":
        return
    name = get_cache_format(deployment.kv_cache_dtype).name
    if name not in TAKEN:
        yield Refusal(
            reason=f"vLLM has no KV cache dtype {name}",
            source=source("config/cache.py (CacheDType)"),
            remedy=f"choose one of auto, {', '.join(TAKEN)}",
        )
        return
    accelerator = deployment.system.accelerator
    have = capability(accelerator)
    if name == "nvfp4" and accelerator.vendor != "custom" and (have or (0,))[0] < NVFP4_MAJOR:
        yield Refusal(
            reason=f"an NVFP4 KV cache needs compute capability {NVFP4_MAJOR}.0,"
            f" which {accelerator.name} has not",
            engine_message="No valid attention backend found for cuda"
            if accelerator.vendor == "nvidia"
            else None,
            source=source("v1/attention/backends/flashinfer.py (supports_kv_cache_dtype)"),
            remedy="choose fp8, or int4_per_token_head of nearly the same size",
        )

"""Say what transformers refuses, and what was not verified."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.engine import Deployment, Refusal
from planner.engines.transformers.options import source
from planner.errors import InputError
from planner.formats import get_cache_format

VENDORS = ("nvidia", "amd", "intel", "apple", "custom")
VERIFIED_KERNELS = frozenset({"bnb", "fp8-block"})
FOREIGN_KERNELS = {"ggml": "llama.cpp", "mlx-affine": "MLX", "mlx-mxfp4": "MLX", "mlx-nvfp4": "MLX"}


def refusals_of(deployment: Deployment) -> Iterator[Refusal]:
    """Yield every reason why transformers cannot run `deployment` as asked."""
    accelerator, layout = deployment.system.accelerator, deployment.layout
    if accelerator.vendor not in VENDORS:
        yield Refusal(
            reason=f"running on {accelerator.name} is not covered for transformers",
            source=source("integrations/accelerate.py"),
        )
    if layout.tensor_parallel > 1 or layout.data_parallel > 1 or layout.expert_parallel:
        yield Refusal(
            reason="accelerate shares whole layers out over the GPUs of one process;"
            f" {layout} is not covered",
            source=source("integrations/accelerate.py (device_map)"),
            remedy="pipeline parallelism over the GPUs (a layer split) works",
        )
    if layout.accelerators > deployment.system.accelerators_per_node:
        yield Refusal(
            reason="one process does not span several nodes",
            source=source("integrations/accelerate.py (device_map)"),
            remedy=f"use the {deployment.system.accelerators_per_node} accelerators of one node",
        )
    if deployment.options.device_map == "cuda" and layout.accelerators > 1:
        yield Refusal(
            reason='device_map="cuda" uses the first GPU only',
            source=source("integrations/accelerate.py (check_and_set_device_map)"),
            remedy='device_map="auto" spreads the layers',
        )
    yield from _kernels(deployment)
    yield from _cache_dtype(deployment)
    yield from _formats(deployment)


def _kernels(deployment: Deployment) -> Iterator[Refusal]:
    indexed = deployment.checkpoint.model.attention.indexer is not None
    if indexed and deployment.options.attn_implementation == "flash_attention_2":
        yield Refusal(
            reason="indexed attention has no flash_attention_2 kernels",
            source=source("models/qwen4_exp/modeling_qwen4_exp.py (_supports_flash_attn)"),
            remedy="use attn_implementation sdpa or eager",
        )


def _cache_dtype(deployment: Deployment) -> Iterator[Refusal]:
    name, dtype = deployment.kv_cache_dtype, deployment.checkpoint.model.dtype
    if name == "auto":
        return
    try:
        same = get_cache_format(name).name == dtype
    except InputError as error:
        yield Refusal(reason=str(error), source=source("cache_utils.py"))
        return
    if not same:
        yield Refusal(
            reason=f"the cache keeps K and V in the model's dtype ({dtype}), not in {name}",
            source=source("cache_utils.py (DynamicLayer.lazy_initialization)"),
            remedy="leave the KV cache dtype at auto",
        )


def _formats(deployment: Deployment) -> Iterator[Refusal]:
    for kernel in deployment.checkpoint.kernels:
        if kernel in FOREIGN_KERNELS:
            owner = FOREIGN_KERNELS[kernel]
            yield Refusal(
                reason=f"weights in {deployment.checkpoint.recipe.title} are for {owner}",
                source=source("quantizers/auto.py"),
                remedy=f"use {owner}, or another precision",
            )


def unverified(deployment: Deployment) -> tuple[str, ...]:
    """Return the warning about formats whose loading nobody checked."""
    kernels = set(deployment.checkpoint.kernels) - VERIFIED_KERNELS - set(FOREIGN_KERNELS)
    if not kernels:
        return ()
    return (
        f"loading {deployment.checkpoint.recipe.name} weights ({', '.join(sorted(kernels))}) in"
        " transformers was not verified: they are assumed to take what they take on disk",
    )

"""Say which number formats vLLM runs on which hardware: of weights, and of the KV cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.engine import Deployment, Refusal
from planner.engines.vllm.releases import (
    attention_backend,
    capability,
    generation,
    rules_of,
    source,
)
from planner.formats import get_cache_format
from planner.model.checkpoint import Checkpoint
from planner.model.quantization.scheme import Scheme
from planner.provenance import Source

_DOCS = Source(where="vLLM 0.32.0 docs, features/quantization", when="2026-11-21")
_TABLE = Source(
    where="vLLM 0.14.0 docs, features/quantization (supported hardware)", when="2026-11"
)
_ASSUMED = Source(where="assumed: no kernel was found in vLLM's documentation", when="2026-11-21")

_EXPERTS = Source(
    where="vLLM model_executor/layers/fused_moe/oracle/fp8.py, experts/triton_moe.py,"
    " platforms/rocm.py (supports_fp8); lemonade-sdk/vllm-rocm#44: seen on gfx1151",
    when="2026-09-20",
)
FP8_EXPERTS = ("gfx94", "gfx95", "gfx12")
"""AMD targets whose routed experts vLLM computes in FP8; dense weights are not asked about there."""

BFLOAT16 = (8, 0)
"""Below this compute capability 16-bit weights are served as float16 (--dtype half)."""


@frozen
class Support:
    """What a family of kernels needs.

    Attributes:
        least: compute capability from which NVIDIA devices run it; None: not at all.
        native: capability from which it computes in the format; below, weights are unpacked.
        others: vendors beside NVIDIA that have it.
        source: where that was read.
    """

    least: tuple[int, int] | None
    native: tuple[int, int] | None = None
    others: tuple[str, ...] = ()
    source: Source = _TABLE


KERNELS: Mapping[str, Support] = MappingProxyType(
    {
        "fp8": Support(least=(7, 5), native=(8, 9), others=("amd", "intel"), source=_DOCS),
        "fp8-block": Support(least=(7, 5), native=(8, 9), others=("amd", "intel"), source=_DOCS),
        "marlin-int4": Support(least=(7, 5), others=("amd", "intel")),
        "marlin-int8": Support(least=(7, 5), others=("amd", "intel")),
        "int8": Support(least=(7, 5), others=("amd",)),
        "nvfp4": Support(least=(8, 0), native=(10, 0), source=_DOCS),
        "nvfp4-marlin": Support(least=(8, 0), source=_DOCS),
        "mxfp4": Support(least=(8, 0), native=(10, 0), others=("amd",), source=_DOCS),
        "bnb": Support(least=(7, 0)),
        "ggml": Support(least=None, source=_ASSUMED),
        "mlx-affine": Support(least=None, source=_ASSUMED),
        "mlx-mxfp4": Support(least=None, source=_ASSUMED),
        "mlx-nvfp4": Support(least=None, source=_ASSUMED),
    }
)
"""Kernel families of `planner.formats`; families that are not listed are planned with a warning."""


def kernel_refusals(checkpoint: Checkpoint, accelerator: Accelerator) -> Iterator[Refusal]:
    """Yield why this device cannot run the formats of a checkpoint under vLLM."""
    for family in checkpoint.kernels:
        support = KERNELS.get(family)
        if support is None:
            continue
        have = capability(accelerator)
        if support.least is None:
            yield Refusal(
                reason=f"vLLM does not load {checkpoint.scheme.name} weights of this family",
                source=support.source,
                remedy="llama.cpp (GGUF) or MLX read them",
            )
        elif accelerator.vendor == "nvidia" and have is not None and have < support.least:
            yield Refusal(
                reason=f"{family} kernels need compute capability"
                f" {support.least[0]}.{support.least[1]}, {accelerator.name} has"
                f" {have[0]}.{have[1]}",
                source=support.source,
            )
        elif accelerator.vendor not in ("nvidia", "custom", *support.others):
            yield Refusal(
                reason=f"vLLM has no {family} kernels for {accelerator.name}",
                source=support.source,
            )
    yield from _expert_refusals(checkpoint, accelerator)


def _expert_refusals(checkpoint: Checkpoint, accelerator: Accelerator) -> Iterator[Refusal]:
    """Yield why this device cannot run routed experts in FP8: no backend of vLLM's takes them."""
    target = accelerator.gfx
    if target is None or target.startswith(FP8_EXPERTS):
        return
    if any(
        row.tensor.is_routed and (row.format.kernel or "").partition("-")[0] == "fp8"
        for row in checkpoint.rows("text")
    ):
        yield Refusal(
            reason=f"vLLM has no FP8 kernel for routed experts on {target} ({accelerator.name})",
            engine_message="No FP8 MoE backend supports the deployment configuration.",
            source=_EXPERTS,
            remedy="use the 16-bit checkpoint or int4, or llama.cpp with a GGUF file",
        )


def kernel_warnings(checkpoint: Checkpoint, accelerator: Accelerator) -> Iterator[str]:
    """Warn about emulated and unverified formats."""
    have = capability(accelerator)
    for family in checkpoint.kernels:
        support = KERNELS.get(family)
        if support is None:
            yield (
                f"no kernel of vLLM's is known that runs {checkpoint.scheme.name} here:"
                " the sizes hold, that it runs is assumed"
            )
        elif have is not None and support.native is not None and have < support.native:
            yield (
                f"{accelerator.name} has no native {family} arithmetic: weights stay packed in"
                " memory and are computed in 16 bits"
            )
    if have is not None and have < BFLOAT16:
        yield f"{accelerator.name} has no bfloat16: the command carries --dtype half"


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

NVFP4 = ("nvfp4", "nvfp4_4over6")
SEEN_ON = 12
"""Compute capability on which an NVFP4 cache was published before vLLM's sources named it."""

FP8_TRITON = (8, 9)
"""Compute capability from which the Triton backend reads FP8 caches."""


def cache_flag(name: str) -> str:
    """Return the value of --kv-cache-dtype that `name` means ("bf16" is no value of it)."""
    lowered = name.lower()
    return lowered if lowered in ("auto", *ALIASES) else get_cache_format(name).name


def cache_warnings(deployment: Deployment) -> Iterator[str]:
    """Warn where sources disagree on whether a cache dtype runs."""
    have = capability(deployment.system.accelerator)
    families = rules_of(deployment.options.version).nvfp4_families
    if deployment.kv_cache_dtype.lower() in NVFP4 and have is not None and have[0] not in families:
        yield (
            f"vLLM {deployment.options.version} names compute capability {families[0]}.x for an"
            " NVFP4 KV cache; a deployment on an RTX 5090 was published, so the plan assumes that"
            " it runs"
        )


WITHOUT_DCP = ("TRITON_ATTN", "TURBOQUANT")
"""Attention backends that cannot share a request's tokens over ranks."""

BLOCK_FP8 = "fp8"
"""Name of the schemes whose quantization method is "fp8"."""


def cache_refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield why vLLM cannot keep its cache in the asked dtype."""
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
    accelerator, flag = deployment.system.accelerator, cache_flag(deployment.kv_cache_dtype)
    backend = attention_backend(accelerator, flag)
    shared = deployment.layout.context_parallel > 1 and capability(accelerator) is not None
    if shared and backend in WITHOUT_DCP:
        yield Refusal(
            reason=f"a KV cache of {name} is read by {backend}, which knows no decode context"
            " parallelism",
            engine_message="No valid attention backend found for cuda",
            source=source("v1/attention/backends/ (supports_dcp)"),
            remedy="choose auto or fp8, or a decode context parallel size of 1",
        )
    elif name == "nvfp4":
        yield from _nvfp4_refusals(deployment)
    elif name.startswith("fp8"):
        yield from _fp8_refusals(deployment)


def _nvfp4_refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield why FlashInfer cannot read an NVFP4 cache on this device."""
    accelerator, version = deployment.system.accelerator, deployment.options.version
    if accelerator.vendor == "custom":
        return
    families = rules_of(version).nvfp4_families
    major = generation(accelerator)
    read_only = source("v1/attention/backends/flashinfer.py (supports_kv_cache_dtype)")
    if major not in (*families, SEEN_ON):
        listed = ", ".join(f"{family}.x" for family in families)
        yield Refusal(
            reason=f"an NVFP4 KV cache needs compute capability {listed} in vLLM {version},"
            f" which {accelerator.name} has not",
            engine_message="No valid attention backend found for cuda" if major else None,
            source=read_only,
            remedy="choose fp8, or int4_per_token_head of nearly the same size",
        )
    elif major != 10 and deployment.kv_cache_dtype.lower() == "nvfp4_4over6":
        yield Refusal(
            reason=f"nvfp4_4over6 needs compute capability 10.x, which {accelerator.name} has not",
            engine_message="No valid attention backend found for cuda",
            source=read_only,
            remedy="choose nvfp4, which takes the same bytes",
        )
    elif major != 10 and deployment.layout.context_parallel > 1:
        yield Refusal(
            reason="an NVFP4 KV cache and decode context parallelism exclude each other on"
            f" {accelerator.name}",
            engine_message="The DCP prefill wrapper cannot read NVFP4 block scales.",
            source=source("v1/attention/backends/flashinfer.py"),
            remedy="choose fp8, or a decode context parallel size of 1",
        )


def _may_scale_cache(scheme: Scheme) -> bool:
    """Say whether vLLM makes parameters for scales of the cache, read or not (attention.py)."""
    from planner.model.module_scheme import ModuleScheme

    if isinstance(scheme, ModuleScheme):
        return scheme.cache_scales
    return scheme.name == BLOCK_FP8


def _fp8_refusals(deployment: Deployment) -> Iterator[Refusal]:
    """Yield why an FP8 cache cannot be kept: by its checkpoint, or by Triton on this device."""
    accelerator = deployment.system.accelerator
    have, flag = capability(accelerator), cache_flag(deployment.kv_cache_dtype)
    if flag == "fp8_e5m2" and _may_scale_cache(deployment.checkpoint.scheme):
        yield Refusal(
            reason="such a checkpoint may come with scales for its cache, which fp8_e5m2 has not",
            engine_message="fp8_e5m2 kv-cache is not supported with fp8 checkpoints.",
            source=source("model_executor/layers/attention/attention.py"),
            remedy="choose fp8, which takes the same bytes",
        )
        return
    if have is None or have >= FP8_TRITON:
        return
    if attention_backend(accelerator, flag) != "TRITON_ATTN":
        return
    plain = "bfloat16" if have >= BFLOAT16 else "float16"
    name = next(iter(accelerator.nvml_names), accelerator.name)
    yield Refusal(
        reason=f"an FP8 KV cache under the Triton backend needs compute capability 8.9,"
        f" {accelerator.name} has {have[0]}.{have[1]}",
        engine_message="FP8 KV cache is not supported by the Triton attention backend on"
        f" {name} (compute capability {have[0]}.{have[1]}); native FP8 (fp8e4nv) requires SM89+."
        f" Re-run with --kv-cache-dtype {plain}.",
        source=source("v1/attention/backends/triton_attn.py"),
        remedy=f"choose {'fp8 or ' if have >= BFLOAT16 else ''}{plain}",
    )

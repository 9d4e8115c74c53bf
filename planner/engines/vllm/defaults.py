"""What vLLM chooses when a flag is not given, from the GPU it finds."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_db import Accelerator
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.rules import Rules
from planner.model.spec import ModelSpec
from planner.units import GIB

SMALL_BATCH_NAME = "a100"
"""Device names with this get the small batch defaults (engine/arg_utils.py, get_batch_defaults)."""

INTEGRATED_SMALL_BATCH = "12.1"
"""So does this compute capability: by rule in 0.33.0, before because NVML reports no memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDefaults:
    """max_num_batched_tokens and max_num_seqs of the API server."""

    max_num_batched_tokens: int
    max_num_seqs: int


def batch_defaults(accelerator: Accelerator, rules: Rules) -> BatchDefaults:
    """Batch defaults by GPU class.

        >= 160 GiB: 16384 / 1024 (from 0.28.0);  >= 70 GiB, not A100, not GB10: 8192 / 1024;
        else 2048 / 256

    Source: vLLM 0.33.0 engine/arg_utils.py (get_batch_defaults), run for eight GPU classes.
    """
    figure = accelerator.memory_driver_mib or accelerator.memory_cuda_mib
    total = int(figure.value) * 2**20 if figure else accelerator.total_bytes
    names = (accelerator.id, accelerator.name, *accelerator.nvml_names)
    small = (
        any(SMALL_BATCH_NAME in name.lower() for name in names)
        or accelerator.compute_capability == INTEGRATED_SMALL_BATCH
    )
    if rules.largest_tier and total >= 160 * GIB and not small:
        return BatchDefaults(max_num_batched_tokens=16384, max_num_seqs=1024)
    if total >= 70 * GIB and not small:
        return BatchDefaults(max_num_batched_tokens=8192, max_num_seqs=1024)
    return BatchDefaults(max_num_batched_tokens=2048, max_num_seqs=256)


def capability(accelerator: Accelerator) -> tuple[int, int] | None:
    """(major, minor) of an NVIDIA device; None for others or where unknown."""
    text = accelerator.compute_capability
    if accelerator.vendor != "nvidia" or text is None:
        return None
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def gdn_prefill_backend(accelerator: Accelerator, asked: str) -> str:
    """Kernels of DeltaNet prefill: FlashInfer on SM 9.0, 10.x and 12.x, else Triton.

    SM 10.x and 12.x need a CUDA 13 runtime, which the 0.33.0 wheel brings. CuteDSL runs on SM 10.x,
    if asked for; what the device cannot run becomes Triton.

    Source: vLLM 0.33.0 (_resolve_gdn_prefill_backend).
    """
    major = (capability(accelerator) or (0, 0))[0]
    if asked == "cutedsl" and major == 10:
        return asked
    return "flashinfer" if asked in ("auto", "flashinfer") and major in (9, 10, 12) else "triton"


def attention_backend(accelerator: Accelerator, kv_cache_dtype: str) -> str:
    """Attention kernels by device and KV cache dtype.

    Source: vLLM 0.33.0 platforms/cuda.py, as resolved on eight GPU classes.
    """
    if kv_cache_dtype.startswith("turboquant"):
        return "TURBOQUANT"
    if kv_cache_dtype.endswith("_per_token_head"):
        return "TRITON_ATTN"
    if accelerator.vendor != "nvidia":
        return "TRITON_ATTN"
    major = (capability(accelerator) or (0, 0))[0]
    if major == 10 or (kv_cache_dtype.startswith("fp8") and major != 9):
        return "FLASHINFER"
    return "FLASH_ATTN"


def capture_sizes(
    accelerator: Accelerator, *, max_num_seqs: int, num_speculative_tokens: int
) -> tuple[int, ...]:
    """Batch sizes of CUDA graphs: 1, 2, 4, then by 8 to 256, then by 16 to the cap.

        cap = min(2 * max_num_seqs * (1 + n), 512);  1024 instead of 512 on SM 10.x

    Source: vLLM 0.33.0 config/vllm.py (_set_cudagraph_sizes); counts agree with the logs.
    """
    most = 1024 if (capability(accelerator) or (0, 0))[0] == 10 else 512
    cap = min(2 * max_num_seqs * (1 + num_speculative_tokens), most)
    sizes = (1, 2, 4, *range(8, 256, 8), *range(256, cap + 1, 16))
    return tuple(size for size in sizes if size <= cap)


def ssm_dtype(model: ModelSpec, options: VllmOptions) -> str:
    """Dtype of the SSM state: the flag, else the config's `mamba_ssm_dtype`, else the model's.

    Source: vLLM 0.33.0 models/config.py; Qwen3-Next configs name none and get the model's dtype.
    """
    if options.mamba_ssm_cache_dtype != "auto":
        return options.mamba_ssm_cache_dtype
    if model.linear is not None and model.linear.mamba_ssm_dtype:
        return model.linear.mamba_ssm_dtype
    return conv_dtype(model, options)


def conv_dtype(model: ModelSpec, options: VllmOptions) -> str:
    """Dtype of the convolution state: the flag, else the model's dtype."""
    return model.dtype if options.mamba_cache_dtype == "auto" else options.mamba_cache_dtype

"""Which attention kernels SGLang takes, and the page size that they force.

Source: SGLang 0.5.23 arg_groups/model_override_base.py (get_default_attn_backend),
model_overrides/qwen3_5.py and overrides.py (page constraints).
"""

from __future__ import annotations

from dataclasses import dataclass

from planner.engines.sglang.device import Gpu
from planner.engines.sglang.options import SGLangOptions
from planner.engines.sglang.versions import Rules
from planner.model.spec import ModelSpec

SM100_OVERRIDDEN = (
    "Qwen3NextForCausalLM",
    "Qwen3_5MoeForConditionalGeneration",
    "Qwen3_5ForConditionalGeneration",
)
"""Architectures whose backend on SM100 is chosen by their own rule."""
TRTLLM_PAGES = (16, 32, 64, 128)
WITHOUT_GRAPHS = ("torch_native", "flex_attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """The kernels and their page.

    Attributes:
        requested_page_size: page size known when the radix-cache strategy is chosen.
    """

    backend: str
    page_size: int
    requested_page_size: int | None

    @property
    def without_graphs(self) -> bool:
        """The backend cannot be captured in CUDA graphs."""
        return self.backend in WITHOUT_GRAPHS


def attention_of(
    model: ModelSpec,
    *,
    gpu: Gpu,
    options: SGLangOptions,
    rules: Rules,
    radix_off: bool,
    kv_cache_dtype: str,
) -> Attention:
    """The attention backend and page size that SGLang ends up with."""
    backend, page = options.attention_backend, options.page_size
    if backend is None:
        backend = _default(gpu, options)
        if gpu.is_sm100 and model.architecture in SM100_OVERRIDDEN:
            buffered = options.mamba_radix_cache_strategy.startswith("extra_buffer")
            stays = rules.sm100_backend_by_speculation and (
                (buffered and not radix_off)
                or radix_off
                or options.speculative_algorithm is not None
            )
            if backend != "trtllm_mha" or not stays:
                backend = "triton"
            page = 64 if backend == "trtllm_mha" else 1
    if backend == "fa3" and kv_cache_dtype == "fp8_e5m2":
        backend = "triton"
    requested = page
    topk = options.speculative_eagle_topk or 0
    if backend == "hpc_ops" or (backend == "trtllm_mha" and page not in TRTLLM_PAGES):
        page = 64
    elif backend == "fa4" and gpu.is_sm100 and topk <= 1:
        page = 128
    return Attention(backend=backend, page_size=page or 1, requested_page_size=requested)


def _default(gpu: Gpu, options: SGLangOptions) -> str:
    topk = options.speculative_eagle_topk
    chain = topk is None or (topk == 1 and options.page_size in (None, 1))
    if gpu.is_hopper and chain:
        return "fa3"
    if gpu.is_sm100 and chain and (options.speculative_algorithm is None or topk is not None):
        return "trtllm_mha"
    return "aiter" if gpu.hip else "flashinfer"

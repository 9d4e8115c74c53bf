"""Say which servers run on an accelerator that an engine has no rules for.

The rules look at facts of the hardware, never at names; a refusal's remedy is one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardware_db import Accelerator

DATACENTRE_MEMORY = "HBM"
"""What accelerators of datacentres have, by the kind of their memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A kind of accelerator and what runs on it.

    Attributes:
        vendor: whose it is.
        hbm: it has datacentre memory; None: whatever.
        remedy: what runs there, as a clause.
        source: where that is said.
    """

    vendor: str
    remedy: str
    source: str
    hbm: bool | None = None


PLACES = (
    Place(
        vendor="apple",
        remedy="MLX or llama.cpp run there",
        source="github.com/ml-explore/mlx-lm, github.com/ggml-org/llama.cpp (Metal)",
    ),
    Place(
        vendor="intel",
        hbm=True,
        remedy="vLLM runs there (vllm-gaudi)",
        source="github.com/vllm-project/vllm-gaudi",
    ),
    Place(
        vendor="intel",
        remedy="llama.cpp (SYCL, Vulkan) or vLLM (XPU) run there",
        source="github.com/ggml-org/llama.cpp docs/backend/SYCL.md, docs.vllm.ai (XPU)",
    ),
    Place(
        vendor="google",
        remedy="vLLM's TPU backend (tpu-inference) and SGLang-JAX run there; neither is planned",
        source="github.com/vllm-project/tpu-inference, github.com/sgl-project/sglang-jax",
    ),
)


def has_hbm(accelerator: Accelerator) -> bool:
    """Say whether `accelerator` has datacentre memory."""
    return (accelerator.memory_type or "").upper().startswith(DATACENTRE_MEMORY)


def served_by(accelerator: Accelerator) -> str | None:
    """Return what runs on `accelerator`, in words; None where nothing is known to."""
    for place in PLACES:
        if place.vendor == accelerator.vendor and place.hbm in (None, has_hbm(accelerator)):
            return place.remedy
    return None

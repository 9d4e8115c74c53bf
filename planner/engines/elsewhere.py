"""Say which servers run on an accelerator that an engine has no rules for.

The rules look at facts of the hardware, never at names; a refusal's remedy is one of them.
"""

from __future__ import annotations

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.engine import Deployment, Refusal
from planner.provenance import Source

DATACENTRE_MEMORY = "HBM"
"""What accelerators of datacentres have, by the kind of their memory."""


@frozen
class Place:
    """A kind of accelerator and what runs on it.

    Attributes:
        vendor: whose it is.
        hbm: it has datacentre memory; None: whatever.
        remedy: what runs there, as a clause.
        source: where that is said.
        targets: beginnings of the compiler targets that are meant; empty: whatever.
    """

    vendor: str
    remedy: str
    source: str
    hbm: bool | None = None
    targets: tuple[str, ...] = ()

    def holds(self, accelerator: Accelerator) -> bool:
        """Say whether `accelerator` is of this kind."""
        return (
            self.vendor == accelerator.vendor
            and self.hbm in (None, has_hbm(accelerator))
            and (not self.targets or (accelerator.gfx or "").startswith(self.targets))
        )


UNBUILT = ("gfx8", "gfx900", "gfx906", "gfx90c", "gfx101")
"""Beginnings of AMD's targets that neither vLLM nor SGLang is built for.

vLLM's list (CMakeLists.txt, HIP_SUPPORTED_ARCHS) has none of them but gfx906, and its images
(docker/Dockerfile.rocm_base, PYTORCH_ROCM_ARCH) hold no code for that one; who built it for gfx906
found that ROCm's Triton, in which DeltaNet is written, does not compile for it (vllm#33811).
SGLang's kernels are built for gfx942 and gfx950; other targets must be named by hand.
"""

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
    Place(
        vendor="amd",
        targets=("gfx906",),
        remedy="llama.cpp runs there, and forks of vLLM do (nlzy/vllm-gfx906)",
        source="vllm-project/vllm#33811, triton-lang/triton#8992",
    ),
    Place(
        vendor="amd",
        targets=UNBUILT,  # but what stands above
        remedy="llama.cpp (Vulkan) runs there",
        source="github.com/ggml-org/llama.cpp docs/build.md (Vulkan)",
    ),
)


def has_hbm(accelerator: Accelerator) -> bool:
    """Say whether `accelerator` has datacentre memory."""
    return (accelerator.memory_type or "").upper().startswith(DATACENTRE_MEMORY)


def served_by(accelerator: Accelerator) -> str | None:
    """Return what runs on `accelerator`, in words; None where nothing is known to."""
    for place in PLACES:
        if place.holds(accelerator):
            return place.remedy
    return None


def makers_of(deployment: Deployment) -> str:
    """Return the makers whose GPUs are to serve together: ``NVIDIA and AMD``; empty where it is one."""
    system = deployment.system
    if not system.is_mixed or deployment.layout.accelerators == 1:
        return ""
    names = dict.fromkeys(one.name.partition(" ")[0] for one in system.accelerators)
    alike = len({one.vendor for one in system.accelerators}) == 1
    return "" if alike else " and ".join(names)


def of_several_makers(deployment: Deployment, title: str) -> Refusal | None:
    """Return why an engine whose builds are for one maker does not span GPUs of several."""
    makers = makers_of(deployment)
    if not makers:
        return None
    return Refusal(
        reason=f"a build of {title} runs on the GPUs of one maker, not on {makers} together",
        source=Source(where="PyTorch's builds: CUDA, ROCm or XPU (pytorch.org/get-started)"),
        remedy="llama.cpp (Vulkan) runs on both",
    )


def unbuilt(accelerator: Accelerator, title: str, where: str) -> Refusal | None:
    """Return why an engine does not run on old AMD targets; None on all others.

    Args:
        accelerator: what it would run on.
        title: the engine, as people write it.
        where: the file in which it says what it is built for.
    """
    target = accelerator.gfx
    if target is None or not target.startswith(UNBUILT):
        return None
    return Refusal(
        reason=f"{title} is not built for {target} ({accelerator.name})",
        source=Source(where=where),
        remedy=served_by(accelerator),
    )

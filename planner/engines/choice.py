"""Which engine suits which hardware: a default that can be argued with, as data with its reason.

The rules look at facts of the hardware (vendor, shared memory, compute capability, kind of memory)
and of the weights (formats, size), never at names. The first rule that fits decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hardware_db import System
from hardware_db.records import frozen
from planner.engines.elsewhere import has_hbm
from planner.model.checkpoint import Checkpoint

DEFAULT_ENGINE = "vllm"
"""Taken where nobody names an engine and nothing speaks against it."""


@frozen
class Rule:
    """One default; None and empty mean "whatever".

    Attributes:
        engine: name of the engine.
        reason: why, one sentence.
        vendors: vendors that it is for.
        unified: CPU and GPU share one memory.
        capability: least compute capability.
        hbm: the accelerator has datacentre memory.
        bf16: it multiplies matrices of BF16: their rate is in the database.
        gguf: the weights are GGUF files, or of a type that only those have.
        overflows: the weights are larger than all accelerators together.
    """

    engine: str
    reason: str
    vendors: tuple[str, ...] = ()
    unified: bool | None = None
    capability: tuple[int, int] | None = None
    hbm: bool | None = None
    bf16: bool | None = None
    gguf: bool = False
    overflows: bool | None = None

    def on(self, system: System) -> bool:
        """Whether the rule is about this hardware."""
        accelerator = system.accelerator
        return (
            (not self.vendors or accelerator.vendor in self.vendors)
            and self.unified in (None, accelerator.is_unified)
            and (self.capability is None or (accelerator.capability or (0, 0)) >= self.capability)
            and self.hbm in (None, has_hbm(accelerator))
            and self.bf16 in (None, "bf16" in accelerator.tflops)
        )

    def fits(self, system: System, checkpoint: Checkpoint) -> bool:
        """Whether the rule is about this hardware and these weights."""
        return (
            self.on(system)
            and (not self.gguf or checkpoint.is_gguf or "ggml" in checkpoint.kernels)
            and self.overflows in (None, _overflows(system, checkpoint))
        )


RULES: tuple[Rule, ...] = (
    Rule(
        engine="llamacpp",
        reason="GGUF weights are llama.cpp's own format",
        gguf=True,
    ),
    Rule(
        engine="mlx",
        reason="made for Apple's unified memory; llama.cpp (GGUF) is the alternative, and"
        " loads the vision tower, too",
        vendors=("apple",),
    ),
    Rule(
        engine="llamacpp",
        reason="the weights are larger than the accelerators' memory: llama.cpp computes layers or"
        " experts from host memory (as GGUF); KTransformers does for experts on server CPUs",
        overflows=True,
    ),
    Rule(
        engine="vllm",
        reason="datacentre and recent NVIDIA GPUs: vLLM batches many requests, reads every official"
        " format, and its rules are the most thoroughly checked here; SGLang is the other choice",
        vendors=("nvidia",),
        unified=False,
        capability=(8, 0),
    ),
    Rule(
        engine="vllm",
        reason="memory shared with the CPU, but kernels for FP8 and NVFP4: vLLM serves several"
        " users; for one user llama.cpp takes less memory beside the model",
        vendors=("nvidia",),
        unified=True,
        capability=(10, 0),
    ),
    Rule(
        engine="llamacpp",
        reason="older or embedded NVIDIA GPUs: llama.cpp needs neither BF16 kernels nor a driver"
        " that tells its memory",
        vendors=("nvidia",),
    ),
    Rule(
        engine="vllm",
        reason="accelerators with HBM: vLLM has a backend for them and batches many requests",
        vendors=("amd", "intel"),
        hbm=True,
        bf16=True,
    ),
    Rule(
        engine="llamacpp",
        reason="memory shared with the CPU: llama.cpp (Vulkan or ROCm) uses what the system lends",
        vendors=("amd", "intel"),
        unified=True,
    ),
    Rule(
        engine="llamacpp",
        reason="cards without CUDA: llama.cpp (Vulkan, ROCm or SYCL) runs on all of them",
        vendors=("amd", "intel"),
    ),
    Rule(
        engine="vllm",
        reason="only the memory is known: planned as for an NVIDIA GPU under vLLM",
        vendors=("custom",),
    ),
    Rule(
        engine="llamacpp",
        reason="no GPU that another engine is planned for: llama.cpp runs on CPUs and most devices",
    ),
)
"""Tried in order."""


def default_engine(
    system: System, checkpoint: Checkpoint, *, offload: bool = True
) -> tuple[str, str]:
    """(name of an engine, why) for `checkpoint` on `system`.

    Args:
        system: where it is served.
        checkpoint: what is served.
        offload: weights larger than the accelerators may be computed from host memory.

    The name is one of `planner.engines.ENGINES`. It is a starting point: other engines may run it,
    too, and the engine's own refusals still hold.
    """
    rules = (rule for rule in RULES if offload or not rule.overflows)
    rule = next(rule for rule in rules if rule.fits(system, checkpoint))
    return rule.engine, rule.reason


LOADS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gguf": ("llamacpp",),
        "safetensors": ("vllm", "sglang"),
        "mlx": ("mlx",),
    }
)
"""Container of the registry -> engines that are proposed for it, the first choice first. Forks'
containers, and engines whose rules were only read, are left out: they are never proposed first."""

PROPOSED = tuple(dict.fromkeys(name for names in LOADS.values() for name in names))
"""Engines that are proposed, for some container."""

FOR_QUANTIZED = ("ktransformers",)
"""Engines that are never proposed and that nobody runs on 16-bit weights: they keep experts in RAM."""

SMALLER_CACHE: Mapping[str, str] = MappingProxyType(
    {"vllm": "fp8", "sglang": "fp8_e4m3", "llamacpp": "q8_0"}
)
"""Engine -> the KV cache format of half the size that costs the least."""

FOR_PICTURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"vllm": {}, "sglang": {}, "llamacpp": {"mmproj": True}}
)
"""Engine -> options under which it takes pictures; absent: the planned server takes none."""

DRAFTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "vllm": {"num_speculative_tokens": 2},
        "sglang": {"speculative_algorithm": "NEXTN"},
        "llamacpp": {"spec_type": "draft-mtp"},
    }
)
"""Engine -> options under which the model's own MTP module drafts: of tokens as many as Qwen's model
cards say for vLLM, else the engine's default."""

CONVERTED = ("bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m")
"""Precisions of a GGUF that people convert themselves, the least loss first: llama-quantize makes them of
the maker's weights without an importance matrix."""

FOR_MANY = ("vllm", "sglang")
"""Engines that are proposed first where more than a few users ask at once: they batch whatever comes,
and what is full waits its turn."""

OFFLOADS = ("llamacpp",)
"""Engines that are proposed with a part of the weights in RAM."""


def engines_for(system: System) -> tuple[tuple[str, str], ...]:
    """Return (engine, why) for everything that is proposed on `system`, the first choice first.

    The order is that of `RULES`, the weights aside; engines without a rule follow in the order of
    `LOADS`. Whether one takes a checkpoint there is for its own refusals to say.
    """
    found: dict[str, str] = {}
    for rule in RULES:
        if not rule.gguf and not rule.overflows and rule.on(system):
            found.setdefault(rule.engine, rule.reason)
    for name in PROPOSED:
        found.setdefault(name, "another server for the same weights")
    return tuple(found.items())


def _overflows(system: System, checkpoint: Checkpoint) -> bool:
    return checkpoint.nbytes("text") > system.count * system.accelerator.total_bytes

"""Say what a system offers llama.cpp: the room on its GPUs and in its RAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hardware_db import System
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.server import Usage
from planner.units import GIB, MIB

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "nvidia": "CUDA",
        "amd": "ROCm",
        "apple": "MTL",
        "intel": "SYCL",
        "custom": "CUDA",
    }
)
"""Vendor -> ggml backend, as device names begin in the log."""

CONTEXT_BYTES = GIB // 2
"""What a GPU's context takes before llama.cpp asks for the free memory (the lower end of 0.5 to
0.75 GiB unaccounted for in start-up logs)."""

RUNTIME_BYTES = 3 * GIB // 4
"""Context and the pools of cuBLAS and the matrix kernels together: 705 to 753 MiB per GPU in six of
six readings on one card, 749 MiB in llama.cpp issue 27953."""

RUNTIME_BAND = GIB // 4

HOST_PROGRAM_BYTES = GIB // 2
"""llama-server itself, its vocabulary and libraries; an assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What may be used.

    Attributes:
        gpus: bytes on each GPU, the margin already taken off.
        host: bytes in RAM; None: nothing is known of it, so nothing is moved there unasked.
        shared: GPU and host are one memory.
    """

    gpus: tuple[int, ...]
    host: int | None
    shared: bool = False

    def slack(self, usage: Usage) -> int:
        """Return the bytes to spare on the tightest backend; negative when over."""
        if self.shared or self.host is None:
            return self.gpu_slack(usage)
        return min(self.gpu_slack(usage), self.host - usage.total(len(self.gpus)))

    def gpu_slack(self, usage: Usage) -> int:
        """Return the same of the GPUs alone."""
        if self.shared:
            return self.gpus[0] - usage.total(0) - usage.total(1)
        spare = [room - usage.total(gpu) for gpu, room in enumerate(self.gpus)]
        return min(spare, default=0)

    def holds(self, usage: Usage) -> bool:
        """Say whether every backend keeps within its room."""
        return self.slack(usage) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as llama.cpp sees it.

    Attributes:
        backend: ggml backend of its GPUs.
        gpu_total: bytes of each GPU.
        gpus: how many.
        host_total: bytes of RAM; None if unknown.
        unified: GPU and host are one memory.
        runtime: bytes that every GPU loses to its context and to pools.
    """

    backend: str
    gpu_total: int
    gpus: int
    host_total: int | None
    unified: bool
    runtime: int

    def room(self, options: LlamacppOptions) -> Room:
        """Return what --fit would use: free memory less its margin; all of it without --fit."""
        margin = options.fit_target_mib * MIB if options.fit else 0
        context = min(CONTEXT_BYTES, self.runtime)
        host = None if self.host_total is None else self.host_total - HOST_PROGRAM_BYTES
        return Room(
            gpus=(self.gpu_total - context - margin,) * self.gpus,
            host=host,
            shared=self.unified,
        )

    def usable(self, options: LlamacppOptions) -> int:
        """Return the bytes of a GPU up to the margin, of which pools take their part after start."""
        margin = options.fit_target_mib * MIB if options.fit else 0
        pools = self.runtime - min(CONTEXT_BYTES, self.runtime)
        return self.gpu_total - max(margin - pools, 0)


def machine_of(system: System, options: LlamacppOptions, *, gpus: int) -> Machine:
    """Return the machine that `system` is; its RAM as the options say, else as the database does."""
    accelerator = system.accelerator
    backend = BACKENDS.get(accelerator.vendor, "GPU")
    host = system.host_memory_gib
    told = options.host_memory_gib
    if told is None and host is not None:
        told = float(host.value)
    return Machine(
        backend=backend,
        gpu_total=accelerator.total_bytes,
        gpus=gpus,
        host_total=None if told is None else int(told * GIB),
        unified=accelerator.is_unified,
        runtime=0 if backend == "MTL" else RUNTIME_BYTES,
    )

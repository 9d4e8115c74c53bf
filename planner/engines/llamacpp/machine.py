"""Say what a system offers llama.cpp: the room on its GPUs and in its RAM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, reduce
from types import MappingProxyType
from typing import TYPE_CHECKING

from hardware_db import Accelerator, System
from hardware_db.memory import left_by_system
from hardware_db.records import frozen
from planner.columns import smaller
from planner.engines.engine import Deployment
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.options import same
from planner.memo import Key, remembered
from planner.units import GIB, MIB

if TYPE_CHECKING:
    from planner.engines.llamacpp.server import Usage

BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "cuda": "CUDA",
        "rocm": "ROCm",
        "metal": "MTL",
        "xpu": "SYCL",
        "vulkan": "Vulkan",
        "cpu": "CPU",
    }
)
"""What computes on an accelerator -> ggml backend, as device names begin in the log; the first that
all accelerators have is taken."""

RPC = "RPC"
"""How device names of other machines begin."""

RPC_PORT = 50052
RPC_SERVER = ("ggml-rpc-server", "--host", "0.0.0.0", "--port", str(RPC_PORT), "--cache")
"""What every other machine runs (tools/rpc/rpc-server.cpp); releases before 0.5 call it rpc-server."""

UNKNOWN_BACKEND = "CUDA"
"""Taken for an accelerator of which only the memory is known."""

CONTEXT_BYTES = GIB // 2
"""What a GPU's context takes before llama.cpp asks for the free memory (the lower end of 0.5 to
0.75 GiB unaccounted for in start-up logs)."""

RUNTIME_BYTES = 3 * GIB // 4
"""Context and the pools of cuBLAS and the matrix kernels together: 705 to 753 MiB per GPU in six of
six readings on one card, 749 MiB in llama.cpp issue 27953."""

RUNTIME_BAND = GIB // 4

RAM_PER_GPU_BYTE = 2
"""RAM that machines are taken to have per byte of their GPUs where somebody runs a command and does
not say: 32 GB beside a GPU of 16 GB. An assumption; the verdict says that it rests on it."""

HOST_PROGRAM_BYTES = GIB // 2
"""llama-server itself, its vocabulary and libraries; an assumption."""


@frozen
class Room:
    """What may be used.

    Attributes:
        gpus: bytes on each GPU, the margin already taken off.
        host: bytes in RAM; None: nothing is known of it, so nothing is moved there unasked.
        shared: GPU and host are one memory; of several machines, that of the last GPU.
    """

    gpus: tuple[int, ...]
    host: int | None
    shared: bool = False

    def slack(self, usage: Usage) -> int:
        """Return the bytes to spare on the tightest backend; negative when over."""
        if self.shared or self.host is None:
            return self.gpu_slack(usage)
        slack: int = smaller(self.gpu_slack(usage), self.host - usage.total(len(self.gpus)))
        return slack

    def gpu_slack(self, usage: Usage) -> int:
        """Return the same of the GPUs alone."""
        spare = [room - usage.total(gpu) for gpu, room in enumerate(self.gpus)]
        if self.shared:
            spare[-1] = spare[-1] - usage.total(len(self.gpus))
        return reduce(smaller, spare) if spare else 0

    def holds(self, usage: Usage) -> bool:
        """Say whether every backend keeps within its room."""
        return self.slack(usage) >= 0


@frozen
class Machine:
    """The machine of a server, and the GPUs of others that it reaches by RPC.

    Attributes:
        backend: ggml backend of its GPUs.
        remote: GPUs of other machines; llama.cpp puts them in front of its own.
        first: number of its first GPU, those before it are not used.
        gpu_totals: bytes of each GPU, of shared memory what the system leaves (llama.cpp asks it for
            what is available, ggml-cuda.cu); empty without GPUs.
        whole: bytes of each GPU, what the system keeps of shared memory included.
        host_total: bytes of RAM; None if unknown.
        unified: GPU and host are one memory.
        runtime: bytes that every GPU loses to its context, to pools, and to what was measured.
        measured: bytes of it that were gone at start beyond the context, as a log told.
    """

    backend: str
    remote: int
    gpu_totals: tuple[int, ...]
    whole: tuple[int, ...]
    host_total: int | None
    unified: bool
    runtime: int
    measured: int = 0
    first: int = 0

    @property
    def checked(self) -> bool:
        """Compute buffers were checked against logs of such GPUs."""
        return self.backend == "CUDA" and not self.unified

    @property
    def context(self) -> int:
        """Bytes of a GPU that are gone before --fit asks for what is free."""
        return min(CONTEXT_BYTES, self.runtime - self.measured) + self.measured

    def with_ram_assumed(self) -> Machine | None:
        """Return the machine with the RAM that such machines have; None where it is known or shared."""
        if self.host_total is not None or self.unified or not self.gpu_totals:
            return None
        return replace(self, host_total=RAM_PER_GPU_BYTE * sum(self.gpu_totals[self.remote :]))

    @property
    def gpu_names(self) -> tuple[str, ...]:
        """Names of the GPUs as the log prints them, in the order of the blocks."""
        own = len(self.gpu_totals) - self.remote
        local = (f"{self.backend}{self.first + gpu}" for gpu in range(own))
        return (*(f"{RPC}{gpu}" for gpu in range(self.remote)), *local)

    @property
    def host_usable(self) -> int | None:
        """Bytes of RAM that a server may take; None if unknown.

        llama.cpp asks nobody: --fit weighs the GPUs alone (common/fit.cpp), and RAM that is full swaps,
        reads mapped weights anew, or ends the server.
        """
        return None if self.host_total is None else left_by_system(self.host_total)

    def room(self, kept_free_mib: int) -> Room:
        """Return what may be used: free memory less the MiB of every GPU that stay free."""
        kept, usable = kept_free_mib * MIB, self.host_usable
        return Room(
            gpus=tuple(total - self.context - kept for total in self.gpu_totals),
            host=None if usable is None else usable - HOST_PROGRAM_BYTES,
            shared=self.unified,
        )

    def usable(self, options: LlamacppOptions, gpu: int) -> int:
        """Return the bytes of a GPU up to the margin, of which pools take their part after start."""
        margin = options.kept_free_mib * MIB
        pools = self.runtime - self.context
        return self.gpu_totals[gpu] - max(margin - pools, 0)


def backend_of(accelerators: Sequence[Accelerator]) -> str | None:
    """Return the ggml backend that runs on all accelerators; None if there is none."""
    return _common(frozenset(one.backends for one in accelerators if one.backends))


@lru_cache(maxsize=64)
def _common(known: frozenset[tuple[str, ...]]) -> str | None:
    """Return the first backend that is among all of these."""
    if not known:
        return UNKNOWN_BACKEND
    return next(
        (title for name, title in BACKENDS.items() if all(name in names for names in known)), None
    )


def default_shares(accelerators: Sequence[Accelerator]) -> tuple[float, ...]:
    """Return the proportions in which blocks are shared out unless told otherwise: free memory."""
    totals = [accelerator.total_bytes for accelerator in accelerators]
    if len(set(totals)) <= 1:
        return (1.0,) * len(totals)
    return tuple(float(total - CONTEXT_BYTES) for total in totals)


def used_gpus(system: System, options: LlamacppOptions, gpus: int) -> tuple[Accelerator, ...]:
    """Return the GPUs that a server takes, so many."""
    first = options.first_gpu
    return system.accelerators[first : first + gpus]


def _placed(deployment: Deployment, *, gpus: int) -> Key:
    return (deployment.system, same(deployment.options)), (gpus, deployment.lesson)


@remembered(_placed)
def machine_of(deployment: Deployment, *, gpus: int) -> Machine:
    """Return the machine of a deployment; its RAM as the options say, else as the database does."""
    system, lesson = deployment.system, deployment.lesson
    options: LlamacppOptions = deployment.options
    used = used_gpus(system, options, gpus)
    backend = backend_of(used or system.accelerators[:1]) or UNKNOWN_BACKEND
    told = options.host_memory_gib
    if told is None and system.host_memory_gib is not None:
        told = float(system.host_memory_gib.value)
    total = None if told is None else int(told * GIB)
    runtime = 0 if backend == "MTL" else RUNTIME_BYTES
    context = min(CONTEXT_BYTES, runtime)
    measured = max(lesson.difference, -context) if lesson is not None else 0
    return Machine(
        backend=backend,
        remote=max(0, gpus - system.accelerators_per_node),
        gpu_totals=tuple(accelerator.usable_bytes for accelerator in used),
        whole=tuple(accelerator.total_bytes for accelerator in used),
        host_total=total,
        unified=system.accelerator.is_unified and not system.is_cpu_only,
        runtime=runtime + measured,
        measured=measured,
        first=options.first_gpu,
    )

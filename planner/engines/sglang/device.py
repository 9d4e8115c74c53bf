"""What SGLang asks a device: its memory, its generation, whether it shares memory with the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from hardware_db import Accelerator
from planner.units import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One device as SGLang's argument pipeline sees it.

    Attributes:
        memory_mib: MiB that nvidia-smi (amd-smi) prints as the total; CUDA's total where the
            driver prints none.
        capability: CUDA compute capability; None on ROCm.
        hip: a ROCm device.
        integrated: CPU and GPU share one memory; free memory is then the available RAM.
    """

    memory_mib: float
    capability: tuple[int, int] | None
    hip: bool = False
    integrated: bool = False

    @property
    def is_hopper(self) -> bool:
        """Compute capability 9.x."""
        return self.capability is not None and self.capability[0] == 9

    @property
    def is_sm100(self) -> bool:
        """Compute capability 10.x (data-center Blackwell)."""
        return self.capability is not None and self.capability[0] == 10

    @property
    def is_cuda(self) -> bool:
        """Not a ROCm device; of a made-up one only the memory is known."""
        return not self.hip


def gpu_of(accelerator: Accelerator) -> Gpu:
    """`accelerator` as SGLang sees it.

    Source: SGLang 0.5.23 utils/common.py (get_nvgpu_memory_capacity: nvidia-smi, else CUDA's
    total; get_available_gpu_memory: psutil's available RAM on integrated GPUs).
    """
    driver = accelerator.memory_driver_mib
    capability = None
    if accelerator.compute_capability is not None:
        major, _, minor = accelerator.compute_capability.partition(".")
        capability = (int(major), int(minor or 0))
    return Gpu(
        memory_mib=driver.value if driver is not None else accelerator.total_bytes / MIB,
        capability=capability,
        hip=accelerator.gfx is not None,
        integrated=accelerator.is_unified,
    )

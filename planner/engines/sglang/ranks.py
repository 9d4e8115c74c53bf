"""Describe a device and degrees of parallelism as SGLang sees them.

SGLang asks a device for its memory and its generation, and whether it shares memory with the CPU;
it knows tensor, pipeline and attention data parallelism, experts shared out, and replicas.
"""

from __future__ import annotations

from itertools import pairwise

from hardware_db import Accelerator
from hardware_db.records import frozen
from planner.engines.sglang.options import SGLangOptions
from planner.errors import LayoutError
from planner.layout import Layout
from planner.memo import remembered
from planner.units import MIB


@frozen
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


@remembered(lambda accelerator: ((accelerator,), None))
def gpu_of(accelerator: Accelerator) -> Gpu:
    """Return `accelerator` as SGLang sees it.

    Source: SGLang 0.5.23 utils/common.py (get_nvgpu_memory_capacity: nvidia-smi, else CUDA's
    total; get_available_gpu_memory: psutil's available RAM on integrated GPUs).
    """
    driver = accelerator.memory_driver_mib
    memory = driver.value if driver is not None else accelerator.total_bytes / MIB
    hip, unified = accelerator.gfx is not None, accelerator.is_unified
    return _seen(memory, accelerator.capability, hip, unified)


@remembered(lambda *seen: ((), seen))
def _seen(memory: float, capability: tuple[int, int] | None, hip: bool, unified: bool) -> Gpu:
    """Return one object for all devices that SGLang cannot tell apart."""
    return Gpu(memory_mib=memory, capability=capability, hip=hip, integrated=unified)


@frozen
class Parallel:
    """Degrees of parallelism as SGLang names them.

    Attributes:
        tp_size: ranks of one pipeline stage.
        pp_size: pipeline stages.
        attn_dp_size: groups of ranks with their own requests, pools and attention.
        ep_size: groups over which experts are shared out.
        replicas: independent copies of all that (``--dp-size``).
    """

    tp_size: int = 1
    pp_size: int = 1
    attn_dp_size: int = 1
    ep_size: int = 1
    replicas: int = 1

    @property
    def attn_tp_size(self) -> int:
        """Ranks that share one copy of attention, state and KV heads."""
        return max(1, self.tp_size // self.attn_dp_size)

    @property
    def moe_tp_size(self) -> int:
        """Ranks that cut one expert."""
        return max(1, self.tp_size // self.ep_size)

    @property
    def pools(self) -> int:
        """Independent pools: every one serves its own requests."""
        return self.attn_dp_size * self.replicas

    def stages(self, layers: int) -> tuple[range, ...]:
        """Return the layers of each pipeline stage; a remainder goes to the last stages.

        Source: SGLang distributed/utils.py get_pp_indices, the same from 0.5.9 to 0.5.23.
        """
        base, remainder = divmod(layers, self.pp_size)
        ends = [0]
        for stage in range(self.pp_size):
            ends.append(ends[-1] + base + (stage >= self.pp_size - remainder))
        return tuple(range(a, b) for a, b in pairwise(ends))


@remembered(lambda layout, options: ((options,), layout))
def parallel_of(layout: Layout, options: SGLangOptions) -> Parallel:
    """Return `layout` and the options in SGLang's words.

    Data parallel ranks that share experts are attention data parallelism inside one group of
    tensor x data parallel ranks; without shared experts they are replicas.

    Raises:
        LayoutError: the layout and the options say different things.
    """
    inside = layout.expert_parallel and layout.data_parallel > 1
    tp_size = layout.tensor_parallel * (layout.data_parallel if inside else 1)
    attn_dp = layout.data_parallel if inside else 1
    if options.attn_dp_size > 1:
        if attn_dp not in (1, options.attn_dp_size):
            raise LayoutError(
                f"attn_dp_size {options.attn_dp_size} contradicts the layout {layout};"
                " leave one of them out"
            )
        if layout.data_parallel > 1 and not inside:
            raise LayoutError(
                "SGLang does not combine replicas (--dp-size) with attn_dp_size; use one of them"
            )
        attn_dp = options.attn_dp_size
    ep_size = tp_size if layout.expert_parallel else 1
    if options.ep_size is not None:
        ep_size = options.ep_size
    if options.moe_a2a_backend != "none":
        ep_size = tp_size  # every all-to-all backend shares experts out over all ranks
    return Parallel(
        tp_size=tp_size,
        pp_size=layout.pipeline_parallel,
        attn_dp_size=attn_dp,
        ep_size=ep_size,
        replicas=1 if inside else layout.data_parallel,
    )

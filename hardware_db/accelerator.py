"""One accelerator: what it holds, how fast it is, what its formats and links are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from functools import lru_cache
from typing import Literal

from hardware_db.figures import Figure, FrozenMap, Price, fill_slots
from hardware_db.names import spoken
from hardware_db.records import frozen

__all__ = [
    "CPU_VENDOR",
    "Accelerator",
    "NvlinkKind",
    "Platform",
    "RaisableLimit",
    "UnifiedMemory",
    "reserved_mib",
]

MIB = 1 << 20
CPU_VENDOR = "cpu"
"""The vendor of the accelerator that stands for a processor and its RAM."""
Platform = Literal["linux", "wddm"]
NvlinkKind = Literal["switch", "mesh", "bridge"]


def reserved_mib(driver_mib: int) -> int:
    """MiB of the driver's total that CUDA does not see on Linux, where nobody has measured it.

    1 % of the total, at least 450 and at most 1100 MiB. Derived from pairs of NVML and
    cudaMemGetInfo totals of 15 cards between T4 and GB300 (350 to 1072 MiB); the driver version
    moves it by about a quarter of a GiB.
    """
    return min(max(round(driver_mib * 0.01), 450), 1100)


@frozen
class RaisableLimit:
    """A limit on the GPU's share of one memory that the machine's owner can raise.

    `usable_mib`: the most that the GPU can get then (MiB). `name`: what the setting is called.
    `command`: the exact line to type, with {mib}, {gib} or {pages} (of 4 KiB) for the new limit.
    `after`: what has to follow, like a restart; None where it holds at once.
    """

    usable_mib: Figure
    name: str
    command: str
    after: str | None = None

    @property
    def line(self) -> str:
        """Return the line that raises the limit to the most: what a raised machine is planned with."""
        mib = int(self.usable_mib.value)
        return self.command.format(mib=mib, gib=mib // 1024, pages=mib * 256)

    @property
    def words(self) -> str:
        """Return what to do in one line: the setting, the line to type, what has to follow."""
        after = f", {self.after}" if self.after else ""
        return f"raise {self.name}: {self.line}{after}"


@frozen
class UnifiedMemory:
    """How CPU and GPU share one memory. Absent on accelerators with memory of their own.

    `usable_mib`: what the GPU can really get, as the machine comes (MiB). `os_reserve_mib`: what
    the system itself needs of it (MiB). `default_gpu_share`: the share (0..1) of the memory that
    the system lends to the GPU unless told otherwise: Metal's default on Apple, the default GTT on
    Strix Halo. `safe_utilization`: the highest share of the total that an engine should be told
    to take (0..1). `raisable`: how the owner lends the GPU more. `notes`: what goes wrong.
    """

    usable_mib: Figure | None = None
    os_reserve_mib: Figure | None = None
    default_gpu_share: Figure | None = None
    safe_utilization: Figure | None = None
    raisable: RaisableLimit | None = None
    notes: tuple[str, ...] = ()


@frozen
class Accelerator:
    """One accelerator as an engine sees it (one CUDA, HIP, Metal or XPU device).

    Memory: `memory_marketed_gb` is the label; `memory_driver_mib` what NVML, sysfs or the vendor's
    tool says; `memory_cuda_mib` what cudaMemGetInfo / hipMemGetInfo calls the total on Linux, on
    which engines budget; `memory_cuda_wddm_mib` the same under Windows (WDDM) and WSL2.
    `bandwidth_gb_s` is nominal, `bandwidth_measured_gb_s` what kernels reach; decimal GB/s.
    `tflops` are dense rates with fp32 accumulate (int8: TOPS), `tflops_measured` what GEMMs reach.
    `backends` names what software can compute on it: cuda, rocm, vulkan, metal, xpu, hpu, tpu, cpu.
    `called` is what people call it, where that does not follow from `name` (see `short_name`).
    `variant` says why a bare name never means this entry ("memory exchanged", "ECC on").
    `power_measured_w`: what it, or the machine around it, drew under load (the note says which).
    `formats` tells per number format "native" or what happens instead. `nvlink_gb_s` is GB/s per
    accelerator and direction over all its links (NVLink, or xGMI and Gaudi's RoCE where
    `link_name` says so); `nvlink_domain` how many accelerators these links join; `nvlink_kind`
    whether through a switch, a direct mesh, or a bridge that is bought apart. `pcie_gb_s` is per
    direction. `sources` tells the origin of what is not a number (formats, names, capability).
    """

    id: str
    name: str
    vendor: str
    architecture: str
    aliases: tuple[str, ...] = ()
    nvml_names: tuple[str, ...] = ()
    pci_device_ids: tuple[str, ...] = ()
    form_factor: str | None = None
    compute_capability: str | None = None
    gfx: str | None = None
    metal_family: str | None = None
    memory_marketed_gb: Figure | None = None
    memory_driver_mib: Figure | None = None
    memory_cuda_mib: Figure | None = None
    memory_cuda_wddm_mib: Figure | None = None
    memory_type: str | None = None
    bandwidth_gb_s: Figure | None = None
    bandwidth_measured_gb_s: tuple[Figure, ...] = ()
    tflops: Mapping[str, Figure] = field(default_factory=FrozenMap[Figure])
    tflops_measured: Mapping[str, tuple[Figure, ...]] = field(
        default_factory=FrozenMap[tuple[Figure, ...]]
    )
    formats: Mapping[str, str] = field(default_factory=FrozenMap[str])
    backends: tuple[str, ...] = ()
    variant: str | None = None
    called: str | None = None
    link_name: str | None = None
    nvlink_gb_s: Figure | None = None
    nvlink_domain: int | None = None
    nvlink_kind: NvlinkKind | None = None
    pcie: str | None = None
    pcie_gb_s: Figure | None = None
    tdp_w: Figure | None = None
    power_measured_w: tuple[Figure, ...] = ()
    max_per_node: int | None = None
    unified: UnifiedMemory | None = None
    prices: tuple[Price, ...] = ()
    release: str | None = None
    sources: Mapping[str, str] = field(default_factory=FrozenMap[str])
    notes: tuple[str, ...] = ()

    __setstate__ = fill_slots

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def short_name(self) -> str:
        """The name as people say it: ``RTX 3090``; with its memory where several sizes are sold.

        Several sizes are sold of what shares its memory with the processor, and of cards whose id
        ends in one of them.
        """
        label = self.memory_marketed_gb
        sized = label is not None and f"-{label.value:g}" in self.id
        if self.called is not None:
            return f"{self.called} {label.value:g} GB" if sized and label else self.called
        return spoken(self.name, memory=self.is_unified or sized or self.vendor == "custom")

    @property
    def capability(self) -> tuple[int, int] | None:
        """Compute capability as (major, minor); None where there is none."""
        return None if self.compute_capability is None else _read(self.compute_capability)

    @property
    def is_unified(self) -> bool:
        """True where CPU and GPU share one memory (not for GH200/GB200: these have own HBM)."""
        return self.unified is not None

    @property
    def usable_bytes(self) -> int:
        """Bytes that an engine can really get as the machine comes: the one rule for one pool.

        Unified memory: `unified.usable_mib`, which leaves to the system what the system takes;
        else `total_bytes`, of which nobody else takes any.
        """
        if self.unified is not None and self.unified.usable_mib is not None:
            return min(int(self.unified.usable_mib.value) * MIB, self.total_bytes)
        return self.total_bytes

    @property
    def raisable_bytes(self) -> int:
        """Bytes that an engine can get once the owner has raised the limit; else `usable_bytes`."""
        if self.unified is None or self.unified.raisable is None:
            return self.usable_bytes
        return max(int(self.unified.raisable.usable_mib.value) * MIB, self.usable_bytes)

    @property
    def is_integrated(self) -> bool:
        """True for a GPU inside a processor, with as much memory as somebody fits beside it."""
        return self.form_factor == "integrated"

    @property
    def unlent_bytes(self) -> int:
        """Bytes of one memory that the limit keeps from the GPU and that programs may still take."""
        return self.raisable_bytes - self.usable_bytes

    def raised(self) -> Accelerator | None:
        """Return the accelerator once its owner has raised the limit; None where there is none."""
        if self.unified is None or self.unified.raisable is None:
            return None
        most = self.unified.raisable.usable_mib
        lent = replace(self.unified, usable_mib=most, raisable=None)
        return replace(self, unified=lent, memory_cuda_mib=most)

    @property
    def total_bytes(self) -> int:
        """Bytes on which an engine budgets under Linux (macOS for Apple)."""
        return self.total_bytes_on("linux")

    @property
    def total_bytes_source(self) -> Figure:
        """The figure behind `total_bytes`, in MiB; derived ones are grade C or D and say how."""
        return self.total_mib_on("linux")

    def total_bytes_on(self, platform: Platform) -> int:
        """Bytes on which an engine budgets under `platform` ("wddm": Windows and WSL2)."""
        return int(self.total_mib_on(platform).value * MIB)

    def total_mib_on(self, platform: Platform) -> Figure:
        """MiB on which an engine budgets, with its source.

        Linux: the CUDA/HIP total; for unified memory without one, what the GPU can get; the
        driver's total less what CUDA does not see (`reserved_mib`); the marketed size read as 10^9
        bytes per GB, which is never too much. WDDM and WSL2 differ for cards with memory of their
        own: CUDA's total there, else the driver's total less 1 MiB.
        """
        if self.unified is not None:
            platform = "linux"  # there the system lends the memory, whatever the driver model
        if platform == "wddm":
            if self.memory_cuda_wddm_mib is not None:
                return self.memory_cuda_wddm_mib
            if self.memory_driver_mib is not None:
                return _from_driver(self.memory_driver_mib, platform)
        if self.memory_cuda_mib is not None:
            return self.memory_cuda_mib
        if self.unified is not None and self.unified.usable_mib is not None:
            return self.unified.usable_mib
        if self.memory_driver_mib is not None:
            return _from_driver(self.memory_driver_mib, platform)
        if self.memory_marketed_gb is not None:
            return _from_label(self.memory_marketed_gb, platform)
        raise ValueError(f"{self.id} has no memory figure")  # the loader refuses such an entry


@lru_cache(maxsize=64)
def _read(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor or 0)


@lru_cache(maxsize=1024)
def _from_driver(driver: Figure, platform: Platform) -> Figure:
    total = int(driver.value)
    reserve = 1 if platform == "wddm" else reserved_mib(total)
    return Figure(
        value=total - reserve,
        source=f"derived: driver total {total} MiB less {reserve} MiB; {driver.source}",
        grade="D" if driver.grade == "D" else "C",
        date=driver.date,
        note="CUDA's own total was not found",
    )


@lru_cache(maxsize=1024)
def _from_label(label: Figure, platform: Platform) -> Figure:
    total = int(label.value * 1_000_000_000) // MIB
    reserve = 1 if platform == "wddm" else reserved_mib(total)
    return Figure(
        value=total - reserve,
        source=f"derived: {label.value:g} GB of 10^9 bytes less {reserve} MiB; {label.source}",
        grade="D",
        date=label.date,
        note="neither the driver's nor CUDA's total was found",
    )

"""What a probe found: devices, their links, the host around them.

Memory is in bytes, rates in GB/s (10**9 bytes per second) per direction. A figure that could not
be read is None; `Device.obtained` says how each figure that matters was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from hardware_db.records import frozen

if TYPE_CHECKING:
    import hardware_db

Platform = Literal["linux", "wsl2", "windows", "darwin", "other"]
Vendor = Literal["nvidia", "amd", "apple"]

SCHEMA_VERSION = 1


@frozen
class Process:
    """One process that holds memory of a device.

    Attributes:
        pid: process id as the driver's name space counts it.
        name: executable, where the driver tells.
        used_bytes: memory held; None where the platform does not say (Windows, WSL2).
        kind: "compute" or "graphics".
    """

    pid: int
    name: str | None
    used_bytes: int | None
    kind: Literal["compute", "graphics"]


@frozen
class NvLink:
    """The NVLink ports of one device that are up.

    Attributes:
        links: active links.
        version: generation as users name it ("4.0"), if the driver tells.
        gb_s: all active links together, per direction; None for an unknown generation.
        to_switch: whether the far end is an NVSwitch.
    """

    links: int
    version: str | None
    gb_s: float | None
    to_switch: bool | None


@frozen
class Device:
    """One accelerator, or one MIG instance of it.

    Attributes:
        index: position in the driver's own order (PCI order for NVIDIA); an instance has its
            parent's.
        kind: "gpu", or "mig" for an instance.
        name: what the driver calls it, verbatim.
        uuid: the driver's unique name, if it has one.
        vendor: "nvidia", "amd" or "apple".
        unified: CPU and GPU share one memory.
        memory_driver_bytes: total that the driver reports (NVML, sysfs).
        memory_reserved_bytes: the driver's own part of that total.
        memory_total_bytes: total that an engine can see (cudaMemGetInfo, hipMemGetInfo, Metal).
        memory_free_bytes: free now.
        compute_capability: "9.0"; NVIDIA only.
        gfx: "gfx942"; AMD only.
        pci_bus_id: address on the bus.
        pci_id: "10de:2330", vendor and device.
        pcie_generation: highest of the slot and card together; None where it means nothing.
        pcie_width: lanes, likewise.
        bandwidth_derived_gb_s: memory bus width x highest memory clock x 2; a check on, not a
            replacement for, the database's figure.
        ecc: whether ECC is on; None where the card has no such mode.
        mig_enabled: whether the card is split into instances; None where it cannot be.
        mig_instances: its instances.
        mig_share: an instance's share of the parent's compute slices, above 0 and up to 1.
        multiprocessor_count: an instance's streaming multiprocessors.
        virtualization: "none", "passthrough", "vgpu", "host-vgpu", "host-vsga".
        addressing_mode: "none", "hmm", "ats".
        power_limit_w: the limit in force.
        nvlink: ports that are up.
        fabric: cluster and clique of a multi-node NVLink domain.
        partition: AMD compute and memory partition ("SPX/NPS1").
        processes: who holds memory.
        accelerator_id: this device's entry in the hardware database; None rather than a guess.
        parent_accelerator_id: the physical card's entry, for a part of a card (MIG, vGPU).
        visible: whether an engine started now would see it (CUDA_VISIBLE_DEVICES and kin).
        engine_index: the number that an engine would give it.
        obtained: (field, how it was read) pairs.
    """

    index: int
    name: str
    vendor: Vendor
    kind: Literal["gpu", "mig"] = "gpu"
    uuid: str | None = None
    unified: bool = False
    memory_driver_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    compute_capability: str | None = None
    gfx: str | None = None
    pci_bus_id: str | None = None
    pci_id: str | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    bandwidth_derived_gb_s: float | None = None
    ecc: bool | None = None
    mig_enabled: bool | None = None
    mig_instances: tuple[Device, ...] = ()
    mig_share: float | None = None
    multiprocessor_count: int | None = None
    virtualization: str | None = None
    addressing_mode: str | None = None
    power_limit_w: float | None = None
    nvlink: NvLink | None = None
    fabric: str | None = None
    partition: str | None = None
    processes: tuple[Process, ...] = ()
    accelerator_id: str | None = None
    parent_accelerator_id: str | None = None
    visible: bool = True
    engine_index: int | None = None
    obtained: tuple[tuple[str, str], ...] = ()

    @property
    def parts(self) -> tuple[Device, ...]:
        """What a process can run on: the device, or the instances that it is split into."""
        return self.mig_instances if self.mig_enabled else (self,)

    @property
    def memory_held_bytes(self) -> int | None:
        """Memory of all listed processes; None if any of them is not told."""
        held = [process.used_bytes for process in self.processes]
        known = [used for used in held if used is not None]
        return sum(known) if len(known) == len(held) else None


@frozen
class Pair:
    """How two devices reach each other.

    Attributes:
        vendor: whose devices these are; indices are counted per vendor.
        a: index of one device.
        b: index of the other, larger than `a`.
        path: "nvlink", "xgmi", or the nearest common point as nvidia-smi names it: "internal",
            "pix", "pxb", "phb", "node", "sys"; "pcie" where no more is known, "unknown" where
            the platform hides it.
    """

    vendor: Vendor
    a: int
    b: int
    path: str


@frozen
class Topology:
    """How devices are joined.

    Attributes:
        pairs: every pair of whole devices of one vendor.
        fully_connected: every pair of devices has a direct link (NVLink or XGMI); False for one
            device, and for devices of two vendors.
    """

    pairs: tuple[Pair, ...] = ()
    fully_connected: bool = False

    def joins(self, vendor: Vendor, indices: tuple[int, ...]) -> str | None:
        """The direct link that joins every pair of these devices, if one does.

        Returns:
            "nvlink", "xgmi" or None.
        """
        wanted = set(indices)
        paths = [
            pair.path
            for pair in self.pairs
            if pair.vendor == vendor and pair.a in wanted and pair.b in wanted
        ]
        if not paths or len(paths) != len(wanted) * (len(wanted) - 1) // 2:
            return None
        return paths[0] if set(paths) in ({"nvlink"}, {"xgmi"}) else None


NO_LINKS = Topology()


def topology_of(pairs: Sequence[Pair]) -> Topology:
    """Put pairs together and judge whether direct links join them all."""
    vendors = {pair.vendor for pair in pairs}
    direct = {pair.path for pair in pairs} in ({"nvlink"}, {"xgmi"})
    return Topology(pairs=tuple(pairs), fully_connected=direct and len(vendors) == 1)


@frozen
class Machine:
    """One machine as it is now.

    Attributes:
        devices: every accelerator found, in the driver's order.
        reason: why nothing can be planned for here, in one sentence; None where something can.
        platform: "linux", "wsl2", "windows", "darwin" or "other".
        container: whether the probe runs inside one.
        product: the machine's own name (DMI or device tree), if it has one.
        cpu: processor name.
        cpu_count: logical processors available to this process.
        host_memory_total_bytes: system memory, not above the container's limit.
        host_memory_available_bytes: what a new process can have, not above the limit's rest.
        host_memory_limit_bytes: the container's (cgroup's) limit, if it has one.
        host_memory_kind: its modules, "DDR5-5600, 128 bits wide", where udev tells them.
        host_memory_gb_s: what they stream at nominal, GB/s of one socket.
        host_memory_assumed: their channels are counted from the modules.
        driver_version: GPU driver.
        cuda_version: newest CUDA that the driver supports.
        topology: how the devices are joined.
        notes: what a reader should know.
        warnings: what is likely to make a plan wrong.
    """

    devices: tuple[Device, ...] = ()
    reason: str | None = None
    platform: Platform = "linux"
    container: bool = False
    product: str | None = None
    cpu: str | None = None
    cpu_count: int | None = None
    host_memory_total_bytes: int | None = None
    host_memory_available_bytes: int | None = None
    host_memory_limit_bytes: int | None = None
    host_memory_kind: str | None = None
    host_memory_gb_s: float | None = None
    host_memory_assumed: bool = False
    driver_version: str | None = None
    cuda_version: str | None = None
    topology: Topology = NO_LINKS
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def visible_devices(self) -> tuple[Device, ...]:
        """What an engine started now would see, in its order; a split card gives its instances."""
        flat = [part for device in self.devices for part in device.parts]
        seen = [device for device in flat if device.visible]
        return tuple(
            sorted(seen, key=lambda d: (d.engine_index is None, d.engine_index or 0, d.index))
        )

    def to_system(self, *, free: bool = False) -> hardware_db.System:
        """The part of this machine that one deployment can use, as the planner's hardware.

        That is the largest group of like devices (by memory in all); a MIG instance counts alone.
        Measured memory and links replace the database's; what was not measured stays the
        database's.

        Args:
            free: plan with the memory that is free now instead of the total.

        Raises:
            planner.errors.InputError: nothing here can be planned for; the text says why.
        """
        from planner.probing.local_system import to_system

        return to_system(self, free=free)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: plain types, every field, bytes as integers."""
        document = asdict(self)
        document["schema_version"] = SCHEMA_VERSION
        document["devices"] = [_device_dict(device) for device in self.devices]
        return document


def _device_dict(device: Device) -> dict[str, Any]:
    document = asdict(device)
    document["obtained"] = dict(device.obtained)
    document["mig_instances"] = [_device_dict(instance) for instance in device.mig_instances]
    return document

"""From a probed machine to the hardware that the planner plans for (`--on local`).

The database's entry gives speed, formats and names; memory and links are the machine's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import hardware_db
from hardware_db import Accelerator, Figure, Grade, System, UnifiedMemory
from hardware_db.figures import FrozenMap
from planner.errors import InputError
from planner.probing import mapping
from planner.probing.machine import Device, Machine
from planner.units import GIB, MIB, format_gib

ALIKE = 0.02
"""Two cards of one name whose totals differ by more are not one group."""

Group = tuple[Device, ...]


def to_system(machine: Machine, *, free: bool) -> System:
    """See `Machine.to_system`."""
    usable = [device for device in machine.visible_devices if _memory(device, free) is not None]
    if not usable:
        ram = machine.host_memory_total_bytes
        alone = f", or 'cpu, {ram / GIB:.0f}GB' for its processor alone" if ram else ""
        raise InputError(
            f"on local: {machine.reason or 'no device here tells its memory'}; "
            f"name the hardware instead, such as 'h100', '2x rtx-4090' or 'custom:48GiB'{alone}"
        )
    groups = _groups(usable)
    if free:
        groups = [_free_enough(group) for group in groups]
    group = max(groups, key=lambda group: len(group) * _least(group, free))
    memory = _least(group, free)
    if memory < MIB:
        raise InputError("on local: no memory is free on any device now; plan without --free")
    accelerator = _accelerator(group, memory, free)
    gb_s, link, link_notes = _link(machine, group, accelerator)
    left_out = [device for device in usable if device not in group]
    notes = [*_about(group, free), *link_notes]
    if left_out:
        notes.append("Not used by this plan: " + ", ".join(map(_called, left_out)) + ".")
    return System(
        id="local",
        name=_name(group),
        accelerator=accelerator,
        accelerators_per_node=len(group),
        host_memory_gib=_host_memory(machine, free),
        host_memory_type=machine.host_memory_kind,
        host_bandwidth_gb_s=_host_bandwidth(machine),
        cpu=machine.cpu,
        intra_node_gb_s=gb_s,
        intra_node_link=link,
        notes=(*notes, *machine.warnings),
    )


def _memory(device: Device, free: bool) -> int | None:
    return device.memory_free_bytes if free else device.memory_total_bytes


def _least(group: Group, free: bool) -> int:
    return min(_memory(device, free) or 0 for device in group)


def _groups(devices: Sequence[Device]) -> list[Group]:
    """Devices of one name and memory together, in order; every MIG instance alone."""
    groups: list[list[Device]] = []
    for device in devices:
        for group in groups:
            if device.kind == "gpu" and _alike(group[0], device):
                group.append(device)
                break
        else:
            groups.append([device])
    return [tuple(group) for group in groups]


def _alike(a: Device, b: Device) -> bool:
    if (a.kind, a.vendor, a.name, a.accelerator_id) != (b.kind, b.vendor, b.name, b.accelerator_id):
        return False
    first, second = a.memory_total_bytes or 0, b.memory_total_bytes or 0
    return abs(first - second) <= ALIKE * max(first, second)


def _free_enough(group: Group) -> Group:
    """The part of a group with the most memory in all, if each gives what its fullest has free."""
    ranked = sorted(group, key=lambda device: -(device.memory_free_bytes or 0))
    sizes = range(1, len(ranked) + 1)
    best = max(sizes, key=lambda size: (size * (ranked[size - 1].memory_free_bytes or 0), size))
    chosen = ranked[:best]
    return tuple(device for device in group if device in chosen)


def _accelerator(group: Group, memory: int, free: bool) -> Accelerator:
    device = group[0]
    known = device.accelerator_id or device.parent_accelerator_id
    entry = hardware_db.get(known) if known else None
    if not isinstance(entry, Accelerator):
        entry = _unknown(device)
    if device.kind == "mig":
        entry = _slice(entry, device)
    how = "free now" if free else dict(device.obtained).get("memory_total_bytes", "read")
    measured = Figure(
        value=_mib(memory),
        source=f"probe of this machine: {how}",
        grade=_grade(how),
        note=f"least of {len(group)} devices" if len(group) > 1 else None,
    )
    driver = device.memory_driver_bytes
    pcie, pcie_gb_s = _pcie(device)
    return replace(
        entry,
        name=device.name,
        memory_cuda_mib=measured,
        memory_cuda_wddm_mib=measured,
        memory_driver_mib=None
        if driver is None
        else Figure(value=_mib(driver), source="probe of this machine", grade="A"),
        unified=_shared(entry, device, measured),
        pcie=pcie or entry.pcie,
        pcie_gb_s=pcie_gb_s or entry.pcie_gb_s,
    )


def _mib(size: int) -> float:
    """Bytes as MiB, whole where they are, so that the engine's budget is exact."""
    return size // MIB if size % MIB == 0 else size / MIB


def _grade(how: str) -> Grade:
    return "D" if how.startswith("assumed") else "A"


def _shared(entry: Accelerator, device: Device, measured: Figure) -> UnifiedMemory | None:
    """The entry's rules for shared memory; its amounts only if they are this machine's too."""
    if not device.unified:
        return None
    if entry.unified is None:
        return UnifiedMemory()
    usable = entry.unified.usable_mib
    like = mapping.same_memory(entry, device.memory_total_bytes or 0)
    if usable is not None and (not like or usable.value > measured.value):
        usable = None
    return replace(entry.unified, usable_mib=usable)


def _unknown(device: Device) -> Accelerator:
    """A device that the database does not hold: what was measured and no more."""
    bandwidth = device.bandwidth_derived_gb_s
    return Accelerator(
        id=f"local-{device.vendor}",
        name=device.name,
        vendor=device.vendor,
        architecture="unknown",
        compute_capability=device.compute_capability,
        gfx=device.gfx,
        bandwidth_gb_s=None
        if bandwidth is None
        else Figure(
            value=bandwidth,
            source="probe of this machine: memory bus width x highest memory clock x 2",
            grade="C",
        ),
        formats=FrozenMap(_formats(device)),
        notes=("not in the hardware database: speed figures are missing or derived",),
    )


def _formats(device: Device) -> dict[str, str]:
    """What all known cards of this compute capability (or gfx) say alike about number formats."""
    kin = [
        dict(entry.formats)
        for entry in hardware_db.accelerators()
        if entry.vendor == device.vendor
        and (entry.compute_capability, entry.gfx) == (device.compute_capability, device.gfx)
        and (entry.compute_capability or entry.gfx)
    ]
    if not kin:
        return {}
    return {
        name: word for name, word in kin[0].items() if all(other.get(name) == word for other in kin)
    }


def _slice(entry: Accelerator, device: Device) -> Accelerator:
    """A MIG instance: bandwidth by its share of memory, arithmetic by its share of compute."""
    total = entry.memory_driver_mib.value if entry.memory_driver_mib else entry.total_bytes / MIB
    memory_share = min(1.0, (device.memory_driver_bytes or 0) / MIB / total)
    compute_share = device.mig_share
    tflops = {
        name: _part(figure, compute_share) for name, figure in entry.tflops.items() if compute_share
    }
    return replace(
        entry,
        bandwidth_gb_s=_part(entry.bandwidth_gb_s, memory_share) if entry.bandwidth_gb_s else None,
        bandwidth_measured_gb_s=(),
        tflops=FrozenMap(tflops),
        tflops_measured=FrozenMap(),
        nvlink_gb_s=None,
        nvlink_domain=None,
        max_per_node=1,
        prices=(),
        notes=(*entry.notes, f"one MIG instance of {entry.name}"),
    )


def _part(figure: Figure, share: float) -> Figure:
    return replace(
        figure,
        value=figure.value * share,
        grade="D" if figure.grade == "D" else "C",
        note=f"{share:.3g} of the card's {figure.value:g}: the MIG instance's share",
        alternatives=(),
    )


def pcie_gb_s(generation: int, width: int) -> float:
    """Line rate x lanes less coding, GB/s per direction: 8b/10b, then 128b/130b, then FLITs."""
    gigatransfers = {1: 2.5, 2: 5.0}.get(generation, 8.0 * (1 << max(0, generation - 3)))
    coding = 8 / 10 if generation <= 2 else 128 / 130 if generation <= 5 else 242 / 256
    return round(gigatransfers * coding / 8 * width, 2)


def _pcie(device: Device) -> tuple[str | None, Figure | None]:
    """The slot's own generation and width, where they were read."""
    generation, width = device.pcie_generation, device.pcie_width
    if not generation or not width:
        return None, None
    figure = Figure(
        value=pcie_gb_s(generation, width),
        source=f"derived: PCIe {generation}.0 x{width} as the driver reports it",
        grade="C",
    )
    return f"{generation}.0 x{width}", figure


def _link(
    machine: Machine, group: Group, accelerator: Accelerator
) -> tuple[Figure | None, str | None, list[str]]:
    """GB/s per direction between the group's devices, the link's name, and remarks."""
    if len(group) == 1:
        return None, "unified" if group[0].unified else None, []
    indices = tuple(device.index for device in group)
    direct = machine.topology.joins(group[0].vendor, indices)
    slowest = min((device.nvlink.gb_s or 0 if device.nvlink else 0) for device in group)
    if direct == "nvlink" and slowest and group[0].nvlink is not None:
        source = f"probe of this machine: {group[0].nvlink.links} active links"
        version = (group[0].nvlink.version or "").removesuffix(".0")
        return Figure(value=slowest, source=source, grade="A"), f"NVLink {version}".strip(), []
    if direct is not None and accelerator.nvlink_gb_s is not None:
        return accelerator.nvlink_gb_s, accelerator.link_name or direct, []
    remarks = []
    if accelerator.nvlink_kind in ("switch", "mesh"):
        remarks.append(
            f"{accelerator.link_name or 'NVLink'} does not join all these devices here; "
            "PCIe is assumed between them."
        )
    elif any(
        pair.path == "nvlink" and pair.vendor == group[0].vendor for pair in machine.topology.pairs
    ):
        remarks.append("NVLink joins some pairs of devices but not all; PCIe is assumed.")
    name = f"PCIe {accelerator.pcie}" if accelerator.pcie else "PCIe"
    return accelerator.pcie_gb_s, name, remarks


def _host_memory(machine: Machine, free: bool) -> Figure | None:
    size = machine.host_memory_available_bytes if free else machine.host_memory_total_bytes
    if size is None:
        return None
    what = "available now" if free else "total"
    return Figure(
        value=size / GIB, source=f"probe of this machine: system memory, {what}", grade="A"
    )


def _host_bandwidth(machine: Machine) -> Figure | None:
    if machine.host_memory_gb_s is None:
        return None
    counted = (
        "channels counted from the modules, at most two" if machine.host_memory_assumed else None
    )
    return Figure(
        value=machine.host_memory_gb_s,
        source=f"probe of this machine: {machine.host_memory_kind}",
        grade="D" if machine.host_memory_assumed else "B",
        note=counted,
    )


def _about(group: Group, free: bool) -> list[str]:
    notes = []
    if free:
        notes.append("Planned with the memory that is free now, not with the total.")
    if group[0].kind == "mig":
        notes.append("Planned for one MIG instance.")
    if group[0].parent_accelerator_id and group[0].kind == "gpu":
        notes.append(
            f"Speed figures are those of {group[0].parent_accelerator_id}; the memory is this "
            "device's own."
        )
    return notes


def _name(group: Group) -> str:
    count = f"{len(group)}× " if len(group) > 1 else ""
    return f"{count}{group[0].name} (this machine)"


def _called(device: Device) -> str:
    memory = device.memory_total_bytes
    size = f" ({format_gib(memory)})" if memory is not None else ""
    return (
        f"{'GPU ' + str(device.index) if device.kind == 'gpu' else 'instance'} {device.name}{size}"
    )

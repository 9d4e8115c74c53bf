"""A probed machine as lines of text for people."""

from __future__ import annotations

import hardware_db
from planner.probing.machine import Device, Machine
from planner.units import format_gib

_PLATFORMS = {
    "linux": "Linux",
    "wsl2": "Windows Subsystem for Linux 2",
    "windows": "Windows",
    "darwin": "macOS",
    "other": "another system",
}


def report_lines(machine: Machine) -> list[str]:
    """The whole report, one line each, no colour; memory in GiB."""
    lines = [*_machine_lines(machine), ""]
    for devices in _alike(machine.devices):
        lines += _device_lines(devices)
    lines += _topology_lines(machine)
    if machine.reason is not None:
        lines.append(f"Nothing to plan for here: {machine.reason}.")
        lines.append("Planning works without it: name the hardware (qwenplan hardware lists it).")
    lines += [f"Warning: {warning}" for warning in machine.warnings]
    lines += [f"Note: {note}" for note in machine.notes]
    return lines


def _machine_lines(machine: Machine) -> list[str]:
    where = _PLATFORMS[machine.platform] + (", in a container" if machine.container else "")
    lines = [f"Machine: {machine.product} ({where})" if machine.product else f"Machine: {where}"]
    if machine.cpu is not None:
        cores = f", {machine.cpu_count} logical cores" if machine.cpu_count else ""
        lines.append(f"Processor: {machine.cpu}{cores}")
    if machine.host_memory_total_bytes is not None:
        size = _of(machine.host_memory_available_bytes, machine.host_memory_total_bytes)
        rate = machine.host_memory_gb_s
        modules = f", {machine.host_memory_kind} ({rate:.0f} GB/s)" if rate is not None else ""
        lines.append(f"Memory: {size}{modules}")
    driver = []
    if machine.driver_version is not None:
        driver.append(f"Driver: {machine.driver_version}")
    if machine.cuda_version is not None:
        driver.append(f"CUDA up to {machine.cuda_version}")
    if driver:
        lines.append(", ".join(driver))
    return lines


def _of(free: int | None, total: int) -> str:
    return f"{format_gib(total)}" + (f", {format_gib(free)} available" if free is not None else "")


def _alike(devices: tuple[Device, ...]) -> list[list[Device]]:
    """Neighbours of which all that the report says is the same; it says it once."""
    groups: list[list[Device]] = []
    for device in devices:
        if groups and _details(groups[-1][0]) == _details(device):
            groups[-1].append(device)
        else:
            groups.append([device])
    return groups


def _device_lines(devices: list[Device]) -> list[str]:
    first, last = devices[0], devices[-1]
    if first is last:
        return [f"GPU {first.index}: {_details(first)[0]}", *_details(first)[1:]]
    header = f"GPU {first.index} to {last.index}: {len(devices)}× {_details(first)[0]}, each"
    return [header, *_details(first)[1:]]


def _details(device: Device) -> list[str]:
    """What is said of a device: its name, then indented lines."""
    hidden = "" if device.visible else " [hidden from engines]"
    lines = [f"{device.name}{hidden}"]
    if device.memory_total_bytes is not None:
        free = device.memory_free_bytes
        whose = "shared with the system, " if device.unified else ""
        now = f", {format_gib(free)} free" if free is not None else ""
        lines.append(
            f"  memory: {format_gib(device.memory_total_bytes, 2)} for engines{now} "
            f"({whose}{dict(device.obtained).get('memory_total_bytes', 'read')})"
        )
        share = _safe_share(device)
        if share is not None:
            lines.append(f"  an engine should be given at most {share:g} of it")
    if device.memory_driver_bytes is not None and not device.unified:
        lines.append(f"  driver's total: {format_gib(device.memory_driver_bytes, 2)}")
    traits = _traits(device)
    if traits:
        lines.append("  " + ", ".join(traits))
    known = device.accelerator_id or "none"
    if device.accelerator_id is None and device.parent_accelerator_id is not None:
        known = f"none of its own; speed as {device.parent_accelerator_id}"
    lines.append(f"  database entry: {known}")
    for instance in device.mig_instances:
        hidden = "" if instance.visible else " [hidden from engines]"
        size = instance.memory_total_bytes
        lines.append(
            f"  MIG instance: {instance.name}, "
            f"{format_gib(size, 2) if size is not None else 'memory unknown'}, "
            f"{instance.uuid or 'no UUID'}{hidden}"
        )
    for process in device.processes:
        used = format_gib(process.used_bytes) if process.used_bytes is not None else "unknown"
        lines.append(f"  process {process.pid} ({process.name or process.kind}): {used}")
    return lines


def _safe_share(device: Device) -> float | None:
    """The database's advice for memory that is shared with the system."""
    if not device.unified or device.accelerator_id is None:
        return None
    entry = hardware_db.get(device.accelerator_id)
    unified = entry.unified if isinstance(entry, hardware_db.Accelerator) else None
    return unified.safe_utilization.value if unified and unified.safe_utilization else None


def _traits(device: Device) -> list[str]:
    traits = []
    if device.compute_capability is not None:
        traits.append(f"compute capability {device.compute_capability}")
    if device.gfx is not None:
        traits.append(device.gfx)
    if device.pcie_generation is not None and device.pcie_width is not None:
        traits.append(f"PCIe {device.pcie_generation}.0 x{device.pcie_width}")
    if device.nvlink is not None:
        speed = f", {device.nvlink.gb_s:g} GB/s per direction" if device.nvlink.gb_s else ""
        traits.append(f"NVLink {device.nvlink.version or ''} x{device.nvlink.links}{speed}")
    if device.ecc is not None:
        traits.append(f"ECC {'on' if device.ecc else 'off'}")
    if device.power_limit_w is not None:
        traits.append(f"{device.power_limit_w:g} W limit")
    if device.virtualization not in (None, "none"):
        traits.append(f"virtualization: {device.virtualization}")
    if device.partition is not None:
        traits.append(f"partition {device.partition}")
    return traits


def _topology_lines(machine: Machine) -> list[str]:
    pairs = machine.topology.pairs
    if not pairs:
        return []
    paths = {pair.path for pair in pairs}
    if len(paths) == 1:
        return [f"Links: every pair of GPUs over {paths.pop()}"]
    return ["Links: " + ", ".join(f"{pair.a}-{pair.b} {pair.path}" for pair in pairs)]

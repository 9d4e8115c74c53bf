"""Put one machine together: host, then each vendor's devices."""

from __future__ import annotations

from planner.probing.amd import Amd, read_amd
from planner.probing.apple import read_apple
from planner.probing.dimms import read_modules
from planner.probing.environment import REAL, Environment
from planner.probing.machine import Device, Machine, Topology, topology_of
from planner.probing.nvidia import Nvidia, read_nvidia
from planner.probing.system import Host, cpu_attached_memory, read_host
from planner.probing.tegra import read_tegra
from planner.probing.visible import apply_cuda

_PCI = "/sys/bus/pci/devices"
_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASSES = ("0x0300", "0x0302")


def probe(*, environment: Environment = REAL) -> Machine:
    """What is in this machine: accelerators, links, host memory, and what stands in the way.

    No GPU, no driver and no permission are answers, not errors: `Machine.devices` is then empty
    and `Machine.reason` says why. Nothing is initialised on the devices, and nothing waits longer
    than the environment's limits.

    Args:
        environment: the machine to look at; this one unless a test records another.

    Raises:
        hardware_db.HardwareError: the user's own hardware file is wrong.
    """
    host = read_host(environment)
    if host.platform == "darwin":
        return _mac(environment, host)
    nvidia = read_nvidia(environment, host)
    amd = read_amd(environment, host)
    if nvidia.devices:
        devices, doubts = apply_cuda(nvidia.devices, environment.environ)
    else:
        devices, doubts = read_tegra(environment, host), ()
    unmet = _unmet(environment, host, nvidia) if amd.devices and not devices else ()
    total = _host_total(environment, host, devices)
    everything = (*devices, *amd.devices)
    modules = read_modules(environment)
    return Machine(
        devices=everything,
        reason=_reason(environment, host, nvidia, everything),
        platform=host.platform,
        container=host.container,
        product=host.product,
        cpu=host.cpu,
        cpu_count=host.cpu_count,
        host_memory_total_bytes=total,
        host_memory_available_bytes=_least(host.memory_available_bytes, total),
        host_memory_limit_bytes=host.memory_limit_bytes,
        host_memory_kind=modules.words if modules else None,
        host_memory_gb_s=modules.gb_s if modules else None,
        host_memory_assumed=modules is not None and not modules.told,
        driver_version=nvidia.driver_version or amd.driver_version,
        cuda_version=nvidia.cuda_version,
        topology=_links(nvidia, amd),
        notes=_notes(nvidia, amd, host),
        warnings=(*nvidia.warnings, *doubts, *amd.warnings, *unmet),
    )


def _mac(environment: Environment, host: Host) -> Machine:
    devices, warnings = read_apple(environment, host)
    reason = None if devices else "no Apple silicon: this Mac's GPU cannot be planned for"
    return Machine(
        devices=devices,
        reason=reason,
        platform=host.platform,
        product=host.product,
        cpu=host.cpu,
        cpu_count=host.cpu_count,
        host_memory_total_bytes=host.memory_total_bytes,
        host_memory_available_bytes=host.memory_available_bytes,
        warnings=warnings,
    )


def _reason(
    environment: Environment, host: Host, nvidia: Nvidia, devices: tuple[Device, ...]
) -> str | None:
    """Why there is nothing to plan for, with what the machine itself hints at."""
    if devices:
        parts = [part for device in devices for part in device.parts]
        if not parts:
            return "MIG is on and no instance has been made (nvidia-smi mig -cgi)"
        if not any(part.visible for part in parts):
            return "every device is hidden by CUDA_VISIBLE_DEVICES (or its HIP and ROCr kin)"
        if all(part.memory_total_bytes is None for part in parts if part.visible):
            return "no device here tells its memory"
        return None
    reason = nvidia.reason or "no accelerator found"
    hint = _hint(environment, host)
    return f"{reason}; {hint}" if hint else reason


def _unmet(environment: Environment, host: Host, nvidia: Nvidia) -> tuple[str, ...]:
    """Another maker's devices work, but an NVIDIA card that is here does not."""
    hint = _hint(environment, host)
    if nvidia.installed or hint:
        return (f"NVIDIA: {nvidia.reason}{'; ' + hint if hint else ''}.",)
    return ()


def _links(nvidia: Nvidia, amd: Amd) -> Topology:
    if nvidia.devices and amd.devices:
        return topology_of((*nvidia.topology.pairs, *amd.topology.pairs))
    return nvidia.topology if nvidia.devices else amd.topology


def _least(a: int | None, b: int | None) -> int | None:
    return a if b is None else b if a is None else min(a, b)


def _hint(environment: Environment, host: Host) -> str | None:
    on_bus = any(
        (environment.read_text(f"{_PCI}/{name}/vendor") or "").strip() == _NVIDIA_VENDOR
        and (environment.read_text(f"{_PCI}/{name}/class") or "").startswith(_DISPLAY_CLASSES)
        for name in environment.listdir(_PCI)
    )
    hidden = environment.environ.get("NVIDIA_VISIBLE_DEVICES", "").strip().lower()
    if host.container and (on_bus or hidden in ("none", "void")):
        return "this container was started without GPU access (docker: --gpus all)"
    if on_bus:
        return "an NVIDIA GPU is on the PCI bus, so its driver is missing or broken"
    return None


def _host_total(environment: Environment, host: Host, devices: tuple[Device, ...]) -> int | None:
    """System memory without GPU memory that the kernel lists as a NUMA node."""
    total = host.memory_total_bytes
    coherent = any(device.addressing_mode == "ats" and not device.unified for device in devices)
    attached = cpu_attached_memory(environment) if coherent else None
    if total is None or attached is None:
        return total
    return min(total, attached)


def _notes(nvidia: Nvidia, amd: Amd, host: Host) -> tuple[str, ...]:
    notes = [*nvidia.notes, *amd.notes]
    if nvidia.devices and amd.devices:
        notes.append("Devices of two makers are numbered apart, each from 0.")
    if host.memory_limit_bytes is not None:
        notes.append("System memory is this container's limit, which is below the machine's.")
    return tuple(notes)

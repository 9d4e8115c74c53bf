"""NVIDIA's system-on-chip boards on which NVML does not work (Jetson Orin and older)."""

from __future__ import annotations

import hardware_db
from planner.probing import mapping
from planner.probing.environment import Environment
from planner.probing.machine import Device
from planner.probing.system import Host

_RELEASE = "/etc/nv_tegra_release"
_COMPATIBLE = "/sys/firmware/devicetree/base/compatible"

# Chip, as the device tree names it, to compute capability (NVIDIA's list of CUDA GPUs).
_CAPABILITY = {"tegra186": "6.2", "tegra194": "7.2", "tegra234": "8.7", "tegra264": "11.0"}


def read_tegra(environment: Environment, host: Host) -> tuple[Device, ...]:
    """The board's GPU, from the device tree and the system's memory; nothing on other machines."""
    compatible = environment.read_text(_COMPATIBLE) or ""
    chips = [name.removeprefix("nvidia,") for name in compatible.split("\0")]
    capability = next((_CAPABILITY[chip] for chip in chips if chip in _CAPABILITY), None)
    if host.platform != "linux" or not host.arm:
        return ()
    if capability is None and environment.read_text(_RELEASE) is None:
        return ()
    entry = _entry(capability, host)
    return (
        Device(
            index=0,
            name=host.product or "NVIDIA Tegra",
            vendor="nvidia",
            unified=True,
            memory_total_bytes=host.memory_physical_bytes,
            memory_free_bytes=host.memory_available_bytes,
            compute_capability=capability,
            accelerator_id=entry.id if entry else None,
            engine_index=0,
            obtained=(
                ("memory_total_bytes", "MemTotal of /proc/meminfo (unified memory)"),
                ("memory_free_bytes", "MemAvailable of /proc/meminfo, within the cgroup's limit"),
                ("compute_capability", "the chip's name in the device tree"),
            ),
        ),
    )


def _entry(capability: str | None, host: Host) -> hardware_db.Accelerator | None:
    """The one entry of this compute capability that shares about this much memory."""
    if capability is None or host.memory_physical_bytes is None:
        return None
    found = [
        entry
        for entry in hardware_db.accelerators()
        if entry.is_unified
        and entry.compute_capability == capability
        and mapping.same_memory(entry, host.memory_physical_bytes)
    ]
    return found[0] if len(found) == 1 else None

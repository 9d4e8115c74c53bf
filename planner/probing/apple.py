"""Apple silicon through sysctl: one GPU, which Metal lends a share of the system's memory."""

from __future__ import annotations

from planner.probing import mapping
from planner.probing.environment import Environment
from planner.probing.machine import Device
from planner.probing.system import Host
from planner.units import MIB


def read_apple(environment: Environment, host: Host) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """(devices, warnings): the chip's GPU, or nothing on an Intel Mac."""
    if host.platform != "darwin" or not host.arm or host.cpu is None:
        return (), ()
    system = host.memory_physical_bytes
    entry = mapping.by_chip(host.cpu, system)
    warnings: list[str] = []
    if system is None:
        total, how = None, "unknown: sysctl hw.memsize does not answer"
    elif limit := _wired_limit(environment):
        total, how = min(limit, system), "sysctl iogpu.wired_limit_mb"
    elif share := mapping.metal_share(entry, system):
        total, how = int(system * share.value), f"{share.value:g} of hw.memsize, Metal's default"
        if share.grade == "D":
            how = f"assumed: {how}"
            warnings.append(
                f"Metal's default share of this much memory is not known, {share.value:g} is "
                "assumed; sysctl iogpu.wired_limit_mb sets it."
            )
    else:
        total, how = None, "unknown: no share of this memory is known"
    fits = entry is not None and system is not None and mapping.is_size(entry, system)
    free = host.memory_available_bytes
    device = Device(
        index=0,
        name=host.cpu,
        vendor="apple",
        unified=True,
        memory_total_bytes=total,
        memory_free_bytes=None if free is None or total is None else min(free, total),
        accelerator_id=entry.id if entry and fits else None,
        parent_accelerator_id=entry.id if entry and not fits else None,
        engine_index=0,
        obtained=(
            ("memory_total_bytes", how),
            ("memory_free_bytes", "vm_stat: free, inactive, speculative and purgeable pages"),
        ),
    )
    return (device,), tuple(warnings)


def _wired_limit(environment: Environment) -> int | None:
    """The owner's own limit in bytes; None where it is unset (0) or this macOS lacks it."""
    text = (environment.run(("sysctl", "-n", "iogpu.wired_limit_mb")) or "").strip()
    return int(text) * MIB if text.isdigit() and int(text) > 0 else None

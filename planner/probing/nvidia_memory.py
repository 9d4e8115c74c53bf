"""How much memory an NVIDIA device has, as its driver, an engine and the system each count it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hardware_db
from hardware_db.accelerator import reserved_mib
from hardware_db.records import frozen
from planner.probing import mapping
from planner.probing.cuda_driver import CudaDevice
from planner.probing.nvml import Nvml
from planner.probing.system import Host
from planner.units import MIB, format_gib

MEMORY_V2 = 0x02000028
"""`nvmlMemory_v2`: the structure's size and version, as the header file composes them."""

NEARLY_ALL = 0.9
"""A device that reports this share of the system's memory, on Arm, is reporting the system's."""


@frozen
class Memory:
    """What was found out about one device's memory; bytes throughout, see `machine.Device`."""

    driver: int | None = None
    reserved: int | None = None
    total: int | None = None
    free: int | None = None
    unified: bool = False
    hidden: bool = False
    lost: bool = False
    obtained: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@frozen
class _Reading:
    """NVML's two memory calls put together."""

    total: int | None
    reserved: int | None
    free: int | None
    error: str | None


def read_memory(
    nvml: Nvml,
    handle: Any,
    name: str,
    host: Host,
    *,
    wddm: bool,
    cuda: Callable[[], tuple[CudaDevice, ...]],
) -> Memory:
    """A whole card's memory.

    Args:
        nvml: the session.
        handle: the card.
        name: what the driver calls it.
        host: the system around it.
        wddm: the driver runs under Windows' memory manager.
        cuda: asks the CUDA driver; called only where nothing else knows.
    """
    reading = _read(nvml, handle)
    if reading.error == "GpuIsLost":
        return Memory(lost=True)
    if reading.error == "NoPermission":
        return Memory(hidden=True, obtained=(("memory_driver_bytes", "NVML: no permission"),))
    shared = mapping.unified_by_name(name, host.memory_physical_bytes)
    known = mapping.named(name)
    if shared is not None or (not known and _looks_unified(reading, host)):
        return _unified(reading, host, shared, cuda)
    if reading.total:
        return _discrete(reading, wddm=wddm)
    return _silent(reading, known[0] if len(known) == 1 else None)


def read_instance_memory(nvml: Nvml, handle: Any, attributes: Any) -> Memory:
    """A MIG instance's memory; the parent keeps the driver's own part."""
    reading = _read(nvml, handle)
    total, how = reading.total, "NVML, the instance's own total"
    if not total:
        megabytes = getattr(attributes, "memorySizeMB", None)
        total, how = (megabytes * MIB, "NVML, the instance's profile") if megabytes else (None, "")
    if total is None:
        return Memory()
    reserved = reading.reserved
    usable = total - reserved if reserved else total
    return Memory(
        driver=total,
        reserved=reserved,
        total=usable,
        free=None if reading.free is None else min(reading.free, usable),
        obtained=(("memory_total_bytes", how + (" - reserved" if reserved else "")),),
    )


def _read(nvml: Nvml, handle: Any) -> _Reading:
    plain = nvml.ask("nvmlDeviceGetMemoryInfo", handle)
    version = nvml.constant("nvmlMemory_v2", MEMORY_V2)
    split = nvml.get("nvmlDeviceGetMemoryInfo", handle, version=version)
    best = split if split is not None else plain.value
    if best is None:
        return _Reading(total=None, reserved=None, free=None, error=plain.error)
    return _Reading(
        total=int(best.total),
        reserved=int(split.reserved) if split is not None else None,
        free=int(best.free),
        error=None,
    )


def _looks_unified(reading: _Reading, host: Host) -> bool:
    """A device the database does not know: does it share the system's memory?

    NVML answers NotSupported or zero on integrated GPUs; where a driver reports the system's
    memory instead, the two totals are nearly the same. Coherent superchips (ATS addressing) have
    their own HBM and answer with its size, so the addressing mode decides nothing here.
    """
    if reading.total is None:
        return reading.error == "NotSupported"
    if reading.total == 0:
        return True
    system = host.memory_physical_bytes
    return host.arm and system is not None and NEARLY_ALL * system <= reading.total <= system


def _discrete(reading: _Reading, *, wddm: bool) -> Memory:
    total = reading.total or 0
    if wddm:
        usable, how = total - MIB, "NVML total - 1 MiB (WDDM and WSL2)"
    elif reading.reserved:
        usable, how = total - reading.reserved, "NVML total - reserved (nvmlMemory_v2)"
    else:
        reserve = reserved_mib(total // MIB) * MIB
        usable = total - reserve
        how = f"assumed: NVML total - {reserve // MIB} MiB, this driver does not tell its reserve"
    return Memory(
        driver=total,
        reserved=reading.reserved,
        total=usable,
        free=None if reading.free is None else min(reading.free, usable),
        obtained=(
            ("memory_driver_bytes", "NVML"),
            ("memory_total_bytes", how),
            ("memory_free_bytes", "NVML"),
        ),
    )


def _unified(
    reading: _Reading,
    host: Host,
    shared: hardware_db.Accelerator | None,
    cuda: Callable[[], tuple[CudaDevice, ...]],
) -> Memory:
    if host.platform in ("windows", "wsl2"):
        integrated = [device.total_bytes for device in cuda() if device.integrated]
        return _carved_out(reading, host, shared, integrated[0] if integrated else None)
    total, free = host.memory_physical_bytes, host.memory_available_bytes
    notes = ["CPU and GPU share one memory: its total is the system's MemTotal."]
    warnings = []
    if host.memory_limit_bytes is not None:
        warnings.append(
            f"this container may use {format_gib(host.memory_limit_bytes)} of the "
            f"{format_gib(total or 0)} that CPU and GPU share; the memory that is free "
            "is counted within that limit"
        )
    return Memory(
        driver=reading.total or None,
        total=total,
        free=free,
        unified=True,
        obtained=(
            ("memory_total_bytes", "MemTotal of /proc/meminfo (unified memory)"),
            ("memory_free_bytes", "MemAvailable of /proc/meminfo, within the cgroup's limit"),
        ),
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def _carved_out(
    reading: _Reading, host: Host, shared: hardware_db.Accelerator | None, told: int | None
) -> Memory:
    """Unified memory under Windows: NVML sees the part that firmware set aside and no more.

    The GPU can have more than that, and CUDA tells how much. Where it does not answer, the
    database's figure stands in, as an assumption, kept between the part set aside and that part
    plus what Windows has.
    """
    carved, system = reading.total or 0, host.memory_physical_bytes or 0
    typical = shared.total_bytes_on("wddm") if shared is not None else 0
    total = told or max(carved, min(typical, carved + system))
    doubt = (
        f"NVML reports {format_gib(carved)}, the part of the shared memory that firmware set "
        f"aside; {format_gib(total)} is assumed. What CUDA can have is printed by any CUDA "
        "program (torch: total_memory); plan with it as --on custom:<GiB>GiB."
    )
    free = None
    if reading.free is not None and host.memory_available_bytes is not None:
        free = min(total, reading.free + host.memory_available_bytes)
    return Memory(
        driver=carved or None,
        total=total or None,
        free=free,
        unified=True,
        obtained=(
            ("memory_driver_bytes", "NVML: only the part that firmware set aside"),
            (
                "memory_total_bytes",
                "cuDeviceTotalMem" if told else "assumed: the database's CUDA total for this chip",
            ),
        ),
        warnings=() if told else (doubt,),
    )


def _silent(reading: _Reading, known: hardware_db.Accelerator | None) -> Memory:
    """A card of its own memory that does not tell how much: the database's figure, as assumed."""
    why = f"NVML does not tell this device's memory ({reading.error or 'zero'})"
    if known is None:
        return Memory(
            obtained=(("memory_total_bytes", "unknown"),),
            warnings=(f"{why}; plan with it as --on custom:<GiB>GiB.",),
        )
    return Memory(
        total=known.total_bytes,
        obtained=(("memory_total_bytes", f"assumed: database entry {known.id}"),),
        warnings=(f"{why}; the database's {format_gib(known.total_bytes)} is assumed.",),
    )

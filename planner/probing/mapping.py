"""From what a driver says to an entry of the hardware database: strict, None rather than a guess."""

from __future__ import annotations

import re

import hardware_db
from hardware_db.names import driver_key
from planner.units import GIB, MIB

MEMORY_TOLERANCE = 0.07
"""Driver versions and firmware move a card's total by less; its next size is further away."""

# A vGPU's name is the card's plus the profile: "NVIDIA A10-24Q".
_VGPU_PROFILE = re.compile(r"-\d+[A-Z](?:ME)?$")


def by_driver_name(name: str, memory_bytes: int | None) -> hardware_db.Accelerator | None:
    """The entry with exactly this driver name and about this driver total."""
    memory_mib = None if memory_bytes is None else memory_bytes // MIB
    return hardware_db.match_driver_name(name, memory_mib)


def named(name: str) -> tuple[hardware_db.Accelerator, ...]:
    """Every entry with exactly this driver name, whatever its memory."""
    wanted = driver_key(name)
    return tuple(
        entry
        for entry in hardware_db.accelerators()
        if wanted in {driver_key(known) for known in entry.nvml_names}
    )


def unified_by_name(name: str, memory_bytes: int | None) -> hardware_db.Accelerator | None:
    """The entry with this driver name, if its chip shares the system's memory.

    `memory_bytes` is the system's memory; it chooses between sizes of one chip. A chip that has
    one entry is that entry whatever the memory, which is the machine's own figure anyway.
    """
    found = named(name)
    if not found or not all(entry.is_unified for entry in found):
        return None
    return by_driver_name(name, memory_bytes) or found[0]


def same_memory(accelerator: hardware_db.Accelerator, memory_bytes: int) -> bool:
    """Whether an entry's memory, as an engine sees it, is about this much."""
    return abs(accelerator.total_bytes - memory_bytes) <= MEMORY_TOLERANCE * memory_bytes


def card_of_vgpu(name: str) -> hardware_db.Accelerator | None:
    """The physical card behind a vGPU, from the profile's name."""
    card = _VGPU_PROFILE.sub("", name)
    return None if card == name else by_driver_name(card, None)


def by_pci_id(vendor: str, device_id: str) -> tuple[hardware_db.Accelerator, ...]:
    """Every entry of a vendor with this PCI device id (four hexadecimal digits)."""
    wanted = device_id.lower()
    return tuple(
        entry
        for entry in hardware_db.accelerators()
        if entry.vendor == vendor and wanted in {known.lower() for known in entry.pci_device_ids}
    )


def by_gfx(
    gfx: str | None, pci_device_id: str | None, memory_bytes: int, system_bytes: int | None
) -> hardware_db.Accelerator | None:
    """Return the AMD entry with this instruction set and memory; the PCI id decides between several.

    Where the GPU shares the system's memory, the size of that (what the kernel has plus what
    firmware set aside) decides, because the part set aside is the owner's choice.
    """
    found = [entry for entry in hardware_db.accelerators() if gfx and entry.gfx == gfx]
    fitting = [
        entry for entry in found if not entry.is_unified and same_memory(entry, memory_bytes)
    ]
    shared = [entry for entry in found if entry.is_unified and entry.variant is None]
    if not fitting and len(shared) > 1 and system_bytes is not None:
        whole = memory_bytes + system_bytes
        shared = [min(shared, key=lambda entry: abs(_label_bytes(entry) - whole))]
    fitting = fitting or shared
    if len(fitting) > 1 and pci_device_id is not None:
        listed = {entry.id for entry in by_pci_id("amd", pci_device_id)}
        fitting = [entry for entry in fitting if entry.id in listed]
    return fitting[0] if len(fitting) == 1 else None


def by_chip(brand: str, memory_bytes: int | None) -> hardware_db.Accelerator | None:
    """The Apple entry of exactly this chip name ("Apple M4 Max") in the machine's size, else any."""
    sized = [] if memory_bytes is None else [f"{brand} {round(memory_bytes / GIB)}GB"]
    for name in (*sized, brand):
        try:
            found = hardware_db.get(name)
        except hardware_db.UnknownHardware:
            continue
        if isinstance(found, hardware_db.Accelerator) and found.vendor == "apple":
            return found
    return None


def metal_share(
    entry: hardware_db.Accelerator | None, memory_bytes: int
) -> hardware_db.Figure | None:
    """The share of this much memory that Metal lends the GPU by default.

    The entry's own, if it is of this size; else that of the Apple entry nearest in size, because
    the share goes by the size and not by the chip.
    """
    known = [
        (abs(_label_bytes(other) - memory_bytes), other.unified.default_gpu_share)
        for other in hardware_db.accelerators()
        if other.vendor == "apple" and other.unified and other.unified.default_gpu_share
    ]
    if entry is not None and entry.unified is not None and is_size(entry, memory_bytes):
        return entry.unified.default_gpu_share
    return min(known, key=lambda pair: pair[0])[1] if known else None


def is_size(entry: hardware_db.Accelerator, memory_bytes: int) -> bool:
    """Whether a chip with shared memory is sold under this entry in this size."""
    return abs(_label_bytes(entry) - memory_bytes) <= MEMORY_TOLERANCE * memory_bytes


def _label_bytes(entry: hardware_db.Accelerator) -> int:
    """The marketed size of memory that CPU and GPU share; these labels count in GiB."""
    label = entry.memory_marketed_gb
    return int(label.value * GIB) if label is not None else entry.total_bytes

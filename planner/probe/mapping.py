"""From what a driver says to an entry of the hardware database: strict, None rather than a guess."""

from __future__ import annotations

import re

import hardware_db
from planner.units import MIB

MEMORY_TOLERANCE = 0.07
"""Driver versions and firmware move a card's total by less; its next size is further away."""

# A vGPU's name is the card's plus the profile: "NVIDIA A10-24Q".
_VGPU_PROFILE = re.compile(r"-\d+[A-Z](?:ME)?$")


def by_driver_name(name: str, memory_bytes: int | None) -> hardware_db.Accelerator | None:
    """The entry with exactly this driver name and about this driver total."""
    memory_mib = None if memory_bytes is None else memory_bytes // MIB
    return hardware_db.match_driver_name(name, memory_mib)


def unified_by_name(name: str) -> hardware_db.Accelerator | None:
    """The entry with this driver name if it shares the system's memory."""
    found = by_driver_name(name, None)
    return found if found is not None and found.is_unified else None


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
    gfx: str | None, pci_device_id: str | None, memory_bytes: int | None
) -> hardware_db.Accelerator | None:
    """The AMD entry with this instruction set and memory; the PCI id decides between several.

    Unified entries are matched without memory, because the carve-out is the owner's choice.
    """
    found = [entry for entry in hardware_db.accelerators() if gfx and entry.gfx == gfx]
    fitting = [
        entry
        for entry in found
        if entry.is_unified or memory_bytes is None or same_memory(entry, memory_bytes)
    ]
    if len(fitting) > 1 and pci_device_id is not None:
        listed = {entry.id for entry in by_pci_id("amd", pci_device_id)}
        fitting = [entry for entry in fitting if entry.id in listed]
    return fitting[0] if len(fitting) == 1 else None


def by_chip(brand: str) -> hardware_db.Accelerator | None:
    """The Apple entry of exactly this chip name ("Apple M4 Max")."""
    try:
        found = hardware_db.get(brand)
    except hardware_db.HardwareError:
        return None
    return found if isinstance(found, hardware_db.Accelerator) else None

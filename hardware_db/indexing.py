"""Indexes every name of the database: ids, aliases, what drivers say, names without their size."""

from __future__ import annotations

import re

from hardware_db.accelerator import Accelerator
from hardware_db.errors import HardwareError
from hardware_db.names import driver_key, key, shorter
from hardware_db.system import System

__all__ = ["by_driver", "indexed", "stems"]


def indexed(
    accelerators: tuple[Accelerator, ...], systems: tuple[System, ...], where: str
) -> dict[str, Accelerator | System]:
    """Return every name in the form in which names are compared. A name that means two entries: error.

    Driver names and names without the maker's are added where they are free. A driver name that
    several entries share means the one that has it as id or alias (the RTX 4090 of 24 GB, not the
    one whose memory was exchanged), and none where no entry has (RTX 4060 Ti, of 8 or 16 GB).
    """
    index: dict[str, Accelerator | System] = {}
    entries: tuple[Accelerator | System, ...] = (*accelerators, *systems)
    for entry in entries:
        for name in (entry.id, *entry.aliases, entry.name):
            other = index.setdefault(key(name), entry)
            if other is not entry:
                raise HardwareError(
                    f"{where}: {entry.id!r}: the name {name!r} is taken by {other.id!r}"
                )
    for entry in entries:
        # Azure's own pages write NC24ads_A100_v4 where its machines are Standard_NC24ads_A100_v4.
        for spelled in (*shorter(entry.name), entry.name.removeprefix("Standard_")):
            index.setdefault(key(spelled), entry)
    by_driver_name = _driver_names(accelerators)
    for name, sharing in by_driver_name.items():
        if len(sharing) == 1 and any(len(by_driver_name[n]) > 1 for n in sharing[0].nvml_names):
            continue  # told apart by its memory: an RTX 4090 D is not always the one of 48 GB
        plain = index.get(key(shorter(name)[-1]))
        named = [entry for entry in sharing if entry is plain] or sharing
        if len(named) == 1:
            for spelled in shorter(name):
                index.setdefault(key(spelled), named[0])
    for entry in accelerators:
        index.setdefault(key(entry.short_name), entry)  # what tables print can be typed
    return index


def _driver_names(accelerators: tuple[Accelerator, ...]) -> dict[str, list[Accelerator]]:
    names: dict[str, list[Accelerator]] = {}
    for entry in accelerators:
        for name in entry.nvml_names:
            names.setdefault(name, []).append(entry)
    return names


def by_driver(accelerators: tuple[Accelerator, ...]) -> dict[str, tuple[Accelerator, ...]]:
    """Return which entries a driver's name means."""
    index: dict[str, tuple[Accelerator, ...]] = {}
    for entry in accelerators:
        for name in entry.nvml_names:
            found = index.get(driver_key(name), ())
            if entry not in found:
                index[driver_key(name)] = (*found, entry)
    return index


def stems(accelerators: tuple[Accelerator, ...]) -> dict[str, tuple[Accelerator, ...]]:
    """Return what a name without its size may mean: "rtx5060ti" → the cards of 8 and of 16 GB."""
    index: dict[str, tuple[Accelerator, ...]] = {}
    for entry in accelerators:
        label = entry.memory_marketed_gb
        if label is None:
            continue
        ending = re.compile(rf"(.*[^\s_-])[\s_-]+{label.value:g}(?: ?gb)?", re.IGNORECASE)
        for name in (entry.id, *entry.aliases, *shorter(entry.name)):
            match = ending.fullmatch(name)
            if match and entry not in index.get(key(match[1]), ()):
                index[key(match[1])] = (*index.get(key(match[1]), ()), entry)
    return index

"""From what people type, or what a driver says, to an entry of the database."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from hardware_db.accelerator import Accelerator
from hardware_db.database import Database, database
from hardware_db.electricity import Electricity
from hardware_db.errors import HardwareError
from hardware_db.lookup import find, unknown
from hardware_db.machine import read
from hardware_db.memory import HostMemory
from hardware_db.names import driver_key
from hardware_db.system import System

__all__ = [
    "accelerators",
    "electricity",
    "get",
    "host_memories",
    "match_driver_name",
    "prices_as_of",
    "resolve",
    "systems",
]

MEMORY_TOLERANCE = 0.07
"""Share by which a driver's total may differ from the entry's: ECC takes 1/16 of inline-ECC cards,
driver versions move the rest. 24 and 48 GB of the same name stay far apart."""

_LONGEST = 200


def accelerators() -> tuple[Accelerator, ...]:
    """Return all accelerators: the bundled ones, then the user's own."""
    return _all(database(), "accelerators")


def systems() -> tuple[System, ...]:
    """Return all systems and cloud instances: the bundled ones, then the user's own."""
    return _all(database(), "systems")


@lru_cache(maxsize=32)
def _all(known: Database, field: str) -> tuple[Any, ...]:
    """Return one of a database's lists; what nobody asked for yet is read now."""
    return tuple(getattr(known, field))


def host_memories() -> tuple[HostMemory, ...]:
    """Return the classes of RAM with what decoding on the processor reaches."""
    return _all(database(), "memories")


def electricity() -> tuple[Electricity, ...]:
    """Return what a kilowatt-hour costs by region, the newest source first."""
    return _all(database(), "electricity")


def prices_as_of() -> str:
    """Return the newest date that any price bears: how old the others are, is counted from it."""
    return database().prices_as_of


def get(name: str) -> Accelerator | System:
    """Return the entry with this id, alias or driver name.

    Case, spaces and dashes do not matter; the rest must be equal, a part of a name is not a name.
    A name that is sold in several sizes means the usual one. "custom:48GiB" makes an accelerator
    of which only the memory is known. Errors: UnknownHardware with the nearest ids.
    """
    text = _checked(name)
    known = database()
    found = find(text, known)
    if found is None:
        raise unknown(text, known)
    return found.entry


def resolve(expression: str) -> System:
    """Return the system that an expression means, as people type it.

    "h100", "2x rtx-4090", "h100:2", "two 3090s": so many in one node, in several equal nodes where
    one node takes no more, or so many times a whole system. "4090 + 64GB RAM", "2x 3090, 128 GB",
    "4090 + 64GB DDR5-6000": with the RAM beside them. "cpu, 64GB": a machine without a GPU.
    "3090 + 3060": unequal GPUs in one machine. "24GB": a GPU of which only the memory is known.
    What a text leaves open is said in `System.assumptions`.

    Errors: UnknownHardware with the nearest ids; HardwareError for a count outside 1..100000, for
    a size that is none, or for anything that is no text.
    """
    return _read(_checked(expression), database())


_read = lru_cache(maxsize=512)(read)
"""What is asked again is the same system, not one more like it."""


def driver_entries(name: str) -> tuple[Accelerator, ...]:
    """Return the accelerators that a driver calls `name`: several where it is sold in several sizes.

    What a driver puts behind it in brackets ("(RADV GFX1151)") does not matter. Empty where none is
    called so.
    """
    known = database().by_driver_name
    return known.get(driver_key(name)) or known.get(driver_key(name.partition("(")[0])) or ()


def match_driver_name(name: str, memory_mib: int | None) -> Accelerator | None:
    """Return the accelerator that a driver calls `name` and gives `memory_mib` MiB.

    The name must be equal but for case, spaces and a leading "NVIDIA"; of several entries with one
    name (4060 Ti with 8 or 16 GB, a 4090 with 48) the memory decides, within 7 %. Where CPU and GPU
    share memory, `memory_mib` is the machine's memory; it decides between sizes of a chip, but does
    not rule out a chip that has one entry, because drivers report a carve-out there or nothing.
    None rather than a wrong guess.
    """
    candidates = database().by_driver_name.get(driver_key(name), ())
    if not candidates:
        return None
    if len(candidates) == 1 and (candidates[0].is_unified or memory_mib is None):
        return candidates[0]
    if memory_mib is None or memory_mib <= 0:
        return None
    distance, best = min(
        ((_distance(entry, memory_mib), entry) for entry in candidates), key=lambda pair: pair[0]
    )
    return best if distance <= MEMORY_TOLERANCE else None


def is_called(entry: Accelerator, name: str) -> bool | None:
    """Say whether a driver calls an accelerator `name`; None where that name is nobody's.

    Case, spaces, a leading "NVIDIA" and what a driver adds in brackets do not matter.
    """
    own = {driver_key(each) for each in (entry.name, *entry.nvml_names)}
    if own & {driver_key(name), driver_key(name.partition("(")[0])}:
        return True
    known = driver_entries(name)
    return any(other.id == entry.id for other in known) if known else None


def _distance(entry: Accelerator, memory_mib: int) -> float:
    """By how much, as a share, `memory_mib` misses the nearest total known of the entry."""
    figures = [entry.memory_driver_mib, entry.memory_cuda_mib, entry.memory_cuda_wddm_mib]
    totals = [
        reading.value for figure in figures if figure for reading in (figure, *figure.alternatives)
    ]
    if entry.memory_marketed_gb and (entry.is_unified or not totals):
        totals.append(entry.memory_marketed_gb.value * 1024)
    return min((abs(memory_mib / total - 1) for total in totals), default=math.inf)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise HardwareError(
            f"hardware must be a text like '2x rtx-4090', not {type(text).__name__}"
        )
    if len(text) > 10 * _LONGEST:
        raise HardwareError(f"a hardware name has at most {_LONGEST} characters")
    stripped = " ".join(text.split())
    if not stripped:
        raise HardwareError("no hardware given; write a name like 'h100' or '2x rtx-4090'")
    if len(stripped) > _LONGEST:
        raise HardwareError(f"a hardware name has at most {_LONGEST} characters")
    if not stripped.isprintable():
        raise HardwareError(f"a hardware name has no control characters: {stripped!r}")
    return stripped

"""Accelerators, systems and cloud instances as data: every figure with source, date and grade.

    >>> import hardware_db
    >>> system = hardware_db.resolve("2x rtx-4090")
    >>> system.count, system.accelerator.id
    (2, 'rtx-4090')
    >>> hardware_db.resolve("4090 + 64GB RAM").host_memory_gib.value
    64.0

The data are TOML files in `hardware_db/data`, read at the first question and kept; a user's own
file (docs/hardware.md) follows the same schema. Imports nothing of `planner`.
"""

from hardware_db.accelerator import Accelerator, RaisableLimit, UnifiedMemory
from hardware_db.electricity import Electricity
from hardware_db.errors import HardwareError, UnknownHardware, UnnamedChip
from hardware_db.figures import Figure, Grade, Price
from hardware_db.memory import HostMemory, left_by_system, system_reserve_mib, with_system
from hardware_db.resolve import (
    accelerators,
    driver_entries,
    electricity,
    get,
    host_memories,
    is_called,
    match_driver_name,
    prices_as_of,
    resolve,
    systems,
)
from hardware_db.system import System

__all__ = [
    "Accelerator",
    "Electricity",
    "Figure",
    "Grade",
    "HardwareError",
    "HostMemory",
    "Price",
    "RaisableLimit",
    "System",
    "UnifiedMemory",
    "UnknownHardware",
    "UnnamedChip",
    "accelerators",
    "driver_entries",
    "electricity",
    "get",
    "host_memories",
    "is_called",
    "left_by_system",
    "match_driver_name",
    "prices_as_of",
    "resolve",
    "system_reserve_mib",
    "systems",
    "with_system",
]

"""Accelerators, systems and cloud instances as data: every figure with source, date and grade.

    >>> import hardware_db
    >>> system = hardware_db.resolve("2x rtx-4090")
    >>> system.count, system.accelerator.id
    (2, 'rtx-4090')

The data are TOML files in `hardware_db/data`, read at the first question and kept; a user's own
file (docs/hardware.md) follows the same schema. Imports nothing of `planner`.
"""

from hardware_db.accelerator import Accelerator, UnifiedMemory
from hardware_db.errors import HardwareError, UnknownHardware
from hardware_db.figures import Figure, Grade, Price
from hardware_db.resolve import accelerators, get, match_driver_name, resolve, systems
from hardware_db.system import System

__all__ = [
    "Accelerator",
    "Figure",
    "Grade",
    "HardwareError",
    "Price",
    "System",
    "UnifiedMemory",
    "UnknownHardware",
    "accelerators",
    "get",
    "match_driver_name",
    "resolve",
    "systems",
]

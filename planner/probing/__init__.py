"""What is in this machine.

    >>> from planner.probing import probe
    >>> machine = probe()
    >>> machine.reason or [device.name for device in machine.devices]

Standard library, NVIDIA's NVML binding and the hardware database; no CUDA context is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.probing.environment import REAL, Environment, RealEnvironment
    from planner.probing.machine import Device, Machine, NvLink, Pair, Process, Topology

__all__ = [
    "REAL",
    "Device",
    "Environment",
    "Machine",
    "NvLink",
    "Pair",
    "Process",
    "RealEnvironment",
    "Topology",
    "probe",
]


def probe(*, environment: Environment | None = None) -> Machine:
    """What is in this machine: accelerators, links, host memory, and what stands in the way.

    No GPU, no driver and no permission are answers, not errors: `Machine.devices` is then empty
    and `Machine.reason` says why. Nothing is initialised on the devices, and nothing waits longer
    than the environment's limits.

    Args:
        environment: the machine to look at; None for this one.

    Raises:
        hardware_db.HardwareError: the user's own hardware file is wrong.
    """
    from planner.probing.detect import probe as look
    from planner.probing.environment import REAL as THIS

    return look(environment=THIS if environment is None else environment)


if not TYPE_CHECKING:  # a type checker must still see names that do not exist

    def __getattr__(name: str) -> object:
        """The other names, loaded when they are asked for: most plans look at no machine."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        environment = import_module("planner.probing.environment")
        place = (
            environment if hasattr(environment, name) else import_module("planner.probing.machine")
        )
        return getattr(place, name)

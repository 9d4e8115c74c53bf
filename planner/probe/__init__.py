"""What is in this machine.

    >>> from planner.probe import probe
    >>> machine = probe()
    >>> machine.reason or [device.name for device in machine.devices]

Standard library, NVIDIA's NVML binding and the hardware database; no CUDA context is made.
"""

from planner.probe.detect import probe
from planner.probe.environment import REAL, Environment, RealEnvironment
from planner.probe.machine import Device, Machine, NvLink, Pair, Process, Topology

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

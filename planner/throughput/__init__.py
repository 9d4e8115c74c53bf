"""How fast a deployment runs: a first-order law with measured constants and a stated band."""

from planner.throughput.answer import Banded, NoEstimate, PrefillEstimate, SpeedEstimate
from planner.throughput.estimate import estimate_speed
from planner.throughput.host import HostMemory, host_memory
from planner.throughput.part import StepTerm
from planner.throughput.workload import Speculation, Workload

__all__ = [
    "Banded",
    "HostMemory",
    "NoEstimate",
    "PrefillEstimate",
    "Speculation",
    "SpeedEstimate",
    "StepTerm",
    "Workload",
    "estimate_speed",
    "host_memory",
]

"""How fast a deployment runs: a first-order roofline with measured efficiencies and a stated band."""

from planner.throughput.answer import Banded, NoEstimate, PrefillEstimate, SpeedEstimate
from planner.throughput.estimate import estimate_speed
from planner.throughput.step import StepTerm
from planner.throughput.workload import HostExperts, Speculation, Workload

__all__ = [
    "Banded",
    "HostExperts",
    "NoEstimate",
    "PrefillEstimate",
    "Speculation",
    "SpeedEstimate",
    "StepTerm",
    "Workload",
    "estimate_speed",
]

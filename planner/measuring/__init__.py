"""Measure on this machine: run a bench that is installed, and compare with the plan.

Programs are started in `running` alone; everything else works on what they printed.
"""

from planner.measuring.comparing import Measured, compare
from planner.measuring.finding import Prepared, is_installed, prepare
from planner.measuring.running import Ended, Ran, run_steps

__all__ = [
    "Ended",
    "Measured",
    "Prepared",
    "Ran",
    "compare",
    "is_installed",
    "prepare",
    "run_steps",
]

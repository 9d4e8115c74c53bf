"""Narrow what a type leaves open and a test knows: a failed assertion otherwise."""

from typing import TypeVar

from hardware_db import Accelerator, System
from planner.throughput import NoEstimate, SpeedEstimate

T = TypeVar("T")


def some(value: T | None) -> T:
    """The value, which must be there."""
    assert value is not None
    return value


def accelerator_of(entry: Accelerator | System) -> Accelerator:
    """The entry, which must be an accelerator."""
    assert isinstance(entry, Accelerator)
    return entry


def estimated(answer: SpeedEstimate | NoEstimate) -> SpeedEstimate:
    """The answer, which must be an estimate."""
    assert isinstance(answer, SpeedEstimate), answer.reason
    return answer

"""Narrow what a type leaves open and a test knows: a failed assertion otherwise."""

from typing import Any, TypeVar

import planner
from hardware_db import Accelerator, System
from planner.answer import Plan
from planner.model.checkpoint import Checkpoint
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


def plan_of_weights(model: str | Checkpoint, *, precision: str | None = None, **asked: Any) -> Plan:
    """Return the plan of the very weights that are named: nothing but the layout is chosen."""
    return planner.plan(planner.load_checkpoint(model, precision=precision), **asked)

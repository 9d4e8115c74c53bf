"""What is asked: one deployment as the visitor put it, resolved and answered.

Names only: nothing here reads a path, whatever a visitor types.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import hardware_db
from hardware_db import HardwareError, System
from planner.asking import ask, load_checkpoint
from planner.errors import InputError, PlannerError
from planner.layout import Layout
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.registry.bundled import bundled_checkpoint
from planner.units import parse_tokens
from planner.web.allowance import allow_hub_question, visitor
from planner.web.choices import CUSTOM, LOCAL

OptionValue = bool | int | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One deployment in the visitor's words.

    Attributes:
        model: bundled id, with or without the organisation, or a repository.
        precision: name of a scheme; None takes what the checkpoint stores.
        on: id of an accelerator or system.
        count: how many of it.
        memory_gib: memory of each accelerator where `on` is "custom".
        machine: the system itself where it is not in the database (this machine, own devices).
        context: tokens as typed ("128k").
        degrees: tensor, pipeline and data parallel sizes; zeros leave the layout to the planner.
        experts: expert parallelism.
        options: the engine's options that are not at their defaults, as (name, value) pairs.
        hub: the Hub may be asked for a model that is not bundled.
    """

    model: str
    precision: str | None
    on: str
    count: int
    engine: str
    context: str
    concurrency: int
    kv_cache_dtype: str = "auto"
    memory_gib: float | None = None
    machine: System | None = None
    degrees: tuple[int, int, int] = (0, 0, 0)
    experts: bool = False
    yarn: bool = False
    options: tuple[tuple[str, OptionValue], ...] = ()
    hub: bool = False

    @property
    def tokens(self) -> int:
        """The context in tokens.

        Raises:
            InputError: it cannot be read.
        """
        return parse_tokens(self.context)

    @property
    def layout(self) -> Layout | None:
        """The layout asked for; None where nothing of it is.

        Raises:
            InputError: a degree out of range.
        """
        if not any(self.degrees) and not self.experts:
            return None
        tensor, pipeline, data = (degree or 1 for degree in self.degrees)
        return Layout(
            tensor_parallel=tensor,
            pipeline_parallel=pipeline,
            data_parallel=data,
            expert_parallel=self.experts,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        """The weights.

        Raises:
            PlannerError: unknown, not to be had, or stored otherwise than asked.
        """
        return checkpoint(self.model, self.precision, hub=self.hub)

    @property
    def system(self) -> System:
        """The hardware.

        Raises:
            InputError: unknown, or not a sensible number of them.
        """
        if self.machine is None and self.on == LOCAL:
            raise InputError("hardware: nothing on this machine can be planned for; name another")
        return self.machine or system(self.on, self.count, self.memory_gib)


HUB_PATIENCE = 60
"""Seconds for which the Hub's refusal of a name holds: a page asks anew at every key press."""


@lru_cache(maxsize=64)
def _from_hub(model: str, precision: str | None, minute: int) -> Checkpoint | PlannerError:
    allow_hub_question(visitor())
    try:
        return load_checkpoint(model, precision=precision, anonymous=True, local=False)
    except PlannerError as error:
        return error


@lru_cache(maxsize=256)
def checkpoint(model: str, precision: str | None, *, hub: bool = False) -> Checkpoint:
    """The checkpoint of `model` stored in `precision`.

    Args:
        model: bundled id or repository.
        precision: name of a scheme, or None.
        hub: ask the Hub, as anybody could, where the model is not bundled.

    Raises:
        PlannerError: unknown name, hosted-only model, a precision that contradicts it, or the Hub
            cannot be reached.
    """
    if hub and "/" in model and catalog.find(model) is None:
        found = _from_hub(model, precision, int(time.monotonic() // HUB_PATIENCE))
        if isinstance(found, PlannerError):
            raise found
        return found
    return bundled_checkpoint(model, precision=precision)


@lru_cache(maxsize=256)
def system(on: str, count: int, memory_gib: float | None = None) -> System:
    """`count` times the hardware called `on`.

    Raises:
        InputError: unknown, or not a sensible number of them.
    """
    name = f"custom:{memory_gib:g}GiB" if on == CUSTOM and memory_gib else on
    try:
        return hardware_db.resolve(f"{count} x {name}")
    except HardwareError as error:
        raise InputError(str(error)) from None


@lru_cache(maxsize=512)
def plan(question: Asked) -> Plan:
    """The plan for `question`.

    Raises:
        PlannerError: one line that says what is wrong.
    """
    return ask(
        question.checkpoint,
        on=question.system,
        engine=question.engine,
        context=question.context,
        concurrency=question.concurrency,
        kv_cache_dtype=question.kv_cache_dtype,
        layout=question.layout,
        options=dict(question.options),
        yarn=question.yarn,
    ).plan()


def answer(question: Asked) -> Plan | PlannerError:
    """The plan, or the reason why there is none."""
    try:
        return plan(question)
    except PlannerError as error:
        return error

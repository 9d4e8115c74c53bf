"""What is asked: one deployment as the visitor put it, resolved and planned.

Names only: nothing here reads a path, whatever a visitor types. Worker processes import this
(`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import hardware_db
from hardware_db import HardwareError, System
from planner.asking import ask, load_checkpoint
from planner.errors import InputError
from planner.layout import Layout
from planner.model.checkpoint import Checkpoint
from planner.planning import Plan
from planner.registry.bundled import bundled_checkpoint
from planner.units import parse_tokens
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
        stored: the weights themselves, where the Hub was asked for them.
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
    stored: Checkpoint | None = None

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
        return self.stored or bundled(self.model, self.precision)

    @property
    def system(self) -> System:
        """The hardware.

        Raises:
            InputError: unknown, or not a sensible number of them.
        """
        if self.machine is None and self.on == LOCAL:
            raise InputError("hardware: nothing on this machine can be planned for; name another")
        return self.machine or system(self.on, self.count, self.memory_gib)


@lru_cache(maxsize=256)
def bundled(model: str, precision: str | None) -> Checkpoint:
    """Return the bundled checkpoint of `model` stored in `precision`.

    Raises:
        PlannerError: unknown name, hosted-only model, or a precision that contradicts it.
    """
    return bundled_checkpoint(model, precision=precision)


def from_hub(model: str, precision: str | None) -> Checkpoint:
    """Return the checkpoint of a repository of the Hub, which is asked as anybody could.

    Raises:
        PlannerError: no such repository, not to be had, or the Hub cannot be reached.
    """
    return load_checkpoint(model, precision=precision, anonymous=True, local=False)


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

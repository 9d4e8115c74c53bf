"""Which machine runs a model: machines that people own, each with what it would run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

import hardware_db
from hardware_db import Accelerator, System
from hardware_db.compose import several, unequal
from hardware_db.records import frozen
from planner.cost import PriceOption, cheapest, power_of
from planner.errors import InputError
from planner.planning import Plan
from planner.question import Question, question_of
from planner.recommending.choice import Choice
from planner.recommending.choosing import best_of
from planner.recommending.strangers import stranger
from planner.recommending.wanted import Wanted
from planner.registry import Word
from planner.shipped import read_toml
from planner.units import shown

if TYPE_CHECKING:
    from planner.search import Fit

HIDING = {"nvidia": "CUDA_VISIBLE_DEVICES", "amd": "HIP_VISIBLE_DEVICES"}
"""Vendor -> the variable that tells a program which accelerators it sees."""

By = Literal["price", "power", "speed", "memory"]
BYS: tuple[By, ...] = ("price", "power", "speed", "memory")


@frozen
class Machine:
    """One machine with what it would run.

    Attributes:
        group: heading that it stands under.
        on: the machine as it is typed.
        choice: the best candidate there; None where nothing holds the workload.
        bought: the lowest recent price to buy, in dollars.
        rented: the lowest recent price per hour, in dollars.
        watts: what it draws under load, as far as the database knows.
        total_bytes: memory of all accelerators.
        name: as people say it.
        slow: below the least speed that was asked for, for each user.
        refused: why the engine that was named runs nothing there, if one was; empty where it does.
    """

    group: str
    on: str
    choice: Choice | None
    bought: PriceOption | None
    rented: PriceOption | None
    watts: float | None
    total_bytes: int
    name: str
    slow: bool
    refused: str = ""

    @property
    def falls_short(self) -> bool:
        """It holds the workload, but too slowly or with a large loss."""
        return self.slow or (self.choice is not None and self.choice.word >= Word.LARGE)

    def key(self, by: By) -> tuple[bool, bool, float]:
        """Return what machines are sorted by: what falls short comes last, and what is not known."""
        speed = self.choice.per_user if self.choice is not None else None
        value = {
            "price": self.bought.value if self.bought is not None else None,
            "power": self.watts,
            "speed": -speed if speed is not None else None,
            "memory": float(self.total_bytes),
        }[by]
        return self.falls_short, value is None, value if value is not None else 0.0


@cache
def groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the machines that are listed, by heading."""
    rows = read_toml("recommending", "data", "machines.toml")["group"]
    return tuple((row["title"], tuple(row["machines"])) for row in rows)


@cache
def by_price() -> tuple[System, ...]:
    """Return the machines of the list that have a recent price to buy, the cheapest first."""
    priced = []
    for _, names in groups():
        for on in names:
            system = hardware_db.resolve(on)
            offer = cheapest(system, "purchase")
            if offer is not None:
                priced.append((offer.value, on, system))
    return tuple(system for *_, system in sorted(priced, key=lambda row: row[:2]))


def without_slower_kinds(system: System) -> Iterator[tuple[str, tuple[int, ...], System]]:
    """Yield a machine of unequal accelerators without the slowest kind, then without the two slowest.

    Each with the names of what is left out and the places of what is kept; kinds whose bandwidth is
    not known are kept.
    """
    rates = {
        kind.short_name: kind.bandwidth_gb_s.value
        for kind in system.mixed
        if kind.bandwidth_gb_s is not None
    }
    slow = sorted(rates, key=lambda name: rates[name])
    for number in range(1, len(slow)):
        left_out = slow[:number]
        places = [
            place for place, kind in enumerate(system.mixed) if kind.short_name not in left_out
        ]
        yield " and ".join(left_out), tuple(places), only(system, places)


def only(system: System, places: Sequence[int]) -> System:
    """Return a machine with some of its accelerators alone, by their places in its order."""
    kept = [system.accelerators[place] for place in places]
    if len(set(kept)) == 1:
        smaller = several(kept[0], len(kept), hardware_db.systems())
    else:
        smaller = unequal([(1, kind) for kind in kept])
    return _with_host_of(smaller, system)


def seeing_only(plan: Plan, places: Sequence[int], system: System) -> Plan | None:
    """Return a plan whose command hides all but some accelerators of one machine.

    None where no variable of its vendors hides them.

    Args:
        plan: made for those alone.
        places: which of the machine's, in its order.
        system: the whole machine.
    """
    vendors = {accelerator.vendor for accelerator in system.accelerators}
    variable = HIDING.get(vendors.pop()) if len(vendors) == 1 and system.nodes == 1 else None
    if variable is None:
        return None
    seen = (variable, ",".join(map(str, places)))
    return question_of(plan).with_(environment=(*plan.environment, seen)).plan()


def fewer_of(system: System, number: int) -> System:
    """Return so many of a machine's equal accelerators, with its processor and RAM."""
    return only(system, range(number))


def raised_system(system: System) -> System | None:
    """Return the machine with the limit raised that its owner can raise; None where there is none."""
    raised = system.accelerator.raised()
    if raised is None or raised.usable_bytes <= system.accelerator.usable_bytes:
        return None
    return replace(system, accelerator=raised)


def _with_host_of(system: System, other: System) -> System:
    """Return a machine with the processor and RAM of another."""
    return replace(
        system,
        host_memory_gib=other.host_memory_gib,
        host_memory_type=other.host_memory_type,
        host_bandwidth_gb_s=other.host_bandwidth_gb_s,
        cpu=other.cpu,
    )


def _as_it_is(system: System) -> System:
    return system


def machines(
    wanted: Wanted,
    *,
    by: str | None = None,
    on: Sequence[System] | None = None,
    equipped: Callable[[System], System] = _as_it_is,
) -> tuple[Machine, ...]:
    """Return machines with what each would run; `wanted.system` is not used.

    Args:
        wanted: the question; its model must be named.
        by: "price" (to buy), "power", "speed" or "memory"; None keeps the order of the list.
        on: machines and cards; of a card the smallest number that holds it. None: the common
            machines.
        equipped: puts beside each machine what was said of all, such as RAM.

    Raises:
        InputError: an unknown order.
    """
    order = next((known for known in BYS if known == by), None)
    if by is not None and order is None:
        raise InputError(f"unknown order {shown(by)}; known: {', '.join(BYS)}")
    if on is not None:
        held_on = [smallest(equipped(system), wanted) for system in on]
        found = [_machine(system.id, system, choice, wanted) for system, choice in held_on]
    else:
        found = [
            machine_on(name, wanted, group=group, equipped=equipped)
            for group, names in groups()
            for name in names
        ]
    if order is None:
        return tuple(found)
    chosen: By = order
    held = [machine for machine in found if machine.choice is not None]
    return tuple(sorted(held, key=lambda machine: machine.key(chosen)))


def smallest(system: System, wanted: Wanted) -> tuple[System, Choice | None]:
    """Return the smallest number of a lone card that holds the workload, every other machine as it is.

    Beside it its best candidate; None where nothing holds the workload. `wanted.system` is not used.
    """
    if system.is_card:
        from planner.search.hardware import candidates

        for more in candidates(system.accelerator, hardware_db.systems()):
            if more.count == 1:
                more = system  # with what is known of the machine around it
            if (choice := best_of(replace(wanted, system=more))) is not None:
                return more, choice
    return system, best_of(replace(wanted, system=system))


def picked_fits(
    wanted: Wanted,
    question: Question,
    accelerators: Iterable[Accelerator] | None = None,
    *,
    executor: Executor | None = None,
) -> tuple[Fit, ...]:
    """Return machines with the pick of each: the common ones, or the smallest number of each card.

    What nothing holds the workload on has the plan of the model as it is published.

    Args:
        wanted: the question; its model must be named, its machine is not used.
        question: the same of the published weights.
        accelerators: cards; None for the common machines.
        executor: where to plan; None plans here, one after the other.
    """
    from planner.search.hardware import candidates

    if accelerators is None:
        systems = [hardware_db.resolve(name) for _, names in groups() for name in names]
    else:
        known = hardware_db.systems()
        systems = [candidates(accelerator, known)[0] for accelerator in accelerators]
    run: Callable[..., Iterator[Fit]] = map if executor is None else executor.map
    largest = accelerators is not None
    return tuple(run(partial(_fit, wanted, question, largest), systems))


def _fit(wanted: Wanted, question: Question, largest: bool, system: System) -> Fit:
    from planner.search import Fit
    from planner.search.hardware import candidates

    if largest:
        _, pick = smallest(system, wanted)
    else:
        pick = best_of(replace(wanted, system=system))
    if pick is not None:
        asked, holds = question_of(pick.plan), True
    else:
        last = system
        if largest:
            last = candidates(system.accelerator, hardware_db.systems())[-1]
        asked = question.with_(system=last)
        holds = asked.fits()
    return Fit(accelerator=system.accelerator, question=asked, holds=holds)


def machine_on(
    on: str | System,
    wanted: Wanted,
    *,
    group: str = "",
    equipped: Callable[[System], System] = _as_it_is,
) -> Machine:
    """Return one machine with what it would run; `wanted.system` is not used.

    Args:
        on: the machine, as it is typed or as it is.
        wanted: the question; its model must be named.
        group: heading that it stands under.
        equipped: see `machines`.
    """
    system = equipped(hardware_db.resolve(on) if isinstance(on, str) else on)
    choice = best_of(replace(wanted, system=system))
    return _machine(on if isinstance(on, str) else on.id, system, choice, wanted, group=group)


def _machine(
    on: str, system: System, choice: Choice | None, wanted: Wanted, *, group: str = ""
) -> Machine:
    power, engine = power_of(system, price_per_kwh=0.0), wanted.fixed.engine
    known = choice is not None or engine is None
    refused = None if known else stranger(str(engine), system, wanted.base)
    return Machine(
        group=group,
        on=on,
        choice=choice,
        bought=cheapest(system, "purchase"),
        rented=cheapest(system, "hourly"),
        watts=power.busy_w if power is not None else None,
        total_bytes=system.total_bytes,
        name=system.short_name,
        slow=choice is not None and choice.is_below(wanted.wish),
        refused=refused or "",
    )

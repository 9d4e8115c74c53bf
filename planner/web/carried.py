"""What of a question goes along when its machine, its model or its engine changes, and what cannot.

What was fixed and does not suit what is chosen now is left behind, and the visitor is told so: Undo
takes it back.
"""

from __future__ import annotations

from hardware_db import System
from planner.engines import get_engine, title_of
from planner.engines.caches import check_cache
from planner.engines.choice import LOADS
from planner.errors import InputError, PlannerError
from planner.registry import find
from planner.units import shown
from planner.web import devices, session
from planner.web.address import assumed_of
from planner.web.asked import BEST, CUSTOM, LOCAL, Asked, says_number, says_ram, system
from planner.web.option_words import option_said

_CARD = "PCIe"
"""Form of what is put into a computer that one has, with the RAM in it."""

Words = str | tuple[tuple[str, str], ...]


def left_behind(field: str, value: str, asked: Asked) -> tuple[dict[str, Words], tuple[str, ...]]:
    """Return what another model or engine leaves behind.

    Args:
        field: "model", "engine" or another one, which leaves nothing.
        value: its new value.
        asked: the question as it was.

    Returns:
        fields to set, and what to tell the visitor about it.
    """
    if field == "model":
        return _of_model(value, asked)
    return _of_engine(value, asked) if field == "engine" else ({}, ())


def _of_model(model: str, asked: Asked) -> tuple[dict[str, Words], tuple[str, ...]]:
    """A checkpoint belongs to its model."""
    if not asked.names_checkpoint:
        return {}, ()
    whose = f"is one of {asked.model}" if asked.model != BEST else "is one of another model"
    again = "a checkpoint is picked anew" if model == BEST else f"one of {model} is picked"
    return {"weights": BEST}, (f"{asked.weights} {whose}: {again}.",)


def _of_engine(engine: str, asked: Asked) -> tuple[dict[str, Words], tuple[str, ...]]:
    """A checkpoint and a cache that the engine does not take; the options of the one before."""
    released: dict[str, Words] = {}
    notes = []
    try:
        title = title_of(engine) if engine != BEST else ""
        before = asked.policy
    except InputError:  # which the answer says
        return {"options": ()}, ()
    if engine != BEST and not _is_loaded(asked.weights, engine, asked):
        released["weights"] = BEST
        stays = f"; the model stays {asked.model}" if asked.model != BEST else ""
        notes.append(f"{title} does not load {asked.weights}: one that it loads is picked{stays}.")
    if engine != BEST and not _is_cache(asked.kv, engine):
        released["kv"] = "auto"
        notes.append(f"{title} has no KV cache of {asked.kv}: it takes its own.")
    if asked.options:
        same = before is not None and engine != BEST and get_engine(engine) is before
        if not same:
            released["options"] = ()
            name = before.name if before is not None else ""
            flags = ", ".join(option_said(name, option, word) for option, word in asked.options)
            whose = before.title if before is not None else "the engine before"
            notes.append(f"Left behind with {whose}: {flags}.")
    return released, tuple(notes)


def _is_loaded(weights: str, engine: str, asked: Asked) -> bool:
    """Whether the engine reads the container of a checkpoint that was fixed."""
    row = find(weights) if asked.names_checkpoint else None
    name = get_engine(engine).name
    return row is None or name in LOADS.get(row.container, (name,))


def _is_cache(kv: str, engine: str) -> bool:
    try:
        check_cache(kv, get_engine(engine))
    except InputError:
        return False
    return True


def said_by(on: str, asked: Asked) -> tuple[dict[str, Words], tuple[str, ...]]:
    """Return what another machine says of number and RAM, which goes before what the fields said.

    Args:
        on: the machine, as it was typed.
        asked: the question as it was.

    Returns:
        fields to set, and what to tell the visitor about it.
    """
    found: dict[str, Words] = {"count": "1"} if on == LOCAL else {}
    notes: list[str] = []
    machine = _machine(on)
    if machine is None:
        return found, ()
    typed = on not in (LOCAL, CUSTOM) and on not in devices.own_devices()
    if typed:
        notes += [f"{said}." for said in assumed_of(on)]
    if typed and says_number(on) and asked.count != "1":
        found["count"] = "1"
        if asked.count != str(machine.count):
            notes.append(
                f"{shown(on)} says how many there are: that is taken, in place of {asked.count}."
            )
    if (
        "count" not in found
        and asked.count != "1"
        and not _keeps_count(machine, _machine(asked.on))
    ):
        found["count"] = "1"
        notes.append(f"How many: {asked.count} were of another kind of machine; it is 1 again.")
    if typed and says_ram(machine) and asked.ram:
        found["ram"] = ""
        notes.append(
            f"{shown(on)} names the RAM: that is taken, in place of {asked.ram} GB in its field."
        )
    elif asked.ram and not _keeps_ram(machine, _machine(asked.on)):
        found["ram"] = ""
        own = "" if machine.accelerator.is_unified else "; say its own under RAM (GB)"
        notes.append(
            f"The {asked.ram} GB of RAM were said of another machine: they are left out{own}."
        )
    return found, tuple(notes)


def _keeps_count(machine: System, before: System | None) -> bool:
    """Whether a number stays: cards are changed for cards, and whole computers for whole computers."""
    return before is None or _is_card(machine) is _is_card(before)


def _is_card(machine: System) -> bool:
    return machine.accelerator.max_per_node != 1 and not machine.is_cpu_only


def _keeps_ram(machine: System, before: System | None) -> bool:
    """Whether RAM stays as it was said: where a card is changed for another, the computer is the same."""
    if before is None:
        return True
    return all(
        (one.host_memory_gib is None or says_ram(one))
        and _CARD in (one.accelerator.form_factor or _CARD)
        for one in (machine, before)
        if not (one.accelerator.is_unified or one.is_cpu_only)
    ) and not (machine.accelerator.is_unified or machine.is_cpu_only)


def _machine(on: str) -> System | None:
    """One of a machine; None where it is unknown."""
    try:
        own = session.machine_of(Asked(on=on))
        return own or system(on, 1)
    except PlannerError:
        return None

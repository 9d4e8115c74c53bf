"""Resolve the hardware that somebody names: an expression, an entry of the database, this machine."""

from __future__ import annotations

from dataclasses import replace

import hardware_db
from hardware_db import Accelerator, Figure, HardwareError, System, UnknownHardware
from hardware_db.compose import several
from hardware_db.figures import GIVEN
from planner.engines.option_kinds import Number
from planner.errors import InputError
from planner.keywords import checked
from planner.units import check_text, shown, whole


@checked()
def resolve_hardware(on: str | System | Accelerator, *, free: bool = False) -> System:
    """Return the system that `on` means.

    Args:
        on: "2x rtx-5090", "dgx-spark", "custom:48GiB", "local" (what `probe` finds), or an object
            of the hardware database.
        free: with "local": plan with the memory that is free now.

    Raises:
        InputError: unknown or unreadable; the line lists the nearest names.
    """
    if isinstance(on, System):
        return on
    if free and (not isinstance(on, str) or on.strip().lower() != "local"):
        raise InputError("free: what is free now is known of this machine only (hardware: local)")
    try:
        if isinstance(on, Accelerator):
            return several(on, 1, hardware_db.systems())
        if check_text(on, what="hardware").lower() == "local":
            return _this_machine(free=free)
        return hardware_db.resolve(on)
    except HardwareError as error:
        raise InputError(str(error)) from None


def system_of_drivers(text: str, free: int | None = None) -> System:
    """Return the system whose accelerators a driver names: ``2x NVIDIA GeForce RTX 3090``.

    Of several sizes of one name it is the smallest that has what was free; where that is not known,
    the one that the bare name means, unless the memory is the whole machine's.

    Args:
        text: how many, and the driver's name of them.
        free: bytes of one of them that were free, where that is known.

    Raises:
        InputError: unknown, or sold in several sizes that nothing tells apart.
    """
    count, _, name = text.partition("x ")
    found = hardware_db.driver_entries(name)
    if not found:
        return resolve_hardware(text)
    sizes = {entry.memory_marketed_gb.value for entry in found if entry.memory_marketed_gb}
    if len(sizes) > 1 and free is None:
        if not found[0].is_unified:
            return resolve_hardware(text)
        *most, last = (f"{size:g}" for size in sorted(sizes))
        raise InputError(
            f"the log names {name} ({', '.join(most)} or {last} GB): say which with --on"
        )
    held = (entry for entry in found if free is None or entry.total_bytes >= free)
    entry = min(held, key=lambda entry: entry.total_bytes, default=found[0])
    return several(entry, int(count), hardware_db.systems())


def with_ram(system: System, ram: str | float | None, bandwidth: float | None = None) -> System:
    """Return `system` with this memory beside its accelerators.

    Args:
        system: the machine.
        ram: "64GB", 64, "128GB DDR5-6000"; None leaves what is known.
        bandwidth: nominal GB/s; None leaves what is known.

    Raises:
        InputError: unreadable, or out of range.
    """
    if ram is not None:
        amount = whole(ram)
        is_number = isinstance(amount, int | float) and not isinstance(amount, bool)
        size = f"{amount:g}" if is_number else check_text(ram, what="RAM")
        try:
            if not size[:1].isdigit():
                raise HardwareError(size)
            size = f"{size}GB" if size.isdigit() else size
            said = hardware_db.resolve(f"cpu + {size}")
        except HardwareError as error:
            size = "" if isinstance(error, UnknownHardware) else str(error)
            why = f"RAM: {size}" if "lie between" in size else ""
            raise InputError(
                why or f"RAM: cannot read {shown(ram)}; write 64GB or 128GB DDR5-6000"
            ) from None
        before, now = system.host_memory_gib, said.host_memory_gib
        typed = before is not None and before.is_given
        if typed and now is not None and before is not None and before.value != now.value:
            raise InputError(
                f"RAM is given twice: {before.value:g} GB and {now.value:g} GB; leave one of them out"
            )
        system = replace(
            system,
            host_memory_gib=now,
            host_memory_type=said.host_memory_type or system.host_memory_type,
            host_bandwidth_gb_s=said.host_bandwidth_gb_s
            if said.host_bandwidth_gb_s is not None
            else system.host_bandwidth_gb_s,
        )
    if bandwidth is None:
        return system
    rate = Number(above=True, most=10_000).check(bandwidth, "RAM bandwidth (GB/s)")
    figure = Figure(value=float(rate), source=GIVEN, grade="A")
    return replace(system, host_bandwidth_gb_s=figure)


def _this_machine(*, free: bool) -> System:
    from planner.probing import probe

    return probe().to_system(free=free)

"""Which hardware to try: more of the same, the next larger, or everything in the database."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import hardware_db
from hardware_db import Accelerator, System
from hardware_db.compose import several
from planner.cost import cheapest
from planner.memo import remembered

COUNTS = (1, 2, 4, 8)
"""Accelerators in one node that are tried: heads of this family divide by powers of two."""

MOST_MORE = 8
"""As a change to a deployment, up to this many times the hardware is tried."""


@remembered(lambda accelerator, known: ((accelerator, known), None))
def candidates(accelerator: Accelerator, known: tuple[System, ...]) -> tuple[System, ...]:
    """Systems of `accelerator` to try, smallest first.

    1, 2, 4 and 8 of it in one node, as far as a node takes them, and the systems of several nodes
    with it that are `known`.
    """
    most = accelerator.max_per_node or COUNTS[-1]
    nodes = [several(accelerator, count, known) for count in COUNTS if count <= most]
    racks = _racks(known).get(accelerator.id, ())
    return tuple(sorted([*nodes, *racks], key=lambda system: system.count))


@remembered(lambda known: ((known,), None), most=8)
def _racks(known: tuple[System, ...]) -> dict[str, list[System]]:
    """Return the database's own systems of several nodes, by their accelerator."""
    found: dict[str, list[System]] = {}
    for system in known:
        if system.nodes > 1 and system.provider is None:
            found.setdefault(system.accelerator.id, []).append(system)
    return found


@cache
def one_of_each_vendor() -> tuple[System, ...]:
    """The accelerator with the most memory of each vendor, alone."""
    largest: dict[str, Accelerator] = {}
    for entry in hardware_db.accelerators():
        known = largest.get(entry.vendor)
        if known is None or entry.total_bytes > known.total_bytes:
            largest[entry.vendor] = entry
    return tuple(several(entry, 1, hardware_db.systems()) for entry in largest.values())


def larger_counts(system: System) -> Iterator[System]:
    """More accelerators of the same kind, one more first, then by doubling.

    None of what nobody adds to: a laptop, a Mac or a board has its one chip, and only such machines
    as the database knows several of (DGX Spark) are joined. None either where they differ.
    """
    known, count = hardware_db.systems(), system.count
    most = system.accelerator.max_per_node
    if system.is_mixed or (most == 1 and candidates(system.accelerator, known)[-1].nodes == 1):
        return
    sizes = {1 << power for power in range(1, 16)}
    if most is None or count < most:
        sizes.add(count + 1)  # in the same machine
    for size in sorted(size for size in sizes if count < size <= MOST_MORE * count):
        yield several(system.accelerator, size, known)


def larger_memories(system: System) -> Iterator[System]:
    """As many accelerators with more memory, of the same vendor and kind, the cheapest first.

    Kind is whether they have memory of their own. Only those with a known price to buy at are
    offered, so that they are to be had.
    """
    known, own = hardware_db.systems(), system.accelerator
    offers = []
    for entry in hardware_db.accelerators():
        if entry.vendor != own.vendor or entry.is_unified is not own.is_unified:
            continue
        larger = several(entry, system.count, known)
        offer = cheapest(larger, "purchase")
        if entry.total_bytes > own.total_bytes and offer is not None:
            offers.append((offer.value, entry.total_bytes, entry.id, larger))
    yield from (larger for *_, larger in sorted(offers, key=lambda offer: offer[:3]))


def cheapest_systems(*, least_bytes: int) -> Iterator[System]:
    """Every system to try with at least so much memory in all, the cheapest to buy first."""
    offers, known = [], hardware_db.systems()
    for entry in hardware_db.accelerators():
        for system in candidates(entry, known):
            offer = cheapest(system, "purchase")
            if offer is not None and system.count * entry.total_bytes >= least_bytes:
                offers.append((offer.value, system.count, system.id, system))
    yield from (system for *_, system in sorted(offers, key=lambda offer: offer[:3]))

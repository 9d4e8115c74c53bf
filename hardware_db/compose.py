"""Systems that nobody listed: several accelerators, several systems, memory given by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from hardware_db.accelerator import CPU_VENDOR, Accelerator, UnifiedMemory
from hardware_db.errors import HardwareError
from hardware_db.expression import MAX_COUNT, Nodes
from hardware_db.figures import GIVEN, Figure
from hardware_db.memory import system_reserve_mib
from hardware_db.regex import pattern
from hardware_db.system import System, intra_node

__all__ = [
    "alike",
    "card",
    "custom",
    "lent",
    "processor",
    "repeated",
    "resized",
    "several",
    "unequal",
]

MIB = 1 << 20
_MOST_UNEQUAL = 64
_SIZE = pattern(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(GiB|MiB|GB|MB)\s*", re.IGNORECASE)
_UNITS = {"gib": 1 << 30, "mib": 1 << 20, "gb": 10**9, "mb": 10**6}
_SMALLEST, _GREATEST = 256 << 20, 64 << 40


def custom(size: str) -> Accelerator:
    """An accelerator of which only the memory is known: "48GiB". Errors: HardwareError."""
    match = _SIZE.fullmatch(size)
    if not match:
        raise HardwareError(
            f"custom:{size.strip()} is no size; write number and unit (GiB, GB, MiB, MB), "
            "like custom:48GiB"
        )
    number, unit = float(match[1]), match[2].lower()
    total = int(number * _UNITS[unit])
    if not _SMALLEST <= total <= _GREATEST:
        raise HardwareError(f"custom:{size.strip()} must lie between 256 MiB and 64 TiB")
    written = f"{number:g}"
    spelled = {"gib": "GiB", "mib": "MiB", "gb": "GB", "mb": "MB"}[unit]
    return Accelerator(
        id=f"custom-{written}{unit}",
        name=f"custom {written} {spelled}",
        vendor="custom",
        architecture="unknown",
        memory_cuda_mib=Figure(
            value=total // MIB,
            source=f"{GIVEN}: custom:{written}{spelled}",
            grade="A",
            note="taken as what the engine sees; bandwidth, formats and links are not known",
        ),
    )


def card(gb: float) -> Accelerator:
    """Return a GPU of which only the size on its label is known ("24GB").

    Its total is what `Accelerator.total_mib_on` makes of a label, which is never too much: cards
    of one label differ by ECC and by what the driver keeps.
    """
    if not _SMALLEST <= int(gb * 10**9) <= _GREATEST:
        raise HardwareError(f"a GPU with {gb:g} GB is not between 256 MiB and 64 TiB")
    return Accelerator(
        id=f"{gb:g}gb-gpu",
        name=f"GPU with {gb:g} GB",
        vendor="custom",
        architecture="unknown",
        memory_marketed_gb=Figure(value=gb, source=f"{GIVEN}: {gb:g}GB", grade="A"),
    )


def lent(accelerator: Accelerator, gb: float, left: float) -> Accelerator:
    """Return a chip whose owner keeps so many GB of the one memory for the GPU (BIOS carve-out)."""
    most = Figure(
        value=int(gb * 1024),
        source=f"{GIVEN}: {gb:g}/{left:g} GB",
        grade="A",
        note="the carve-out alone; the system may lend a part of the rest",
    )
    unified = accelerator.unified
    assert unified is not None
    return dataclasses.replace(
        accelerator,
        id=f"{accelerator.id}-{gb:g}-of-it",
        called=None
        if accelerator.called is None
        else f"{accelerator.called} ({gb:g} GB for the GPU)",
        name=f"{accelerator.name}, {gb:g} GB for the GPU",
        variant=f"{gb:g} GB carve-out",
        nvml_names=(),
        memory_cuda_mib=most,
        unified=dataclasses.replace(unified, usable_mib=most),
    )


def resized(accelerator: Accelerator, gb: float) -> Accelerator:
    """Return the GPU inside a processor with so much RAM beside it, of which it gets its usual share.

    The system keeps as much where the owner raises the limit as with the size that is listed.
    """
    label, unified = accelerator.memory_marketed_gb, accelerator.unified
    assert label is not None
    assert unified is not None

    def scaled(figure: Figure, value: float) -> Figure:
        source = f"derived: {GIVEN} {gb:g} GB in place of {label.value:g}; {figure.source}"
        return dataclasses.replace(
            figure, value=int(value), source=source, alternatives=(), note=None
        )

    usable, raisable = unified.usable_mib, unified.raisable
    share = None if usable is None else scaled(usable, usable.value * gb / label.value)
    if raisable is not None:
        most = scaled(raisable.usable_mib, raisable.usable_mib.value + (gb - label.value) * 1024)
        more = share is not None and most.value > share.value
        raisable = dataclasses.replace(raisable, usable_mib=most) if more else None
    return dataclasses.replace(
        accelerator,
        id=f"{accelerator.id}-{gb:g}gb",
        name=accelerator.name.replace(f"{label.value:g}GB", f"{gb:g}GB"),
        memory_marketed_gb=Figure(value=gb, source=f"{GIVEN}: {gb:g}GB", grade="A"),
        unified=dataclasses.replace(unified, usable_mib=share, raisable=raisable),
    )


def processor(gib: float, bandwidth: Figure | None) -> System:
    """Return a machine without a GPU: one pool of RAM, on which the processor computes."""
    total = int(gib * 1024)
    if not _SMALLEST <= total * MIB <= _GREATEST:
        raise HardwareError(f"RAM of {gib:g} GB is not between 256 MiB and 64 TiB")
    given = f"{GIVEN}: {gib:g} GB RAM"
    usable = Figure(
        value=total - system_reserve_mib(total),
        source=f"derived: {gib:g} GiB less what the system takes; {given}",
        grade="C",
        note="as Strix Halo (124 of 128 GiB) and DGX Spark (4 to 5 GiB in use without a desktop)",
    )
    return System(
        id=CPU_VENDOR,
        name="CPU",
        accelerator=Accelerator(
            id=CPU_VENDOR,
            name="CPU",
            vendor=CPU_VENDOR,
            architecture="CPU",
            backends=("cpu",),
            memory_marketed_gb=Figure(value=gib, source=given, grade="A"),
            memory_cuda_mib=Figure(value=total, source=given, grade="A"),
            bandwidth_gb_s=bandwidth,
            max_per_node=1,
            unified=UnifiedMemory(usable_mib=usable),
        ),
        accelerators_per_node=1,
        intra_node_link="unified",
    )


def unequal(groups: list[tuple[int, Accelerator]]) -> System:
    """Return one machine with different GPUs, in the order given; PCIe joins them.

    Errors: HardwareError for more of them than one machine can hold.
    """
    count = sum(number for number, _ in groups)
    if count > _MOST_UNEQUAL:
        raise HardwareError(f"{count} different GPUs are more than one machine holds")
    mixed = tuple(entry for number, entry in groups for _ in range(number))
    least = min(mixed, key=lambda entry: entry.total_bytes)
    slowest = min(
        mixed, key=lambda entry: entry.pcie_gb_s.value if entry.pcie_gb_s is not None else 0.0
    )
    words = [f"{number}x " * (number > 1) + entry.name for number, entry in groups]
    even, all_ = count * least.total_bytes >> 30, sum(e.total_bytes for e in mixed) >> 30
    return System(
        id="+".join(f"{number}x-" * (number > 1) + entry.id for number, entry in groups),
        name=" + ".join(words),
        accelerator=least,
        accelerators_per_node=count,
        mixed=mixed,
        intra_node_gb_s=slowest.pcie_gb_s,
        intra_node_link=f"PCIe {slowest.pcie}" if slowest.pcie else None,
        assumptions=(
            f"unequal GPUs: an engine that cuts a model into equal parts has {count} x the"
            f" smallest, {even} GiB; one that splits unevenly has {all_} GiB",
        )
        if all_ > even
        else (),
    )


ON_RISERS = 8
"""Cards that one machine is taken to hold where somebody names so many of a kind (assumed): boards have
slots for fewer, risers make more of them."""


def several(accelerator: Accelerator, count: int, known: Sequence[System]) -> System:
    """`count` accelerators: one node, or as few equal nodes as can hold them.

    Who names a few more cards than usual boards take is taken to have them in one machine.

    The network between nodes is that of a system in `known` with the same accelerator, and a note
    says so.
    """
    per_node, nodes = count, 1
    most, assumed = accelerator.max_per_node, tuple[str, ...]()
    if most is not None and 1 < most < count <= ON_RISERS and accelerator.form_factor == "PCIe":
        assumed = (f"all {count} cards in one machine, more than most boards have slots for",)
    elif most is not None and count > most:
        per_node = _per_node(accelerator, count, most, known)
        nodes = count // per_node
    gb_s, link = intra_node(accelerator, per_node)
    between, between_link, notes = _between(accelerator, per_node, nodes, known)
    domain = accelerator.nvlink_domain
    prefix = "" if count == 1 else f"{count}x-"
    return System(
        id=f"{prefix}{accelerator.id}",
        name=accelerator.name if count == 1 else f"{count}× {accelerator.name}",
        accelerator=accelerator,
        accelerators_per_node=per_node,
        nodes=nodes,
        intra_node_gb_s=gb_s,
        intra_node_link=link,
        inter_node_gb_s=between,
        inter_node_link=between_link,
        link_domain=domain if _spans_nodes(accelerator) else None,
        assumptions=assumed,
        notes=(*notes, f"{nodes} nodes of {per_node}") if nodes > 1 else (),
    )


def _per_node(accelerator: Accelerator, count: int, most: int, known: Sequence[System]) -> int:
    """Return how many stand in each of equal nodes: the most, so that the nodes are few.

    Where even the fewest such nodes are more than could hold them, as many as in a known machine:
    100 stand in nodes of 4, not of 5.
    """
    even = [each for each in range(min(most, count), 0, -1) if count % each == 0]
    if count // even[0] == -(-count // most):
        return even[0]
    sold = {one.accelerators_per_node for one in known if one.accelerator.id == accelerator.id}
    return next((each for each in even if each in sold and each >= _LEAST_NODE), even[0])


_LEAST_NODE = 4
"""Accelerators of a known machine below which more of smaller nodes are no help."""


def _spans_nodes(accelerator: Accelerator) -> bool:
    """Whether the fast link joins more accelerators than a node holds (a rack of trays)."""
    most, domain = accelerator.max_per_node, accelerator.nvlink_domain
    return most is not None and domain is not None and domain > most


def _between(
    accelerator: Accelerator, per_node: int, nodes: int, known: Sequence[System]
) -> tuple[Figure | None, str | None, tuple[str, ...]]:
    """What joins the nodes: nothing, the rack's fast link, or a network."""
    if nodes == 1:
        return None, None, ()
    rate = accelerator.nvlink_gb_s
    if rate is None or not _spans_nodes(accelerator):
        return _network(accelerator, nodes, known)
    if per_node * nodes > (accelerator.nvlink_domain or 0):
        return None, None, ("the network between the racks is not known",)
    figure = Figure(
        value=rate.value * per_node,
        source=f"derived: {per_node} x {rate.value:g} GB/s of {accelerator.link_name}",
        grade="C",
        date=rate.date,
    )
    return figure, accelerator.link_name, ("one rack: the fast link spans its nodes",)


def _network(
    accelerator: Accelerator, nodes: int, known: Sequence[System]
) -> tuple[Figure | None, str | None, tuple[str, ...]]:
    """The network between nodes, taken from a known system of this accelerator, if there is one."""
    alike = [
        system
        for system in known
        if system.accelerator.id == accelerator.id
        and system.inter_node_gb_s is not None
        and system.link_domain is None
        and system.provider is None
    ]
    if not alike:
        return None, None, ("the network between the nodes is not known",)
    model = min(alike, key=lambda system: abs(system.nodes - nodes))
    return (
        model.inter_node_gb_s,
        model.inter_node_link,
        (f"network between the nodes assumed as in {model.id}",),
    )


def repeated(system: System, count: int, known: Sequence[System]) -> System:
    """`count` times a whole system; HardwareError where that is more than MAX_COUNT in all."""
    if count == 1:
        return system
    if system.count * count > MAX_COUNT:
        raise HardwareError(
            f"{count} x {system.id} is {system.count * count} accelerators, more than {MAX_COUNT}"
        )
    notes = system.notes
    gb_s, link = system.inter_node_gb_s, system.inter_node_link
    if gb_s is None:
        gb_s, link, more = _network(system.accelerator, system.nodes * count, known)
        notes = (*notes, *more)
    return dataclasses.replace(
        system,
        id=f"{count}x-{system.id}",
        name=f"{count}× {system.name}",
        aliases=(),
        nodes=system.nodes * count,
        inter_node_gb_s=gb_s,
        inter_node_link=link,
        power_w=_times(system.power_w, count),
        prices=tuple(
            dataclasses.replace(price, value=price.value * count, note=f"{count} x {price.value:g}")
            for price in system.prices
        ),
        notes=notes,
    )


NODES = "-nodes-of-"
"""In the id of machines that somebody counted apart from what is in them."""


def alike(system: System, nodes: Nodes, known: Sequence[System]) -> System:
    """Return so many machines like `system`, or what it has shared out over them.

    Errors: HardwareError for machines that are not planned as one, or do not come out even.
    """
    if nodes.count == 1:
        return system
    if system.is_cpu_only or system.is_mixed:
        what = "without a GPU" if system.is_cpu_only else "with different GPUs"
        raise HardwareError(f"machines {what} are planned one at a time: name one of them")
    one = _shared_out(system, nodes.count, known) if nodes.together else system
    whole = repeated(one, nodes.count, known)
    return dataclasses.replace(
        whole,
        id=f"{nodes.count}{NODES}{one.id}",
        notes=(*whole.notes, f"{whole.nodes} nodes of {whole.accelerators_per_node}"),
    )


def _shared_out(system: System, nodes: int, known: Sequence[System]) -> System:
    """Return one of the machines that have the accelerators of `system` together, its RAM in each."""
    each, left = divmod(system.count, nodes)
    if left or not each:
        raise HardwareError(
            f"{system.count} GPUs do not come out even on {nodes} machines; write what one has:"
            f" '{nodes} nodes of {max(each, 1)}x {system.accelerator.id}'"
        )
    one = several(system.accelerator, each, known)
    ram = system.host_memory_gib
    return dataclasses.replace(
        one,
        id=one.id if ram is None else f"{one.id}+{ram.value:g}gb-ram",
        name=one.name if ram is None else f"{one.name}, {ram.value:g} GB RAM",
        host_memory_gib=ram,
        host_memory_type=system.host_memory_type,
        host_bandwidth_gb_s=system.host_bandwidth_gb_s,
    )


def _times(figure: Figure | None, count: int) -> Figure | None:
    if figure is None:
        return None
    return dataclasses.replace(
        figure, value=figure.value * count, note=f"{count} x {figure.value:g}", alternatives=()
    )

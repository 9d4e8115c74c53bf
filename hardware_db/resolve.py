"""From what people type, or what a driver says, to an entry of the database."""

from __future__ import annotations

import dataclasses
import math
import re

from hardware_db.accelerator import Accelerator
from hardware_db.database import Database, database
from hardware_db.entries import intra_node
from hardware_db.errors import HardwareError, UnknownHardware
from hardware_db.figures import Figure
from hardware_db.names import driver_key, key, nearest
from hardware_db.system import System

__all__ = ["accelerators", "get", "match_driver_name", "resolve", "systems"]

MIB = 1 << 20
MAX_COUNT = 100_000
MEMORY_TOLERANCE = 0.07
"""Share by which a driver's total may differ from the entry's: ECC takes 1/16 of inline-ECC cards,
driver versions move the rest. 24 and 48 GB of the same name stay far apart."""

_LONGEST = 200
_LIKELY_COUNT = 1000
_LEADING = re.compile(r"([+-]?[0-9][0-9.,_]*)\s*[x×*]\s*(.*)", re.IGNORECASE | re.DOTALL)
_TRAILING = re.compile(r"(.+?)\s+[x×*]\s*([+-]?[0-9][0-9.,_]*)", re.IGNORECASE | re.DOTALL)
_CUSTOM = re.compile(r"custom\s*:(.*)", re.IGNORECASE | re.DOTALL)
_SIZE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*(GiB|MiB|GB|MB)\s*", re.IGNORECASE)
_UNITS = {"gib": 1 << 30, "mib": 1 << 20, "gb": 10**9, "mb": 10**6}
_SMALLEST, _GREATEST = 256 << 20, 64 << 40


def accelerators() -> tuple[Accelerator, ...]:
    """All accelerators: the bundled ones, then the user's own."""
    return database().accelerators


def systems() -> tuple[System, ...]:
    """All systems and cloud instances: the bundled ones, then the user's own."""
    return database().systems


def get(name: str) -> Accelerator | System:
    """The entry with this id, alias or driver name.

    Case, spaces and dashes do not matter; the rest must be equal, a part of a name is not a name.
    "custom:48GiB" makes an accelerator of which only the memory is known.
    Errors: UnknownHardware with the nearest ids.
    """
    text = _checked(name)
    custom = _CUSTOM.fullmatch(text)
    if custom:
        return _custom(custom[1])
    known = database()
    found = known.by_name.get(key(text))
    if found is None:
        raise UnknownHardware(text, nearest(text, _keys(known)))
    return found


def resolve(expression: str) -> System:
    """The system that an expression means: "h100", "2x rtx-4090", "8 x h200-sxm", "2x dgx-spark".

    A name is looked up as a whole first; then "N x name", or "name xN", is N accelerators in one
    node, in several equal nodes where one node takes no more, or N times a whole system.
    Errors: UnknownHardware with the nearest ids; HardwareError for a count outside 1..100000, for a
    size that is none, or for anything that is no text.
    """
    text = _checked(expression)
    known = database()
    entry = known.by_name.get(key(text))
    if entry is not None:
        return entry if isinstance(entry, System) else _several(entry, 1)
    split = _split(text)
    if split is None:
        found = get(text)
        return found if isinstance(found, System) else _several(found, 1)
    count, name = split
    try:
        found = get(name)
    except UnknownHardware as unknown:
        candidates = unknown.candidates
        if not candidates or count > _LIKELY_COUNT:  # "7900 xt" has the form of a count, too
            candidates = nearest(text, _keys(known)) or candidates
        raise UnknownHardware(text, candidates) from None
    return _repeated(found, count) if isinstance(found, System) else _several(found, count)


def match_driver_name(name: str, memory_mib: int | None) -> Accelerator | None:
    """The accelerator that a driver calls `name` and to which it gives `memory_mib` MiB.

    The name must be equal but for case, spaces and a leading "NVIDIA"; of several entries with one
    name (4060 Ti with 8 or 16 GB, a 4090 with 48) the memory decides, within 7 %. Where CPU and GPU
    share memory, `memory_mib` is the machine's memory; it decides between sizes of a chip, but does
    not rule out a chip that has one entry, because drivers report a carve-out there or nothing.
    None rather than a wrong guess.
    """
    candidates = database().by_driver_name.get(driver_key(name), ())
    if not candidates:
        return None
    if len(candidates) == 1 and (candidates[0].is_unified or memory_mib is None):
        return candidates[0]
    if memory_mib is None or memory_mib <= 0:
        return None
    distance, best = min(
        ((_distance(entry, memory_mib), entry) for entry in candidates), key=lambda pair: pair[0]
    )
    return best if distance <= MEMORY_TOLERANCE else None


def _distance(entry: Accelerator, memory_mib: int) -> float:
    """By how much, as a share, `memory_mib` misses the nearest total known of the entry."""
    figures = [entry.memory_driver_mib, entry.memory_cuda_mib, entry.memory_cuda_wddm_mib]
    totals = [
        reading.value for figure in figures if figure for reading in (figure, *figure.alternatives)
    ]
    if entry.memory_marketed_gb and (entry.is_unified or not totals):
        totals.append(entry.memory_marketed_gb.value * 1024)
    return min((abs(memory_mib / total - 1) for total in totals), default=math.inf)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise HardwareError(
            f"hardware must be a text like '2x rtx-4090', not {type(text).__name__}"
        )
    stripped = " ".join(text.split())
    if not stripped:
        raise HardwareError("no hardware given; write a name like 'h100' or '2x rtx-4090'")
    if len(stripped) > _LONGEST:
        raise HardwareError(f"a hardware name has at most {_LONGEST} characters")
    if not stripped.isprintable():
        raise HardwareError(f"a hardware name has no control characters: {stripped!r}")
    return stripped


def _keys(known: Database) -> list[tuple[str, str]]:
    return [(name, entry.id) for name, entry in known.by_name.items()]


def _split(text: str) -> tuple[int, str] | None:
    """Count and name of "N x name" or "name xN"; None where the text has no such form."""
    leading = _LEADING.fullmatch(text)
    if leading:
        number, name = leading[1], leading[2]
    else:
        trailing = _TRAILING.fullmatch(text)
        if not trailing:
            return None
        number, name = trailing[2], trailing[1]
    if not name.strip():
        raise HardwareError(f"{text!r} names no hardware behind the count")
    if not re.fullmatch(r"\+?[0-9]{1,9}", number) or not 1 <= int(number) <= MAX_COUNT:
        raise HardwareError(
            f"the count in {text!r} must be a whole number from 1 to {MAX_COUNT}, not {number}"
        )
    return int(number), name.strip()


def _custom(size: str) -> Accelerator:
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
            source=f"given by the user: custom:{written}{spelled}",
            grade="A",
            note="taken as what the engine sees; bandwidth, formats and links are not known",
        ),
    )


def _several(accelerator: Accelerator, count: int) -> System:
    """`count` accelerators: one node, or as few equal nodes as can hold them."""
    per_node, nodes = count, 1
    most = accelerator.max_per_node
    if most is not None and count > most:
        nodes = -(-count // most)
        while count % nodes:
            nodes += 1
        per_node = count // nodes
    gb_s, link = intra_node(accelerator, per_node)
    between, between_link, notes = (None, None, ()) if nodes == 1 else _network(accelerator, nodes)
    prefix = "" if count == 1 else f"{count}x-"
    return System(
        id=f"{prefix}{accelerator.id}",
        name=accelerator.name if count == 1 else f"{count} x {accelerator.name}",
        accelerator=accelerator,
        accelerators_per_node=per_node,
        nodes=nodes,
        intra_node_gb_s=gb_s,
        intra_node_link=link,
        inter_node_gb_s=between,
        inter_node_link=between_link,
        notes=(*notes, f"{nodes} nodes of {per_node}") if nodes > 1 else (),
    )


def _network(
    accelerator: Accelerator, nodes: int
) -> tuple[Figure | None, str | None, tuple[str, ...]]:
    """The network between nodes, taken from a known system of this accelerator, if there is one."""
    known = [
        system
        for system in database().systems
        if system.accelerator.id == accelerator.id
        and system.inter_node_gb_s is not None
        and system.link_domain is None
        and system.provider is None
    ]
    if not known:
        return None, None, ("the network between the nodes is not known",)
    model = min(known, key=lambda system: abs(system.nodes - nodes))
    return (
        model.inter_node_gb_s,
        model.inter_node_link,
        (f"network between the nodes assumed as in {model.id}",),
    )


def _repeated(system: System, count: int) -> System:
    """`count` times a whole system."""
    if count == 1:
        return system
    if system.count * count > MAX_COUNT:
        raise HardwareError(
            f"{count} x {system.id} is {system.count * count} accelerators, more than {MAX_COUNT}"
        )
    notes = system.notes
    gb_s, link = system.inter_node_gb_s, system.inter_node_link
    if gb_s is None:
        gb_s, link, more = _network(system.accelerator, system.nodes * count)
        notes = (*notes, *more)
    return dataclasses.replace(
        system,
        id=f"{count}x-{system.id}",
        name=f"{count} x {system.name}",
        aliases=(),
        nodes=system.nodes * count,
        inter_node_gb_s=gb_s,
        inter_node_link=link,
        host_memory_gib=system.host_memory_gib,
        power_w=_times(system.power_w, count),
        prices=tuple(
            dataclasses.replace(price, value=price.value * count, note=f"{count} x {price.value:g}")
            for price in system.prices
        ),
        notes=notes,
    )


def _times(figure: Figure | None, count: int) -> Figure | None:
    if figure is None:
        return None
    return dataclasses.replace(
        figure, value=figure.value * count, note=f"{count} x {figure.value:g}", alternatives=()
    )

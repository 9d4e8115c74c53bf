"""From what people type, or what a driver says, to an entry of the database."""

from __future__ import annotations

import math
import re

from hardware_db.accelerator import Accelerator
from hardware_db.compose import MAX_COUNT, custom, repeated, several
from hardware_db.database import Database, database
from hardware_db.errors import HardwareError, UnknownHardware
from hardware_db.names import driver_key, key, nearest, shorter, without_machine
from hardware_db.system import System

__all__ = ["accelerators", "get", "match_driver_name", "resolve", "systems"]

MEMORY_TOLERANCE = 0.07
"""Share by which a driver's total may differ from the entry's: ECC takes 1/16 of inline-ECC cards,
driver versions move the rest. 24 and 48 GB of the same name stay far apart."""

_NO_ACCELERATOR = ("cpu", "cpuonly", "none", "nogpu")
_LONGEST = 200
_LIKELY_COUNT = 1000
_LEADING = re.compile(r"([+-]?[0-9][0-9.,_]*)\s*[x×*]\s*(.*)", re.IGNORECASE | re.DOTALL)
_TRAILING = re.compile(r"(.+?)\s+[x×*]\s*([+-]?[0-9][0-9.,_]*)", re.IGNORECASE | re.DOTALL)
_JOINED = re.compile(r"(.+?)[x×*]([1-9][0-9]?)", re.IGNORECASE | re.DOTALL)
_WORDED = re.compile(r"(dual|triple|quad)\s+(.+)", re.IGNORECASE | re.DOTALL)
_COUNTS = {"dual": 2, "triple": 3, "quad": 4}
_CUSTOM = re.compile(r"custom\s*:(.*)", re.IGNORECASE | re.DOTALL)


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
    size = _CUSTOM.fullmatch(text)
    if size:
        return custom(size[1])
    known = database()
    for spelled in (*shorter(text), without_machine(text)):
        found = known.by_name.get(key(spelled))
        if found is not None:
            return found
    raise UnknownHardware(text, nearest(text, _keys(known)))


def resolve(expression: str) -> System:
    """The system that an expression means: "h100", "2x rtx-4090", "8 x h200-sxm", "2x dgx-spark".

    A name is looked up as a whole first; then "N x name", or "name xN", is N accelerators in one
    node, in several equal nodes where one node takes no more, or N times a whole system.
    Errors: UnknownHardware with the nearest ids; HardwareError for a count outside 1..100000, for a
    size that is none, for several kinds at once, or for anything that is no text.
    """
    text = _checked(expression)
    known = database()
    if key(text) in _NO_ACCELERATOR:
        raise HardwareError(
            f"{text!r}: plans are for accelerators, a processor alone is not planned; name a GPU,"
            " or 'local' for what is built in"
        )
    entry = known.by_name.get(key(text))
    if entry is not None:
        return entry if isinstance(entry, System) else several(entry, 1, known.systems)
    splits = _splits(text)
    if not splits:
        _refuse_several_kinds(text)
        found = get(text)
        return found if isinstance(found, System) else several(found, 1, known.systems)
    candidates: tuple[str, ...] = ()
    for count, name in splits:
        try:
            found = get(name)
        except UnknownHardware as unknown:
            candidates = candidates or unknown.candidates
            if not candidates or count > _LIKELY_COUNT:  # "7900 xt" has the form of a count, too
                candidates = nearest(text, _keys(known)) or candidates
            continue
        if isinstance(found, System):
            return repeated(found, count, known.systems)
        return several(found, count, known.systems)
    _refuse_several_kinds(text)
    raise UnknownHardware(text, candidates)


def _refuse_several_kinds(text: str) -> None:
    """Say what to do with "4090 + 3060", if every part of it is known."""
    parts = [part.strip() for part in text.split("+")]
    if len(parts) < 2 or not all(parts):
        return
    try:
        kinds = {part: resolve(part) for part in parts}
    except HardwareError:
        return
    least = min((system.accelerator for system in kinds.values()), key=lambda a: a.total_bytes)
    count = sum(system.count for system in kinds.values())
    raise HardwareError(
        f"{text!r} names several kinds of hardware; plans are for equal accelerators, and engines"
        f" that cut a model evenly are bound by the smallest: try '{count}x {least.id}'"
    )


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


def _splits(text: str) -> list[tuple[int, str]]:
    """Counts and names that "N x name", "name xN" or "dual name" may mean, likelier ones first."""
    worded = _WORDED.fullmatch(text)
    if worded:
        return [(_COUNTS[worded[1].lower()], worded[2].strip())]
    found: list[tuple[str, str]] = []
    if leading := _LEADING.fullmatch(text):
        found.append((leading[1], leading[2]))
    if trailing := _TRAILING.fullmatch(text) or _JOINED.fullmatch(text):
        found.append((trailing[2], trailing[1]))
    splits = []
    for number, name in found:
        if not name.strip():
            raise HardwareError(f"{text!r} names no hardware behind the count")
        if re.fullmatch(r"\+?[0-9]{1,9}", number) and 1 <= int(number) <= MAX_COUNT:
            splits.append((int(number), name.strip()))
    if found and not splits:
        raise HardwareError(
            f"the count in {text!r} must be a whole number from 1 to {MAX_COUNT}, not {found[0][0]}"
        )
    return splits

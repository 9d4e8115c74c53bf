"""Which devices an engine started now would see: CUDA_VISIBLE_DEVICES and its kin.

Drivers ignore these variables, engines' runtimes do not. Rules as in NVIDIA's CUDA programming
guide (environment variables): unset shows all, empty shows none; an entry is an index or the
beginning of a UUID; everything after an entry that names nothing is hidden. Digits are read as C
does ("1x" is 1) and a device named twice hides all, as torch/cuda/__init__.py has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hardware_db.records import frozen
from planner.probing.machine import Device

CUDA = "CUDA_VISIBLE_DEVICES"
CUDA_ORDER = "CUDA_DEVICE_ORDER"
ROCR = "ROCR_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"

_INDEX = re.compile(r"[ \t]*[+-]?[0-9]{1,9}")

Find = Callable[[str], int | None]


@frozen
class Selection:
    """What a variable selects.

    Attributes:
        order: positions of the devices that stay, in the variable's order.
        stopped_at: the entry that names nothing, if one does.
        repeated: the entry that names a device again, if one does.
    """

    order: tuple[int, ...]
    stopped_at: str | None = None
    repeated: str | None = None


def select(value: str | None, count: int, find: Find) -> Selection:
    """Read a list of devices; `find` turns an entry that is no index into a position."""
    if value is None:
        return Selection(order=tuple(range(count)))
    if not value.strip():
        return Selection(order=())
    order: list[int] = []
    for entry in value.split(","):
        index = _INDEX.match(entry)
        position = int(index.group()) if index else find(entry.strip())
        if position is None or not 0 <= position < count:
            return Selection(order=tuple(order), stopped_at=entry.strip())
        if position in order:
            return Selection(order=(), repeated=entry.strip())
        order.append(position)
    return Selection(order=tuple(order))


def by_uuid(uuids: Sequence[str | None]) -> Find:
    """Find the one device whose UUID begins with an entry; None for none or several."""

    def find(entry: str) -> int | None:
        if not entry.upper().startswith(("GPU-", "MIG-")):
            return None
        hits = [
            position
            for position, uuid in enumerate(uuids)
            if uuid is not None and uuid.lower().startswith(entry.lower())
        ]
        return hits[0] if len(hits) == 1 else None

    return find


def hiding(vendor: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables that may hide a vendor's devices, in the order in which they apply."""
    known = {"nvidia": (CUDA,), "amd": (ROCR, HIP if HIP in environ else CUDA)}
    return known.get(vendor, ())


def apply_cuda(
    devices: tuple[Device, ...], environ: Mapping[str, str]
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Mark NVIDIA devices and MIG instances visible or hidden; returns them with warnings.

    An index selects a whole card, and a split card's instances with it; a MIG UUID selects one
    instance.
    """
    value = environ.get(CUDA)
    parts: list[tuple[int, int | None]] = [(card, None) for card in range(len(devices))] + [
        (card, part)
        for card, device in enumerate(devices)
        for part in range(len(device.mig_instances))
    ]
    uuids = [
        devices[card].uuid if part is None else devices[card].mig_instances[part].uuid
        for card, part in parts
    ]
    find = by_uuid(uuids)
    if value is not None and "MIG-" not in value.upper():
        chosen = select(value, len(devices), find)
    else:
        chosen = select(value, len(parts), find)
    ranks: dict[tuple[int, int | None], int] = {}
    for position in chosen.order:
        card, part = parts[position]
        inner = len(devices[card].mig_instances) if part is None else 0
        keys: list[tuple[int, int | None]] = [(card, number) for number in range(inner)]
        for key in keys or [(card, part)]:
            ranks.setdefault(key, len(ranks))
    marked = tuple(
        replace(
            device,
            visible=any(key[0] == card for key in ranks),
            engine_index=ranks.get((card, None)),
            mig_instances=tuple(
                replace(
                    instance,
                    visible=(card, part) in ranks,
                    engine_index=ranks.get((card, part)),
                )
                for part, instance in enumerate(device.mig_instances)
            ),
        )
        for card, device in enumerate(devices)
    )
    return marked, (*_complaints(CUDA, value, chosen), *_order_doubt(devices, environ))


def apply_hip(
    devices: tuple[Device, ...], environ: Mapping[str, str]
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """Mark AMD devices: ROCr's list first, then HIP's (or CUDA's) within what is left."""
    if not devices:
        return (), ()
    order = tuple(range(len(devices)))
    warnings: list[str] = []
    for variable in hiding("amd", environ):
        value = environ.get(variable)
        uuids = [devices[position].uuid for position in order]
        chosen = select(value, len(order), by_uuid(uuids))
        warnings += _complaints(variable, value, chosen)
        order = tuple(order[position] for position in chosen.order)
    ranks = {position: rank for rank, position in enumerate(order)}
    marked = tuple(
        replace(device, visible=position in ranks, engine_index=ranks.get(position))
        for position, device in enumerate(devices)
    )
    return marked, tuple(warnings)


def _complaints(variable: str, value: str | None, chosen: Selection) -> list[str]:
    if chosen.repeated is not None:
        return [f"{variable}={value} names {chosen.repeated} twice, which hides every device."]
    if chosen.stopped_at is not None and value is not None:
        return [
            f"{variable}={value}: {chosen.stopped_at!r} names no device here; "
            "it and everything after it is hidden."
        ]
    return []


def _order_doubt(devices: tuple[Device, ...], environ: Mapping[str, str]) -> list[str]:
    """CUDA numbers the fastest device 0 unless told otherwise; NVML goes by the bus."""
    mixed = len({device.name for device in devices}) > 1
    if not mixed or environ.get(CUDA_ORDER) == "PCI_BUS_ID":
        return []
    by_index = re.search(r"(?:^|,)\s*\d", environ.get(CUDA, ""))
    if CUDA in environ and not by_index:
        return []  # named by UUID, or none visible
    where = f"the indices in {CUDA} may name other devices" if by_index else "CUDA may number them"
    how = "than shown here" if by_index else "in another order than shown here"
    return [f"Different cards without {CUDA_ORDER}=PCI_BUS_ID: {where} {how}."]

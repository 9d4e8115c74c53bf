"""The list of machines: every entry of the database once, by the name that people use, in groups.

What is bought or rented as one machine stands under its own name; several of one card are that card
and a number. An alias that is typed, or an expression, is resolved by the database itself.
"""

from __future__ import annotations

import re
from functools import cache

import hardware_db
from hardware_db import Accelerator, HardwareError, System
from hardware_db.records import frozen
from planner.recommending.machines import groups as common
from planner.shipped import read_toml
from planner.web.asked import CUSTOM, LOCAL

THIS_MACHINE = "This machine"
CLOUD = "Cloud"
OTHER = "Something else"

_GB = re.compile(r"(\d) ?GB\b")
_MAKERS = re.compile(r"^(NVIDIA|AMD|Intel|Apple) ")
_BRACKETS = re.compile(r" \([^)]*\)$")
SEVERAL = re.compile(r"\d+x-")
"""What ids of several of one machine or card begin with: that card and a number say the same."""


@frozen
class Place:
    """One line of the list.

    Attributes:
        on: what the question calls it.
        label: what people read; its memory stands in it.
        short: the same in few words.
        group: heading that it belongs to.
        unified: CPU and GPU share one memory: there is no RAM beside.
        several: the word for more than one of it.
    """

    on: str
    label: str
    short: str
    group: str
    unified: bool = False
    several: str = "How many"


@frozen
class _Group:
    """Some of a list's choices under one heading."""

    title: str
    place: int
    vendors: tuple[str, ...]
    names: tuple[str, ...]
    unified: bool | None
    label: str

    def holds(self, name: str, each: Accelerator) -> bool:
        return (
            (not self.vendors or each.vendor in self.vendors)
            and (not self.names or any(word in name for word in self.names))
            and self.unified in (None, each.is_unified)
        )


@cache
def _groups() -> tuple[_Group, ...]:
    return tuple(
        _Group(
            title=row["title"],
            place=row["place"],
            vendors=tuple(row.get("vendors", ())),
            names=tuple(row.get("names", ())),
            unified=row.get("unified"),
            label=row.get("label", ""),
        )
        for row in read_toml("web", "places.toml")["group"]
    )


@cache
def places() -> tuple[Place, ...]:
    """Return every machine of the database, group by group, those that many have first."""
    named = [entry for entry in hardware_db.systems() if not SEVERAL.match(entry.id)]
    own = [entry for entry in named if entry.provider is None]
    titles = {_plain(entry.name) for entry in own if entry.count == 1}
    cards = [
        card
        for card in hardware_db.accelerators()
        if not any(_plain(card.short_name) in title for title in titles)
    ]
    first = {on: turn for turn, on in enumerate(_common())}
    entries: list[Accelerator | System] = [*cards, *own]
    found = [(_group(entry), entry) for entry in entries]
    found.sort(key=lambda row: (row[0].place, first.get(row[1].id, len(first))))
    listed = [_place(entry, group.title, group.label) for group, entry in found]
    rented = [_place(entry, CLOUD, entry.provider or "") for entry in named if entry.provider]
    bare = [
        Place(on=on, label=f"No GPU: {short}", short=short, group=OTHER, unified=True)
        for _, names in common()
        for on in names
        if hardware_db.resolve(on).is_cpu_only
        for short in (hardware_db.resolve(on).short_name,)
    ]
    return (
        *listed,
        *rented,
        *bare,
        Place(on=CUSTOM, label="Another GPU, by its memory", short="another GPU", group=OTHER),
    )


@cache
def _common() -> tuple[str, ...]:
    """Ids of the machines that people own, as the list of `recommending` has them."""
    found = []
    for _, names in common():
        for on in names:
            system = hardware_db.resolve(on)
            found += [system.id, system.accelerator.id]
    return tuple(dict.fromkeys(found))


@cache
def by_id() -> dict[str, Place]:
    """Return the machines by what the question calls them."""
    return {place.on: place for place in places()}


@cache
def labels() -> dict[str, str]:
    """Return what people read for each machine of the list."""
    return {place.on: place.label for place in places()}


def label_of(on: str) -> str:
    """Return what people read for `on`, whether it is in the list or not."""
    place = by_id().get(on)
    if place is not None:
        return place.label
    if on == LOCAL:
        return THIS_MACHINE
    try:
        return hardware_db.resolve(on).short_name
    except HardwareError:
        return on


def label_of_entry(name: str) -> str:
    """Return what people read for an entry of the database by its id; empty where there is none.

    A chip that is sold in named machines alone has no line of its own in the list, but a label.
    """
    place = by_id().get(name)
    if place is not None:
        return place.label
    try:
        card = hardware_db.get(name)
    except HardwareError:
        return ""
    return _place(card, "", _group(card).label).label if isinstance(card, Accelerator) else ""


def _group(entry: Accelerator | System) -> _Group:
    each = entry.accelerator if isinstance(entry, System) else entry
    names = f"{entry.name} {each.name}" if isinstance(entry, System) else entry.name
    return next(group for group in _groups() if group.holds(names, each))


def _place(entry: Accelerator | System, group: str, prefix: str) -> Place:
    each = entry.accelerator if isinstance(entry, System) else entry
    if isinstance(entry, System):
        name = _MAKERS.sub("", _GB.sub(r"\1 GB", entry.name))
        short = _BRACKETS.sub("", name)
        if prefix and entry.provider:
            name = f"{prefix} {name}"
        if entry.count > 1:
            name = f"{name} · {entry.short_name}"
        elif entry.provider:
            name = f"{name} · {each.short_name}"
    else:
        short = name = f"{prefix} {entry.short_name}".strip()
    gigabytes = each.memory_marketed_gb
    if gigabytes is not None and not re.search(r"\d GB", name):
        name = f"{name} {gigabytes.value:g} GB"
    several = "Machines" if isinstance(entry, System) and entry.count > 1 else "How many"
    return Place(
        on=entry.id,
        label=name,
        short=short,
        group=group,
        unified=each.is_unified,
        several=several,
    )


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())

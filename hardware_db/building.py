"""Builds a database from TOML documents: those that come with the package, and a user's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from hardware_db.accelerator import Accelerator
from hardware_db.database import Database, Entry, bundled
from hardware_db.electricity import Electricity
from hardware_db.entries import (
    hourly_prices,
    read_accelerator,
    read_electricity,
    read_memory,
    read_power,
    read_prices,
    read_processor,
    read_system,
)
from hardware_db.errors import HardwareError
from hardware_db.figures import Cited, Figure, Price
from hardware_db.indexing import by_driver, indexed, stems
from hardware_db.memory import HostMemory
from hardware_db.processors import Processor
from hardware_db.reader import Reader, read_cited
from hardware_db.records import frozen
from hardware_db.sizes import in_family, in_sizes
from hardware_db.system import System

__all__ = ["from_sources", "load_file"]

_LARGEST_FILE = 4 << 20
_LISTS = ("accelerator", "system", "price", "power", "memory", "electricity", "processor")
_WORDS = (
    "cpu_words",
    "board_words",
    "laptop_words",
    "machine_words",
    "gpu_words",
    "places",
    "mac_cases",
)


@frozen
class _Entries:
    """What all files say, before prices and names are joined to it."""

    accelerators: tuple[Accelerator, ...]
    systems: tuple[System, ...]
    new_systems: tuple[System, ...]
    prices: Mapping[str, tuple[Price, ...]]
    power: Mapping[str, tuple[Figure, ...]]
    memories: tuple[HostMemory, ...]
    electricity: tuple[Electricity, ...]
    processors: tuple[Processor, ...]
    words: Mapping[str, tuple[str, ...]]
    families: Mapping[str, Any]
    cited: Cited


def from_sources() -> Database:
    """Read the data that come with the package from their TOML files."""
    documents = {
        file.name: _parsed(file.read_bytes(), file.name)
        for file in sorted(Path(__file__).with_name("data").glob("*.toml"))
    }
    shared = read_cited(documents.pop("sources.toml"), "sources.toml")
    return _built(_with_entries(None, documents, shared), "hardware_db/data")


def load_file(path: Path) -> Database:
    """The bundled database and the entries of one more file, for which the same rules hold.

    Errors: HardwareError with file, entry and field, on one line.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise HardwareError(f"{path}: is larger than {_LARGEST_FILE >> 20} MiB")
        content = path.read_bytes()
    except OSError as problem:
        raise HardwareError(f"{path}: {problem.strerror}") from None
    document = {str(path): _parsed(content, str(path))}
    base = bundled()
    nothing_read = Cited(cites=base.cited.cites, accessed=None)
    return _built(_with_entries(base, document, nothing_read), str(path))


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:  # ValueError: also of a number without end
        detail = " ".join(str(problem).split()) or "nested too deep"
        raise HardwareError(f"{where}: is not valid TOML: {detail}") from None


def _with_entries(
    base: Database | None, documents: Mapping[str, dict[str, Any]], shared: Cited
) -> _Entries:
    """The entries of `base` and of the documents; accelerators of all files before any system."""
    known = {entry.id: entry for entry in base.accelerators} if base else {}
    families = dict(base.families) if base else {}
    parts = [_Part.of(document, where, shared) for where, document in documents.items()]
    for part in parts:
        for name, family in part.families.items():
            if name in families:
                raise HardwareError(f"{part.where}: family {name!r} is taken already")
            families[name] = family
    for part in parts:
        place = f"{part.where}: accelerator"
        for number, table in enumerate(part.accelerators, 1):
            if not isinstance(table, dict):
                raise HardwareError(f"{place} {number} must be a table")
            for sized in in_sizes(in_family(table, families, f"{place} {number}"), place):
                entry = read_accelerator(sized, place, part.cited)
                if entry.id in known:
                    raise HardwareError(f"{place} {entry.id!r}: this id is taken already")
                known[entry.id] = entry
    systems = []
    for part in parts:
        place = f"{part.where}: system"
        for number, table in enumerate(part.systems, 1):
            if not isinstance(table, dict):
                raise HardwareError(f"{place} {number} must be a table")
            whole = in_family(table, families, f"{place} {number}")
            systems.append(read_system(whole, place, part.cited, known))
    prices: dict[str, tuple[Price, ...]] = {}
    power: dict[str, tuple[Figure, ...]] = {}
    for part in parts:
        for of, price in read_prices(part.prices, part.where, part.cited):
            prices[of] = (*prices.get(of, ()), price)
        for of, figure in read_power(part.power, part.where, part.cited):
            if of not in known:
                raise HardwareError(f"{part.where}: power of {of!r}: no such accelerator")
            power[of] = (*power.get(of, ()), figure)
    return _Entries(
        accelerators=tuple(known.values()),
        systems=tuple(base.systems) if base else (),
        new_systems=tuple(systems),
        prices=prices,
        power=power,
        memories=(
            *(base.memories if base else ()),
            *(read_memory(t, f"{p.where}: memory", p.cited) for p in parts for t in p.memories),
        ),
        electricity=(
            *(base.electricity if base else ()),
            *(
                read_electricity(t, f"{p.where}: electricity", p.cited)
                for p in parts
                for t in p.electricity
            ),
        ),
        processors=(
            *(
                read_processor(t, f"{p.where}: processor", p.cited)
                for p in parts
                for t in p.processors
            ),
            *(base.processors if base else ()),
        ),
        words={
            name: (
                *(base.words[name] if base else ()),
                *(word for part in parts for word in part.words[name]),
            )
            for name in _WORDS
        },
        families=families,
        cited=shared,
    )


@frozen
class _Part:
    """The tables of one file."""

    where: str
    families: Mapping[str, Any]
    accelerators: list[Any]
    systems: list[Any]
    prices: list[Any]
    power: list[Any]
    memories: list[Any]
    electricity: list[Any]
    processors: list[Any]
    words: Mapping[str, tuple[str, ...]]
    cited: Cited

    @classmethod
    def of(cls, document: dict[str, Any], where: str, shared: Cited) -> _Part:
        left = dict(document)
        cited = read_cited(left, where, shared)
        words = {name: Reader({name: left.pop(name, [])}, where).texts(name) for name in _WORDS}
        found = {name: left.pop(name, []) for name in _LISTS}
        families = left.pop("family", {})
        if left:
            raise HardwareError(
                f"{where}: {sorted(left)[0]!r} is not one of {', '.join(_LISTS)}, family, "
                f"sources, accessed, {', '.join(_WORDS)}"
            )
        for name, tables in found.items():
            if not isinstance(tables, list):
                raise HardwareError(f"{where}: write [[{name}]], one per entry")
        if not isinstance(families, dict):
            raise HardwareError(f"{where}: write [family.name], one per family")
        return cls(
            where=where,
            families=families,
            accelerators=found["accelerator"],
            systems=found["system"],
            prices=found["price"],
            power=found["power"],
            memories=found["memory"],
            electricity=found["electricity"],
            processors=found["processor"],
            words=words,
            cited=cited,
        )


def _built(entries: _Entries, where: str) -> Database:
    """Add the prices of files of their own and those that follow from instances; index names."""
    extra = entries.prices
    everything: tuple[Entry, ...] = (
        *entries.accelerators,
        *entries.systems,
        *entries.new_systems,
    )
    known = {entry.id for entry in everything}
    for identity in extra:
        if identity not in known:
            raise HardwareError(f"{where}: price of {identity!r}: no such accelerator or system")
    new = tuple(_priced(system, extra) for system in entries.new_systems)
    hourly = hourly_prices(new)
    priced = {
        entry.id: _measured(_priced(_priced(entry, extra), hourly), entries.power)
        for entry in entries.accelerators
    }
    systems = tuple(
        dataclasses.replace(system, accelerator=priced[system.accelerator.id])
        for system in (*(_priced(system, extra) for system in entries.systems), *new)
    )
    accelerators = tuple(priced.values())
    return Database(
        accelerators=accelerators,
        systems=systems,
        by_name=indexed(accelerators, systems, where),
        by_driver_name=by_driver(accelerators),
        by_stem=stems(accelerators),
        memories=entries.memories,
        electricity=entries.electricity,
        processors=entries.processors,
        words=entries.words,
        prices_as_of=max(_price_dates(accelerators, systems), default=""),
        families=entries.families,
        cited=entries.cited,
    )


def _price_dates(
    accelerators: tuple[Accelerator, ...], systems: tuple[System, ...]
) -> Iterator[str]:
    for prices in (*(a.prices for a in accelerators), *(s.prices for s in systems)):
        yield from (price.date for price in prices if price.date is not None)


_E = TypeVar("_E", Accelerator, System)


def _priced(entry: _E, more: Mapping[str, tuple[Price, ...]]) -> _E:
    if entry.id not in more:
        return entry
    return dataclasses.replace(entry, prices=(*entry.prices, *more[entry.id]))


def _measured(entry: Accelerator, power: Mapping[str, tuple[Figure, ...]]) -> Accelerator:
    if entry.id not in power:
        return entry
    more = (*entry.power_measured_w, *power[entry.id])
    return dataclasses.replace(entry, power_measured_w=more)

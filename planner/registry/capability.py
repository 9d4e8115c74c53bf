"""Which model is better for what: classes by published scores, and the bits below which size is no use.

No score is made up here and none is mixed: classes come from official tables (data/capability.toml
says how each model got its place), a difference under `TIE` points is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from hardware_db.records import frozen
from planner.errors import InputError
from planner.model import catalog
from planner.shipped import read_bytes, read_toml

TIE = 3.0
"""Points within which two scores are the same: runs of one model differ by 2 to 5."""

ALIASES = {
    "agents": "coding",
    "code": "coding",
    "images": "vision",
    "long": "long-context",
    "instructions": "instruction",
}
"""What people type for a use."""


@frozen
class Score:
    """One published score of an unquantized model.

    Attributes:
        base: bundled id.
        benchmark: which test.
        value: points.
        table: the table of one harness that it stands in; None: on its own.
        kind: "official card", "independent" or "third party".
        source: where it was published.
        date: when.
    """

    base: str
    benchmark: str
    value: float
    table: str | None
    kind: str
    source: str
    date: str


@frozen
class Use:
    """What a model is wanted for.

    Attributes:
        name: as people type it.
        title: what users read.
        benchmarks: tests that its order rests on.
        groups: bundled ids, best group first; within a group models are a tie.
        tiers: how many groups are one tier, from the best on.
        placed: bundled id -> what put it there, where it is not the benchmarks' table.
    """

    name: str
    title: str
    benchmarks: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    tiers: tuple[int, ...]
    placed: Mapping[str, str]


@frozen
class Floor:
    """Effective bits per weight below which a smaller model at more bits is the better choice.

    Attributes:
        bits: the floor.
        why: what it rests on.
        measured: False: an assumption, shown as one.
    """

    bits: float
    why: str
    measured: bool


@cache
def uses() -> Mapping[str, Use]:
    """Every use by name."""
    return MappingProxyType(
        {
            name: Use(
                name=name,
                title=row["title"],
                benchmarks=tuple(row["benchmarks"]),
                groups=tuple(tuple(group) for group in row["groups"]),
                tiers=tuple(row["tiers"]),
                placed=MappingProxyType(dict(row.get("placed", {}))),
            )
            for name, row in _authored()["use"].items()
        }
    )


def get_use(name: str) -> Use:
    """Return the use called `name`.

    Raises:
        InputError: no such use; the line lists them.
    """
    wanted = name.strip().lower()
    found = uses().get(ALIASES.get(wanted, wanted))
    if found is None:
        known = f"known: {', '.join(uses())}; also {', '.join(ALIASES)}"
        raise InputError(f"unknown use {name!r}; {known}")
    return found


def classes(use: str) -> tuple[tuple[str, ...], ...]:
    """Return the bundled models in classes for a use, the best class first.

    Models that are not bundled are left out, and models without vision where pictures are the use.

    Raises:
        InputError: no such use.
    """
    wanted = get_use(use)
    known = {entry.id: entry.model for entry in catalog.catalog()}
    kept = (
        tuple(
            base
            for base in group
            if base in known and (wanted.name != "vision" or known[base].vision is not None)
        )
        for group in wanted.groups
    )
    return tuple(group for group in kept if group)


@lru_cache(maxsize=256)
def rank_of(base: str, use: str) -> int | None:
    """Return the class that a model is in for a use (0 is the best); None if it has no place.

    Raises:
        InputError: no such use.
    """
    return next((place for place, group in enumerate(classes(use)) if base in group), None)


@lru_cache(maxsize=1024)
def tier_of(base: str, use: str) -> int:
    """Return the tier that a model is in for a use (0 is the best); models without one come last.

    Raises:
        InputError: no such use.
    """
    wanted = get_use(use)
    place = next((n for n, group in enumerate(wanted.groups) if base in group), None)
    if place is None:
        return len(wanted.tiers)
    ends = accumulate(wanted.tiers)
    return next(tier for tier, end in enumerate(ends) if place < end)


@cache
def scores() -> tuple[Score, ...]:
    """Every published score that classes rest on."""
    document = json.loads(read_bytes("registry", "data", "scores.json"))
    sources = document["sources"]
    return tuple(
        Score(
            base=_bundled(f"Qwen/{model}"),
            benchmark=benchmark,
            value=value,
            table=table,
            kind=kind,
            source=sources[source],
            date=date,
        )
        for model, benchmark, value, table, kind, source, date in document["scores"]
    )


def _bundled(name: str) -> str:
    """The bundled id of a model: thinking and instruct variants of one shape are one here."""
    found = catalog.find(name)
    return found[0].id if found is not None else name


def scores_of(base: str, use: str) -> tuple[Score, ...]:
    """Return a model's published scores on the tests of a use, official ones first.

    Raises:
        InputError: no such use.
    """
    tests = get_use(use).benchmarks
    found = [row for row in scores() if row.base == base and row.benchmark in tests]
    return tuple(
        sorted(found, key=lambda row: (row.kind != "official card", tests.index(row.benchmark)))
    )


def floor_of(base: str) -> Floor | None:
    """Return the floor of a model's bits; None for a model that nothing is known of."""
    return _floors().get(base)


@cache
def _floors() -> Mapping[str, Floor]:
    return MappingProxyType(
        {
            base: Floor(bits=row["bits"], why=row["why"], measured=row["measured"])
            for row in _authored()["floor"]
            for base in row["models"]
        }
    )


@cache
def _authored() -> dict[str, Any]:
    return read_toml("registry", "data", "capability.toml")

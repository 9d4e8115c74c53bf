"""What several entries of a hardware file share: families, and chips sold in several sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from hardware_db.errors import HardwareError
from hardware_db.reader import Reader

__all__ = ["in_family", "in_sizes"]

_MERGED = ("formats", "sources", "unified")


def in_family(table: dict[str, Any], families: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`table` with what its `family` says, where it does not say otherwise itself.

    A family may belong to others in turn; of several, the first named counts first. Formats, sources
    and unified memory are merged field by field; everything else is taken from the nearest that has it.
    """
    merged, passed = dict(table), []
    wanted = _families(merged)
    while wanted:
        name = wanted.pop(0)
        family = families.get(name) if isinstance(name, str) else None
        if not isinstance(family, dict) or name in passed:
            raise HardwareError(f"{where}: family must name a [family.*] table, not {name!r}")
        passed.append(name)
        shared = {
            field: {**family[field], **merged[field]}
            for field in _MERGED
            if isinstance(family.get(field), dict) and isinstance(merged.get(field), dict)
        }
        merged = {**family, **merged, **shared}
        wanted = [*_families(merged), *wanted]
    return merged


def _families(table: dict[str, Any]) -> list[Any]:
    """Take the names of families out of a table."""
    named = table.pop("family", [])
    return list(named) if isinstance(named, list) else [named]


def in_sizes(table: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield one table per memory size in which a chip is sold; just the table where it is one size.

    Every size answers to id and alias with the size behind it ("apple-m4-max-64", "m4-max-64gb").
    The bare id and aliases mean `bare_gb`, or the largest size; an id may end in that size itself.
    Prices of the table are those of the largest size; `by_size` has others. `gpu_share` is the
    share that the system lends to the GPU by memory size, and `raised_reserve_gib` what is left to
    the system where the owner raises that (with `raise_limit`), both as steps: a size takes the
    first step that reaches it.
    """
    table = dict(table)
    if "memory_sizes_gb" not in table:
        yield table
        return
    where = f"{where} {table.get('id')!r}"
    label = table.pop("memory_sizes_gb")
    lent = {name: table.pop(name, None) for name in ("gpu_share", "raised_reserve_gib")}
    how = table.pop("raise_limit", None)
    by_size = Reader({"by_size": table.pop("by_size", {})}, where).table("by_size")
    sizes = label.get("value") if isinstance(label, dict) else None
    if not isinstance(sizes, list) or not sizes or not all(_is_size(size) for size in sizes):
        raise HardwareError(f"{where}: memory_sizes_gb.value must be a list of whole GB")
    bare = table.pop("bare_gb", max(sizes))
    if bare not in sizes:
        raise HardwareError(f"{where}: bare_gb must be one of the sizes, not {bare!r}")
    for size in sorted(sizes, key=lambda size: (size != bare, -size)):
        shared = table if size == max(sizes) else {**table, "prices": []}
        one = {**shared, **by_size.pop(str(size), {})}
        one["memory_marketed_gb"] = {**label, "value": size}
        if lent["gpu_share"]:
            unified = _lent(lent["gpu_share"], size, where)
            if lent["raised_reserve_gib"] and isinstance(how, dict):
                unified |= _raised(lent["raised_reserve_gib"], how, size, unified, where)
            one["unified"] = {**unified, **one.get("unified", {})}
        yield _named(one, size, bare)
    if by_size:
        raise HardwareError(f"{where}: by_size.{next(iter(by_size))} is not one of the sizes")


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 65_536


def _lent(steps: object, size: int, where: str) -> dict[str, Any]:
    share, rest = _step("gpu_share", steps, size, where, most=1.0)
    usable = {**rest, "value": math.floor(share * size * 1024)}
    usable.pop("alternatives", None)
    usable["note"] = f"{share:g} of {size} GiB"
    return {"default_gpu_share": {**rest, "value": share}, "usable_mib": usable}


def _raised(
    steps: object, how: dict[str, Any], size: int, lent: dict[str, Any], where: str
) -> dict[str, Any]:
    """The limit that the owner can raise; nothing where that would not give the GPU more."""
    reserve, rest = _step("raised_reserve_gib", steps, size, where, most=float(size))
    raised = math.floor((size - reserve) * 1024)
    if raised <= lent["usable_mib"]["value"]:
        return {}
    figure = {**rest, "value": raised, "note": f"{reserve:g} of {size} GiB left to the system"}
    return {"raisable": {**how, "usable_mib": figure}}


def _step(
    field: str, steps: object, size: int, where: str, *, most: float
) -> tuple[float, dict[str, Any]]:
    """The number of the first step that reaches `size`, and the rest of its table."""
    for step in Reader({field: steps}, where).tables(field):
        limit = step.whole("up_to_gb")
        number = step.number("value", most=most)
        if size <= limit:
            return number, step.left
    raise HardwareError(f"{where}: {field} has no step that reaches {size} GB")


def _named(table: dict[str, Any], size: int, bare: int) -> dict[str, Any]:
    aliases = table.get("aliases", [])
    identity = table.get("id")
    if not isinstance(aliases, list) or not isinstance(identity, str):
        return table  # read_accelerator says what is wrong
    stem = identity.removesuffix(f"-{bare}")
    names = [stem, *(alias for alias in aliases if isinstance(alias, str))]
    sized = [f"{name}-{size}{unit}" for name in names for unit in ("", "gb")]
    table["name"] = f"{table.get('name')} {size}GB"
    if size == bare:
        plain = [stem] if stem != identity else []
        table["aliases"] = [*plain, *aliases, *(name for name in sized if name != identity)]
    else:
        table["id"], table["aliases"] = sized[0], sized[1:]
    return table

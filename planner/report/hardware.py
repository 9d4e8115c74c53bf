"""An entry of the hardware database, with every figure's source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hardware_db import Accelerator, Figure, Price, System
from hardware_db.walk import figures
from planner.units import counted, format_gib


def entry_lines(entry: Accelerator | System) -> Iterator[str]:
    """The entry for a terminal: names, what engines budget on, figures with source and grade."""
    accelerator = entry.accelerator if isinstance(entry, System) else entry
    yield f"{entry.name} ({entry.id})"
    if entry.aliases:
        yield f"also: {', '.join(entry.aliases)}"
    kinds = {one.id: one for one in entry.accelerators} if isinstance(entry, System) else {}
    for one in kinds.values() or (accelerator,):
        if isinstance(entry, System):
            count = entry.accelerators.count(one)
            yield f"{count}× {one.name} ({one.id}) in {counted(entry.nodes, 'node')}"
        basis = one.total_bytes_source
        yield (
            f"engines budget on {format_gib(one.total_bytes, 2)} each"
            f" ({basis.source}; grade {basis.grade})"
        )
    yield ""
    yield "grades: A machine output, B two third parties, C derived or one third party, D unverified"
    yield ""
    for name, figure in figures(entry):
        yield from _figure(name, figure)
    for price in (*entry.prices,):
        yield _price(price)
    if isinstance(entry, Accelerator):
        for name, text in entry.formats.items():
            yield f"  {'format ' + name:34} {text}"
        notes = (*entry.notes, *(entry.unified.notes if entry.unified else ()))
    else:
        notes = entry.notes
    for note in notes:
        yield f"! {note}"
    if isinstance(entry, System):
        also = (f"qwenplan hardware {one}" for one in kinds)
        yield ""
        yield f"See also: {', '.join(also)}"


def _figure(name: str, figure: Figure) -> Iterator[str]:
    when = f", {figure.date}" if figure.date else ""
    yield f"  {name:34} {figure.value:>12,}  {figure.grade}  {figure.source}{when}"
    if figure.note:
        yield f"  {'':34} {'':12}     {figure.note}"
    for other in figure.alternatives:
        yield f"  {'':34} {other.value:>12,}  {other.grade}  not taken: {other.source}"


def _price(price: Price) -> str:
    when = f", {price.date}" if price.date else ", undated"
    return f"  {'price (' + price.kind + ')':34} {price.value:>12,} {price.currency}  {price.source}{when}"


def entry_document(entry: Accelerator | System) -> dict[str, Any]:
    """The entry as plain data: every figure with value, source, grade, date and alternatives."""
    accelerator = entry.accelerator if isinstance(entry, System) else entry
    listed: dict[str, Any] = {}
    for name, figure in figures(entry):
        row = _figure_document(figure)
        if name in listed:
            known = listed[name]
            listed[name] = [*(known if isinstance(known, list) else [known]), row]
        else:
            listed[name] = row
    return {
        "id": entry.id,
        "name": entry.name,
        "kind": "system" if isinstance(entry, System) else "accelerator",
        "aliases": list(entry.aliases),
        "accelerator": accelerator.id,
        "accelerators": entry.count if isinstance(entry, System) else 1,
        "nodes": entry.nodes if isinstance(entry, System) else 1,
        "vendor": accelerator.vendor,
        "compute_capability": accelerator.compute_capability,
        "memory_bytes": accelerator.total_bytes,
        "figures": listed,
        "formats": dict(accelerator.formats),
        "prices": [
            {
                "value": price.value,
                "currency": price.currency,
                "kind": price.kind,
                "source": price.source,
                "date": price.date,
            }
            for price in entry.prices
        ],
        "notes": list(entry.notes),
    }


def _figure_document(figure: Figure) -> dict[str, Any]:
    return {
        "value": figure.value,
        "source": figure.source,
        "grade": figure.grade,
        "date": figure.date,
        "note": figure.note,
        "alternatives": [_figure_document(other) for other in figure.alternatives],
    }

"""`qwenplan hardware`: the database, and one entry with its sources."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hardware_db import Accelerator, HardwareError, System, get, resolve
from planner import api
from planner.errors import InputError
from planner.units import format_gib

_SHOW = ("show", "info")
"""Words that people put before a name although nothing else could be done with it."""


def hardware(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="One entry, or a part of names to search for.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """The hardware database; or one entry with every figure's source."""
    entries = api.hardware()
    told = [word for word in words or () if word.strip()]
    if told[1:] and told[0].lower() in _SHOW:
        told = told[1:]
    name = " ".join(told) if words else None
    if name is not None:
        try:
            return _show(get(name), as_json=as_json)
        except HardwareError as error:
            wanted = name.strip().lower()
            entries = tuple(
                entry
                for entry in entries
                if any(wanted in text.lower() for text in (entry.id, entry.name, *entry.aliases))
            )
            if not wanted or not entries:
                return _show(_composed(name, error), as_json=as_json)
    if as_json:
        typer.echo(json.dumps([_row(entry) for entry in entries], indent=2))
        return None
    typer.echo(f"{'id':34} {'name':44} {'memory':>12} {'GB/s':>7}")
    for entry in entries:
        row = _row(entry)
        bandwidth = row["bandwidth_gb_s"]
        speed = f"{bandwidth:,.0f}" if isinstance(bandwidth, int | float) else "?"
        count = f"{row['accelerators']}× " if row["accelerators"] != 1 else ""
        memory = count + format_gib(_accelerator(entry).total_bytes)
        typer.echo(f"{entry.id:34} {entry.name[:44]:44} {memory:>12} {speed:>7}")
    return None


def _composed(name: str, unknown: HardwareError) -> System:
    """Return the machine that words mean which name no entry: "2 nodes of 3x rtx-3060"."""
    try:
        return resolve(name)
    except HardwareError:
        raise InputError(str(unknown)) from None


def _accelerator(entry: Accelerator | System) -> Accelerator:
    return entry.accelerator if isinstance(entry, System) else entry


def _row(entry: Accelerator | System) -> dict[str, object]:
    accelerator = _accelerator(entry)
    return {
        "id": entry.id,
        "name": entry.name,
        "kind": "system" if isinstance(entry, System) else "accelerator",
        "accelerator": accelerator.id,
        "accelerators": entry.count if isinstance(entry, System) else 1,
        "memory_bytes": accelerator.total_bytes,
        "bandwidth_gb_s": accelerator.bandwidth_gb_s.value if accelerator.bandwidth_gb_s else None,
        "compute_capability": accelerator.compute_capability,
        "vendor": accelerator.vendor,
    }


def _show(entry: Accelerator | System, *, as_json: bool) -> None:
    from planner.report.hardware import entry_document, entry_lines

    if as_json:
        typer.echo(json.dumps(entry_document(entry), indent=2, default=str))
    else:
        typer.echo("\n".join(entry_lines(entry)))

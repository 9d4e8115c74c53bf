"""What can be downloaded for a model, and the renewal of that list from the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from planner import registry, sources
from planner.cli import terminal
from planner.units import format_gib

CHANGED = 20
"""Files whose size changed that are printed; the rest is a number."""


def download_lines(base: str) -> tuple[str, ...]:
    """Return what can be downloaded for a bundled model, by format and size, with its quality."""
    return ("", "What can be downloaded:", "", *registry.table(registry.downloads(base)))


def download_documents(base: str) -> list[dict[str, Any]]:
    """Return the same as plain data."""
    return [
        {
            "checkpoint": line.entry.name,
            "container": line.entry.container,
            "official": line.entry.maker == "official",
            "bytes": line.nbytes,
            "bytes_from": line.entry.evidence,
            "bits_per_weight": line.bits,
            "quality": line.loss.text,
            "quality_class": line.loss.said.text,
            "quality_basis": line.loss.basis,
            "date": line.entry.date,
            "source": line.entry.source,
        }
        for line in registry.downloads(base)
    ]


def refresh(base: str | None) -> None:
    """Renew the rows of one model, or of all, from the Hub and say what is new.

    Raises:
        PlannerError: the Hub could not be reached for any of them.
    """
    with terminal.progress() as progress:
        renewal = sources.refresh([base] if base is not None else (), told=progress)
    typer.echo("\n".join(_renewed(renewal)))


def _renewed(renewal: registry.Renewal) -> Iterator[str]:
    yield f"Repositories renewed: {len(renewal.renewed):,}. Answers use them from now on, offline, too."
    for name, (before, now) in list(renewal.changed.items())[:CHANGED]:
        old = format_gib(before, 2) if before is not None else "no size"
        yield f"  {name}: {old} -> {format_gib(now, 2)}"
    if len(renewal.changed) > CHANGED:
        yield f"  and {len(renewal.changed) - CHANGED:,} more files"
    for name in renewal.gone[:CHANGED]:
        yield f"  {name}: no longer listed"
    for repo, why in list(renewal.failed.items())[:CHANGED]:
        yield f"  ! {repo}: {why}"

"""`qwenplan models`: the bundled family; one model's files, parameters and bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from planner import api
from planner.cli import terminal
from planner.errors import InputError
from planner.loading import load_checkpoint
from planner.model.catalog import CatalogEntry
from planner.model.checkpoint import Checkpoint
from planner.model.parameters import ParameterCounts, count_parameters
from planner.model.quantization import scheme_notes
from planner.model.tensors import Part
from planner.units import format_gib

if TYPE_CHECKING:
    from planner.model.compare import PrecisionRow

WIDEST = 48
PARTS: tuple[Part, ...] = ("text", "vision", "mtp")


def models(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL", help="Bundled id, repository, folder or file; none lists all."
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="How weights are stored, such as fp8.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit on the Hub.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="The precisions side by side.")
    ] = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--refresh", help="Ask the Hub for today's files, of MODEL or of all, and keep them."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """The bundled family; or one model: what can be downloaded, parameters and bytes by component."""
    from planner.wanting import base_of

    base = base_of(model) if model is not None and precision is None else None
    if renew:
        from planner.cli.downloading import refresh

        if model is not None and base is None:
            raise InputError(
                f"--refresh: {model} is not a bundled model; name one, or none for all"
            )
        refresh(base)
        return
    if model is None:
        if compare:
            raise InputError("--compare: name the model whose precisions are to be compared")
        entries = api.models()
        if as_json:
            typer.echo(json.dumps([_entry(entry) for entry in entries], indent=2))
        else:
            terminal.write("\n".join(_table(entries)) + "\n")
        return
    with terminal.progress() as progress:
        checkpoint = load_checkpoint(
            model, precision=precision, revision=revision, progress=progress
        )
    if compare:
        from planner.model.compare import compare_precisions

        rows = compare_precisions(checkpoint.model)
        if as_json:
            typer.echo(json.dumps([_compared(row) for row in rows], indent=2))
        else:
            terminal.write("\n".join(_comparison(checkpoint, rows)) + "\n")
        return
    from planner.cli.downloading import download_documents, download_lines

    if as_json:
        listed = download_documents(base) if base is not None else []
        typer.echo(json.dumps({**_document(checkpoint), "downloads": listed}, indent=2))
    else:
        listed_lines = download_lines(base) if base is not None else ()
        terminal.write("\n".join([*_lines(checkpoint), *listed_lines]) + "\n")


def _compared(row: PrecisionRow) -> dict[str, object]:
    return {
        "precision": row.name,
        "title": row.title,
        "id": row.id,
        "evidence": row.evidence,
        "source": row.source,
        "bytes": row.nbytes,
        "bytes_by_part": dict(row.bytes_by_part),
        "bits_per_weight": float(row.bits_per_weight),
        "unquantized": dict(row.unquantized),
        "kernels": list(row.kernels),
        "notes": list(row.notes),
    }


def _comparison(checkpoint: Checkpoint, rows: tuple[PrecisionRow, ...]) -> list[str]:
    lines = [
        f"{checkpoint.model.name}: the same model, stored differently",
        "",
        f"{'precision':18} {'all':>11} {'text':>11} {'bits':>6}  {'known as':34} stays 16-bit or wider",
    ]
    for row in rows:
        known = row.id or row.evidence
        wide = ", ".join(name.removeprefix("text.") for name in row.unquantized) or "nothing"
        short = wide if len(wide) <= WIDEST else wide[: WIDEST - 1] + "…"
        lines.append(
            f"{row.name:18} {format_gib(row.nbytes):>11}"
            f" {format_gib(row.bytes_by_part.get('text', 0)):>11}"
            f" {float(row.bits_per_weight):>6.2f}  {known:34} {short}"
        )
    lines.append("")
    lines.append("all: text, vision tower and MTP module; engines load the last two only when used")
    return lines


def _entry(entry: CatalogEntry) -> dict[str, object]:
    counts = count_parameters(entry.model)
    return {
        "id": entry.id,
        "parameters": counts.total,
        "active": counts.active_named,
        "layers": entry.model.num_hidden_layers,
        "full_attention_layers": len(entry.model.full_attention_layers),
        "checkpoints": dict(entry.checkpoints),
        "released": entry.released,
        "verified": entry.verified,
        "sources": list(entry.sources),
    }


def _table(entries: tuple[CatalogEntry, ...]) -> list[str]:
    lines = [
        f"{'model':36} {'parameters':>12} {'active':>8} {'layers':>7} {'with KV':>8} {'BF16':>12}"
    ]
    for entry in entries:
        counts = count_parameters(entry.model)
        checkpoint = load_checkpoint(entry.id)
        lines.append(
            f"{entry.id:36} {_billions(counts.total):>12} {_billions(counts.active_named):>8}"
            f" {entry.model.num_hidden_layers:>7} {len(entry.model.full_attention_layers):>8}"
            f" {format_gib(checkpoint.nbytes()):>12}"
        )
    lines.append("")
    lines.append(
        "active: per token, with output head and embedding table (as in the models' names)"
    )
    return lines


def _billions(count: int) -> str:
    return f"{count / 1e9:,.2f} B"


def _lines(checkpoint: Checkpoint) -> list[str]:
    counts = count_parameters(checkpoint.model)
    kind = "as if stored as" if checkpoint.hypothetical else "stored as"
    lines = [
        f"{checkpoint.id} ({kind} {checkpoint.scheme.title})",
        f"facts: {checkpoint.source}",
        f"{counts.total:,} parameters: text {counts.text:,}, vision {counts.vision:,},"
        f" MTP {counts.mtp:,}",
        f"active per token: {counts.active_decode:,} with the output head"
        f" ({counts.active_named:,} with the embedding table)",
        "",
        f"{'part':8} {'component':24} {'stored as':24} {'parameters':>16} {'bytes':>18} {'GiB':>9}",
    ]
    for (part, component, stored), size in checkpoint.bytes_by_component.items():
        parameters = _parameters(counts, checkpoint, part, component, stored)
        lines.append(
            f"{part:8} {component:24} {stored:24} {parameters:>16} {size:>18,} {size / 2**30:>9.3f}"
        )
    lines.append("")
    lines += [
        f"{kind:8} {size:>18,} bytes  {format_gib(size, 2):>12}"
        for kind in PARTS
        if (size := checkpoint.nbytes(kind))
    ]
    size = checkpoint.nbytes()
    lines.append(f"{'all':8} {size:>18,} bytes  {format_gib(size, 2):>12}  ({size / 1e9:,.2f} GB)")
    if checkpoint.other:
        lines.append(f"{'other':8} {checkpoint.other:>18,} bytes that no role was found for")
    lines += [f"! {note}" for note in checkpoint.remarks]
    return lines


def _parameters(
    counts: ParameterCounts, checkpoint: Checkpoint, part: str, component: str, stored: str
) -> str:
    total = sum(
        row.tensor.parameters
        for row in checkpoint.stored
        if (row.tensor.part, row.tensor.component, row.format.name) == (part, component, stored)
    )
    return f"{total:,}"


def _document(checkpoint: Checkpoint) -> dict[str, object]:
    counts = count_parameters(checkpoint.model)
    return {
        "id": checkpoint.id,
        "precision": checkpoint.scheme.name,
        "precision_title": checkpoint.scheme.title,
        "hypothetical": checkpoint.hypothetical,
        "source": checkpoint.source,
        "parameters": {
            "total": counts.total,
            "text": counts.text,
            "vision": counts.vision,
            "mtp": counts.mtp,
            "active_body": counts.active_body,
            "active_decode": counts.active_decode,
            "active_named": counts.active_named,
            "active_mtp": counts.active_mtp,
            "components": dict(counts.components),
        },
        "bytes": {
            "total": checkpoint.nbytes(),
            "text": checkpoint.nbytes("text"),
            "vision": checkpoint.nbytes("vision"),
            "mtp": checkpoint.nbytes("mtp"),
            "components": [
                {"part": part, "component": component, "format": stored, "bytes": size}
                for (part, component, stored), size in checkpoint.bytes_by_component.items()
            ],
        },
        "other_bytes": checkpoint.other,
        "revision": checkpoint.revision,
        "differences": list(checkpoint.differences),
        "notes": [*checkpoint.notes, *scheme_notes(checkpoint.scheme, checkpoint.model)],
    }

"""What can be downloaded for a model, by format and size, with what it costs in quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hardware_db.records import frozen
from planner.model import catalog
from planner.registry import by_name
from planner.registry.entry import Container, Entry
from planner.registry.quality import Loss, loss_of
from planner.registry.sizing import download_bytes, effective_bits
from planner.registry.store import entries_of
from planner.units import format_gib

FAMILIES: dict[Container, str] = {
    "safetensors": "safetensors",
    "gguf": "GGUF",
    "gguf-ik": "GGUF for ik_llama.cpp",
    "gguf-fork": "GGUF for a fork of llama.cpp",
    "mlx": "MLX",
    "mlx-fork": "MLX for a fork",
    "exl3": "EXL3",
    "onnx": "ONNX",
    "other": "other",
}
"""Formats as users read them, in the order of the list."""


@frozen
class Download:
    """One line of the list.

    Attributes:
        entry: the checkpoint.
        nbytes: what is downloaded; by its recipe where nothing is published.
        bits: effective bits per weight of the language model.
        loss: what it costs in quality.
    """

    entry: Entry
    nbytes: int
    bits: float | None
    loss: Loss


def downloads(
    model: str,
    *,
    derivatives: bool = False,
    containers: Iterable[Container] | None = None,
) -> tuple[Download, ...]:
    """Return what can be downloaded for a bundled model: by format, the largest first.

    Args:
        model: bundled id, with or without organisation, or a tag.
        derivatives: fine-tunes, too.
        containers: only these formats.

    Raises:
        UnknownModelError: not a bundled model.
    """
    known = catalog.find(model)
    base = known[0].id if known is not None else by_name.base_of(model)
    if base is None:
        raise catalog.unknown(model)
    wanted = set(containers) if containers is not None else None
    order = list(FAMILIES)
    found = [
        _line(entry)
        for entry in entries_of(base)
        if entry.part == "model"
        and (derivatives or not entry.derivative)
        and (wanted is None or entry.container in wanted)
    ]
    return tuple(
        sorted(
            found,
            key=lambda line: (
                order.index(line.entry.container),
                line.entry.derivative,
                -line.nbytes,
                line.entry.name,
            ),
        )
    )


def _line(entry: Entry) -> Download:
    nbytes = download_bytes(entry)
    return Download(entry=entry, nbytes=nbytes, bits=effective_bits(entry), loss=loss_of(entry))


def table(lines: Sequence[Download]) -> tuple[str, ...]:
    """Return the list as lines of text: a heading per format, then checkpoint, size, bits, quality."""
    if not lines:
        return ("Nothing is known to be downloadable.",)
    width = min(64, max(len(line.entry.name) for line in lines))
    text: list[str] = []
    shown: Container | None = None
    for line in lines:
        entry = line.entry
        if entry.container != shown:
            shown = entry.container
            text += [*([""] if text else []), FAMILIES[shown]]
        about = "" if entry.evidence == "bytes" else "~"
        size = f"{about}{format_gib(line.nbytes, 1)}"
        bits = f"{line.bits:.1f} bits" if line.bits is not None else ""
        marks = ", ".join(_marks(entry))
        text.append(
            f"  {entry.name:{width}}  {size:>10}  {bits:>9}  {line.loss.text}"
            + (f"  [{marks}]" if marks else "")
        )
    if any(line.entry.evidence != "bytes" for line in lines):
        text += ["", "~ printed rounded, or by its recipe where no size is published"]
    return tuple(text)


def _marks(entry: Entry) -> Iterable[str]:
    if entry.maker == "official":
        yield "official"
    if entry.derivative:
        yield "fine-tune"
    if entry.mtp:
        yield "MTP"
    if entry.evidence == "recipe":
        yield "no size published"

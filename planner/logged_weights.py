"""How the weights of a server are stored, where its log tells it and only a base model is named."""

from __future__ import annotations

from hardware_db.records import frozen
from planner import registry
from planner.engines.log_figure import LoggedWeights
from planner.errors import PlannerError
from planner.logs import Log
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.path_names import named_by_path
from planner.registry.entry import Entry
from planner.registry.sizing import tensor_bytes
from planner.units import letters

FULL = "bf16"


@frozen
class Stored:
    """What a log tells of a base model.

    Attributes:
        checkpoint: as it was loaded; None where the log does not tell.
    """

    checkpoint: Checkpoint | None


def logged_checkpoint(log: Log, model: str | None) -> Stored | None:
    """Return a base model as the log says that it is stored.

    The file's name counts first, then the published file whose tensors are as large as the log says,
    then the type that the file states.

    Args:
        log: the start.
        model: what is named.

    Returns:
        None where `model` is no 16-bit base model, or the engine's model names tell it anyway.
    """
    if log.reader.weights is None or model is None or ":" in model:
        return None
    known = catalog.find(model)
    if known is None or catalog.bundled_checkpoint(model).scheme.name != FULL:
        return None
    told, base = log.reader.weights(log.lines), known[0].id
    rows = [row for row in registry.entries_of(base) if row.gguf and row.part == "model"]
    row = _by_label(told, rows) or _by_size(told, rows)
    if row is not None:
        return Stored(checkpoint=registry.checkpoint_of(row))
    for precision in _types(told):
        try:
            return Stored(checkpoint=registry.bundled_checkpoint(base, precision=precision))
        except PlannerError:
            continue
    return Stored(checkpoint=None)


def _types(told: LoggedWeights) -> list[str]:
    named = named_by_path(told.file) if told.file is not None else None
    return [name for name in (named[1] if named else None, told.scheme) if name is not None]


def _by_label(told: LoggedWeights, rows: list[Entry]) -> Entry | None:
    """The file that is called so, however its label is joined: an author's own kind."""
    if told.file is None:
        return None
    file = letters(told.file.replace("\\", "/").rpartition("/")[2].removesuffix(".gguf"))
    own = [row for row in rows if "-" in row.label and file.endswith(letters(row.label))]
    return max(own, key=lambda row: (row.recommendable, row.nbytes is not None), default=None)


def _by_size(told: LoggedWeights, rows: list[Entry]) -> Entry | None:
    """The published file of that size, of the stated type before others."""
    if told.nbytes is None:
        return None
    least, most = told.nbytes
    sized = [
        row
        for row in rows
        if row.evidence == "bytes" and row.recommendable and least <= tensor_bytes(row) <= most
    ]
    kind = (told.scheme or "").lower()
    return min(
        sized,
        key=lambda row: (row.recipe != kind, abs(2 * tensor_bytes(row) - least - most), row.name),
        default=None,
    )

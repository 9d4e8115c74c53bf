"""What was measured of stored checkpoints, one value a row, each with the protocol that it holds in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from hardware_db.records import frozen
from planner.registry.entry import Entry
from planner.registry.labels import bare
from planner.registry.store import grouped
from planner.shipped import read_bytes

KLD = "mean KLD"
"""Mean KL divergence of the next token's distribution from the original's."""

PERPLEXITY = "PPL"
"""Perplexity; its loss is how much it rises over the original's in the same run."""


@frozen
class Protocol:
    """One way of measuring, by one source: the only thing within which values compare.

    Attributes:
        metric: what is measured.
        setup: text, context, positions.
        source: who measured.
        against: what it is compared with, where that is not the 16-bit original.
    """

    metric: str
    setup: str
    source: str
    against: str | None = None


@frozen
class Measurement:
    """One measured value.

    Attributes:
        base: bundled id of the model.
        by: who stored it: an author, or a repository.
        label: file or format: ``UD-Q4_K_XL``, ``fp8 block``.
        kind: family of formats: ``gguf``, ``fp8``, ``nvfp4``, ``int4``, ``kv``, ...
        value: as measured.
        original: of the 16-bit original in the same run, where the metric needs one.
        bits: effective bits per weight, where the size is known.
        protocol: how.
        date: when.
        note: what the source adds.
    """

    base: str
    by: str
    label: str
    kind: str
    value: float
    original: float | None
    bits: float | None
    protocol: Protocol
    date: str
    note: str

    @property
    def loss(self) -> float | None:
        """The loss as a share: KLD as it is; perplexity as the rise over the original's."""
        if self.protocol.metric == PERPLEXITY:
            return None if not self.original else max(0.0, self.value / self.original - 1)
        return (
            self.value if "KLD" in self.protocol.metric or "KL " in self.protocol.metric else None
        )


@cache
def measurements() -> tuple[Measurement, ...]:
    """Every measurement, as shipped."""
    document = json.loads(read_bytes("registry", "data", "quality.json"))
    protocols = [Protocol(**row) for row in document["protocols"]]
    return tuple(
        Measurement(
            base=f"Qwen/{base}",
            by=by,
            label=label,
            kind=kind,
            value=value,
            original=original,
            bits=bits,
            protocol=protocols[protocol],
            date=date,
            note=note,
        )
        for base, by, label, kind, value, original, bits, protocol, date, note in document["rows"]
    )


@cache
def _by_author() -> Mapping[tuple[str, str], tuple[Measurement, ...]]:
    return grouped(((row.base, _author(row.by)), row) for row in measurements())


def _author(by: str) -> str:
    """Return whose account a file is of, where `by` names that, a repository or a kind of its files."""
    return by.lower().partition(" ")[0].partition("/")[0].removesuffix("-i1")


def measured_of(entry: Entry) -> tuple[Measurement, ...]:
    """Return what was measured of that very file, by every protocol; nothing for fine-tunes."""
    if entry.derivative or entry.named:
        return ()
    rows = _by_author().get((entry.base, _author(entry.repo)), ())
    return tuple(row for row in rows if _is_of(row, entry))


def _is_of(row: Measurement, entry: Entry) -> bool:
    author = entry.repo.partition("/")[0].lower()
    if entry.gguf:
        label, by = entry.label, row.by.lower()
        if author == "mradermacher":
            if by.endswith("-i1") != ("-i1-" in entry.repo or label.startswith("i1-")):
                return False
            by = by.removesuffix("-i1")
        same = by in (author, entry.repo.lower()) or by.startswith(f"{author} ")
        if not same or row.kind != "gguf":
            return False
        named = row.label.lower().removeprefix("apex-")
        return named == label.lower() or (
            named == bare(label) != label.lower() and label.startswith("i1-")
        )
    if row.kind != kind_of(entry):
        return False
    if "/" in row.by:
        return row.by.lower() == entry.repo.lower() and (
            not entry.label or entry.label in row.label
        )
    return row.by.lower() == author and entry.container == "safetensors"


_KINDS = (
    ("fp8", "fp8"),
    ("nvfp4", "nvfp4"),
    ("mxfp", "mxfp"),
    ("awq", "int4"),
    ("autoround", "int4"),
    ("gptq", "int4"),
    ("w4a16", "int4"),
    ("w8a", "int8"),
    ("bnb-nf4", "int4"),
    ("bnb-int8", "int8"),
    ("bf16", "bf16"),
)


def kind_of(entry: Entry) -> str:
    """Return the family of formats of an entry, as measurements name it."""
    if entry.gguf:
        return "gguf"
    if entry.container.startswith("mlx"):
        return "bf16" if entry.recipe == "bf16" else "mlx"
    if entry.container == "exl3":
        return "exl3"
    return next((kind for mark, kind in _KINDS if entry.recipe.startswith(mark)), "other")

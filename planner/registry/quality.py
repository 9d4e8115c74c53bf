"""What storing a model in fewer bits costs: measured for the file, or the spread of its kind.

Values compare within one protocol only; over protocols, absolute values are known to a factor of
2.5. The words are defined by ranges (docs/quality.md) that are wider than that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache, lru_cache
from typing import Literal

from hardware_db.records import frozen
from planner.model import catalog
from planner.registry.entry import Entry
from planner.registry.measurements import (
    KLD,
    PERPLEXITY,
    Measurement,
    Protocol,
    kind_of,
    measured_of,
    measurements,
)
from planner.registry.sizing import effective_bits
from planner.units import counted

EIGHT_BITS = 7.5
"""Effective bits from which on a checkpoint counts as stored in 8 bits."""

NOISE = 0.005
"""What perplexity does not see: values of one file differ by half a percent between runs (the 9B in
Q6_K measures 1.4 % better than the original)."""

_IN_EIGHT = ("fp8", "int8", "mxfp")
"""Kinds that store nothing in fewer than 8 bits. Of others, layers in 4 bits beside layers in 16 make
as many bits as a GGUF file that loses less: without a measurement of their own they lose a little."""

_BINS = (2.8, 3.3, 3.8, 4.25, 4.6, 4.9, 5.3, 6.2, 7.2, 9.2)
"""Bounds of the bits per weight within which measured files are one kind."""

_LARGE_DENSE = 20_000_000_000
"""Parameters from which on a dense model's KLD was measured; smaller ones have perplexities."""


class Word(float, Enum):
    """A loss in words, the least first; by `EIGHT_BITS` nothing is chosen, it is only said."""

    ORIGINAL = 0.0
    EIGHT_BITS = 0.5
    NEAR_LOSSLESS = 1.0
    SMALL = 2.0
    NOTICEABLE = 3.0
    LARGE = 4.0
    UNKNOWN = 5.0

    @property
    def text(self) -> str:
        """What users read."""
        return _TEXTS[self]


_TEXTS: Mapping[Word, str] = {
    Word.ORIGINAL: "as the original",
    Word.EIGHT_BITS: "8 bits",
    Word.NEAR_LOSSLESS: "near-lossless",
    Word.SMALL: "small loss",
    Word.NOTICEABLE: "noticeable loss",
    Word.LARGE: "large loss",
    Word.UNKNOWN: "loss not measured",
}

RANGES: tuple[tuple[float, Word], ...] = (
    (0.002, Word.ORIGINAL),
    (0.006, Word.NEAR_LOSSLESS),
    (0.03, Word.SMALL),
    (0.1, Word.NOTICEABLE),
)
"""Up to which loss (mean KLD, or rise of perplexity as a share) a word holds. Medians of the large
dense models that they were set by: 8 bits 0.0011; 5.3 to 7.2 bits 0.0023 to 0.0052; 4.25 to 5.3 bits
0.0064 to 0.025; 3.3 to 4.25 bits 0.079 to 0.086; below 3.3 bits 0.205 (docs/quality.md)."""

Basis = Literal["original", "file", "kind", "bits", "nothing"]
"""What a loss rests on: nothing is lost; that file was measured; files of its kind; GGUF files with
as many bits; nothing."""


KLD_WORDS = "KLD: how far predictions are from the 16-bit original's; 0 is the same"
"""What the number is, for those who meet it first."""


@frozen
class Loss:
    """What a checkpoint loses against its 16-bit original.

    Attributes:
        word: the class that it is chosen by; 8 bits count as the original (`EIGHT_BITS`).
        basis: what it rests on.
        metric: mean KLD, or the rise of perplexity; None where nothing was measured.
        value: measured (basis "file"), else the median of the kind.
        low: least of the kind; equals `value` for a measured file.
        high: largest of the kind.
        files: how many measured values that is.
        protocol: how a file was measured; None for a kind (several may be pooled).
        bits: effective bits per weight, where known.
    """

    word: Word
    basis: Basis
    metric: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    files: int = 0
    protocol: Protocol | None = None
    bits: float | None = None

    @property
    def said(self) -> Word:
        """The word that users read: 8 bits as such, unless less was measured of them."""
        if self.word is not Word.ORIGINAL or self.basis == "original":
            return self.word
        return min(Word.EIGHT_BITS, Word.UNKNOWN if self.value is None else word_of(self.value))

    @property
    def text(self) -> str:
        """One line: the word, the number and what it rests on."""
        counts = ", which count as the original" if self.said is Word.EIGHT_BITS else ""
        return f"{self.said.text}{counts}" + (f" ({self.evidence})" if self.evidence else "")

    @property
    def evidence(self) -> str:
        """What the word rests on: the number and of how many files; empty for the original."""
        if self.basis == "original":
            return ""
        if self.value is None or self.low is None or self.high is None:
            return f"{self.bits:.1f} bits" if self.bits else ""
        if self.basis == "file":
            told = f"{self._number(self.value)}, measured for this file"
            blind = self.said > word_of(self.value)  # perplexity alone does not see it
            return f"{told}, judged with others of its kind" if blind else told
        files = counted(self.files, "file" if self.basis == "kind" else "GGUF file")
        what = f"{files} {'of this kind' if self.basis == 'kind' else 'with as many bits'}"
        span = (
            f"{_short(self.low)}–{_short(self.high)}" if self.low != self.high else _short(self.low)
        )
        unit = "KLD" if self.metric == KLD else "perplexity"
        if self.metric == PERPLEXITY:
            span = f"+{100 * self.low:.1f} to +{100 * self.high:.1f} %"
        return f"{unit} {span} in {what}"

    @property
    def source(self) -> str | None:
        """Who measured, where it is one file's value."""
        return self.protocol.source if self.protocol is not None else None

    def _number(self, value: float) -> str:
        if self.metric == PERPLEXITY:
            return f"perplexity +{100 * value:.1f} %"
        return f"KLD {_short(value)}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def word_of(loss: float) -> Word:
    """Return the word for a mean KLD, or for a rise of perplexity as a share."""
    return next((word for most, word in RANGES if loss <= most), Word.LARGE)


@lru_cache(maxsize=2048)
def loss_of(entry: Entry) -> Loss:
    """Return what a checkpoint loses: its own measured value, else the spread of its kind."""
    kind, bits = kind_of(entry), effective_bits(entry)
    if kind == "bf16" or (bits is not None and bits > 12):
        return Loss(word=Word.ORIGINAL, basis="original", bits=bits)
    own = _own(entry)
    if own is not None and own.loss is not None:
        return Loss(
            word=_word_of_file(own, own.loss, entry.base, kind, bits),
            basis="file",
            metric=own.protocol.metric,
            value=own.loss,
            low=own.loss,
            high=own.loss,
            files=1,
            protocol=own.protocol,
            bits=bits,
        )
    return loss_of_kind(entry.base, kind, bits)


def _worded(loss: float, bits: float | None) -> Word:
    """The word; what has 8 bits counts as the original unless its own value says "noticeable"."""
    word = word_of(loss)
    if bits is not None and bits >= EIGHT_BITS and word < Word.NOTICEABLE:
        return Word.ORIGINAL
    return word


def _word_of_file(own: Measurement, loss: float, base: str, kind: str, bits: float | None) -> Word:
    """The word for a measured file; by perplexity never better than its kind, nor than its noise (`NOISE`)."""
    word = _worded(loss, bits)
    if own.protocol.metric != PERPLEXITY or (bits is not None and bits >= EIGHT_BITS):
        return word
    kind_word = loss_of_kind(base, kind, bits).word
    return max(word, Word.NEAR_LOSSLESS, kind_word if kind_word is not Word.UNKNOWN else word)


def _own(entry: Entry) -> Measurement | None:
    """The measurement to show of a file: of the protocol that measured most files of its model.

    Perplexity only where no KLD is known of models of its size.
    """
    rows = [
        row
        for row in measured_of(entry)
        if row.protocol.metric in (KLD, PERPLEXITY)
        and row.protocol.against is None
        and row.loss is not None
        and (row.protocol.metric == KLD or _class(entry.base, KLD) is None)
    ]
    return min(
        rows,
        key=lambda row: (row.protocol.metric != KLD, -_counts()[row.base, row.protocol], row.date),
        default=None,
    )


@cache
def _counts() -> Counter[tuple[str, Protocol]]:
    return Counter((row.base, row.protocol) for row in measurements())


def loss_of_kind(base: str, kind: str, bits: float | None) -> Loss:
    """Return the spread of what was measured of files of one kind.

    Args:
        base: bundled id of the model.
        kind: family of formats (`kind_of`).
        bits: effective bits per weight.
    """
    for basis, wanted in (("kind", kind), ("bits", "gguf")):
        if basis == "bits" and (kind == "gguf" or bits is None):
            break
        for metric in _metrics(base):
            values = _values(_class(base, metric), wanted, metric, _bin(bits, wanted))
            if values:
                low, high = values[0], values[-1]
                middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2
                word = _worded(middle, bits)
                if metric == PERPLEXITY and not (bits is not None and bits >= EIGHT_BITS):
                    word = max(word, Word.NEAR_LOSSLESS)
                eight = kind in _IN_EIGHT or (kind == "mlx" and (bits or 0) >= EIGHT_BITS)
                if basis == "bits" and not eight:
                    word = max(word, Word.SMALL)
                return Loss(
                    word=word,
                    basis="kind" if basis == "kind" else "bits",
                    metric=metric,
                    value=middle,
                    low=low,
                    high=high,
                    files=len(values),
                    bits=bits,
                )
    if bits is not None and bits >= EIGHT_BITS:
        return Loss(word=Word.ORIGINAL, basis="nothing", bits=bits)
    return Loss(word=Word.UNKNOWN, basis="nothing", bits=bits)


def _metrics(base: str) -> Sequence[str]:
    """What was measured of models of this size: KLD of large ones, perplexity of small ones."""
    return (PERPLEXITY,) if _class(base, KLD) is None else (KLD, PERPLEXITY)


@lru_cache(maxsize=64)
def _class(base: str, metric: str) -> str | None:
    """Which models count as one kind: experts or large dense; for perplexity, also of one size."""
    known = catalog.find(base)
    if known is None:
        return "moe" if metric == KLD else None
    model = known[0].model
    if model.moe is not None:
        return "moe"
    large = model.hidden_size * model.num_hidden_layers**2 * 1000 >= _LARGE_DENSE
    if metric == KLD:
        return "dense" if large else None
    return f"dense-{model.hidden_size}"


def _bin(bits: float | None, kind: str) -> int | None:
    """Which bits are one kind; other formats than GGUF are one kind whatever their bits."""
    if kind != "gguf" or bits is None:
        return None
    return sum(bits >= bound for bound in _BINS)


@lru_cache(maxsize=512)
def _values(class_: str | None, kind: str, metric: str, place: int | None) -> tuple[float, ...]:
    """Losses of one kind, sorted; over all protocols against the original."""
    if class_ is None or (kind == "gguf" and place is None):
        return ()
    return tuple(
        sorted(
            row.loss
            for row in measurements()
            if row.kind == kind
            and row.protocol.metric == metric
            and row.protocol.against is None
            and row.loss is not None
            and _class(row.base, metric) == class_
            and (place is None or (row.bits is not None and _bin(row.bits, kind) == place))
        )
    )


@frozen
class Comparison:
    """Several checkpoints by one protocol.

    Attributes:
        protocol: the one that measured most of them; None where none measured two.
        losses: checkpoint -> loss by that protocol; what it did not measure is left out.
        missing: those that it did not measure.
    """

    protocol: Protocol | None
    losses: Mapping[Entry, float]
    missing: tuple[Entry, ...]


def compare(entries: Iterable[Entry]) -> Comparison:
    """Return the losses of several checkpoints by the one protocol that measured most of them."""
    wanted = tuple(entries)
    found: dict[Protocol, dict[Entry, float]] = {}
    for entry in wanted:
        for row in measured_of(entry):
            if row.loss is not None and row.protocol.against is None:
                found.setdefault(row.protocol, {}).setdefault(entry, row.loss)
    best = max(found, key=lambda p: (len(found[p]), p.metric == KLD, p.source), default=None)
    losses = found[best] if best is not None and len(found[best]) > 1 else {}
    return Comparison(
        protocol=best if losses else None,
        losses=losses,
        missing=tuple(entry for entry in wanted if entry not in losses),
    )


@frozen
class CacheLoss:
    """What a KV cache in fewer bits was measured to cost.

    Attributes:
        base: the model that it was measured on.
        metric: how; a mean KLD over all tokens and one over the likeliest twenty are two things.
        value: as measured.
        word: in words.
        protocol: by whom.
        note: what the source adds.
    """

    base: str
    metric: str
    value: float
    word: Word
    protocol: Protocol
    note: str


def cache_losses(cache_format: str) -> tuple[CacheLoss, ...]:
    """Return what was measured of a KV cache format (``q8_0``, ``fp8``), on whichever model.

    Empty where nothing was; 16-bit caches lose nothing.
    """
    wanted = cache_format.lower().replace("-", "_")
    family = {"fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "auto": "f16"}.get(wanted, wanted)
    return tuple(
        CacheLoss(
            base=row.base,
            metric=row.protocol.metric.removeprefix("KV: "),
            value=row.loss,
            word=word_of(row.loss),
            protocol=row.protocol,
            note=row.note,
        )
        for row in measurements()
        if row.kind == "kv"
        and row.loss is not None
        and row.protocol.metric.startswith("KV")
        and family in _cache_formats(row.label)
    )


def _cache_formats(label: str) -> frozenset[str]:
    key, _, value = label.lower().partition("/")
    return frozenset({key.partition(" (")[0], (value or key).partition(" (")[0]})

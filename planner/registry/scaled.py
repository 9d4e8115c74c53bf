"""A recipe scaled to a published size: every quantized tensor takes a little more or less."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from hardware_db.records import frozen
from planner.formats import NumberFormat
from planner.model.quantization import Scheme, Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE

FINEST = 10**7
"""Parts that a factor is rounded to: 0.1 millionth of a checkpoint is a few hundred bytes."""


@frozen
class ScaledScheme:
    """A scheme whose tensors come to another size than the recipe that it follows.

    Formats keep their names, so that engines choose the same kernels; only their bytes differ.

    Attributes:
        name: what it is called: the label of a file, or the recipe's own name.
        title: what users read.
        source: who published the size.
        like: the recipe.
        factor: bytes of quantized tensors over those of the recipe.
        everything: 16-bit tensors are scaled, too (the total is below what the recipe keeps).
    """

    name: str
    title: str
    source: str
    like: Scheme
    factor: Fraction
    everything: bool = False

    def __hash__(self) -> int:
        """Return that of what it is called: the hash of a fraction takes longer than most answers."""
        return hash((self.name, self.title))

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Return every tensor of `model` as the recipe stores it, scaled."""
        rows, scaled = self.like.store(model), dict[NumberFormat, NumberFormat]()
        return tuple(
            Stored(tensor=row.tensor, format=self._scaled(row.format, scaled))
            if _is_scaled(row, everything=self.everything)
            else row
            for row in rows
        )

    def _scaled(
        self, known: NumberFormat, scaled: dict[NumberFormat, NumberFormat]
    ) -> NumberFormat:
        """Return a format scaled; `scaled`: those of this table so far."""
        if known not in scaled:
            scaled[known] = _times(known, self.factor)
        return scaled[known]


def _is_scaled(row: Stored, *, everything: bool) -> bool:
    """Whether a row takes its share of a difference: quantized, no table of embeddings, no vision tower.

    Most files of other mixes keep the table of the plain one: unsloth's Q4_K_S and UD-Q4_K_XL of the
    9B and UD-Q4_K_XL of the 27B load 545.62 and 682.03 MiB of it on the host, as Q4_K does; their
    35B in UD-Q4_K_M has it in Q8_0 (start-up logs). Tables of n-grams have rows of 160 elements, which
    few types can hold: UD-Q4_K_XL of Flash-Next loads 27,466 MiB of it, which is IQ4_NL (llama.cpp
    pull request 27742).
    """
    if row.tensor.part == "vision":
        return False
    return everything or (row.format.kernel is not None and row.tensor.component not in TABLES)


TABLE = "embed_tokens"
"""The component of the embedding table."""

TABLES = (TABLE, NGRAM_TABLE)
"""Those of all tables of which rows are looked up."""


@lru_cache(maxsize=4096)
def _times(known: NumberFormat, factor: Fraction) -> NumberFormat:
    return replace(known, bits=known.bits * factor, block_bytes=known.block_bytes * factor)


def scale_to(rows: Iterable[Stored], nbytes: int) -> tuple[Fraction, bool]:
    """Return the factor that brings rows of a recipe to `nbytes`, and whether it is for everything.

        factor = (nbytes - bytes that are kept) / bytes of quantized tensors

    Kept are tensors in 16 and 32 bits, tables of embeddings and the vision tower.
    """
    kept = quantized = vision = 0
    for row in rows:
        if _is_scaled(row, everything=False):
            quantized += row.nbytes
        else:
            kept += row.nbytes
            vision += row.nbytes if row.tensor.part == "vision" else 0
    if quantized and nbytes > kept:
        return _rounded(Fraction(nbytes - kept, quantized)), False
    return _rounded(Fraction(max(1, nbytes - vision), max(1, kept + quantized - vision))), True


def _rounded(factor: Fraction) -> Fraction:
    return Fraction(round(factor * FINEST), FINEST)

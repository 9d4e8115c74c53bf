"""A checkpoint: an architecture, how its weights are stored, and where that was learnt."""

from __future__ import annotations

from dataclasses import field, replace
from fractions import Fraction
from functools import cached_property

from hardware_db.records import frozen_with_cache
from planner.errors import InputError
from planner.model.quantization import (
    Scheme,
    Stored,
    bits_per_weight,
    get_scheme,
    kernels,
    recipe,
    scheme_notes,
)
from planner.model.spec import ModelSpec
from planner.model.tensors import Part
from planner.provenance import Band, Confidence
from planner.units import ceil_div


@frozen_with_cache
class Checkpoint:
    """Weights to serve.

    Attributes:
        id: repository id, path or bundled id: what an engine is told to load.
        model: its architecture.
        scheme: how its tensors are stored.
        source: where the facts come from ("bundled catalog, 2026-11-21", "Hub, commit ...").
        revision: resolved commit, where there is one.
        hypothetical: no official checkpoint of this precision is known; sizes follow the scheme.
        notes: what a user should know about it.
        other: bytes of stored tensors that no role was found for (headers only).
        differences: what the headers say otherwise than config or scheme, one sentence each.
        files: weight files and their bytes, where they were seen.
        path: absolute path on this machine that it was read from; None for everything else.
        band: how far its bytes may be off, where they are a published figure or a recipe that is not
            the file's own; None where they are known to the byte.
        published: the Hub has it under this id (and this file's label), whether or not its headers
            were read.
    """

    id: str
    model: ModelSpec
    scheme: Scheme
    source: str
    revision: str | None = None
    hypothetical: bool = False
    notes: tuple[str, ...] = field(default=())
    other: int = 0
    differences: tuple[str, ...] = field(default=())
    files: tuple[tuple[str, int], ...] = field(default=())
    path: str | None = None
    band: Band | None = None
    published: bool = False

    def quantized_on_load(self, quantization: str) -> Checkpoint:
        """Return the checkpoint as it lies in memory once an engine has quantized it.

        Raises:
            InputError: no precision is called so.
        """
        try:
            scheme = get_scheme(quantization)
        except InputError:
            raise InputError(
                f"--quantization {quantization}: quantizing a 16-bit checkpoint while loading is"
                " not planned; name a quantized checkpoint or a precision"
            ) from None
        note = (
            f"--quantization {quantization}: planned as weights that are stored so; what"
            " quantizing them takes while loading is not counted"
        )
        return replace(self, scheme=scheme, notes=(*self.notes, note))

    @cached_property
    def stored(self) -> tuple[Stored, ...]:
        """Every tensor with its format."""
        return self.scheme.store(self.model)

    @cached_property
    def _rows(self) -> dict[tuple[Part, ...], tuple[Stored, ...]]:
        """Parts -> their rows, as they were asked for."""
        return {}

    @cached_property
    def _sizes(self) -> dict[tuple[Part, ...], int]:
        """Parts -> their bytes, as they were asked for."""
        return {}

    def rows(self, *parts: Part) -> tuple[Stored, ...]:
        """The rows of the given parts, in table order."""
        found = self._rows.get(parts)
        if found is None:
            found = tuple(row for row in self.stored if row.tensor.part in parts)
            self._rows[parts] = found
        return found

    def nbytes(self, *parts: Part) -> int:
        """Bytes of the given parts; of the whole checkpoint, `other` included, if none is named."""
        size = self._sizes.get(parts)
        if size is None:
            if parts:
                size = sum(row.nbytes for row in self.rows(*parts))
            else:
                size = sum(row.nbytes for row in self.stored) + self.other
            self._sizes[parts] = size
        return size

    @cached_property
    def bytes_by_component(self) -> dict[tuple[str, str, str], int]:
        """(part, component, format) -> bytes."""
        sizes: dict[tuple[str, str, str], int] = {}
        for row in self.stored:
            key = (row.tensor.part, row.tensor.component, row.format.name)
            sizes[key] = sizes.get(key, 0) + row.nbytes
        return sizes

    @cached_property
    def bytes_by_part(self) -> dict[str, int]:
        """Part -> bytes, absent parts left out; "other" last where there is any."""
        sizes: dict[str, int] = {}
        for (part, _, _), size in self.bytes_by_component.items():
            sizes[part] = sizes.get(part, 0) + size
        return sizes | ({"other": self.other} if self.other else {})

    def band_on(self, nbytes: int) -> Band | None:
        """Return how far `nbytes` of its weights may be off: their share of its band, at most all of it.

        Args:
            nbytes: weights on one rank, say.
        """
        if self.band is None or not nbytes:
            return None
        # The vision tower, where it is a file of its own, has no part in what is not known.
        whole = max(nbytes, self.nbytes("text", "mtp"))
        return Band(
            below=ceil_div(self.band.below * nbytes, whole),
            above=ceil_div(self.band.above * nbytes, whole),
        )

    def confidence(self, rule: Confidence) -> Confidence:
        """Return how sure a number is that `rule` makes of its weights: no surer than they are."""
        if self.band is None or rule in (Confidence.CALIBRATED, Confidence.ASSUMED):
            return rule
        return Confidence.PUBLISHED

    @cached_property
    def recipe(self) -> Scheme:
        """The concrete scheme: what a name such as "nvfp4" means for this model."""
        return recipe(self.scheme, self.model)

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """Families of kernels that an engine needs for these weights ("fp8-block", "nvfp4", ...)."""
        return kernels(self.stored)

    @property
    def is_gguf(self) -> bool:
        """Its files are GGUF, in whatever format, BF16 included."""
        named = (self.path or "", *(name for name, _ in self.files))
        return self.scheme.title.startswith("GGUF") or any(
            name.lower().endswith(".gguf") for name in named
        )

    @cached_property
    def bits_per_weight(self) -> Fraction:
        """Bits per parameter, everything included; exact."""
        return bits_per_weight(self.stored)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """All that a user should know: notes, those of the scheme, differences."""
        return (*self.notes, *scheme_notes(self.scheme, self.model), *self.differences)

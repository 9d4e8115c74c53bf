"""A checkpoint: an architecture, how its weights are stored, and where that was learnt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from planner.model.quantization import Scheme, Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import Part


@dataclass(frozen=True, kw_only=True)
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
    """

    id: str
    model: ModelSpec
    scheme: Scheme
    source: str
    revision: str | None = None
    hypothetical: bool = False
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def stored(self) -> tuple[Stored, ...]:
        """Every tensor with its format."""
        return self.scheme.store(self.model)

    def rows(self, *parts: Part) -> Iterator[Stored]:
        """The rows of the given parts, in table order."""
        return (row for row in self.stored if row.tensor.part in parts)

    def nbytes(self, *parts: Part) -> int:
        """Bytes of the given parts; of the whole checkpoint if none is named."""
        return sum(row.nbytes for row in (self.rows(*parts) if parts else self.stored))

    @cached_property
    def bytes_by_component(self) -> dict[tuple[str, str, str], int]:
        """(part, component, format) -> bytes."""
        sizes: dict[tuple[str, str, str], int] = {}
        for row in self.stored:
            key = (row.tensor.part, row.tensor.component, row.format.name)
            sizes[key] = sizes.get(key, 0) + row.nbytes
        return sizes

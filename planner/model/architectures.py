"""The architectures that can be planned for, as rows of data: what a `model_type` stands for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from hardware_db.records import frozen
from planner.model.layers import FULL
from planner.shipped import read_toml


@frozen
class Architecture:
    """One row of data/architectures.toml, where the fields are explained."""

    model_types: tuple[str, ...]
    gguf: str
    hybrid: bool = False
    output_gate: bool = False
    experts: bool = False
    fused_projections: bool = False
    attention_names: tuple[str, ...] = (FULL,)
    indexer: bool = False
    hyper_connections: bool = False
    ngram_embedding: bool = False
    split_mtp_fc: bool = False
    gguf_mtp: bool = True
    needed: tuple[str, ...] = ()

    @property
    def text_type(self) -> str:
        """The `model_type` of the text model alone."""
        return self.model_types[-1]


@cache
def architectures() -> tuple[Architecture, ...]:
    """Return every row, as authored."""
    rows = read_toml("model", "data", "architectures.toml")["architecture"]
    return tuple(_row(row) for row in rows)


def _row(values: Mapping[str, Any]) -> Architecture:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Architecture(**fields)


@cache
def by_model_type() -> Mapping[str, Architecture]:
    """Return the rows by every `model_type` that names them."""
    return MappingProxyType({name: row for row in architectures() for name in row.model_types})


@cache
def by_gguf() -> Mapping[str, Architecture]:
    """Return the rows by `general.architecture` of GGUF files."""
    return MappingProxyType({row.gguf: row for row in architectures()})

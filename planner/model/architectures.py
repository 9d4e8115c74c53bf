"""The architectures that can be planned for, as rows of data: what a `model_type` stands for."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One row of data/architectures.toml, where the fields are explained."""

    model_types: tuple[str, ...]
    gguf: str
    hybrid: bool = False
    output_gate: bool = False
    experts: bool = False
    fused_projections: bool = False

    @property
    def text_type(self) -> str:
        """The `model_type` of the text model alone."""
        return self.model_types[-1]


@cache
def architectures() -> tuple[Architecture, ...]:
    """Return every row, as authored."""
    text = (files("planner.model") / "data" / "architectures.toml").read_text("utf-8")
    return tuple(
        Architecture(**(row | {"model_types": tuple(row["model_types"])}))
        for row in tomllib.loads(text)["architecture"]
    )


@cache
def by_model_type() -> Mapping[str, Architecture]:
    """Return the rows by every `model_type` that names them."""
    return MappingProxyType({name: row for row in architectures() for name in row.model_types})


@cache
def by_gguf() -> Mapping[str, Architecture]:
    """Return the rows by `general.architecture` of GGUF files."""
    return MappingProxyType({row.gguf: row for row in architectures()})

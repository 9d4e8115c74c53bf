"""A quantizer's document, read with errors that name the field, and the roles that methods touch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.errors import UnsupportedModelError
from planner.formats import FORMATS

MOST_ENTRIES = 200_000
"""Entries of one list of modules; a 2.4T model that lists every expert has 0.15 million."""

_LAYERS = ("full_attn.[qkvo]_proj", "dense_mlp", "moe.routed_experts", "moe.shared_expert")
_GDN = ("gdn.in_proj_qkv", "gdn.in_proj_qkvz", "gdn.in_proj_z", "gdn.out_proj")
DECODER: tuple[str, ...] = tuple(f"text.{role}" for role in (*_LAYERS, *_GDN))
"""Linear layers of the decoder that GPTQ, AWQ and AutoRound take; routers and the two small GDN
projections are too narrow for their kernels."""

LINEAR: tuple[str, ...] = (
    *(f"*.{role}" for role in (*_LAYERS, *_GDN)),
    "text.gdn.in_proj_*",
    "*.moe.router",
    "*.moe.shared_expert_gate",
    "*.full_attn.qsa_indexer",
    "*.hyper_connections",
    "text.ple.other",
    "mtp.fc*",
    "vision.blocks",
    "vision.merger",
)
"""Everything that is a linear layer to an engine, the head apart."""

HEAD = "text.lm_head"


class Document:
    """One level of a quantizer's document.

    Attributes:
        where: file and key, for error lines.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        """Keep the values; nothing is checked until it is read."""
        self.values, self.where = values, where

    def refuse(self, problem: str) -> UnsupportedModelError:
        """The one line that says what is not understood."""
        return UnsupportedModelError(f"{self.where}: {problem}")

    def first(self, *keys: str) -> Any:
        """The value of the first key that is there and not null."""
        return next((v for key in keys if (v := self.values.get(key)) is not None), None)

    def whole(self, *keys: str, default: int | None = None, least: int = 1) -> int:
        """A whole number up to 2^20 under one of the keys."""
        value = self.first(*keys)
        if value is None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.refuse(f"{keys[0]} is {_shown(value)}, not a whole number")
        if not least <= value <= 2**20:
            raise self.refuse(f"{keys[0]} is {value}, out of range")
        return value

    def flag(self, *keys: str, default: bool) -> bool:
        """True or false."""
        value = self.first(*keys)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(f"{keys[0]} is {_shown(value)}, not true or false")
        return value

    def text(self, *keys: str, default: str = "") -> str:
        """A text, lower case."""
        value = self.first(*keys)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.refuse(f"{keys[0]} is {_shown(value)}, not a text")
        return value.lower()

    def names(self, *keys: str) -> tuple[str, ...]:
        """A list of module names or patterns; empty if absent."""
        value = self.first(*keys)
        if value is None:
            return ()
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
            raise self.refuse(f"{keys[0]} is not a list of module names")
        if len(value) > MOST_ENTRIES:
            raise self.refuse(f"{keys[0]} has {len(value):,} entries")
        return tuple(value)

    def section(self, *keys: str) -> Document | None:
        """An object under one of the keys."""
        value = self.first(*keys)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.refuse(f"{keys[0]} is not an object")
        return Document(value, f"{self.where} {keys[0]}")

    def sections(self, key: str) -> dict[str, Document]:
        """The objects of an object of objects."""
        outer = self.section(key)
        if outer is None:
            return {}
        if len(outer.values) > MOST_ENTRIES:
            raise self.refuse(f"{key} has {len(outer.values):,} entries")
        found = {}
        for name, value in outer.values.items():
            if not isinstance(value, Mapping):
                raise self.refuse(f"{key}: {_shown(name)} is not an object")
            found[name] = Document(value, f"{self.where} {key} {name[:60]}")
        return found

    def known(self, format_name: str, found: str) -> str:
        """`format_name`, if there is such a format; `found` says what the document asks for."""
        if format_name not in FORMATS:
            raise self.refuse(f"{found} is not a way of storing weights that is known here")
        return format_name


def _shown(value: object) -> str:
    return repr(value)[:60]

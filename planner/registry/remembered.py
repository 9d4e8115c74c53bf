"""Checkpoints whose headers were read once: kept by role in the user's cache, exact and offline.

A document per checkpoint holds its architecture and its table of tensors as plain values. Whatever
cannot be read back as written (another release of the planner, a damaged file) counts as not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from planner.formats import NumberFormat
from planner.model import layers, spec, tensor
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import Stored
from planner.model.stored_headers import HeaderScheme
from planner.registry.user_cache import read_document, write_document

_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        Checkpoint,
        HeaderScheme,
        Stored,
        NumberFormat,
        *(
            member
            for module in (spec, layers, tensor)
            for member in vars(module).values()
            if isinstance(member, type)
            and member.__module__ == module.__name__
            and (is_dataclass(member) or issubclass(member, Enum))
        ),
    )
}
_DEEPEST = 20


def remember(checkpoint: Checkpoint, *names: str) -> bool:
    """Keep a checkpoint that was read from headers, under the names that it was asked by.

    Returns:
        Whether it is kept: only checkpoints of the Hub whose bytes are those of their headers are.
    """
    if checkpoint.revision is None or not isinstance(checkpoint.scheme, HeaderScheme):
        return False
    document = {"checkpoint": _plain(checkpoint)}
    kept = [write_document(_file(name), document) for name in names]
    return all(kept)


def recall(name: str) -> Checkpoint | None:
    """Return the checkpoint that was remembered under a name, or None."""
    document = read_document(_file(name))
    try:
        found = _read(document["checkpoint"])
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError, RecursionError):
        return None
    return found if isinstance(found, Checkpoint) and _sound(found) else None


def _file(name: str) -> str:
    key = hashlib.sha256(name.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"headers/{key}.json"


def _sound(checkpoint: Checkpoint) -> bool:
    """Whether what was read back adds up: tables of rows, whole bytes."""
    try:
        rows = checkpoint.stored
        return all(isinstance(row, Stored) for row in rows) and checkpoint.nbytes() > 0
    except Exception:  # a document of anybody's making: whatever is wrong with it, it is not kept
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"is": type(value).__name__, "name": value.name}
    if isinstance(value, Fraction):
        return {"is": "Fraction", "of": [value.numerator, value.denominator]}
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: _plain(getattr(value, one.name)) for one in fields(value) if one.init}
        return {"is": type(value).__name__, **named}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _read(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return tuple(_read(item, depth + 1) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value["is"]
    if kind == "Fraction":
        return Fraction(*value["of"])
    found = _KINDS[kind]
    if issubclass(found, Enum):
        return found[value["name"]]
    return found(**{key: _read(item, depth + 1) for key, item in value.items() if key != "is"})

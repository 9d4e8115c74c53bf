"""Every figure of an entry by the name of its field: for listings, reference pages and checks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from hardware_db.accelerator import Accelerator
from hardware_db.figures import Figure
from hardware_db.system import System

__all__ = ["figures"]


def figures(entry: Accelerator | System) -> Iterator[tuple[str, Figure]]:
    """The figures of `entry` in the order of its fields: ("tflops.bf16", Figure(...)), and so on.

    Alternatives stay inside their figure. A system's accelerator is not entered.
    """
    yield from _inside("", entry)


def _inside(path: str, value: object) -> Iterator[tuple[str, Figure]]:
    if isinstance(value, Figure):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inside(f"{path}.{name}", item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _inside(path, item)
    elif dataclasses.is_dataclass(value) and not (path and isinstance(value, Accelerator)):
        for field in dataclasses.fields(value):
            name = f"{path}.{field.name}" if path else field.name
            yield from _inside(name, getattr(value, field.name))

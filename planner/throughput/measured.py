"""What was measured of a device class under an engine, and what nobody did.

Constants are fitted on decoding and prompts together, so that a class may have constants of prompts
without a prompt that was ever measured there: they are told from what others' prompts cost those who
decode, and from other classes. Answers say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from planner.throughput.constants import Basis, Calibration, family, table
from planner.units import counted

Prompts = Literal["dense", "moe"]
"""Kind of model: prompts of a mixture of experts have a constant of their own."""

HARDLY = 5
"""Fewer points of one class, engine and width of weights are hardly a measurement."""

_WIDEST = 16
"""Bits of weights that are multiplied as they are."""

_KIND = {"dense": "a dense model", "moe": "a mixture of experts"}


def hardly_decoded(found: Calibration, engine: str, width: int) -> tuple[str, ...]:
    """Why the constants of decoding are thin although the class was measured under the engine."""
    if found.basis != "fitted":
        return ()
    points = rigs = 0
    for row in _rows(found, engine):
        if row["width"] == width:
            points, rigs = points + row["decode"][0], rigs + row["decode"][1]
    if points >= HARDLY:
        return ()
    count = f"{counted(points, 'point')} of {counted(rigs, 'rig')}" if points else "no point"
    return (f"decoding was hardly measured with weights of this width there: {count}",)


def prompts_basis(found: Calibration, engine: str, kind: Prompts) -> Basis:
    """How well founded the constants of prompts are, by the prompts that were measured."""
    if found.preset == "kernel" or any(row[kind][0] for row in _rows(found, engine)):
        return found.basis
    return "sibling" if any(row[kind][0] for row in _rows(found)) else "unmeasured"


def narrow_prompts(found: Calibration, engine: str, kind: Prompts) -> bool:
    """Whether prompts of weights of fewer than 16 bits were measured of the class under the engine."""
    return any(row[kind][0] for row in _rows(found, engine) if row["width"] < _WIDEST)


def unmeasured_prompts(found: Calibration, engine: str, kind: Prompts) -> tuple[str, ...]:
    """Why the time of a prompt is rough: nobody measured one there."""
    basis = prompts_basis(found, engine, kind)
    if found.preset == "kernel" or any(row[kind][0] for row in _rows(found, engine)):
        return ()
    where = " under this engine" if basis == "sibling" else ""
    return (f"no prompt of {_KIND[kind]} was measured on such machines{where}",)


def _rows(found: Calibration, engine: str | None = None) -> Iterator[Mapping[str, Any]]:
    device = found.device_class or "other"
    for row in table("serving")["measured"]:
        if row["device"] == device and (engine is None or row["engine"] == family(engine)):
            yield row

"""Read how much memory a start asked for in vain, and how much was free."""

from __future__ import annotations

import re
from collections.abc import Iterable

from planner.units import MIB

SIZES = {
    "B": 1,
    "size": 1,
    "bytes": 1,
    "KiB": 2**10,
    "MiB": MIB,
    "GiB": 2**30,
    "TiB": 2**40,
    "MB": 10**6,
    "GB": 10**9,
}
"""Bytes of a unit, as logs write it."""

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate",
    "HIP out of memory. Tried to allocate",
    "XPU out of memory. Tried to allocate",
    "RuntimeError: CUDA error: out of memory",
)
"""What PyTorch says, whatever runs on it."""

_SIZE = r"(?P<{}>\d{{1,12}}(?:\.\d{{1,6}})?) (?P<{}>[KMGT]?i?B)"
OUT_OF_MEMORY_LACKS = (
    rf"Tried to allocate {_SIZE.format('wanted', 'unit')}\..{{0,200}}? of which"
    rf" {_SIZE.format('free', 'left')} is free",
    rf"Tried to allocate {_SIZE.format('wanted', 'unit')} \(GPU .{{0,200}}?"
    rf" {_SIZE.format('free', 'left')} free;",
    rf"Tried to allocate {_SIZE.format('wanted', 'unit')}",
)
"""What was asked for when PyTorch found no memory, and what there was."""


def lacked_in(line: str, patterns: Iterable[str]) -> tuple[int, int | None] | None:
    """Return the bytes that a line asks for in vain, and how many were free if it tells; None: it does not."""
    for pattern in patterns:
        match = re.search(pattern, line)
        if match is not None:
            told = {"free": None, "left": None} | match.groupdict()
            free = told["free"] and float(told["free"]) * SIZES[told["left"] or ""]
            wanted = float(match["wanted"]) * SIZES[match["unit"]]
            return int(wanted), None if free is None else int(free)
    return None


def asked_in_vain(line: str) -> str:
    """Return what PyTorch asked for and what was free, as a clause; empty where a line tells nothing."""
    lacked = lacked_in(line, OUT_OF_MEMORY_LACKS)
    if lacked is None:
        return ""
    wanted, free = lacked
    asked = f"{_size(wanted)} were asked for"
    if free is None:
        return f"{asked} in vain"
    if free < wanted:
        return f"{asked} and {_size(free)} were free, {_size(wanted - free)} too little"
    return (
        f"{asked} in one piece, and the {_size(free)} that were free are not in one"
        " (PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True keeps memory in fewer pieces)"
    )


def _size(nbytes: int) -> str:
    unit = "GiB" if nbytes >= 2**30 else "MiB"
    return f"{nbytes / SIZES[unit]:.2f} {unit}"

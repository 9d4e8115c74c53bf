"""The host's memory: what it streams at nominal, and who says so.

First the user's word, then the hardware entry (its bandwidth, else its CPU), then a class assumed
from the accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from hardware_db import System
from planner.errors import InputError
from planner.throughput.constants import has_facts, table
from planner.throughput.workload import is_number

MAX_GB_S = 10_000
"""Host memory of no machine streams more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """Nominal bandwidth of a host's memory.

    Attributes:
        gb_s: decimal GB/s: channels x 8 bytes x transfers per second, of one socket.
        title: what it is, in words.
        assumed: nobody said so; a class was taken.
    """

    gb_s: float
    title: str
    assumed: bool

    @property
    def words(self) -> str:
        """``RAM assumed to be dual-channel DDR5-5600 (90 GB/s)``."""
        taken = "assumed to be " if self.assumed else ""
        advice = "; say otherwise with --ram-bandwidth" if self.assumed else ""
        return f"RAM {taken}{self.title} ({self.gb_s:.0f} GB/s){advice}"


def host_memory(system: System, *, bandwidth: float | None = None) -> HostMemory:
    """Return the memory of `system`'s host.

    Args:
        system: where the deployment runs.
        bandwidth: nominal GB/s as the user knows it; None takes what is known or assumed.

    Raises:
        InputError: a bandwidth out of range.
    """
    if bandwidth is not None:
        if not is_number(bandwidth) or not 0 < bandwidth <= MAX_GB_S:
            raise InputError(
                f"RAM bandwidth: {bandwidth} GB/s is out of range (up to {MAX_GB_S:,}; two channels"
                " of DDR5-5600 are 90)"
            )
        return HostMemory(gb_s=float(bandwidth), title="as you say", assumed=False)
    accelerator = system.accelerator
    if accelerator.is_unified and accelerator.bandwidth_gb_s is not None:
        return HostMemory(
            gb_s=accelerator.bandwidth_gb_s.value,
            title=f"the memory of {accelerator.name}",
            assumed=False,
        )
    if (figure := system.host_bandwidth_gb_s) is not None:
        given = figure.source.startswith("given by the user")
        title = system.host_memory_type or ("as you say" if given else f"that of {system.name}")
        return HostMemory(gb_s=figure.value, title=title, assumed=figure.grade == "D")
    rows: list[Mapping[str, Any]] = table("host")["memory"]
    for row in rows:
        if is_named(system.cpu, row["cpu"]):
            return HostMemory(
                gb_s=row["gb_s"], title=f"{row['title']} of {system.cpu}", assumed=False
            )
    wanted = next(row for row in table("host")["assumed"] if has_facts(accelerator, row["facts"]))
    row = next(row for row in rows if row["id"] == wanted["memory"])
    return HostMemory(gb_s=row["gb_s"], title=row["title"], assumed=True)


def is_named(cpu: str | None, patterns: Sequence[str]) -> bool:
    """Whether a CPU is known and one of the patterns is its name's."""
    return cpu is not None and any(fnmatchcase(cpu, pattern) for pattern in patterns)

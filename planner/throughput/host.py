"""The host's memory: what it streams at nominal, and who says so.

First the user's word, then the hardware entry (its bandwidth, else its CPU), then a class assumed
from the accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

from hardware_db import System
from hardware_db.records import frozen
from hardware_db.regex import is_like
from planner.errors import InputError
from planner.memo import remembered
from planner.throughput.constants import has_facts, table
from planner.throughput.workload import is_number

MAX_GB_S = 10_000
"""Host memory of no machine streams more."""


@frozen
class HostMemory:
    """Nominal bandwidth of a host's memory.

    Attributes:
        gb_s: decimal GB/s: channels x 8 bytes x transfers per second, of one socket.
        title: what it is, in words.
        assumed: nobody said so; a class was taken.
        cores_gb_s: GB/s of the memory that such a CPU usually has, which stands for its cores.
    """

    gb_s: float
    title: str
    assumed: bool
    cores_gb_s: float

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
        return _told(system, float(bandwidth), "as you say")
    figure = system.host_bandwidth_gb_s
    if figure is not None and figure.is_given and not system.accelerator.is_unified:
        found = _told(system, figure.value, system.host_memory_type or "as you say")
        return replace(found, assumed=figure.grade == "D")
    return _of_machine(system)


def _told(system: System, gb_s: float, title: str) -> HostMemory:
    """What the user says of the memory; it tells less of the cores than the machine itself does.

    Of a CPU that is not known either, the mean (in logs) of what is assumed and what is said: wide
    memories come with many cores, faster modules do not.
    """
    usual = _of_machine(system)
    cores = sqrt(usual.gb_s * gb_s) if usual.assumed else usual.gb_s
    return HostMemory(gb_s=gb_s, title=title, assumed=False, cores_gb_s=cores)


@remembered(lambda system: ((system,), None))
def _of_machine(system: System) -> HostMemory:
    """The memory by the hardware entry, its CPU, or the class assumed from the accelerator."""
    accelerator, figure = system.accelerator, system.host_bandwidth_gb_s
    if accelerator.is_unified and accelerator.bandwidth_gb_s is not None:
        own = accelerator.bandwidth_gb_s
        title = system.host_memory_type or f"the memory of {accelerator.name}"
        return _usual(own.value, title, assumed=own.grade == "D")
    if figure is not None and not figure.is_given:
        title = system.host_memory_type or f"that of {system.name}"
        return _usual(figure.value, title, assumed=figure.grade == "D")
    rows: list[Mapping[str, Any]] = table("host")["memory"]
    for row in rows:
        if is_named(system.cpu, row["cpu"]):
            return _usual(row["gb_s"], f"{row['title']} of {system.cpu}")
    wanted = next(row for row in table("host")["assumed"] if has_facts(accelerator, row["facts"]))
    row = next(row for row in rows if row["id"] == wanted["memory"])
    return _usual(row["gb_s"], row["title"], assumed=True)


def _usual(gb_s: float, title: str, *, assumed: bool = False) -> HostMemory:
    return HostMemory(gb_s=gb_s, title=title, assumed=assumed, cores_gb_s=gb_s)


def is_named(cpu: str | None, patterns: Sequence[str]) -> bool:
    """Whether a CPU is known and one of the patterns is its name's."""
    return cpu is not None and any(is_like(cpu, pattern) for pattern in patterns)


def host_flops(cores: float) -> float:
    """FLOP/s that `host_compute` is a share of: 10 per byte that the CPU's usual memory streams.

    Cores are not known to the planner. Between machines they follow the memory: a Haswell with 51 GB/s
    computes 0.21 TFLOP/s of a prompt, two laptops with 90 GB/s 0.40, a Sapphire Rapids with 307 GB/s
    0.95. Within one machine they do not, so `cores` is no figure that faster modules raise.
    """
    return 10 * cores

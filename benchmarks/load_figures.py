"""What a run of `benchmarks.load` saw, and what the server and its workers used meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fidelity import quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes resident and seconds of processor time, of the server and of all its workers."""

    server: int
    workers: int
    server_seconds: float
    worker_seconds: float


@dataclass(slots=True)
class Tally:
    """What all sessions saw.

    Attributes:
        opened: seconds until first pages were complete.
        changed: seconds until changed pages were complete.
        told: seconds until their first verdict stood there, where they have one.
        slow: seconds of a change, and which it was.
        errors: what went wrong, one line each.
        usage: pages that were complete until then, and what had been used.
    """

    opened: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    slow: list[tuple[float, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    usage: list[tuple[int, Usage]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """Pages that were complete."""
        return len(self.opened) + len(self.changed)


def usage() -> Usage:
    """Return what the server below this process and its workers hold and have used."""
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    rows = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            parent, *times = (int(fields[place]) for place in (1, 11, 12, 13, 14))
            rows[int(path.parent.name)] = (parent, times, int(fields[21]) * page)
    servers = [number for number, row in rows.items() if row[0] == os.getpid()]
    workers = [number for number, row in rows.items() if row[0] in servers]
    own = sum(sum(rows[number][1][:2]) for number in servers)
    ended = sum(sum(rows[number][1][2:]) for number in servers)
    at_work = sum(sum(rows[number][1]) for number in workers)
    return Usage(
        server=sum(rows[number][2] for number in servers),
        workers=sum(rows[number][2] for number in workers),
        server_seconds=own / tick,
        worker_seconds=(ended + at_work) / tick,
    )


def memory(tally: Tally) -> str:
    """A dozen readings of the memory, by how much had been asked."""
    step = max(1, len(tally.usage) // 12)
    return "MiB of server + workers after so many: " + ", ".join(
        f"{asked}: {used.server >> 20} + {used.workers >> 20}"
        for asked, used in tally.usage[::step]
    )


def growth(tally: Tally) -> tuple[float, float]:
    """MiB by which server and workers grew for 1,000 pages: the straight line through the second half."""
    later = [(asked, used) for asked, used in tally.usage if 2 * asked >= tally.asked]
    middle = sum(asked for asked, _ in later) / len(later)
    spread = sum((asked - middle) ** 2 for asked, _ in later) or 1.0

    def slope(held: Sequence[int]) -> float:
        leaning = sum(
            (asked - middle) * nbytes for (asked, _), nbytes in zip(later, held, strict=True)
        )
        return 1_000 * leaning / 2**20 / spread

    return slope([used.server for _, used in later]), slope([used.workers for _, used in later])


def quarters(tally: Tally) -> list[str]:
    """How long pages took in each quarter of what was asked, and the memory in its middle."""
    said = []
    for quarter in range(4):
        taken = [
            seconds
            for pages in (tally.opened, tally.changed)
            for seconds in pages[len(pages) * quarter // 4 : len(pages) * (quarter + 1) // 4]
        ]
        used = [found for asked, found in tally.usage if 4 * asked // (tally.asked + 1) == quarter]
        server, workers = (
            quantile([getattr(found, whose) / 2**20 for found in used], 0.5) if used else 0.0
            for whose in ("server", "workers")
        )
        said.append(f"{times(taken)}; server {server:.0f} MiB, workers {workers:.0f} MiB")
    return said


def processor_time(tally: Tally) -> str:
    """What one page costs: a figure that does not depend on what else runs here."""
    (_, first), (_, last) = tally.usage[0], tally.usage[-1]
    pages = max(1, tally.asked)
    server = (last.server_seconds - first.server_seconds) / pages
    workers = (last.worker_seconds - first.worker_seconds) / pages
    return f"{server * 1e3:.0f} ms of the server and {workers * 1e3:.0f} ms of workers for one page"


def slowest(tally: Tally) -> list[str]:
    """The changes that took longest, with what was asked."""
    return [f"{seconds:.1f} s: {what}" for seconds, what in sorted(tally.slow, reverse=True)[:20]]


def ratio(one: Sequence[float], other: Sequence[float]) -> str:
    """How many times as long the middle of `one` took as that of `other`."""
    return f"{quantile(sorted(one), 0.5) / quantile(sorted(other), 0.5):.1f} times"


def times(seconds: Sequence[float]) -> str:
    """Middle, 95th percentile and longest, in milliseconds."""
    if not seconds:
        return "none"
    p50, p95 = quantile(sorted(seconds), 0.5), quantile(sorted(seconds), 0.95)
    return f"p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms, max {max(seconds) * 1e3:.0f} ms"

"""The parts of `benchmarks.load` in which one visitor clicks beside another."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed

from benchmarks.fidelity import quantile
from benchmarks.hostile import KINDS
from benchmarks.load_figures import Tally, ratio, times
from benchmarks.visitor import Visitor

HELD, NOT_HELD = {"context": "8k"}, {"context": "64k"}
"""The visitor beside: a question whose users are held, and one that needs advice as well."""

HOSTILE = 0.3
"""Seconds of a click beside a hostile visitor; a machine that is busy otherwise needs more by itself."""


# ---------------------------------------------------------------- one beside heavy ones


def beside(address: str, given: argparse.Namespace) -> dict[str, Any]:
    """Ask as one visitor, alone and beside heavy questions."""
    visitor, tally = Visitor(address=address), Tally()
    question = {"model": "Qwen3.5-27B", "weights": "fp8", "on": "h100-sxm", "with": "vllm"}
    end = time.monotonic() + 60 * given.minutes

    def clicks_of(first: int, said: dict[str, str], clicks: int) -> _Clicks:
        """Ask every number of users after `first`, two by two."""
        visitor.open(v=2, **question, **said, users=first)
        found = _Clicks()
        for turn in range(1, clicks + 1):
            found.whole.append(visitor.set("users", float(first + 2 * turn)))
            found.answered.append(visitor.answered)
            if time.monotonic() > end:
                break
        return found

    for start in (101, 102):  # two processes answer: each finds its caches cold once
        clicks_of(start, HELD, 4)
    quiet, advised = clicks_of(1, HELD, 20), clicks_of(61, NOT_HELD, 8)
    with _heavy(address, given.heavy, tally):
        busy, kept = clicks_of(2, HELD, 20), clicks_of(1, HELD, 20)
        advised_busy = clicks_of(62, NOT_HELD, 8)
    visitor.close()
    return {
        "heavy questions at once": given.heavy,
        "new question, nobody else": str(quiet),
        "new question, beside": f"{busy}; {ratio(busy.whole, quiet.whole)}",
        "answer kept, beside": str(kept),
        "with advice, nobody else": str(advised),
        "with advice, beside": f"{advised_busy}; {ratio(advised_busy.whole, advised.whole)}",
        "errors": [*visitor.faults, *tally.errors],
    }


@dataclass(frozen=True, slots=True)
class _Clicks:
    """Seconds until the verdict stood there, and until the whole page did, for each click."""

    answered: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """Both, in milliseconds."""
        count = len(self.whole)
        return f"{count}: verdict {times(self.answered)}; whole page {times(self.whole)}"


@contextmanager
def _heavy(address: str, number: int, tally: Tally) -> Iterator[None]:
    """So many visitors who ask heavy questions, one after the other, while the block runs."""
    heavy = {"with": "llamacpp", "weights": "q4_k_m", "model": "Qwen3.5-35B-A3B"}
    over = threading.Event()
    visitors = [Visitor(address=address, page="fits") for _ in range(number)]

    def ask(visitor: Visitor, start: int) -> None:
        for sequences in range(start, 256, number):
            if over.is_set():
                return
            with suppress(ConnectionClosed, TimeoutError):  # it asks the next all the same
                visitor.open(v=2, **heavy, users=sequences)

    threads = [
        threading.Thread(target=ask, args=(visitor, 100 + place), daemon=True)
        for place, visitor in enumerate(visitors)
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        over.set()
        for visitor, thread in zip(visitors, threads, strict=True):
            visitor.close()
            thread.join()
            tally.errors += visitor.faults


# ---------------------------------------------------------------- one beside a hostile one


def hostile(address: str, given: argparse.Namespace) -> dict[str, Any]:
    """Click as one visitor, alone and beside each kind of hostile one."""
    visitor, port = Visitor(address=address), urlsplit(address).port or 80
    visitor.open(v=2, model="Qwen3.5-27B", weights="fp8", on="h100-sxm", **{"with": "vllm"})
    seconds = 60 * given.minutes / (len(KINDS) + 1)

    def clicks() -> str:
        found: list[float] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found.append(visitor.set("users", float(1 + len(found) % 2)))
            time.sleep(0.1)
        if quantile(sorted(found), 0.95) > HOSTILE:
            visitor.faults.append(f"over {HOSTILE:g} s: {times(found)}")
        return f"{len(found)}: {times(found)}"

    told = {"nobody else": clicks()}
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.hostile", kind, str(port), f"{seconds:.1f}"]
        with Popen(command, stdout=PIPE, text=True) as other:
            told[kind] = clicks()
            sent = other.communicate()[0].strip()
        told[kind] += f"; sent {sent} times"
    visitor.close()
    return {**told, "errors": visitor.faults}

"""How many visitors a public page serves on this machine: latency, errors, memory.

    python -m benchmarks.load [--sessions 100] [--think 30] [--minutes 3] [--beside] [--json]
    python -m benchmarks.load --address https://planner.example    (a deployment of your own)

Sessions are Streamlit's own messages over websockets (`benchmarks.visitor`), on the loopback
address. Each opens a page, thinks (about `--think` seconds, never the same), changes one field of
those that it sees, waits for the whole page, thinks again. Models, engines, hardware and pages are
mixed; the same seed asks the same. Every tenth session leaves and another comes.

With --beside: one visitor clicks on while another's heavy question is being computed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from benchmarks.fidelity import quantile
from benchmarks.visitor import Visitor
from benchmarks.web_server import served

PAGES = ("", "", "", "fits", "explore", "explore", "models", "hardware", "compare", "trust")
"""Where visitors go; most size a deployment."""

ENGINES = ("vllm", "vllm", "sglang", "llamacpp", "tensorrt-llm", "transformers")
HEAVY = {"v": "2", "with": "llamacpp", "weights": "q4_k_m", "model": "Qwen3.5-35B-A3B"}
LEAVE_AFTER = 10
"""Interactions after which one of ten sessions closes and a new one opens."""


@dataclass(slots=True)
class Tally:
    """What all sessions saw.

    Attributes:
        opened: seconds until first pages were complete.
        changed: seconds until changed pages were complete.
        errors: what went wrong, one line each.
        memory: (seconds since the start, bytes resident of the server and its workers).
    """

    opened: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, int]] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sessions and print what they saw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--think", type=float, default=30.0, help="seconds, on average")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address", help="a page that runs already; else one is started")
    parser.add_argument("--beside", action="store_true", help="one visitor beside a heavy question")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    with _page(given.address) as address:
        found = beside(address) if given.beside else _loaded(given, address)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:28} {value}")
    return 1 if found["errors"] else 0


@contextmanager
def _page(address: str | None) -> Iterator[str]:
    if address is not None:
        yield address
        return
    with served(QWENPLAN_WEB_PUBLIC="1") as started:
        yield started


def _loaded(given: argparse.Namespace, address: str) -> dict[str, Any]:
    tally, start = Tally(), time.monotonic()
    end = start + 60 * given.minutes
    sessions = [
        threading.Thread(target=_session, args=(address, given, number, end, tally), daemon=True)
        for number in range(given.sessions)
    ]
    for session in sessions:
        session.start()
    while time.monotonic() < end:
        tally.memory.append((time.monotonic() - start, resident()))
        time.sleep(min(5.0, max(end - time.monotonic(), 0.1)))  # processes of their own
    for session in sessions:
        session.join(timeout=60)
    tally.memory.append((time.monotonic() - start, resident()))
    return _summary(tally, given)


def _session(
    address: str, given: argparse.Namespace, number: int, end: float, tally: Tally
) -> None:
    """One visitor after the other, until the end."""
    dice = random.Random(f"{given.seed} {number}")
    time.sleep(dice.uniform(0, min(given.think, 60 * given.minutes / 3)))
    while time.monotonic() < end:
        visitor = Visitor(address=address, page=dice.choice(PAGES))
        try:
            tally.opened.append(visitor.open(v=2, context="32k", **{"with": dice.choice(ENGINES)}))
            for turn in range(10_000):
                if turn == LEAVE_AFTER and number % 10 == 0:
                    break
                time.sleep(min(dice.expovariate(1 / given.think), 5 * given.think))
                if time.monotonic() >= end:
                    break
                tally.changed.append(visitor.set(*_change(visitor, dice)))
        except Exception as error:
            tally.errors.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            tally.errors += visitor.faults
            visitor.close()


def _change(visitor: Visitor, dice: random.Random) -> tuple[str, str | float]:
    """One field of the page, and what is put in."""
    fields = [key for key in visitor.widgets if visitor.choices[key] or key in ("users", "count")]
    key = dice.choice(sorted(fields) or ["users"])
    if visitor.choices.get(key):
        return key, dice.choice(visitor.choices[key])
    return key, float(dice.randint(1, 8 if key == "count" else 64))


def beside(address: str, clicks: int = 20) -> dict[str, Any]:
    """Return how long one visitor's clicks take while another's heavy questions are computed."""
    visitor = Visitor(address=address)
    visitor.open(v=2, model="Qwen3.5-27B", weights="fp8", on="h100-sxm", **{"with": "vllm"})
    quiet = [visitor.set("users", 1.0 + 2 * number) for number in range(clicks)]
    heavy = Visitor(address=address, page="fits")
    over = threading.Event()

    def ask() -> None:
        for sequences in range(100, 256):
            if over.is_set():
                return
            with suppress(ConnectionClosed):
                heavy.open(**HEAVY, users=sequences)

    asked = threading.Thread(target=ask, daemon=True)
    asked.start()
    time.sleep(1.0)
    again = [visitor.set("users", 1.0 + 2 * number) for number in range(clicks)]
    busy = [visitor.set("users", 2.0 + 2 * number) for number in range(clicks)]
    over.set()
    heavy.close()
    asked.join()
    found = {
        "new questions, nobody else": _times(quiet),
        "new questions, beside": _times(busy),
        "answers kept, beside": _times(again),
        "errors": [*visitor.faults, *heavy.faults],
    }
    visitor.close()
    return found


def resident() -> int:
    """Return the resident bytes of this process's descendants: the server and its workers."""
    parents, sizes = {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it has ended
        number = int(path.parent.name)
        parents[number] = int(said["PPid"])
        sizes[number] = int(said.get("VmRSS", "0 kB").split()[0]) * 1024
    ours, found = {os.getpid()}, 0
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        found += sum(sizes[child] for child in more)
        ours |= more
    return found


def _times(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    p50, p95 = quantile(sorted(seconds), 0.5), quantile(sorted(seconds), 0.95)
    return f"p50 {p50 * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms, max {max(seconds) * 1e3:.0f} ms"


def _summary(tally: Tally, given: argparse.Namespace) -> dict[str, Any]:
    step = max(1, len(tally.memory) // 12)
    mib = [f"{at:.0f} s {size >> 20}" for at, size in tally.memory[::step]]
    return {
        "sessions": f"{given.sessions}, about {given.think:g} s of thought, {given.minutes:g} min",
        "cores": os.cpu_count(),
        "first pages": f"{len(tally.opened)}: {_times(tally.opened)}",
        "changes": f"{len(tally.changed)}: {_times(tally.changed)}",
        "memory (MiB, all processes)": ", ".join(mib),
        "errors": tally.errors,
    }


if __name__ == "__main__":
    raise SystemExit(main())

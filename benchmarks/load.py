"""How many visitors a public page serves on this machine: latency, errors, memory.

    python -m benchmarks.load [visitors] [hour] [beside] [hostile] [--sessions 100] [--think 30] [--minutes 3]
    python -m benchmarks.load --address https://planner.example    (a deployment of your own)

Sessions are Streamlit's own messages over websockets (`benchmarks.visitor`), on the loopback
address. A visitor opens a page, changes one field of those that it shows, waits for the whole page,
changes another. Models, engines, hardware and pages are mixed, what stands first in a list more
often (the n-th choice with weight 1/n, an assumption); the same seed asks the same. Each part takes
`--minutes` at most; all four run if none is named:

- `visitors`: so many sessions, each thinking about `--think` seconds, never the same. Every tenth
  leaves after a while and another comes.
- `hour`: as many questions as those visitors ask in an hour, one after the other without a thought,
  by few sessions at a time. Visitors repeat each other's `--walks`, so that most answers are known and
  the number is reached; with `--walks 0` nobody repeats one, which fills the workers' caches as well and
  takes an hour of processor time. What it shows is memory, by what was asked and not by the clock:
  growth by more than `FLAT` in the second half counts as an error.
- `beside`: how long one visitor's clicks take while others' heavy questions are being computed:
  until the verdict stands there, and until the whole page does.
- `hostile`: the same beside one who sends what no browser does (`benchmarks.hostile`), each kind in turn;
  95% of the clicks beside it within `HOSTILE` or it counts as an error.

A page that says it was too busy, or stopped an answer, counts as an error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.load_beside import beside, hostile
from benchmarks.load_figures import (
    Tally,
    growth,
    memory,
    processor_time,
    quarters,
    slowest,
    times,
    usage,
)
from benchmarks.visitor import Visitor
from benchmarks.web_server import served
from planner.web.pool import NOT_ANSWERED

PAGES = ("", "", "", "fits", "explore", "explore", "models", "hardware", "compare", "trust")
"""Where visitors go; most size a deployment."""

ENGINES = ("vllm", "vllm", "sglang", "llamacpp", "tensorrt-llm", "transformers")
LEAVE_AFTER = 10
"""Changes after which one of ten sessions closes and a new one opens."""

AT_A_TIME = 4
"""Sessions that replay an hour."""


_NUMBERS = {"users": 64, "count": 8}
"""The largest value that is put into a field of numbers."""

FLAT = 10.0
"""MiB by which server and workers together may grow for 1,000 pages in the second half of an hour's."""

_PARTS = ("visitors", "hour", "beside", "hostile")
_MOST_SHOWN = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts and print what they saw; 1 if there were errors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load")
    parser.add_argument("parts", nargs="*", choices=[*_PARTS, []], help="all four if none")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--think", type=float, default=30.0, help="seconds, on average")
    parser.add_argument("--minutes", type=float, default=3.0, help="for each part, at most")
    parser.add_argument("--heavy", type=int, default=1, help="heavy questions at once, for beside")
    parser.add_argument("--walks", type=int, default=8, help="for hour; 0: none twice")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--address", help="a page that runs already; else one is started")
    parser.add_argument("--log", type=Path, help="file for what the server that is started prints")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(argv)
    found: dict[str, Any] = {"cores": os.cpu_count(), "other load": _other_load()}
    with _page(given) as address:
        for part in given.parts or _PARTS:
            run = {"visitors": _visitors, "hour": _hour, "beside": beside, "hostile": hostile}[part]
            told = run(address, given)
            found[part] = told
            if not given.json:
                _print(part, told)
    if given.json:
        print(json.dumps(found, indent=2))
    return 1 if any(found[part]["errors"] for part in given.parts or _PARTS) else 0


def _print(part: str, told: dict[str, Any]) -> None:
    print(part)
    for name, value in told.items():
        if isinstance(value, list):
            value = f"{len(value)}" + "".join(f"\n      {line}" for line in value[:_MOST_SHOWN])
        print(f"  {name:28} {value}", flush=True)


def _other_load() -> str:
    """What else ran in the last minute: figures of a busy machine are upper bounds."""
    with suppress(OSError):  # Windows
        return f"{os.getloadavg()[0]:.1f} processes in the last minute"
    return "unknown"


@contextmanager
def _page(given: argparse.Namespace) -> Iterator[str]:
    if given.address is not None:
        yield given.address
        return
    # visitors of this address are many, as behind a proxy
    with served(
        log=given.log, QWENPLAN_WEB_PUBLIC="1", QWENPLAN_WEB_PROXIES="127.0.0.1"
    ) as started:
        yield started


# ---------------------------------------------------------------- visitors who think


def _visitors(address: str, given: argparse.Namespace) -> dict[str, Any]:
    tally, end = Tally(), time.monotonic() + 60 * given.minutes
    _together(
        [
            threading.Thread(target=_visit, args=(address, given, number, end, tally), daemon=True)
            for number in range(given.sessions)
        ],
        tally,
    )
    return {
        "sessions": f"{given.sessions}, about {given.think:g} s of thought, {given.minutes:g} min",
        "first pages": f"{len(tally.opened)}: {times(tally.opened)}",
        "changes": f"{len(tally.changed)}: {times(tally.changed)}",
        "verdicts of these": f"{len(tally.told)}: {times(tally.told)}",
        "slowest changes": slowest(tally),
        "processor time": processor_time(tally),
        "memory": memory(tally),
        "growth": _grown(tally),
        "errors": tally.errors,
    }


def _grown(tally: Tally) -> str:
    server, workers = growth(tally)
    return f"server {server:+.1f}, workers {workers:+.1f} MiB for 1,000 pages in the second half"


def _visit(address: str, given: argparse.Namespace, number: int, end: float, tally: Tally) -> None:
    """One visitor after the other, until the end."""
    dice = random.Random(f"{given.seed} {number}")
    time.sleep(dice.uniform(0, min(given.think, 60 * given.minutes / 3)))
    while time.monotonic() < end:
        with _session(address, dice, tally) as visitor:
            _enter(visitor, dice, tally)
            for turn in range(10_000):
                if turn == LEAVE_AFTER and number % 10 == 0:
                    break
                time.sleep(min(dice.expovariate(1 / given.think), 5 * given.think))
                if time.monotonic() >= end or not _turn(visitor, dice, tally):
                    break


# ---------------------------------------------------------------- an hour without a thought


def _hour(address: str, given: argparse.Namespace) -> dict[str, Any]:
    wanted = round(given.sessions * 3600 / given.think)
    tally, end = Tally(), time.monotonic() + 60 * given.minutes
    _together(
        [
            threading.Thread(
                target=_replay, args=(address, given, number, wanted, end, tally), daemon=True
            )
            for number in range(AT_A_TIME)
        ],
        tally,
    )
    if sum(growth(tally)) > FLAT:
        tally.errors.append(f"memory is not flat: {_grown(tally)}")
    return {
        "asked": f"{tally.asked:,} of the {wanted:,} that {given.sessions} visitors ask in an hour",
        "each": times(tally.opened + tally.changed),
        "slowest changes": slowest(tally),
        "processor time": processor_time(tally),
        "memory": memory(tally),
        "growth": _grown(tally),
        "quarters": quarters(tally),
        "errors": tally.errors,
    }


def _replay(
    address: str, given: argparse.Namespace, number: int, wanted: int, end: float, tally: Tally
) -> None:
    for walk in count(number, AT_A_TIME):
        if tally.asked >= wanted or time.monotonic() >= end:
            return
        dice = random.Random(f"{given.seed} hour {walk % given.walks if given.walks else walk}")
        with _session(address, dice, tally) as visitor:
            _enter(visitor, dice, tally)
            for _ in range(LEAVE_AFTER):
                if tally.asked >= wanted or time.monotonic() >= end:
                    break
                if not _turn(visitor, dice, tally):
                    break


# ---------------------------------------------------------------- what a visitor does


@contextmanager
def _session(address: str, dice: random.Random, tally: Tally) -> Iterator[Visitor]:
    """One visitor; whatever goes wrong is counted, and the visitor leaves."""
    visitor = Visitor(address=address, page=dice.choice(PAGES))
    try:
        yield visitor
    except Exception as error:
        tally.errors.append(f"{type(error).__name__}: {error}"[:200])
    finally:
        tally.errors += visitor.faults
        visitor.close()


def _enter(visitor: Visitor, dice: random.Random, tally: Tally) -> None:
    """Open the visitor's first page."""
    tally.opened.append(visitor.open(v=2, context="32k", **{"with": dice.choice(ENGINES)}))
    _look(visitor, "first page", tally)


def _turn(visitor: Visitor, dice: random.Random, tally: Tally) -> bool:
    """Change one field of the page; False where it has none."""
    fields = [key for key in visitor.widgets if visitor.choices[key] or key in _NUMBERS]
    if not fields:
        return False
    key = dice.choice(sorted(fields))
    value: str | float = float(dice.randint(1, _NUMBERS.get(key, 1)))
    if choices := visitor.choices[key]:
        (value,) = dice.choices(choices, [1 / place for place in range(1, len(choices) + 1)])
    taken = visitor.set(key, value)
    tally.changed.append(taken)
    if math.isfinite(visitor.answered):
        tally.told.append(visitor.answered)
    tally.slow.append((taken, f"{visitor.page or 'run'}: {key} = {value}: {visitor.question}"))
    _look(visitor, f"{key} = {value}", tally)
    return True


def _look(visitor: Visitor, what: str, tally: Tally) -> None:
    """Count what the page did not answer."""
    tally.errors += [
        f"{what}: {line}"[:200] + f" ({visitor.page or 'run'}: {visitor.question})"
        for line in visitor.texts.values()
        if any(words in line for words in NOT_ANSWERED)
    ]


def _together(sessions: Sequence[threading.Thread], tally: Tally) -> None:
    """Run them to their end, and look at the memory meanwhile."""
    for session in sessions:
        session.start()
    while any(session.is_alive() for session in sessions):
        tally.usage.append((tally.asked, usage()))
        for session in sessions:
            if session.is_alive():
                session.join(timeout=2.0)
                break
    tally.usage.append((tally.asked, usage()))


if __name__ == "__main__":
    raise SystemExit(main())

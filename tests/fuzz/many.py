"""Hand over a great many inputs, and say how many there were and what came of them.

    python -m tests.fuzz.many [--inputs 100000] [--minutes 60] [--seed 1] [--atheris] [NAME ...]

Each kind runs in a process of its own, so that its memory can be told. Parsers of headers and JSON
get ten times as many inputs, whole plans a tenth. What breaks a reader is written into
`tests/fuzz/corpus/NAME/`, where every run of the tests reads it. With --atheris the bytes are
chosen by the coverage that they reach; it needs the package of that name.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz.given import LIMIT, TALLY

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

CORPUS = Path(__file__).parent / "corpus"
MOST_MEMORY = 512
"""MiB that a process may grow to, libraries included."""

_MOST_KEPT = 5
_HEAD = (
    f"{'input':18} {'inputs':>9} {'readings':>9} {'accepted':>9} {'worst':>8} {'memory':>9}  broken"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for, print the table, and return 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.many")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="for each kind, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--atheris", action="store_true")
    parser.add_argument("--one", action="store_true", help="in this process; prints JSON")
    parser.add_argument("names", nargs="*", metavar="NAME", help="kinds of input; all if none")
    given = parser.parse_args(argv)
    TALLY.limit = LIMIT
    if given.atheris and find_spec("atheris") is None:
        print("atheris is not installed: pip install atheris (Linux and macOS); nothing was run")
        return 0
    if given.one:
        (name,) = given.names
        print(json.dumps(_guided(name, given) if given.atheris else _thrown(name, given)))
        return 0
    print(_HEAD, flush=True)
    return max(_in_a_process(name, given) for name in given.names or _targets())


def _targets() -> dict[str, Target]:
    from tests.fuzz.targets import TARGETS  # under atheris, what it imports is instrumented

    return TARGETS


def _in_a_process(name: str, given: argparse.Namespace) -> int:
    command = [sys.executable, "-m", "tests.fuzz.many", "--one", name, f"--inputs={given.inputs}"]
    command += [f"--minutes={given.minutes}", f"--seed={given.seed}"]
    command += ["--atheris"] if given.atheris else []
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (run.stdout.strip().splitlines() or [""])[-1]
    if not last.startswith("{"):
        print(f"{name:18} ended with status {run.returncode}:\n{run.stderr[-3000:]}", flush=True)
        return 1
    found = json.loads(last)
    print(
        f"{name:18} {found['inputs']:>9,} {found['read']:>9,} {found['accepted']:>9,} {found['worst']:>6.2f} s"
        f" {found['memory']:>5} MiB  {len(found['broken']) or 'none'}",
        flush=True,
    )
    for words in found["broken"]:
        print(f"    {words}", flush=True)
    return 1 if found["broken"] or found["memory"] > MOST_MEMORY else 0


def _thrown(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Inputs by dice; the n-th of a seed is always the same."""
    target, broken, done = _targets()[name], dict[str, str](), 0
    end = time.monotonic() + 60 * given.minutes
    for number in range(int(given.inputs * target.share)):
        content = target.make(Random(f"{given.seed} {number}"))
        done += 1
        try:
            target.read(content)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            words = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            if words not in broken:
                broken[words] = f"{words}: {error}"[:300]
                _keep(name, content)
            if len(broken) >= _MOST_KEPT:
                break
        if time.monotonic() > end:
            break
    return _found(done, list(broken.values()))


def _guided(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Inputs by the coverage that they reach; atheris ends the process itself where one breaks."""
    import atheris

    with atheris.instrument_imports(include=["planner", "hardware_db"]):
        target = _targets()[name]
    most, done, end = int(given.inputs * target.share), 0, time.monotonic() + 60 * given.minutes
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)

    def read(content: bytes) -> None:
        nonlocal done
        target.read(content)
        done += 1
        if done >= most or time.monotonic() > end:
            print(json.dumps(_found(done, [])), flush=True)
            os._exit(0)

    with tempfile.TemporaryDirectory() as seeds:
        for seed in range(50):
            (Path(seeds) / str(seed)).write_bytes(target.make(Random(seed)))
        limits = ["-timeout=5", f"-rss_limit_mb={MOST_MEMORY}", "-max_len=65536", "-verbosity=0"]
        words = ["fuzz", f"-seed={given.seed}", f"-artifact_prefix={kept}/", *limits, seeds]
        atheris.Setup(words, read)
        atheris.Fuzz()
    return _found(done, [])


def _found(inputs: int, broken: list[str]) -> dict[str, Any]:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {
        "inputs": inputs,
        "read": TALLY.inputs,
        "accepted": TALLY.accepted,
        "worst": TALLY.worst,
        "memory": peak,
        "broken": broken,
    }


def _keep(name: str, content: bytes) -> None:
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(content).hexdigest()[:12]).write_bytes(content)


if __name__ == "__main__":
    raise SystemExit(main())

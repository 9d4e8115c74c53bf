"""What starts take: of our commands and of other planners', in starts of a bare Python."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import headers
from benchmarks.performance_page import Figure
from hardware_db import compiled
from planner import shipped
from planner.engines.llamacpp import ready

ROOT = Path(__file__).parent.parent
RUNS = 30
"""Starts of a command; the fastest counts."""

PATIENCE = 60
"""Seconds after which a command that is measured once is given up; one of many rows gets more."""

PLANS = {
    "vllm": ("Qwen3.5-35B-A3B", "h100", "fp8", 5000),
    "sglang": ("Qwen3.5-35B-A3B", "h100", "fp8", 5000),
    "tensorrt-llm": ("Qwen3.5-35B-A3B", "h100", "fp8", 5000),
    "mlx": ("Qwen3.5-35B-A3B", "m4-max-128gb", "mlx-4bit", 5000),
    "transformers": ("Qwen3.5-27B", "h100", "bf16", None),
    "ktransformers": ("Qwen3.5-35B-A3B", "h100", "fp8", None),
    "llamacpp": ("Qwen3.5-27B", "rtx-4090", "q4_k_m", None),
}
"""Engine -> (model, hardware, precision, goal in warm plans per second)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The fastest of some starts: CPU seconds and MiB resident."""

    seconds: float
    mib: int


class NotMeasuredError(Exception):
    """Why there is no figure, in one line."""


def started(
    command: Sequence[str], *, patience: float = PATIENCE, cache: str | None = None
) -> Started:
    """Start a command once, and return what it took.

    Args:
        command: program and words.
        patience: seconds after which it is ended.
        cache: where Python keeps compiled modules.

    Raises:
        NotMeasuredError: it cannot be started, takes too long, or fails.
    """
    environment = {key: value for key, value in os.environ.items() if key != NO_BYTECODE}
    if cache is not None:
        environment["PYTHONPYCACHEPREFIX"] = cache
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(patience), *command]
    done = subprocess.run(
        launcher, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode:
        raise NotMeasuredError((done.stderr.strip().splitlines() or ["does not start"])[-1])
    status, seconds, peak = json.loads(done.stdout)
    if status:
        raise NotMeasuredError(f"ended with {status}")
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return Started(seconds=seconds, mib=int(peak // unit))


LAUNCHER = """
import json, os, signal, sys
nothing = os.open(os.devnull, os.O_RDWR)
files = [(os.POSIX_SPAWN_DUP2, nothing, number) for number in range(3)]
process = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=files)
signal.signal(signal.SIGALRM, lambda *_: os.kill(process, signal.SIGKILL))
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
_, status, used = os.wait4(process, 0)
ended = os.waitstatus_to_exitcode(status)
print(json.dumps([ended, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
"""Starts a command from a small process: Linux hands the peak of whoever starts it down."""

NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Whoever sets it compiles every module at every start, which no user does."""


def starts(commands: dict[str, Sequence[str]]) -> dict[str, Started | NotMeasuredError]:
    """Return the fastest start of each command, all of them in turn; or why there is none."""
    best: dict[str, Started | NotMeasuredError] = {}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(1 + RUNS):
            for name, command in commands.items():
                known = best.get(name)
                if isinstance(known, NotMeasuredError):
                    continue
                try:
                    found = started(command, cache=cache)
                except NotMeasuredError as error:
                    best[name] = error
                    continue
                if number and (known is None or found.seconds < known.seconds):
                    best[name] = found
    return best


SCRIPT = "from planner.cli import main; main()"
"""What the script `qwenplan` does."""

LIBRARY = """
import os
from planner.cli import collect_rarely
from planner.asking import ask
from planner.report.text import plan_text
collect_rarely()
print(plan_text(ask({!r}, on={!r}, precision={!r}, engine={!r}).plan()), flush=True)
os._exit(0)
"""
"""The same plan from the library, which needs no typer: a start without it."""

KVFIT = (
    "import sys, kvfit.hf; kvfit.hf.HF_BASE = sys.argv.pop(1);"
    " from kvfit.cli import main; sys.exit(main())"
)
HF_MEM = """
import sys, httpx2
endpoint = sys.argv.pop(1)
class Client(httpx2.AsyncClient):
    async def get(self, url, **options):
        return await super().get(url.replace("https://huggingface.co", endpoint), **options)
httpx2.AsyncClient = Client
from hf_mem.cli import main
sys.exit(main())
"""
"""Peers whose address of the Hub is fixed in their code: it is replaced, and nothing else."""


def of_peers(folder: Path, hub: str) -> dict[str, Sequence[str]]:
    """Return the peers' commands: their help, and one whole answer about the model of `headers`.

    Args:
        folder: their environment.
        hub: address of the stand-in for the Hub.
    """
    python, model = str(folder / "bin" / "python"), headers.REPOSITORY
    llmfit = str(folder / "bin" / "llmfit")
    memory = ["--model-id", model, "--experimental"]
    return {
        "kvfit --help": [str(folder / "bin" / "kvfit"), "--help"],
        "kvfit, an answer": [python, "-c", KVFIT, hub, model, "--hardware", "h100-80"],
        "hf-mem --help": [str(folder / "bin" / "hf-mem"), "--help"],
        "hf-mem, an answer": [python, "-c", HF_MEM, hub, *memory],
        "llmfit --help": [llmfit, "--help"],
        "llmfit, an answer": [llmfit, "plan", model.removesuffix("-FP8"), "--context", "32768"],
    }


def start_up(peers: Path) -> Iterator[Figure]:
    """Yield what starts take, in bare Pythons; data are compiled first, as a build does."""
    for written in (compiled, shipped, ready):
        written.write()
    python = [sys.executable]
    qwenplan = [*python, "-c", SCRIPT]
    plan = [*qwenplan, "plan"]
    commands: dict[str, Sequence[str]] = {
        "bare": [*python, "-c", "pass"],
        "import typer": [*python, "-c", "import typer"],
        "qwenplan --help": [*qwenplan, "--help"],
    }
    for engine, (model, on, precision, _) in PLANS.items():
        words = [model, "--on", on, "--precision", precision, "--engine", engine]
        commands[f"qwenplan plan, {engine}"] = [*plan, *words]
    for engine in ("vllm", "llamacpp"):
        model, on, precision, _ = PLANS[engine]
        text = LIBRARY.format(model, on, precision, engine)
        commands[f"the same plan without typer, {engine}"] = [*python, "-c", text]
    model, on, precision, _ = PLANS["vllm"]
    words = [model, "--on", on, "--precision", precision, "--engine", "vllm", "--json"]
    commands["qwenplan plan --json, vllm"] = [*plan, *words]
    with headers.server() as (hub, _):
        commands |= of_peers(peers, hub)
        found = starts(commands)
    bare = found.pop("bare")
    if isinstance(bare, NotMeasuredError):
        raise bare
    kvfit = found["kvfit, an answer"]
    goals = {"qwenplan --help": "8x"}
    to_beat = f"{kvfit.seconds / bare.seconds:.1f}x" if isinstance(kvfit, Started) else "9x"
    for name, start in found.items():
        goal = f"{to_beat}, 40 MiB" if name.startswith("qwenplan plan") else ""
        yield Figure(
            what=f"{name} / bare Python",
            goal=goals.get(name, goal),
            measured=f"{start.seconds / bare.seconds:.1f}x, {start.mib} MiB"
            if isinstance(start, Started)
            else f"not measured: {start}",
        )


def reported(command: Sequence[str], *, fails: tuple[int, ...] = ()) -> dict[str, Any]:
    """Return the JSON object that another measurement prints.

    Args:
        command: what to start.
        fails: exit statuses beside 0 with which it still reports.

    Raises:
        NotMeasuredError: it fails, or takes too long.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=4 * PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotMeasuredError("takes too long") from None
    if done.returncode not in (0, *fails):
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise NotMeasuredError(lines[-1])
    report: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return report

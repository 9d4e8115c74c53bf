"""Measure llama.cpp and PyTorch on this machine with random weights, and compare with the plan.

    python -m benchmarks.measure_gpu --llamacpp DIR --files DIR --out measured.json 9B:Q4_K_M 27B:Q4_K_M

DIR holds a built llama-server and llama-bench. Nothing is downloaded: files of random weights are
written (`benchmarks.random_gguf`) and removed again. Every start is the plan's own command; its log is
read by the planner's readers, what the driver says is in use is read beside it, and llama-server is
sent prompts of its own length. llama-bench is run as `qwenplan measure` runs it. PyTorch is measured
by `python -m planner.measuring.pytorch`, which this does not repeat.

The file has one entry per start (its question, what the log and the driver said) and one per bench
(its question and rates); `benchmarks.suites.measured` compares them with the plan.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import planner
from benchmarks.random_gguf import write
from planner import logs
from planner.engines.bench import Task
from planner.errors import PlannerError
from planner.measuring import compare, prepare, run_steps
from planner.model.gguf_mix import GgufScheme
from planner.planning import Plan
from planner.probing import probe
from planner.question import question_of
from planner.units import MIB

ENGINE = "llamacpp"
HERE = "local"
PROCESSOR = "cpu, {ram}GB"
READY = 240.0
"""Seconds in which a server must answer."""
MOST_KEPT = 2**21
"""Characters of a log that are kept with --logs."""
ANSWER = 64
"""Tokens that a server is asked for."""


@dataclass(frozen=True)
class Start:
    """A server to start: what is asked of the plan beside model and hardware."""

    context: int = 32_768
    concurrency: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    kv_cache_dtype: str = "auto"
    prompt: int = 4096
    cpu: bool = False


STARTS = (
    Start(),
    Start(context=131_072, prompt=65_536),
    Start(context=16_384, concurrency=8, prompt=2048),
    Start(context=8192, concurrency=32, prompt=512),
    Start(kv_cache_dtype="q8_0"),
    Start(options={"ubatch_size": 2048, "batch_size": 2048}, prompt=16_384),
)
PARTLY = (Start(options={"n_cpu_moe": 20}), Start(options={"n_gpu_layers": 16}))
"""Starts that keep a part of the weights in RAM."""
TASKS: tuple[tuple[Task, dict[str, Any]], ...] = (
    (Task(), {}),
    (Task(prompt=2048, generate=64), {"ubatch_size": 2048, "batch_size": 2048}),
    (Task(prompt=512, generate=64, depth=16_384, repeat=2), {}),
    (Task(prompt=512, generate=64, depth=65_536, repeat=1), {}),
)
PARTLY_TASKS: tuple[tuple[Task, dict[str, Any]], ...] = (
    (Task(generate=64, repeat=2), {"n_cpu_moe": 20}),
    (Task(generate=64, repeat=2), {"n_cpu_moe": 40}),
    (Task(generate=64, repeat=2), {"n_gpu_layers": 16}),
)
CPU_TASK = Task(prompt=256, generate=32, repeat=2)


def origin(command: Sequence[str]) -> dict[str, Any]:
    """Return where and when this is measured."""
    found = probe()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "devices": [device.name for device in found.devices],
        "driver": found.driver_version,
        "cuda": found.cuda_version,
        "cpu": found.cpu,
        "cores": found.cpu_count,
        "ram_bytes": found.host_memory_total_bytes,
        "kernel": platform.release(),
        "command": " ".join(("python -m benchmarks.measure_gpu", *command)),
    }


def used_mib() -> int | None:
    """Return the MiB that the driver says are in use on the first GPU; None without one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used) // MIB
    except Exception:  # whatever its driver's library raises: there is no figure
        return None


def planned(file: Path, start: Start, task: Task | None = None) -> Plan:
    """Return the plan of a start on this machine.

    Raises:
        PlannerError: it cannot be asked.
    """
    ram = (probe().host_memory_total_bytes or 0) // 10**9
    return planner.plan(
        str(file),
        on=PROCESSOR.format(ram=ram) if start.cpu else HERE,
        engine=ENGINE,
        context=task.context if task else start.context,
        concurrency=start.concurrency,
        kv_cache_dtype=start.kv_cache_dtype,
        options=dict(start.options),
    )


def serve(folder: Path, file: Path, start: Start, *, kept: Path | None = None) -> dict[str, Any]:
    """Start the plan's llama-server, send it prompts, end it; return what was said and seen.

    Raises:
        PlannerError: the question cannot be asked.
    """
    plan = planned(file, start)
    assert plan.written is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    argv = [str(folder / "llama-server"), *plan.written.argv[1:], "--port", port, "-v"]
    argv += ["-dev", "none"] if start.cpu else []  # this build may know a GPU, the plan does not
    before = used_mib()
    with tempfile.NamedTemporaryFile("w+", suffix=".log", errors="replace") as log:
        child = subprocess.Popen(
            argv,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **plan.written.environment},
        )
        try:
            rates, loaded, busy = _asked(child, port, start)
        finally:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
        log.seek(0)
        text = log.read()
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        number = len(list(kept.iterdir()))
        (kept / f"{number:02}-{file.stem}.log").write_text(text[:MOST_KEPT], "utf-8")
    return {
        "argv": ["llama-server", *_public(plan.written.argv[1:], file)],
        "used_mib": {"before": before, "loaded": loaded, "after_prompts": busy},
        "rates": rates,
        "log": list(_kept_lines(text)),
        **_compared(plan, text),
    }


def _asked(
    child: subprocess.Popen[bytes], port: str, start: Start
) -> tuple[list[dict[str, float]], int | None, int | None]:
    base = f"http://127.0.0.1:{port}"
    end = time.monotonic() + READY
    while True:
        if child.poll() is not None or time.monotonic() > end:
            return [], None, None
        with suppress(OSError), urllib.request.urlopen(f"{base}/health", timeout=5) as reply:
            if reply.status == 200:
                break
        time.sleep(0.1)
    loaded = used_mib()
    numbers = random.Random(0)

    def ask(_: int) -> dict[str, float]:
        tokens = [numbers.randrange(1000, 200_000) for _ in range(start.prompt)]
        wanted = {"prompt": tokens, "n_predict": ANSWER, "ignore_eos": True, "cache_prompt": False}
        request = urllib.request.Request(
            f"{base}/completion", json.dumps(wanted).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=READY) as reply:
            found = json.load(reply)["timings"]
        return {
            key: round(found[key], 2)
            for key in ("prompt_n", "prompt_per_second", "predicted_n", "predicted_per_second")
        }

    began = time.monotonic()
    try:
        with ThreadPoolExecutor(start.concurrency) as pool:
            rates = list(pool.map(ask, range(start.concurrency)))
    except (OSError, KeyError, ValueError) as error:
        print(f"a prompt was not answered: {type(error).__name__}: {error}", file=sys.stderr)
        return [], loaded, used_mib()
    seconds = time.monotonic() - began
    rates.append({"seconds_for_all": round(seconds, 3)})
    return rates, loaded, used_mib()


_KEPT = re.compile(
    r"buffer size|memory breakdown|\| {3}- |matches expectation|n_ctx  |graph (?:nodes|splits)|offloaded \d|"
    r"size = .*MiB|llama_params_fit|Flash Attention|pipeline|error|failed|out of memory|build_info"
)


def _kept_lines(text: str) -> Iterator[str]:
    """Yield the lines on memory, without colours and times."""
    for line in text.splitlines():
        if _KEPT.search(line):
            yield re.sub(r"\x1b\[[0-9;]*m", "", line)[:300]


def _compared(plan: Plan, text: str) -> dict[str, Any]:
    try:
        check = logs.check_log(plan, text)
    except PlannerError as error:
        return {"rows": [], "not_compared": str(error)}
    return {"rows": [row.to_dict() for row in (*check.rows, *check.unplanned)]}


def _public(argv: Sequence[str], file: Path) -> list[str]:
    return [word.replace(str(file), file.name) for word in argv]


def bench(file: Path, task: Task, start: Start) -> dict[str, Any]:
    """Run llama-bench as `qwenplan measure` does; return its rates beside the plan's.

    Raises:
        PlannerError: the question cannot be asked, or it printed nothing.
    """
    plan = planned(file, start, task)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(question_of(plan), task, Path(folder), installed=lambda _: True)
        ran = run_steps(prepared.steps, Path(folder), limit=READY)
        found = compare(prepared, ran)
    return {
        "argv": _public(prepared.steps[0].argv, file),
        "ended": found.ended.value,
        "points": [
            {
                "phase": point.phase,
                "tokens": point.tokens,
                "depth": point.depth,
                "tok_s": round(point.rate, 2),
                "spread": point.spread,
            }
            for point in found.printed.points
        ],
        "rows": [row.to_dict() for row in found.rows],
        "notes": list(found.notes),
    }


def _said(start: Start) -> dict[str, Any]:
    return {**vars(start), "options": dict(start.options)}


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield every start and bench of every file that the time allows."""
    end = time.monotonic() + options.deadline
    for word in options.what:
        name, _, mix = word.partition(":")
        model = planner.load_checkpoint(f"Qwen3.5-{name}").model
        file = options.files / f"{name}-{mix}.gguf"
        if not file.exists():
            began = time.monotonic()
            write(file, model, GgufScheme(mix=mix, mtp=False))
            print(f"{file.name}: written in {time.monotonic() - began:.1f} s", flush=True)
        about = {"model": model.name, "type": mix}
        benches: list[tuple[Task, Start]] = []
        starts: list[Start] = []
        if not options.cpu_alone:
            benches = [(task, Start(options=more)) for task, more in TASKS]
            starts = list(STARTS)
            if model.moe:
                benches += [(task, Start(options=more)) for task, more in PARTLY_TASKS]
                starts += PARTLY
        if options.cpu or options.cpu_alone:
            benches.append((CPU_TASK, Start(cpu=True)))
            starts.append(Start(cpu=True, context=4096, prompt=64))
        for task, start in benches:
            if time.monotonic() < end:
                yield _tried("bench", about, start, partial(bench, file, task), vars_of(task))
        for start in starts:
            if time.monotonic() < end:
                served = partial(serve, options.llamacpp, file, kept=options.logs)
                yield _tried("start", about, start, served, {})
        if not options.keep:
            file.unlink()


def vars_of(task: Task) -> dict[str, int]:
    """Return a task as plain data."""
    return {
        name: getattr(task, name) for name in ("prompt", "generate", "depth", "batch", "repeat")
    }


def _tried(
    kind: str,
    about: Mapping[str, Any],
    start: Start,
    do: Callable[[Start], dict[str, Any]],
    task: Mapping[str, int],
) -> dict[str, Any]:
    began = time.monotonic()
    try:
        found = do(start)
    except (PlannerError, OSError) as error:
        found = {"failure": f"{type(error).__name__}: {error}"}
    entry = {"kind": kind, **about, "asked": _said(start), **({"task": dict(task)} if task else {})}
    entry |= found
    print(_line(entry, time.monotonic() - began), flush=True)
    return entry


def _line(entry: Mapping[str, Any], seconds: float) -> str:
    """Return one line for people."""
    asked = entry["asked"]
    head = f"{entry['kind']} {entry['model']} {entry['type']} {asked['options'] or ''}"
    head += " cpu" if asked["cpu"] else ""
    if "failure" in entry:
        return f"{head}: {entry['failure']}"
    parts = []
    for row in entry["rows"]:
        planned_, logged = row["planned"], row["logged"]
        if row["unit"] == "tok/s" or row["agrees"] is False:
            between = f" (planned {planned_[0]:.4g}..{planned_[1]:.4g})" if planned_ else ""
            parts.append(
                f"{row['figure']} {logged:.6g}{between}{' ✘' if row['agrees'] is False else ''}"
            )
    used = entry.get("used_mib")
    return f"{head} {seconds:.0f} s: {'; '.join(parts) or 'agrees'} {used or ''} {entry.get('not_compared', '')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.measure_gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="+", metavar="SIZE:TYPE", help="9B:Q4_K_M")
    parser.add_argument("--llamacpp", type=Path, required=True, metavar="DIR")
    parser.add_argument("--files", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--cpu", action="store_true", help="the processor alone as well")
    parser.add_argument("--cpu-alone", action="store_true", help="the processor alone")
    parser.add_argument("--keep", action="store_true", help="keep the files that were written")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the servers' logs")
    parser.add_argument(
        "--deadline", type=float, default=3600, help="seconds; nothing starts later"
    )
    options = parser.parse_args(argv)
    options.llamacpp = options.llamacpp.resolve()
    os.environ["PATH"] = f"{options.llamacpp}{os.pathsep}{os.environ['PATH']}"
    words = list(sys.argv[1:] if argv is None else argv)
    document: dict[str, Any] = {"origin": origin(words), "entries": []}
    for entry in measure(options):
        document["entries"].append(entry)
        options.out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast the planner is, as ratios of one run; writes docs/performance.md.

    python -m benchmarks.instant [--write] [--peers FOLDER]

Seconds are CPU seconds of this process or of the commands that it starts, so that a busy machine
does not count; what is started is compared with a bare Python started as often, in turn. Peers are
commands in an environment of their own (benchmarks/peers.txt); one that is not there is left out.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import process_time
from typing import Any

import hardware_db
from hardware_db import accelerators
from planner import planning
from planner.asking import ANYWHERE, ask
from planner.model.checkpoint import Checkpoint
from planner.question import Question
from planner.recommending import Wanted, recommend
from planner.search import advise, fits_table, headline_precisions, solve_limits
from planner.sweeping import sweep_frames

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
PEERS = ROOT / ".peers"
RUNS = 7
"""Starts of a command; the fastest counts."""

SECONDS = 1.0
"""CPU seconds for which plans are counted."""

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
class Figure:
    """One line of the page.

    Attributes:
        what: what was measured.
        goal: what it should be, in words; empty without one.
        measured: what it is, in words.
    """

    what: str
    goal: str
    measured: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The fastest of some starts: CPU seconds and MiB resident."""

    seconds: float
    mib: int


def started(command: Sequence[str]) -> Started:
    """Start a command once, and return what it took."""
    with Path(os.devnull).open("w") as nothing:
        process = subprocess.Popen(command, stdout=nothing, stderr=nothing, cwd=ROOT)
        _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    unit = 1 << 20 if platform.system() == "Darwin" else 1 << 10
    return Started(seconds=used.ru_utime + used.ru_stime, mib=int(used.ru_maxrss // unit))


def starts(commands: dict[str, Sequence[str]]) -> dict[str, Started]:
    """Return the fastest start of each command, all of them in turn."""
    best: dict[str, Started] = {}
    for _ in range(RUNS):
        for name, command in commands.items():
            found = started(command)
            if name not in best or found.seconds < best[name].seconds:
                best[name] = found
    return best


def start_up(peers: Path) -> Iterator[Figure]:
    """Yield what starts take, in bare Pythons; peers by their --help, which needs no network."""
    python = [sys.executable]
    plan = [*python, "-m", "planner", "plan"]
    commands: dict[str, Sequence[str]] = {
        "bare": [*python, "-c", "pass"],
        "import typer": [*python, "-c", "import typer"],
        "qwenplan --help": [*python, "-m", "planner", "--help"],
    }
    for engine, (model, on, precision, _) in PLANS.items():
        words = [model, "--on", on, "--precision", precision, "--engine", engine]
        commands[f"qwenplan plan, {engine}"] = [*plan, *words]
    for name in ("kvfit", "hf-mem", "llmfit"):
        if (peers / "bin" / name).is_file():
            commands[f"{name} --help"] = [str(peers / "bin" / name), "--help"]
    found = starts(commands)
    bare = found.pop("bare")
    goals = {"qwenplan --help": "8x"}
    for name, start in found.items():
        goal = goals.get(name, "9x, 40 MiB" if name.startswith("qwenplan plan") else "")
        ratio = f"{start.seconds / bare.seconds:.1f}x, {start.mib} MiB"
        yield Figure(what=f"{name} / bare Python", goal=goal, measured=ratio)


def warm(question: Question) -> float:
    """Return plans of changing workloads per CPU second, one layout."""
    question = question.with_(layout=question.layouts()[0])
    contexts = [1024 * (number + 1) for number in range(200)]
    question.plan()
    count, start = 0, process_time()
    while (busy := process_time() - start) < SECONDS:
        question.plan(context=contexts[count % 200], concurrency=1 + count % 7)
        count += 1
    return count / busy


def repeated(question: Question) -> float:
    """Return plans of one workload per CPU second."""
    question = question.with_(layout=question.layouts()[0])
    question.plan()
    count, start = 0, process_time()
    while (busy := process_time() - start) < SECONDS / 4:
        question.plan()
        count += 1
    return count / busy


def plans() -> Iterator[Figure]:
    """Yield warm plans per second, by engine."""
    for engine, (model, on, precision, goal) in PLANS.items():
        question = ask(model, on=on, engine=engine, precision=precision)
        yield Figure(
            what=f"warm plans per second, {engine}: other workload / the same again",
            goal=f"{goal:,}" if goal else "",
            measured=f"{warm(question):,.0f} / {repeated(question):,.0f}",
        )


def shapes() -> Iterator[Figure]:
    """Yield plans per second of llama.cpp where each is a graph of its own."""
    model, on, precision, _ = PLANS["llamacpp"]
    question = ask(model, on=on, engine="llamacpp", precision=precision)
    asked = [
        (many, cache, ubatch)
        for ubatch in (256, 512, 1024, 2048)
        for cache in ("f16", "q8_0", "q4_0")
        for many in range(1, 9)
    ]
    question.plan()

    def plans(*, whole: bool, context: int) -> float:
        start = process_time()
        for many, cache, ubatch in asked:
            plan = question.plan(
                context=context,
                concurrency=many if whole else 8 + many,
                kv_cache_dtype=cache,
                options={"ubatch_size": ubatch},
            )
            assert plan.ranks
            assert not whole or plan.capacity
        return len(asked) / (process_time() - start)

    yield Figure(
        what="new shapes per second, llamacpp: whether it fits / how far it goes as well",
        goal="150",
        measured=f"{plans(whole=False, context=8192):,.0f} / {plans(whole=True, context=8192):,.0f}",
    )


def cpu(answer: Callable[[], object]) -> float:
    """Return the CPU milliseconds of an answer that no cache of whole plans holds."""
    planning.forget()
    start = process_time()
    answer()
    return 1000 * (process_time() - start)


def searches() -> Iterator[Figure]:
    """Yield what searches take, the first time in this process and again."""

    def fits(engine: str) -> object:
        question = ask("Qwen3.5-27B", on=ANYWHERE, engine=engine)
        return fits_table(question, headline_precisions(question))

    def recommended(base: str | None, users: int) -> object:
        system = hardware_db.resolve("rtx-4090")
        return recommend(Wanted(system=system, base=base, concurrency=users))

    def solve() -> object:
        return solve_limits(ask("Qwen3.5-27B", on="2x h100", engine="vllm"))

    def advice() -> object:
        return advise(ask("Qwen3.5-122B-A10B", on="2x rtx-4090", engine="vllm").plan(), most=3)

    size = len(accelerators())
    for what, goal, answer in (
        (f"fits, vLLM, 27B over {size} accelerators", "300 ms", lambda: fits("vllm")),
        (f"fits, SGLang, 27B over {size} accelerators", "300 ms", lambda: fits("sglang")),
        (f"fits, llama.cpp, 27B over {size} accelerators", "500 ms", lambda: fits("llamacpp")),
        ("recommend, RTX 4090, 27B", "150 ms", lambda: recommended("Qwen/Qwen3.5-27B", 1)),
        ("recommend, RTX 4090, any model", "600 ms", lambda: recommended(None, 1)),
        ("recommend, RTX 4090, any model for 64 users", "", lambda: recommended(None, 64)),
        ("advise, vLLM, three pieces", "200 ms", advice),
        ("solve, vLLM", "100 ms", solve),
    ):
        first, again = cpu(answer), cpu(answer)
        yield Figure(what=what, goal=goal, measured=f"{first:,.0f} ms, again {again:,.0f} ms")


def sweeps() -> Iterator[Figure]:
    """Yield rows of a sweep per CPU second: in columns, and one plan after the other."""
    asked: dict[str, Any] = {
        "contexts": list(range(2048, 262_144, 64)),
        "concurrencies": list(range(1, 129)),
    }
    million = {"vllm": "1,000,000", "sglang": "1,000,000", "llamacpp": "1,000,000"}
    for engine in ("vllm", "sglang", "llamacpp", "tensorrt-llm", "mlx", "transformers"):
        model, on, precision, _ = PLANS[engine]
        asked |= {"models": model, "on": on, "precisions": precision}
        for frame in sweep_frames(engines=engine, verdicts=False, **asked | {"contexts": [4096]}):
            assert len(frame)  # pandas is imported, what engines keep is kept
        count, start = 0, process_time()
        for frame in sweep_frames(engines=engine, verdicts=False, **asked):
            count += len(frame)
            if process_time() - start > SECONDS:
                break
        yield Figure(
            what=f"rows of a sweep per second, {engine}",
            goal=million.get(engine, ""),
            measured=f"{count / (process_time() - start):,.0f}",
        )


def files(rows: Sequence[int]) -> Iterator[Figure]:
    """Yield what it takes to write so many rows to a Parquet file with `qwenplan sweep`."""
    with tempfile.TemporaryDirectory() as folder:
        for many in rows:
            words = ["sweep", "Qwen3.5-27B", "--on", "h100", "--precision", "fp8"]
            words += ["--engine", "vllm", "--context", f"2048:{2048 + many // 256 - 1}:+1"]
            words += ["--concurrency", "1:256:+1", "--out", f"{folder}/plans.parquet"]
            found = started([sys.executable, "-m", "planner", *words])
            yield Figure(
                what=f"{many // 256 * 256:,} rows to Parquet: rows per second, resident",
                goal="1 GiB",
                measured=f"{many / found.seconds:,.0f}, {found.mib:,} MiB",
            )


def growth() -> Iterator[Figure]:
    """Yield how the time of an answer grows: with GPUs, layers, candidates and rows."""

    def line(what: str, numbers: Sequence[int], answer: Callable[[int], object]) -> Figure:
        answer(numbers[0])
        found = [cpu(partial(answer, number)) for number in numbers]
        return Figure(
            what=f"{what}: {' / '.join(f'{number:,}' for number in numbers)}",
            goal="",
            measured=f"{' / '.join(f'{each:,.1f}' for each in found)} ms",
        )

    def on_gpus(count: int) -> object:
        return ask("Qwen3.5-122B-A10B", on=f"{count}x h100", engine="vllm").plan()

    def with_layers(times: int) -> object:
        question = ask("Qwen3.5-27B", on="8x h200", engine="vllm", precision="bf16")
        held = question.checkpoint
        model = replace(held.model, name=f"{times} times", layers=held.model.layers * times)
        checkpoint = Checkpoint(
            id=model.name, model=model, scheme=held.scheme, source="longer", hypothetical=True
        )
        return question.with_(checkpoint=checkpoint).plan()

    def over(count: int) -> object:
        question = ask("Qwen3.5-27B", on=ANYWHERE, engine="vllm")
        return fits_table(question, headline_precisions(question), accelerators()[:count])

    def of_rows(count: int) -> object:
        frames = sweep_frames(
            models="Qwen3.5-27B",
            on="h100",
            precisions="fp8",
            engines="vllm",
            contexts=list(range(2048, 2048 + count // 128)),
            concurrencies=list(range(1, 129)),
            verdicts=False,
        )
        return sum(map(len, frames))

    yield line("plan by GPUs", (1, 2, 4, 8, 16, 32, 64), on_gpus)
    yield line("plan by layers, times 64", (1, 2, 4, 8), with_layers)
    yield line("fits by accelerators", (32, 64, 128, 256), over)
    yield line("sweep by rows", (12_800, 128_000, 1_280_000), of_rows)


def written(figures: Sequence[Figure]) -> str:
    """Return the page."""
    lines = [
        "# How fast it is",
        "",
        "Written by `make bench` (`benchmarks/instant.py`); figures of one run, CPU time, Python"
        f" {platform.python_version()} on {platform.machine()}; {os.cpu_count()} cores, on which"
        f" {os.getloadavg()[0]:.0f} processes wanted to run when it ended: beside others the same"
        " work takes up to twice the CPU time.",
        "",
        "| figure | goal | measured |",
        "|---|---|---|",
        *(f"| {figure.what} | {figure.goal} | {figure.measured} |" for figure in figures),
        "",
        "## What is kept between plans",
        "",
        "Whatever does not depend on context and concurrency is computed once and kept by"
        " `planner/memo.py`: checkpoints, systems and options by identity, everything else by value."
        " A cache holds 1,024 answers unless the table says otherwise; the oldest goes first.",
        "",
        "| kept | by | most |",
        "|---|---|---|",
        *KEPT,
        "",
        "The hardware database is read from `hardware_db/data/compiled.bin`, which a build or"
        " `python -m hardware_db` writes; its digest covers the TOML files and the code, and where"
        " it does not agree TOML is read.",
        "",
    ]
    return "\n".join(lines)


KEPT = (
    "| refusals and allocation of a deployment (`planner/planning.py`) | the whole deployment | 512 |",
    "| vLLM: weights of the stages, empty pool, refusals | model, options, layout, device | 1,024 |",
    "| vLLM: overheads of a stage | the same, tokens and sequences of a step | 4,096 |",
    "| SGLang: server, weights of the stages, their terms, refusals | the same | 1,024 |",
    "| TensorRT-LLM: weights, terms, bytes per token and state, refusals | the same | 1,024 |",
    "| llama.cpp: answers | the whole deployment | 1,024 |",
    "| llama.cpp: graphs, and the sizes of their slots | blocks and where they lie, batch | 512, 4,096 |",
    "| llama.cpp: cells that each number of slots holds, for sweeps | model, options, system | 1,024 |",
    "| MLX: bytes per token, states, longest context | model, cache format | 1,024 |",
    "| transformers: device map, what runs on a device | model, options, system | 1,024 |",
    "| tables of n-grams | model, cuts | 1,024 |",
)
"""The caches, one line each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instant", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--peers", type=Path, default=PEERS, help="an environment with the peers")
    parser.add_argument(
        "--rows", type=int, nargs="*", default=(1_000_000, 4_000_000), help="rows of Parquet files"
    )
    asked = parser.parse_args(argv)
    if not (asked.peers / "bin").is_dir():
        print(f"no peers in {asked.peers}: they are left out")
    figures = []
    parts = (start_up(asked.peers), plans(), shapes(), searches(), sweeps(), files(asked.rows))
    for figure in chain(*parts, growth()):
        print(f"{figure.what:80} {figure.goal:>12}  {figure.measured}", flush=True)
        figures.append(figure)
    if asked.write:
        PAGE.write_text(written(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How fast the planner is, as ratios of one run; writes docs/performance.md.

    python -m benchmarks.instant [--write] [--only PART ...] [--peers FOLDER] [--rows N ...]

Seconds are CPU seconds of this process or of the commands that it starts, so that a busy machine
counts little; what is started is compared with a bare Python started as often, in turn, after a
first start that compiles its modules. What is measured in this process looks for garbage as seldom as
the command line and the app's workers do. Peers are commands in an environment of their own
(benchmarks/peers.txt), and a Hub on the loopback address stands for the real one; a part or a peer
that cannot be measured says why. The whole takes about a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from benchmarks.performance_page import PAGE, Figure, written
from benchmarks.searches import SEARCHES, cpu
from benchmarks.starting import PATIENCE, PLANS, NotMeasuredError, reported, start_up, started
from hardware_db import accelerators
from planner.asking import ANYWHERE, as_said, ask
from planner.cli import collect_rarely
from planner.memo import forget_all
from planner.model.checkpoint import Checkpoint
from planner.question import Question
from planner.search import fits_table, headline_precisions
from planner.sweeping import sweep_frames

PEERS = Path(__file__).parent.parent / ".peers"
LONGEST = 1200
"""Seconds after which no further part is begun."""

PROCESSES = 5
"""Processes in which a search is asked: what a first answer takes is told once by each. As many rounds
of new shapes are asked, each after everything was forgotten."""

SECONDS = 1.0
"""CPU seconds for which plans are counted."""


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
    """Yield plans per second of llama.cpp where each is a graph of its own: the most of a few rounds."""
    model, on, precision, _ = PLANS["llamacpp"]
    question = ask(model, on=on, engine="llamacpp", precision=precision)
    asked = [
        (many, cache, ubatch)
        for ubatch in (256, 512, 1024, 2048)
        for cache in ("f16", "q8_0", "q4_0")
        for many in range(1, 9)
    ]

    def plans(*, whole: bool, context: int) -> float:
        forget_all()
        question.plan()
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

    fits, far = (
        max(plans(whole=whole, context=8192) for _ in range(PROCESSES)) for whole in (False, True)
    )
    yield Figure(
        what="new shapes per second, llamacpp: whether it fits / how far it goes as well",
        goal="150",
        measured=f"{fits:,.0f} / {far:,.0f}",
    )


def searches() -> Iterator[Figure]:
    """Yield what searches take, the first time in a process and again: the least of a few processes."""
    for search in SEARCHES:
        command = [sys.executable, "-m", "benchmarks.searches", search.name]
        found = [reported(command) for _ in range(PROCESSES)]
        first, again = (min(one[key] for one in found) for key in ("first", "again"))
        yield Figure(
            what=search.what,
            goal=search.goal,
            measured=f"{first:,.0f} ms, again {again:,.0f} ms",
        )


def sweeps() -> Iterator[Figure]:
    """Yield rows of a sweep per CPU second, the first of a deployment included."""
    asked: dict[str, Any] = {
        "contexts": list(range(2048, 262_144, 16)),
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
            if process_time() - start > 3 * SECONDS:
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
            patience = PATIENCE + many / 100_000
            found = started([sys.executable, "-m", "planner", *words], patience=patience)
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
        question = as_said("Qwen3.5-27B", on=ANYWHERE, engine="vllm")
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


def tensors(peers: Path) -> Iterator[Figure]:
    """Yield how long the headers of 64,000 tensors take beside hf-mem."""
    found = peers.glob("lib/python*/site-packages")
    packages = [str(folder) for folder in found]
    program = f"import sys; sys.path += {packages!r}; from benchmarks.headers import main; main()"
    report = reported([sys.executable, "-c", program, "--json", "--rounds", "3"])
    if "hf-mem" not in report:
        raise NotMeasuredError("hf-mem is not there")
    yield Figure(
        what="headers of 64,000 tensors / hf-mem",
        goal="1x",
        measured=f"{report['hf-mem']['ratio']:.2f}x",
    )


def app() -> Iterator[Figure]:
    """Yield how much slower the app is than a bare page, as `benchmarks.web` measures it."""
    words = ["--presses", "12", "--loads", "3", "--json"]
    report = reported([sys.executable, "-m", "benchmarks.web", *words], fails=(3,))
    rows = {
        f"app: from a key to its number, {engine} / bare page": row
        for engine, row in report["key_to_number"].items()
    }
    for what, row in (rows | {"app: first load / bare page": report["first_load"]}).items():
        yield Figure(
            what=f"{what}, p50 and p95",
            goal="1.3x",
            measured=f"{row['ratio_p50']:.2f}x, {row['ratio_p95']:.2f}x"
            f" ({row['app']['p50']:,.0f} ms at p50)",
        )


def pages() -> Iterator[Figure]:
    """Yield the slowest question of every page of the app, as `benchmarks.pages` asks them."""
    found = reported([sys.executable, "-m", "benchmarks.pages", "--json"], fails=(3,))["visits"]
    for page in dict.fromkeys(visit["page"] for visit in found):
        slowest = max((row for row in found if row["page"] == page), key=lambda row: row["seconds"])
        yield Figure(
            what=f"app: the whole page {page or 'run'}, slowest of its questions",
            goal="2 s",
            measured=f"{slowest['seconds']:.1f} s, {slowest['processor']:.1f} s of the processor"
            f" ({slowest['question']})",
        )


Part = Callable[[argparse.Namespace], Iterator[Figure]]
PARTS: dict[str, Part] = {
    "start-up": lambda asked: start_up(asked.peers),
    "plans": lambda _: plans(),
    "shapes": lambda _: shapes(),
    "searches": lambda _: searches(),
    "sweeps": lambda _: sweeps(),
    "growth": lambda _: growth(),
    "headers": lambda asked: tensors(asked.peers),
    "app": lambda _: app(),
    "pages": lambda _: pages(),
    "files": lambda asked: files(asked.rows),
}
"""What is measured, by the name that --only takes."""


def measured(asked: argparse.Namespace) -> Iterator[Figure]:
    """Yield the figures of the parts that are asked for; of one that fails, why."""
    begun = monotonic()
    for name in asked.only or PARTS:
        if monotonic() - begun > LONGEST:
            yield Figure(what=name, goal="", measured="not measured: no time was left")
            continue
        try:
            yield from PARTS[name](asked)
        except (NotMeasuredError, OSError, ValueError, KeyError, AssertionError) as error:
            yield Figure(what=name, goal="", measured=f"not measured: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instant",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="these parts (default: all)")
    parser.add_argument("--peers", type=Path, default=PEERS, help="an environment with the peers")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="*",
        default=(1_000_000, 10_000_000, 50_000_000),
        help="rows of Parquet files",
    )
    asked = parser.parse_args(argv)
    asked.peers = asked.peers.resolve()
    collect_rarely()
    figures = []
    for figure in measured(asked):
        print(f"{figure.what:80} {figure.goal:>12}  {figure.measured}", flush=True)
        figures.append(figure)
    if asked.write:
        PAGE.write_text(written(figures), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

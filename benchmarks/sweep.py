"""How many deployments a second `planner.sweep` plans.

    python -m benchmarks.sweep [--workers N]

A sweep of bundled models, precisions, cards, counts, contexts and concurrencies under one engine;
with workers, over a pool of processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from time import perf_counter, process_time

import planner
from planner.model.checkpoint import Checkpoint

MODELS = ("Qwen3.5-9B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B")
HARDWARE = ("rtx-4090", "rtx-5090", "l40s", "h100-sxm", "h200-sxm", "b200")
COUNTS = (1, 2, 4, 8)
CONTEXTS = (4096, 32_768, 131_072)
CONCURRENCIES = (1, 8, 64)


def measure(engine: str, *, workers: int = 0) -> tuple[int, float, float]:
    """Rows of the sweep, seconds that it takes, and seconds of this process's CPU.

    Names are resolved before the clock starts.
    """
    checkpoints = [
        planner.load_checkpoint(model, precision=precision)
        for model in MODELS
        for precision in ("bf16", "fp8")
    ]
    planner.sweep(checkpoints[:1], on=HARDWARE[:1])  # pandas is imported, catalogs are read
    start, busy = perf_counter(), process_time()
    if workers:
        with ProcessPoolExecutor(workers) as executor:
            frame = _sweep(checkpoints, engine, executor)
    else:
        frame = _sweep(checkpoints, engine, None)
    return len(frame), perf_counter() - start, process_time() - busy


def _sweep(
    checkpoints: list[Checkpoint], engine: str, executor: ProcessPoolExecutor | None
) -> Sequence[object]:
    frame = planner.sweep(
        checkpoints,
        on=HARDWARE,
        counts=COUNTS,
        engines=[engine],
        contexts=CONTEXTS,
        concurrencies=CONCURRENCIES,
        executor=executor,
    )
    return frame.index.tolist()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--workers", type=int, default=0, help="processes; 0 plans in this one")
    parser.add_argument("--engine", action="append", help="engines (default: vllm, sglang)")
    options = parser.parse_args(argv)
    for engine in options.engine or ("vllm", "sglang"):
        rows, seconds, busy = measure(engine, workers=options.workers)
        line = f"{engine:12} {rows:,} plans in {seconds:.2f} s: {rows / seconds:,.0f} plans/s"
        if not options.workers:
            line += f" ({rows / busy:,.0f} per second of CPU)"
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

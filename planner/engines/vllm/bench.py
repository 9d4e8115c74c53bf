"""Run `vllm bench latency` with the flags of a plan, and read the file that it writes.

One batch of prompts with an answer of one token tells prefill, with a longer answer decoding. The
log is that of an engine's start. Prefix caching is off, as the bench itself has it: the same
prompts come again.

Source: vLLM 0.33.0 benchmarks/latency.py (its arguments; avg_latency in seconds).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from planner.engines.bench import Bench, Output, Point, Printed, Step, Task
from planner.engines.engine import Deployment

WARM_UP = 2
_SERVER = frozenset({"--host", "--port", "--api-key", "--served-model-name"})
"""Flags of the server with a value, which the bench has not."""


def steps(
    deployment: Deployment, argv: Sequence[str], task: Task, folder: Path, download: bool
) -> tuple[Step, ...]:
    """Return one run per length of the answer; each loads the model anew."""
    environment = {} if download else {"HF_HUB_OFFLINE": "1"}
    lengths = [1, task.generate] if task.generate > 1 else [1]
    runs = []
    for length in lengths:
        result = folder / f"latency-{length}.json"
        words = ["vllm", "bench", "latency", "--model", argv[2], *_engine_words(argv[3:])]
        words += ["--input-len", str(max(1, task.depth + task.prompt)), "--output-len", str(length)]
        words += ["--batch-size", str(task.batch), "--num-iters-warmup", str(WARM_UP)]
        words += ["--num-iters", str(task.repeat), "--output-json", str(result)]
        runs.append(Step(argv=tuple(words), environment=environment, result=result))
    return tuple(runs)


def _engine_words(argv: Sequence[str]) -> list[str]:
    words, skipped = [], False
    for word in argv:
        if skipped:
            skipped = False
        elif word in _SERVER:
            skipped = True
        else:
            words.append(word)
    return words


def read(task: Task, outputs: Sequence[Output]) -> Printed:
    """Return the rates: of the first file prefill, of both the steps between."""
    seconds = [_latency(output.result) for output in outputs]
    points = []
    first = seconds[0] if seconds else None
    if first and task.prompt:
        length = task.depth + task.prompt
        points.append(
            Point(
                phase="prefill",
                rate=task.batch * length / first,
                tokens=length,
                depth=0,
                batch=task.batch,
            )
        )
    last = seconds[1] if len(seconds) > 1 else None
    notes = []
    if first and last and last > first:
        rate = task.batch * (task.generate - 1) / (last - first)
        points.append(
            Point(
                phase="decode",
                rate=rate,
                tokens=task.generate,
                depth=task.depth + task.prompt,
                batch=task.batch,
            )
        )
    elif first and last:
        notes.append("a longer answer took no longer: the machine was too busy to measure decoding")
    return Printed(points=tuple(points), notes=tuple(notes))


def _latency(text: str) -> float | None:
    try:
        found = json.loads(text)["avg_latency"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return float(found) if isinstance(found, int | float) and 0 < found < 1e7 else None


BENCH = Bench(
    program="vllm",
    comes_with="vLLM itself (with its extra: vllm[bench])",
    options=MappingProxyType({"enable_prefix_caching": False}),
    steps=steps,
    read=read,
)

"""Measure transformers with random weights in a process of its own, and read its lines of JSON.

Nothing is downloaded: the model is built from its config. The program is this package's own
measurement of PyTorch (``planner.measuring.pytorch``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from planner.engines.bench import Bench, Output, Point, Printed, Size, Step, Task
from planner.engines.engine import Deployment
from planner.memory.breakdown import Kind

PROGRAM = "planner.measuring.pytorch"
_CACHE = (Kind.KV_CACHE, Kind.RECURRENT_STATE)


def steps(
    deployment: Deployment, argv: Sequence[str], task: Task, folder: Path, download: bool
) -> tuple[Step, ...]:
    """Return the one command."""
    words = [sys.executable, "-m", PROGRAM, "--model", deployment.checkpoint.id, "--lines"]
    words += ["--lengths", str(max(2, task.context)), "--batches", str(task.batch)]
    return (Step(argv=tuple(words)),)


def read(task: Task, outputs: Sequence[Output]) -> Printed:
    """Return the last line's sizes and rates: every line is the run so far."""
    run = None
    for output in outputs:
        for line in output.stdout.splitlines():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                continue
            run = found if isinstance(found, dict) and "cases" in found else run
    if run is None:
        return Printed()
    sizes = [Size(name="weights", nbytes=int(run["weight_bytes"]), kinds=(Kind.WEIGHTS,))]
    points = []
    for case in run["cases"]:
        sizes += _sizes(case)
        step = case.get("seconds_per_step")
        if step:
            points.append(
                Point(
                    phase="decode",
                    rate=case["batch"] / step,
                    tokens=task.generate,
                    depth=case["tokens"],
                    batch=case["batch"],
                )
            )
    return Printed(
        points=tuple(points),
        sizes=tuple(sizes),
        device="" if run["device"] == "cpu" else str(run["device"]),
        processor=run["device"] == "cpu",
        version=str(run["versions"].get("transformers", "")),
        notes=tuple(f"left out: {reason}" for reason in run["left_out"]),
    )


def _sizes(case: Mapping[str, Any]) -> Iterator[Size]:
    yield Size(name="KV cache", nbytes=int(case["kv_bytes"]), kinds=(Kind.KV_CACHE,))
    yield Size(name="recurrent state", nbytes=int(case["state_bytes"]), kinds=(_CACHE[1],))
    if case.get("peak_bytes"):
        kinds = (*_CACHE, Kind.ACTIVATIONS)
        yield Size(name="peak beside the weights", nbytes=int(case["peak_bytes"]), kinds=kinds)


BENCH = Bench(
    program=sys.executable,
    module=("torch", "transformers"),
    comes_with="Python packages, torch with CUDA",
    steps=steps,
    read=read,
    logs=False,
)

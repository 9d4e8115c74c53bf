"""Run `mlx_lm.benchmark` on a plan's model, and read its averages.

Source: mlx-lm 0.32.2 benchmark.py, run on a processor: ``Averages: prompt_tps=..., generation_tps=..., peak_memory=...``,
the memory in units of 1e9 bytes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from planner.engines.bench import Bench, Output, Point, Printed, Size, Step, Task
from planner.engines.engine import Deployment
from planner.memory.breakdown import Kind

_NUMBER = r"(\d+(?:\.\d+)?)"
_LINE = re.compile(
    rf"^(?P<what>Averages|Trial \d+):\s+prompt_tps={_NUMBER}, generation_tps={_NUMBER},"
    rf" peak_memory={_NUMBER}",
    re.MULTILINE,
)


def steps(
    deployment: Deployment, argv: Sequence[str], task: Task, folder: Path, download: bool
) -> tuple[Step, ...]:
    """Return the one command; what it fills first is the prompt and what was there before."""
    words = ["mlx_lm.benchmark", "--model", deployment.checkpoint.id]
    words += ["--prompt-tokens", str(max(1, task.depth + task.prompt))]
    words += ["--generation-tokens", str(max(1, task.generate))]
    words += ["--batch-size", str(task.batch), "--num-trials", str(task.repeat)]
    return (Step(argv=tuple(words), environment={} if download else {"HF_HUB_OFFLINE": "1"}),)


def read(task: Task, outputs: Sequence[Output]) -> Printed:
    """Return the averages; of a run that was stopped, the last trial."""
    found = None
    for output in outputs:
        for match in _LINE.finditer(output.stdout):
            found = match
    if found is None:
        return Printed()
    prompt, generation, peak = (float(found[number]) for number in (2, 3, 4))
    length = task.depth + task.prompt
    points = []
    if task.prompt and prompt:
        points.append(Point(phase="prefill", rate=prompt, tokens=length, depth=0, batch=task.batch))
    if task.generate and generation:
        points.append(
            Point(
                phase="decode",
                rate=generation,
                tokens=task.generate,
                depth=length,
                batch=task.batch,
            )
        )
    notes = () if found["what"] == "Averages" else (f"stopped after {found['what'].lower()}",)
    elsewhere = sys.platform != APPLE  # it names no device: elsewhere MLX computes on the processor
    used = tuple(kind for kind in Kind if kind is not Kind.RUNTIME)
    size = Size(name="peak memory of MLX", nbytes=round(peak * 1e9), kinds=used)
    return Printed(points=tuple(points), sizes=(size,), notes=notes, processor=elsewhere)


APPLE = "darwin"
"""What Python calls the system under which MLX has a GPU that is planned."""

BENCH = Bench(
    program="mlx_lm.benchmark", comes_with="the package mlx-lm", steps=steps, read=read, logs=False
)

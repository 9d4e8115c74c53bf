"""Run llama-bench with the flags of a plan, and read its lines of JSON.

Source: llama.cpp 0c1e570 tools/llama-bench/llama-bench.cpp. A test's context holds just its own
tokens (n_prompt + n_gen + n_depth), so that its log is checked as a start of that length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from planner.engines.bench import Bench, NotHereError, Output, Point, Printed, Step, Task
from planner.engines.engine import Deployment
from planner.errors import InputError

_SAME = frozenset({"-ngl", "-ncmoe", "-sm", "-ctk", "-ctv", "-b", "-ub", "-t", "-fa", "-mg"})
"""Flags that both programs spell alike, with one value behind."""
_SPELLED = {
    "--n-gpu-layers": "-ngl",
    "--gpu-layers": "-ngl",
    "--n-cpu-moe": "-ncmoe",
    "--split-mode": "-sm",
    "--cache-type-k": "-ctk",
    "--cache-type-v": "-ctv",
    "--batch-size": "-b",
    "--ubatch-size": "-ub",
    "--threads": "-t",
    "--flash-attn": "-fa",
    "--main-gpu": "-mg",
    "--tensor-split": "-ts",
    "--override-tensor": "-ot",
}
_ALL = "999"
_NO_GPU = ("-ngl", "0", "-dev", "none")
"""What keeps llama-bench off every GPU: without layers on one, it still computes prompts there."""
LONGEST = 2**20
"""Characters of a line that are read."""


def words(argv: Sequence[str]) -> Iterator[str]:
    """Yield the words of llama-server that llama-bench takes, as it spells them."""
    rules: list[str] = []
    for place, word in enumerate(argv):
        flag = _SPELLED.get(word, word)
        value = argv[place + 1] if place + 1 < len(argv) else ""
        if word in ("--cpu-moe", "-cmoe"):
            yield from ("-ncmoe", _ALL)
        elif flag == "-ngl":
            yield from (flag, _ALL if value == "all" else value)
        elif flag in _SAME:
            yield from (flag, value)
        elif flag == "-ts":
            yield from (flag, value.replace(",", "/"))
        elif flag == "-ot":
            rules.append(value)
    if rules:
        yield from ("-ot", ";".join(rules))


def steps(
    deployment: Deployment, argv: Sequence[str], task: Task, folder: Path, download: bool
) -> tuple[Step, ...]:
    """Return the one command: a line of JSON per test on stdout, the log on stderr.

    Raises:
        InputError: no file is named, and it may not download one.
    """
    command = ["llama-bench", *_model(deployment, argv, download=download)]
    command += ["-p", str(task.prompt), "-n", str(task.generate)]
    if task.depth:
        command += ["-d", str(task.depth)]
    command += ["-r", str(task.repeat), "-o", "jsonl", "-v", *words(argv)]
    if deployment.system.is_cpu_only:
        command += _NO_GPU
    return (Step(argv=tuple(command)),)


def _model(deployment: Deployment, argv: Sequence[str], *, download: bool) -> tuple[str, str]:
    name = deployment.checkpoint.id
    if name.endswith(".gguf"):
        return "-m", name
    if "-hf" not in argv:
        raise InputError(f"{name}: llama-bench reads a file; give the path of a GGUF as MODEL")
    remote = argv[list(argv).index("-hf") + 1]
    if not download:
        raise NotHereError(
            f"{name}: llama-bench reads a file; give its path as MODEL, or let it fetch {remote}"
            " with --download"
        )
    return "-hf", remote


def read(task: Task, outputs: Sequence[Output]) -> Printed:
    """Return what the lines say; a line that was cut off by a stop is passed over."""
    rows = [row for output in outputs for row in _rows(output.stdout)]
    notes = []
    # It lists the GPUs that the machine has, whether or not it was kept off them.
    off = any(row.get("devices") == "none" for row in rows)
    gpu = "" if off else next((str(row.get("gpu_info") or "") for row in rows), "")
    if rows and not gpu:
        notes.append("llama-bench ran on the processor" + ("" if off else ": it names no GPU"))
    return Printed(
        points=tuple(point for row in rows for point in _points(row)),
        device=gpu,
        processor=bool(rows) and not gpu,
        version=next((version for row in rows if (version := _version(row))), ""),
        notes=tuple(notes),
    )


def _rows(text: str) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        if not line.startswith("{") or len(line) > LONGEST:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def _version(row: Mapping[str, Any]) -> str:
    """Return the build, or its commit where it was counted without the history of its source."""
    number, commit = row.get("build_number"), str(row.get("build_commit"))
    if isinstance(number, int) and number >= FIRST_BUILD:
        return f"b{number}"
    return commit if _COMMIT.fullmatch(commit) else ""


_COMMIT = re.compile(r"[0-9a-f]{7,40}")
FIRST_BUILD = 1000
"""Every build that knows this family has a higher number."""


def _points(row: Mapping[str, Any]) -> Iterator[Point]:
    """Yield the test's rate; one of a prompt and its answer together is neither's."""
    prompt, generated, rate = row.get("n_prompt"), row.get("n_gen"), row.get("avg_ts")
    spread, depth = row.get("stddev_ts"), row.get("n_depth", 0)
    if not isinstance(prompt, int) or not isinstance(generated, int) or bool(prompt and generated):
        return
    if not isinstance(rate, int | float) or not 0 < rate < LARGEST or not isinstance(depth, int):
        return
    yield Point(
        phase="prefill" if prompt else "decode",
        rate=float(rate),
        tokens=prompt or generated,
        depth=depth,
        batch=1,
        spread=float(spread) if isinstance(spread, int | float) else None,
    )


LARGEST = 1e9
"""Tokens per second: what says so is none."""

BENCH = Bench(
    program="llama-bench",
    comes_with="llama.cpp's release archives, packages and builds",
    options=MappingProxyType({"all_logits": True}),
    several=False,
    steps=steps,
    read=read,
)

"""The page docs/performance.md: figures, and what is kept between plans."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


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


def written(figures: Sequence[Figure]) -> str:
    """Return the page."""
    lines = [
        "# How fast it is",
        "",
        "Written by `make bench` (`benchmarks/instant.py`); figures of one run, CPU time, Python"
        f" {platform.python_version()} on {platform.machine()}; {os.cpu_count()} cores, on which"
        f" {os.getloadavg()[0]:.0f} processes wanted to run when it ended: beside others the same"
        " work takes up to twice the CPU time. Starts and searches are the least of several processes.",
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
        "Hardware is read from `hardware_db/data/compiled.bin`, what is asked for alone, the planner's own tables"
        " from `planner/compiled.bin`; a build, `python -m hardware_db` and `python -m"
        " planner.shipped` write them. A digest of what they are made of is looked at first, and"
        " where it does not agree TOML is read. llama.cpp's compute buffers of the bundled models on"
        " one GPU, and of one sequence on two, four or eight alike, are worked out at the same time"
        " (`planner/engines/llamacpp/ready.bin`, written by"
        " `python -m planner.engines.llamacpp`, with a digest of the code that graphs follow from).",
        "",
    ]
    return "\n".join(lines)


KEPT = (
    "| refusals and allocation of a deployment (`planner/allocating.py`) | the whole deployment | 4,096, 1,024 |",
    "| speed of a plan, its rates alone (`planner/speed.py`) | its allocation, answer, bandwidth of the RAM | 1,024 |",
    "| vLLM: weights of the stages, empty pool, refusals, least memory | model, options, layout,"
    " kind of device | 1,024 |",
    "| vLLM: caches of a workload, where weights lie | the same, tokens of a step, the workload | 1,024 |",
    "| vLLM: batch that it takes by itself | device, rules | 1,024 |",
    "| vLLM: overheads of a stage | the same, tokens and sequences of a step | 4,096 |",
    "| SGLang: server | model, options, layout, context, the GPU as SGLang sees it | 4,096 |",
    "| SGLang: weights of the stages, their terms, refusals | the same | 1,024 |",
    "| SGLang: what is free on a GPU, before and after loading | the server, the device | 4,096 |",
    "| SGLang: sequences that the pools hold | the server, what is free, the context | 4,096 |",
    "| TensorRT-LLM: weights, terms, bytes per token and state, refusals | model, options, layout,"
    " device | 1,024 |",
    "| llama.cpp: placements, answers | the whole deployment | 4,096, 1,024 |",
    "| llama.cpp: machines, what their hardware forbids | system, options, GPUs that are used | 1,024 |",
    "| llama.cpp: servers, what they take, placements that fit | model, options, context, slots,"
    " room on the GPUs | 1,024 |",
    "| llama.cpp: pieces of graphs, graphs, and the sizes of their slots | blocks and where they lie, batch | 24, 512, 4,096 |",
    "| llama.cpp: cells that each number of slots holds, for sweeps | model, options, system | 1,024 |",
    "| MLX: bytes per token, states, longest context | model, cache format | 1,024 |",
    "| transformers: device map, what runs on a device | model, options, system | 1,024 |",
    "| bytes that a token adds in all layers | model, cache format, ranks | 1,024 |",
    "| tables of n-grams | model, cuts | 1,024 |",
    "| bytes that a rank holds of a layer's tensors | model, rules of loading, cuts | 1,024 |",
    "| tensors of a GGUF type | type, model | 512 |",
    "| machines of an accelerator that are tried | the accelerator, all systems | 1,024 |",
    "| racks that the database knows, by their accelerator | all its systems | 8 |",
)
"""The caches, one line each."""

"""Read what mlx-lm prints of memory and speed: its programs' last lines, and its refusals.

mlx-lm prints no start-up log: a chat, a generation or a benchmark ends with its rates and its peak, in
units of 1e9 bytes; the server tells what the kept prompts take.

Source: mlx-lm 0.30.5 and 0.32.2 generate.py, benchmark.py, cache_prompt.py, cli_ui.py (end_turn),
server.py (_log_cache_stats); mlx's errors of the Metal allocator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import Basis, Bounds, LogFigure, LogReader, Merge, Reading
from planner.engines.mlx.answer import MlxAnswer
from planner.engines.mlx.options import PROMPTS
from planner.memory.breakdown import Kind

PEAK = "peak memory of MLX"
CHAT = " tok/s · "
"""In the line with which mlx_lm.chat ends a turn (0.32)."""
_SIZE = r"(?P<value>\d+(?:\.\d+)?)"

FIGURES = (
    LogFigure(
        name=PEAK,
        cue="eak",
        patterns=(
            rf"Peak memory: {_SIZE} (?P<unit>[MG]B)",
            rf"peak_memory={_SIZE}",
            rf"· peak {_SIZE} (?P<unit>[MG]B)",
        ),
        unit="GB",
        basis=Basis.ESTIMATE,
        step=0.001,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="kept prompts",
        cue="Prompt Cache",
        patterns=(rf"Prompt Cache: \d+ sequences, {_SIZE} (?P<unit>[MG]B)",),
        unit="GB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="prefill",
        cue="prompt_tps=",
        patterns=(rf"prompt_tps={_SIZE}",),
        unit="tok/s",
        basis=Basis.ESTIMATE,
        step=0.001,
    ),
    LogFigure(
        name="prefill",
        cue="rompt",
        patterns=(
            rf"Prompt: \d+ tokens, {_SIZE} tokens-per-sec",
            rf"· prompt {_SIZE} tok/s ·",
        ),
        unit="tok/s",
        basis=Basis.ESTIMATE,
        step=0.001,
    ),
    LogFigure(
        name="decode",
        cue=CHAT,
        patterns=(rf"\d+ tokens · {_SIZE} tok/s ·",),
        unit="tok/s",
        basis=Basis.ESTIMATE,
        step=0.1,
    ),
    LogFigure(
        name="decode",
        cue="eneration",
        patterns=(rf"Generation: \d+ tokens, {_SIZE} tokens-per-sec", rf"generation_tps={_SIZE}"),
        unit="tok/s",
        basis=Basis.ESTIMATE,
        step=0.001,
    ),
)


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Yield the peak that the plan counts."""
    assert isinstance(allocation, MlxAnswer)
    used = allocation.ranks[0].of_kind(*(kind for kind in Kind if kind is not Kind.RUNTIME))
    yield f"Peak memory: {used / 1e9:.3f} GB"


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Nothing follows from memory that a log states."""
    return None


def log_reader(read: Callable[[Sequence[str]], Command]) -> LogReader:
    """Return the reader; `read` reads the words behind `mlx_lm.server`."""

    def command(lines: Sequence[str]) -> Command | None:
        """Return the command that a line shows, if one does."""
        for line in lines:
            _, found, behind = line.partition("mlx_lm.server ")
            if found and not behind.startswith("- "):  # its own name in front of what it says
                return read(behind.split())
        return None

    return LogReader(
        marks=("tokens-per-sec", "Peak memory: ", "peak_memory=", "Prompt Cache: ", "mlx_lm", CHAT),
        version=(r"mlx[-_]lm[= ]+v?(?P<version>\d+\.\d+\.\d+)",),
        figures=FIGURES,
        command=command,
        also=also,
        given_memory=given_memory,
        refusals=(
            "kIOGPUCommandBufferCallbackErrorOutOfMemory",
            "[metal::malloc] Attempting to allocate",
            "[metal::malloc] Resource limit",
            "[METAL] Command buffer execution failed: Insufficient Memory",
        ),
        running=MappingProxyType({"prompt_concurrency": PROMPTS}),
    )

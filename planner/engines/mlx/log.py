"""Read what mlx-lm prints of memory and speed: its programs' last lines, and its refusals.

mlx-lm prints no start-up log: a chat, a generation or a benchmark ends with its rates and its peak, in
units of 1e9 bytes; the server tells what the kept prompts take.

Source: mlx-lm 0.30.5 and 0.32.2 generate.py, benchmark.py, cache_prompt.py; 0.32.2 cli_ui.py (end_turn),
server.py (_log_cache_stats); mlx backend/metal/allocator.cpp. "KV Caches: " stands in neither release: it
was seen in logs of March 2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import (
    Basis,
    Bounds,
    LogFigure,
    LogReader,
    Merge,
    Reading,
    Suggestion,
    Suggests,
)
from planner.engines.mlx.answer import MlxAnswer
from planner.engines.mlx.options import PROMPTS, MlxOptions
from planner.memory.breakdown import Kind
from planner.units import MIB

PEAK = "peak memory of MLX"
CHAT = " tok/s · "
"""In the line with which mlx_lm.chat ends a turn (0.32)."""
_LOADED = re.compile(r"Loading model (?:from )?['\"]?(?P<value>[~/][^'\"\s]{1,4096})")
_PROGRESS = re.compile(r"Prompt processing progress: \d{1,12}/(?P<value>\d{1,12})")
STEP = MlxOptions().prefill_step_size
LEAST_STEP = 128
CLOSE = "Generating with a model that requires"
"""In the warning that weights come close to what macOS lends the GPU; its MB are MiB."""
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
        cue=" Cache",
        patterns=(
            rf"Prompt Cache: \d+ sequences, {_SIZE} (?P<unit>[MG]B)",
            rf"KV Caches: \d+ seq, {_SIZE} (?P<unit>[MG]B)",
        ),
        unit="GB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="weights",
        cue=CLOSE,
        patterns=(rf"{CLOSE} {_SIZE} MB",),
        unit="MiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.WEIGHTS,),
        slack=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="memory lent to the GPU",
        cue=CLOSE,
        patterns=(rf"maximum recommended size of {_SIZE} MB",),
        unit="MiB",
        basis=Basis.ESTIMATE,
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
    yield (
        f"{CLOSE} {allocation.weights // MIB} MB which is close to the maximum recommended size of"
        f" {allocation.working_set // MIB} MB"
    )


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Nothing follows from memory that a log states."""
    return None


def _words(line: str) -> list[str]:
    """Return the words behind the server's name where a line shows its command; else none."""
    _, found, behind = line.partition("mlx_lm.server ")
    return behind.split() if found and not behind.startswith("- ") else []  # its own name in a log


def _last(pattern: re.Pattern[str], lines: Sequence[str]) -> str | None:
    found = (match for line in reversed(lines) if (match := pattern.search(line)))
    return next((match["value"] for match in found), None)


def _longest_prompt(lines: Sequence[str]) -> int | None:
    """Return the tokens of the longest prompt that was worked on; None where no line tells."""
    found = (match for line in lines if (match := _PROGRESS.search(line)))
    return max((int(match["value"]) for match in found), default=None)


def _smaller_step(groups: Mapping[str, str]) -> Suggestion:
    """Return the prefill step whose buffer Metal allows: the buffer grows as the step does."""
    wanted, limit = int(groups["wanted"]), int(groups["limit"])
    step = STEP * limit // max(1, wanted) // LEAST_STEP * LEAST_STEP
    smaller = (
        f"--prefill-step-size {step} in place of {STEP:,}"
        if step
        else "a smaller --prefill-step-size"
    )
    return Suggestion(
        words=f"one buffer, the scores of a prefill step, exceeds what Metal allows: {smaller} or fewer"
        " prompts at once (--prompt-concurrency 1) make it smaller, and so do shorter prompts; a raised"
        " iogpu.wired_limit_mb does not",
        tries={"prefill_step_size": step} if step else {},
    )


OBJECTIONS = (
    "kIOGPUCommandBufferCallbackErrorImpactingInteractivity",
    "kIOGPUCommandBufferCallbackErrorInnocentVictim",
    "kIOGPUCommandBufferCallbackErrorHang",
    "kIOGPUCommandBufferCallbackErrorTimeout",
)
"""Metal ends a command for another reason than memory.

Source: reports of mlx-lm's and oMLX's users, 2026-01 to 2026-05."""

_OUT = (
    "memory that macOS lends the GPU ran out while it ran: prompts that it keeps (--prompt-cache-size),"
    " prompts at once (--prompt-concurrency) and the step (--prefill-step-size) take less if they are"
    " lower; sudo sysctl iogpu.wired_limit_mb lends it more"
)
SUGGESTS: Suggests = MappingProxyType(
    {
        r"allocate (?P<wanted>\d{1,18}) bytes which is greater than the maximum allowed buffer size of"
        r" (?P<limit>\d{1,18})": _smaller_step,
        r"ImpactingInteractivity|ErrorHang|ErrorTimeout": "macOS ended a command that kept the GPU for too"
        " long: a smaller --prefill-step-size or shorter prompts make each one shorter",
        r"InnocentVictim": "another command's error on the GPU took this one along: the first error in the log,"
        " or another program on the GPU, is the cause; start it again",
        r"OutOfMemory|Insufficient Memory": _OUT,
        r"metal::malloc\] Resource limit": "more buffers are in use than Metal counts: fewer prompts at once"
        " (--prompt-concurrency 1) and a smaller --prompt-cache-size take fewer",
    }
)
"""What to change after the server has ended, by the line that it ends with."""


def log_reader(read: Callable[[Sequence[str]], Command]) -> LogReader:
    """Return the reader; `read` reads the words behind `mlx_lm.server`."""

    def command(lines: Sequence[str]) -> Command | None:
        """Return the command that a line shows, or the model and the longest prompt that lines tell."""
        told = next((read(words) for line in lines if (words := _words(line))), None)
        model, prompt = _last(_LOADED, lines), _longest_prompt(lines)
        if told is None and model is None and prompt is None:
            return None
        told = told or Command(bounds=False)
        named = told.model or model
        return replace(told, model=named, context=told.context or prompt)

    return LogReader(
        objections=OBJECTIONS,
        marks=(
            "[mlx-engine]",
            "tokens-per-sec",
            "Peak memory: ",
            "peak_memory=",
            "Prompt Cache: ",
            "mlx_lm",
            CLOSE,
            CHAT,
        ),
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
        suggests=SUGGESTS,
        kept=("Loading model ", "Prompt processing progress: "),
        running=MappingProxyType({"prompt_concurrency": PROMPTS}),
    )

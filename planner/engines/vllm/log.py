"""vLLM's start-up log: its figures by release, and what the engine was told.

Wordings were seen in start-up logs of 0.13 to 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import Basis, Bounds, LogFigure, LogReader, Merge, Reading
from planner.engines.logged_arguments import as_words, logged_values
from planner.engines.vllm.command import read_command
from planner.engines.vllm.command_flags import TABLE
from planner.engines.vllm.engine import VLLM
from planner.engines.vllm.launch import log_lines
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.rules import parse_version
from planner.memory.breakdown import Kind
from planner.units import GIB

_GIB = r"(?P<value>-?[\d.]+) ?GiB"
KV_MEMORY = "KV cache memory"
MOST_GIB = 2**20
BLOCK_SIZE, PADDING = "block size", "padding of state pages"

FIGURES = (
    LogFigure(
        name="device memory",
        cue="Free memory on device",
        patterns=(r"Free memory on device (?:\S+ )?\([\d.]+/(?P<value>[\d.]+) GiB\)",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
    ),
    LogFigure(
        name="weights",
        cue="Model loading took",
        patterns=(rf"Model loading took {_GIB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name=BLOCK_SIZE,
        cue="Setting attention block size",
        patterns=(r"Setting attention block size to (?P<value>\d+) tokens",),
        unit="tokens",
        basis=Basis.RULE,
    ),
    LogFigure(
        name=PADDING,
        cue="Padding mamba page size",
        patterns=(r"Padding mamba page size by (?P<value>[\d.]+)%",),
        unit="%",
        basis=Basis.RULE,
        step=0.01,
    ),
    LogFigure(
        name="padding layers",
        cue="padding layers",
        patterns=(r"Add (?P<value>\d+) padding layers, may waste at most [\d.]+%",),
        unit="layers",
        basis=Basis.RULE,
        merge=Merge.SUM,
    ),
    LogFigure(
        name="peak activation",
        cue="peak activation",
        patterns=(rf"{_GIB} for peak activation",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="CUDA graphs",
        cue="GiB",
        patterns=(
            rf"CUDA graph pool memory: {_GIB} \(actual\)",
            rf"Graph capturing finished[^,]{{0,40}}, took {_GIB}",
        ),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="CUDA graphs as vLLM estimates them",
        cue="Estimated CUDA graph memory",
        patterns=(rf"Estimated CUDA graph memory: {_GIB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name=KV_MEMORY,
        cue="GiB",
        patterns=(
            rf"Available KV cache memory: {_GIB}",
            rf"Current kv cache memory in use is {_GIB}",
            rf"reserved {_GIB} memory for KV Cache",
        ),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name="cache blocks",
        cue="blocks",
        patterns=(
            r"after num_gpu_blocks is: (?P<value>\d+)",
            r"exceeds available Mamba cache blocks \((?P<value>\d+)\)",
        ),
        unit="blocks",
        basis=Basis.MEMORY,
    ),
    LogFigure(
        name="KV cache size",
        cue="GPU KV cache size",
        patterns=(r"GPU KV cache size: (?P<value>[\d,]+) tokens",),
        unit="tokens",
        basis=Basis.MEMORY,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name="longest request",
        cue="tokens per request",
        patterns=(r"Maximum concurrency for (?P<value>[\d,]+) tokens per request",),
        unit="tokens",
        basis=Basis.RULE,
    ),
    LogFigure(
        name="concurrency",
        cue="Maximum concurrency for",
        patterns=(r"Maximum concurrency for [\d,]+ tokens per request: (?P<value>[\d.]+)x",),
        unit="x",
        basis=Basis.MEMORY,
        step=0.01,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name="KV cache that one request needs",
        cue="KV cache is needed",
        patterns=(rf"\(?{_GIB} KV cache is needed",),
        unit="GiB",
        basis=Basis.RULE,
        step=0.01,
    ),
    LogFigure(
        name="longest request that fits",
        cue="estimated maximum model length",
        patterns=(r"estimated maximum model length is (?P<value>\d+)",),
        unit="tokens",
        basis=Basis.MEMORY,
    ),
)

_ENGINE_CONFIG = {
    "model": "model",
    "revision": "revision",
    "max_seq_len": "max_model_len",
    "tensor_parallel_size": "tensor_parallel_size",
    "pipeline_parallel_size": "pipeline_parallel_size",
    "data_parallel_size": "data_parallel_size",
    "decode_context_parallel_size": "decode_context_parallel_size",
    "kv_cache_dtype": "kv_cache_dtype",
    "quantization": "quantization",
    "enforce_eager": "enforce_eager",
    "enable_prefix_caching": "enable_prefix_caching",
}
"""What the engine prints of its configuration -> the flag that sets it."""

_COMBINED_FROM = (0, 27, 0)
"""From here on "peak activation" counts the CUDA graphs, too (v1/worker/gpu_worker.py)."""


def logged_command(lines: Sequence[str]) -> Command | None:
    """What vLLM was told: the arguments that it prints, else its engine's configuration."""
    for line in reversed(lines):
        _, mark, text = line.partition("non-default args: ")
        if mark:
            return _command(logged_values(text))
    for line in reversed(lines):
        _, mark, text = line.partition("with config: ")
        if mark and "LLM engine" in line:
            values = logged_values(text.partition("_config={")[0])
            return _command(
                {flag: values[name] for name, flag in _ENGINE_CONFIG.items() if name in values}
            )
    return None


def _command(values: Mapping[str, object]) -> Command | None:
    known = {*TABLE.values, *TABLE.switches, *TABLE.unplanned}
    told = {name: value for name, value in values.items() if name != "model_tag"}
    told.setdefault("model", values.get("model_tag"))
    if not told["model"]:
        return None
    return read_command(as_words(told, known))


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Figures in the wording of lines that a start prints in other cases, or as estimates."""
    rank, details = allocation.ranks[0], allocation.details
    needed = max(details["needed_bytes_for_one_request"])
    if not allocation.starts:
        yield from log_lines(deployment, allocation)
    yield f"Free memory on device (0.0/{rank.total / GIB:.2f} GiB)"
    yield f"{round(needed / GIB, 2)} GiB KV cache is needed"
    longest = details["max_model_len_that_fits"]
    yield f"the estimated maximum model length is {longest}"
    graphs = rank.of_kind(Kind.CUDA_GRAPHS)
    peak = rank.of_kind(Kind.ACTIVATIONS)
    if parse_version(deployment.options.version) >= _COMBINED_FROM:
        peak += graphs
    yield f"{peak / GIB:.2f} GiB for peak activation"
    if graphs:
        yield f"Estimated CUDA graph memory: {graphs / GIB:.2f} GiB"
        yield f"CUDA graph pool memory: {graphs / GIB:.2f} GiB (actual)"


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """The lines for the KV cache memory that the log states, or that the command fixes."""
    options: VllmOptions = deployment.options
    if options.kv_cache_memory_bytes is not None:
        lines = _lines(deployment, options.kv_cache_memory_bytes)
        return Bounds(low=lines, high=lines)
    reading = logged.get(KV_MEMORY)
    if reading is None or not reading.step < reading.value < MOST_GIB:
        return None
    half = reading.step / 2
    return Bounds(
        low=_lines(deployment, int((reading.value - half) * GIB)),
        high=_lines(deployment, int((reading.value + half) * GIB) + 1),
    )


def _lines(deployment: Deployment, available: int) -> tuple[str, ...]:
    options = replace(deployment.options, kv_cache_memory_bytes=available)
    pinned = replace(deployment, options=options)
    allocation = VLLM.allocate(pinned)
    return (*log_lines(pinned, allocation), *also(pinned, allocation))


def soft(deployment: Deployment) -> frozenset[str]:
    """A drafter widens pages after these lines are printed, so they are not the pool's own."""
    options: VllmOptions = deployment.options
    drafting = options.num_speculative_tokens and options.speculative_method == "dflash"
    return frozenset((BLOCK_SIZE, PADDING)) if drafting else frozenset()


LOG_READER = LogReader(
    marks=(
        "vLLM API server version",
        "LLM engine (v",
        "[kv_cache_utils.py:",
        "[gpu_worker.py:",
        "[gpu_model_runner.py:",
        "GPU KV cache size:",
        "Available KV cache memory:",
        "Setting attention block size to",
        "non-default args:",
        "█  version",
    ),
    version=(
        r"vLLM API server version (?P<version>\d[\w.]*)",
        r"LLM engine \(v(?P<version>\d[\w.]*)",
        r"█\s+version\s+(?P<version>\d[\w.]*)",
    ),
    figures=FIGURES,
    starts="non-default args:",
    command=logged_command,
    also=also,
    given_memory=given_memory,
    soft=soft,
)

"""Read the figures of vLLM's start-up log, in the wordings of its releases.

Wordings were seen in start-up logs of 0.13 to 0.33.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from planner.engines.engine import Allocation, Deployment
from planner.engines.log_figure import (
    Basis,
    Bounds,
    LogFigure,
    Measured,
    Merge,
    Reading,
)
from planner.engines.vllm.answer import VllmAnswer
from planner.engines.vllm.engine import VLLM
from planner.engines.vllm.launch import log_lines
from planner.engines.vllm.options import VllmOptions
from planner.memory.breakdown import Kind
from planner.units import GIB

_GIB = r"~?(?P<value>-?[\d.]+)(?:-[\d.]+)? ?GiB"
"""A size; of a range, as people quote several starts, the first number."""
_WHOLE_GIB = rf"(?<![\d.]){_GIB}"
"""A number from its first digit on: in front of other words, a search begins nowhere else."""
KV_MEMORY = "KV cache memory"
AT_REFUSAL = "KV cache memory at the refusal"
MOST_GIB = 2**20
ALLOCATOR = 0.03
"""Share by which what PyTorch's allocator holds may exceed the tensors: blocks of 2 to 20 MiB, and
what loading leaves behind. Assumed; published logs of 22 and 29 GiB show 0.4 and 0.6 %."""
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
        name="free at start",
        cue="Free memory on device",
        patterns=(r"Free memory on device (?:\S+ )?\((?P<value>[\d.]+)/[\d.]+ GiB\)",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
    ),
    LogFigure(
        name="weights and what is beside them",
        cue="for consumed memory",
        patterns=(rf"{_WHOLE_GIB} for consumed memory",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="weights",
        cue="Model loading took",
        patterns=(rf"Model loading took {_GIB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.WEIGHTS,),
        slack=ALLOCATOR,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="weights",
        cue="weights",
        patterns=(
            rf"[Mm]odel weights(?: take)?:? {_GIB}",
            rf"{_WHOLE_GIB} of weights",
        ),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.WEIGHTS,),
        slack=ALLOCATOR,
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="checkpoint size",
        cue="Checkpoint size",
        patterns=(rf"Checkpoint size:? {_GIB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
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
        kinds=(Kind.ACTIVATIONS, Kind.CUDA_GRAPHS),
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="CUDA graphs",
        cue="GiB",
        patterns=(
            rf"CUDA graph pool memory: {_GIB} \(actual\)",
            rf"CUDA graph memory {_GIB}",
            rf"Graph capturing finished[^,]{{0,40}}, took {_GIB}",
        ),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.CUDA_GRAPHS,),
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="CUDA graphs as vLLM estimates them",
        cue="Estimated CUDA graph memory",
        patterns=(rf"Estimated CUDA graph memory: {_GIB}",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.CUDA_GRAPHS,),
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name="CUDA graphs as vLLM estimates them",
        cue="for CUDAGraph memory",
        patterns=(rf"{_WHOLE_GIB} for CUDAGraph memory",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=(Kind.CUDA_GRAPHS,),
        step=0.01,
        merge=Merge.MOST,
    ),
    LogFigure(
        name=KV_MEMORY,
        cue="GiB",
        patterns=(
            rf"Available KV cache(?: memory)?:? {_GIB}",
            rf"Current kv cache memory in use is {_GIB}",
            rf"reserved {_GIB} memory for KV Cache",
        ),
        unit="GiB",
        basis=Basis.ESTIMATE,
        kinds=tuple(Kind),
        slack=ALLOCATOR,
        step=0.01,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name=AT_REFUSAL,
        cue="larger than the available KV cache memory",
        patterns=(rf"larger than the available KV cache memory \({_GIB}\)",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
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
        patterns=(r"GPU KV cache size:? (?P<value>[\d,]+)(?:-[\d,]+)? tokens",),
        unit="tokens",
        basis=Basis.MEMORY,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name="KV cache size",
        cue="tokens",
        patterns=(r"^(?P<value>\d[\d,]*) tokens$",),  # the line with its words cut off
        unit="tokens",
        basis=Basis.MEMORY,
        merge=Merge.LEAST,
    ),
    LogFigure(
        name="longest request",
        cue="tokens per request",
        patterns=(r"Maximum concurrency for (?P<value>[\d,]+) tokens per request",),
        unit="tokens",
        basis=Basis.ASKED,
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
        name="concurrency",
        cue="x",
        patterns=(r"^(?P<value>\d+\.\d+)x$",),  # likewise
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


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Yield figures in the wording of lines that a start prints in other cases, or as estimates."""
    assert isinstance(allocation, VllmAnswer)
    rank = allocation.ranks[0]
    if not allocation.starts:
        yield from log_lines(deployment, allocation)
    total = f"{rank.total / GIB:.2f}"
    yield f"Free memory on device ({total}/{total} GiB)"  # where nothing else runs
    yield f"{round(max(allocation.needed) / GIB, 2)} GiB KV cache is needed"
    yield f"the estimated maximum model length is {allocation.longest_estimated}"
    graphs = rank.of_kind(Kind.CUDA_GRAPHS)
    peak = rank.of_kind(Kind.ACTIVATIONS)
    if allocation.budget.rules.activation_line == "activations and CUDA graphs":
        peak += graphs
    yield f"{peak / GIB:.2f} GiB for peak activation"
    if graphs:
        yield f"Estimated CUDA graph memory: {graphs / GIB:.2f} GiB"
        yield f"CUDA graph pool memory: {graphs / GIB:.2f} GiB (actual)"


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Return the lines for the KV cache memory that the log states, or that the command fixes."""
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


def beyond(
    deployment: Deployment, allocation: Allocation, logged: Mapping[str, Reading]
) -> Measured | None:
    """Return what a start took beyond the estimates, by the memory that it left for the cache."""
    assert isinstance(allocation, VllmAnswer)
    reading = logged.get(KV_MEMORY) or logged.get(AT_REFUSAL)
    if reading is None or deployment.options.kv_cache_memory_bytes is not None:
        return None
    if not reading.step < reading.value < MOST_GIB:
        return None
    left = int(reading.value * GIB)
    return Measured(
        difference=min(allocation.pool.available) - left,
        cache_gib=reading.value,
        fixed_by=("--kv-cache-memory-bytes", str(left)),
    )


def _lines(deployment: Deployment, available: int) -> tuple[str, ...]:
    options = replace(deployment.options, kv_cache_memory_bytes=available)
    pinned = replace(deployment, options=options)
    allocation = VLLM.allocate(pinned)
    return (*log_lines(pinned, allocation), *also(pinned, allocation))


def soft(deployment: Deployment) -> frozenset[str]:
    """Return what a drafter changes after it is printed: it widens the pages of the pool."""
    drafting = deployment.options.speculative_method == "dflash"
    return frozenset((BLOCK_SIZE, PADDING)) if drafting else frozenset()


WSL = "pin_memory=False' as WSL is detected"
"""Printed where the server runs under the Windows Subsystem for Linux."""

FIELDS = MappingProxyType(
    {
        "model_loading_gib": ("weights",),
        "checkpoint_gib": ("checkpoint size",),
        "weights_nontorch_gib": ("weights and what is beside them",),
        "available_kv_gib": (KV_MEMORY,),
        "kv_tokens": ("KV cache size",),
        "max_concurrency": ("concurrency",),
        "padding_pct": (PADDING,),
        "peak_activation_gib": ("peak activation",),
        "cudagraph_actual_gib": ("CUDA graphs",),
        "cudagraph_est_gib": ("CUDA graphs as vLLM estimates them",),
        "kv_needed_gib": ("KV cache that one request needs",),
        "estimated_max_len": ("longest request that fits",),
        "device_total_gib": ("device memory",),
        "free_at_start_gib": ("free at start",),
    }
)
"""Names of a reference case -> figures."""

EXPLAINS = MappingProxyType(
    {
        "device memory": (
            0.1,
            "the driver shows {logged:.2f} GiB where the plan counts {planned:.2f}: ECC, another variant"
            " of the card, or memory that is lent to it",
        ),
        "free at start": (
            1.0,
            "{less:.1f} GiB of the GPU were taken when it started: other programs hold them, and"
            " --gpu-memory-utilization counts from the whole",
        ),
    }
)
"""Figure -> how far it must be off, and what that means."""

MARKS = (
    "vLLM API server version",
    "LLM engine (v",
    "[kv_cache_utils.py:",
    "[gpu_worker.py:",
    "[gpu_model_runner.py:",
    "GPU KV cache size",
    "Available KV cache",
    "To serve at least one request with the model",
    "Setting attention block size to",
    "non-default args:",
    "█  version",
    "Model loading took",
    "tokens per request:",
    "Using max model len",
    "Chunked prefill is enabled with max_num_batched_tokens",
    WSL,
)
"""Characters that only vLLM prints."""

VERSION = (
    r"vLLM API server version (?P<version>\d[\w.]*)",
    r"LLM engine \(v(?P<version>\d[\w.]*)",
    r"█\s+version\s+(?P<version>\d[\w.]*)",
)
"""Lines that name the release."""

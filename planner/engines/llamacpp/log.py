"""Read llama-server's start-up log: its buffers, and what the server was told.

Of lines that the model's context and the drafter's both print, the first is the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.llamacpp import told_sizes
from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.engines.llamacpp.logged import METAL, logged_command, logged_weights
from planner.engines.llamacpp.options import CHECKPOINTS
from planner.engines.llamacpp.refused import HOST_REFUSALS, OBJECTIONS, REFUSALS, SUGGESTS
from planner.engines.llamacpp.releases import others
from planner.engines.log_figure import (
    Basis,
    Bounds,
    LogFigure,
    LogReader,
    Measured,
    Merge,
    Reading,
)
from planner.memory.breakdown import Kind
from planner.units import MIB

_MIB = r"(?P<value>[\d.]+) MiB"
_PART = r"(?P<part>[\w()]+)"
_GPU = re.compile(r"(?:CUDA|ROCm|Vulkan|SYCL|MTL|Metal|OpenCL|HIP|MUSA|CANN)(\d*)")


REPACKED = ("CPU_REPACK", "AMX")
"""Buffers of weights that the CPU backend has rearranged (ggml/src/ggml-cpu/repack.cpp, amx/amx.cpp)."""


def device(name: str) -> str:
    """A buffer's device whatever the backend calls it: ``CUDA0`` and ``Vulkan0`` are ``GPU 0``.

    A GPU that shares memory may map the file: its buffer is then a range of it, from the first of
    its tensors to the last, whatever lies between.
    """
    match = _GPU.match(name)
    if match is None or name.endswith("_Host"):
        return "repacked" if name in REPACKED else "host"
    mapped = " (range of the mapped file)" if name.endswith("_Mapped") else ""
    return f"GPU {match[1] or 0}{mapped}"


def _per_device(
    name: str,
    line: str,
    what: str,
    *,
    basis: Basis,
    merge: Merge = Merge.FIRST,
    kind: Kind | None = None,
    whole: bool = False,
    part: str = _PART,
    slack: float | None = None,
    ranges: str = "",
    rehearsed: bool = False,
) -> LogFigure:
    # Where --fit rehearses the start first, its buffers have no bytes.
    none = r"(?!0\.00 )" if rehearsed else ""
    return LogFigure(
        name=name,
        cue=what,
        patterns=(rf"(?:{line}):\s+{part}\s+{what}\s*=\s+{none}{_MIB}",),
        unit="MiB",
        basis=basis,
        step=0.01,
        merge=merge,
        parts=device,
        kinds=None if kind is None else (kind,),
        slack=0.0 if kind is None else slack or SLACK,
        whole=whole,
        ranges=ranges,
    )


def _total(name: str, cue: str, pattern: str, *, unit: str = "MiB") -> LogFigure:
    return LogFigure(
        name=name,
        cue=cue,
        patterns=(pattern,),
        unit=unit,
        basis=Basis.RULE,
        step=0.01 if unit == "MiB" else 1.0,
        merge=Merge.FIRST,
    )


SLACK = 0.05
"""Share by which an estimated buffer may be off beyond its band: one author's files of a type are
not another's, and builds reserve differently. Assumed."""

VULKAN_SLACK = 0.22
"""The same of compute buffers on Vulkan devices, where the plan follows CUDA's graph: the most by which
one of ten logs was off what was planned (Strix Halo and RTX 3080 Ti; buffers on the host are exact)."""
_VULKAN = r"(?P<part>Vulkan\d+)"

_KV, _RS = "llama_kv_cache", "llama_memory_recurrent"
_CUT = "rs_seq"
"""In the second half of a line on states, where it is quoted without its beginning."""


def _letter(letter: str) -> str:
    """Return the pattern of ``R (f32): 5.62 MiB``, and of what people make of it: ``R 5.62``."""
    return rf"\b{letter} ?(?:\(\w+\))?:?\s+(?P<value>\d[\d.]*)"


FREE = "free at start"


FIGURES = (
    _per_device(
        "weights",
        "load_tensors",
        "model buffer size",
        basis=Basis.RULE,
        merge=Merge.SUM,
        kind=Kind.WEIGHTS,
        whole=True,
        ranges="CPU_Mapped",  # from the first tensor on the CPU to the last (llama-model.cpp)
    ),
    _per_device("output buffer", "llama_context", "output buffer size", basis=Basis.RULE),
    _per_device("KV cache", _KV, "KV buffer size", basis=Basis.RULE, whole=True, rehearsed=True),
    *told_sizes.figures(device),
    LogFigure(
        name=FREE,
        cue=" MiB free",
        patterns=(r"using device (?P<part>\w+) \(.*\) - (?P<value>\d+) MiB free",),
        unit="MiB",
        basis=Basis.ESTIMATE,
        merge=Merge.FIRST,
        parts=device,
    ),
    LogFigure(
        name="file size",
        cue="file size",
        patterns=(r"print_info: file size\s+= (?P<value>[\d.]+) GiB",),
        unit="GiB",
        basis=Basis.ESTIMATE,
        step=0.01,
        merge=Merge.FIRST,
    ),
    _total("KV cache", _KV, rf"{_KV}(?:_\w+)?: size =\s+{_MIB}"),
    _total("cells", _KV, r"\(\s*(?P<value>\d+) cells", unit="cells"),
    _total("layers with KV", _KV, r"(?<!\d)(?P<value>\d+) layers\b", unit="layers"),
    _total("keys", _KV, _letter("K")),
    _total("values", _KV, _letter("V")),
    _per_device("recurrent state", _RS, "RS buffer size", basis=Basis.RULE, whole=True),
    _total("recurrent state", _RS, rf"{_RS}: size =\s+{_MIB}"),
    _total("recurrent state", _CUT, rf"^size =\s+{_MIB}"),
    *(
        _total(name, cue, _letter(letter))
        for cue in (_RS, _CUT)
        for name, letter in (("conv state", "R"), ("SSM state", "S"))
    ),
    *(
        _per_device(
            "compute buffer",
            "sched_reserve|llama_context|graph_reserve",
            "compute buffer size",
            basis=Basis.ESTIMATE,
            kind=Kind.ACTIVATIONS,
            part=part,
            slack=slack,
        )
        for part, slack in ((rf"(?!Vulkan\d){_PART}", SLACK), (_VULKAN, VULKAN_SLACK))
    ),
)

FIELDS = MappingProxyType(
    {
        "kv_buffer_mib": ("KV cache",),
        "kv_cells": ("cells",),
        "kv_layers": ("layers with KV",),
        "rs_buffer_mib": ("recurrent state",),
        "rs_R_mib": ("conv state",),
        "rs_S_mib": ("SSM state",),
        "model_buffer_mib": ("weights,",),
        "compute_mib": ("compute buffer,",),
        "output_mib": ("output buffer, host",),
        "file_gib": ("file size",),
    }
)
"""Names of a reference case -> figures."""

EXPLAINS = MappingProxyType(
    {
        FREE: (
            512.0,
            "{less:,.0f} MiB of the GPU were taken when it started, beyond llama.cpp's own context: other"
            " programs or the desktop hold them, and --fit places fewer layers",
        )
    }
)
"""Figure -> how far it must be off, and what that means."""


def also(deployment: Deployment, allocation: Allocation) -> Iterator[str]:
    """Yield what each GPU has free when llama.cpp asks, and the size of the file's tensors."""
    if not isinstance(allocation, LlamacppAnswer):
        return
    machine = allocation.machine
    yield from told_sizes.lines(allocation)
    for name, total in zip(machine.gpu_names, machine.gpu_totals, strict=True):
        yield f"using device {name} () - {(total - machine.context) // MIB} MiB free"


def beyond(
    deployment: Deployment, allocation: Allocation, logged: Mapping[str, Reading]
) -> Measured | None:
    """Return what was gone on a GPU at start beyond its context: --fit places by what is free."""
    if not isinstance(allocation, LlamacppAnswer) or not allocation.machine.gpu_totals:
        return None
    machine = allocation.machine
    free = [reading for reading in logged.values() if reading.figure.name == FREE]
    if len(free) != len(machine.gpu_totals):
        return None
    least = min(reading.value for reading in free)
    return Measured(
        difference=min(machine.gpu_totals) - machine.context - int(least) * MIB,
        cache_gib=least / 1024,
    )


def given_memory(deployment: Deployment, logged: Mapping[str, Reading]) -> Bounds | None:
    """Nothing: no buffer's size follows from what is free, only where it lies."""
    return None


def soft(deployment: Deployment) -> frozenset[str]:
    """What lies where is --fit's choice by free memory; a file that was not read is a model of one.

    A mapped file counts from the first to the last tensor that lies there: experts on the host have
    others between them, and of weights that the CPU rearranges (AMX of nearly every type) the range
    begins later.
    """
    names = {"weights, repacked"}
    options = deployment.options
    if deployment.system.is_cpu_only or options.n_cpu_moe or options.override_tensor:
        names.add("weights, host")
    gpus = deployment.layout.accelerators
    if gpus > 1 or not deployment.options.places_by_hand:
        names |= {f"{what}, GPU {gpu}" for what in _PLACED for gpu in range(gpus)}
        names |= {f"{what}, host" for what in _PLACED}
    if deployment.checkpoint.hypothetical or deployment.checkpoint.band is not None:
        names |= {"weights, host", *(f"weights, GPU {gpu}" for gpu in range(gpus))}
    return frozenset(names)


_PLACED = ("weights", "KV cache", "recurrent state")


def log_reader(read: Callable[[Sequence[str]], Command]) -> LogReader:
    """Return the reader of start-up logs; `read` reads the words behind `llama-server`."""
    return LogReader(
        marks=(
            "llama_kv_cache",
            "llama_memory_recurrent:",
            " RS buffer size ",
            " KV buffer size ",
            "load_tensors:",
            "llama_context:",
            "llama_model_loader:",
            "print_info:",
            "sched_reserve:",
            "llama_model_load",
            "common_params_fit_impl:",
            "llama_params_fit_impl:",
            "[LM Studio]",
            "ggml_backend_cuda_buffer_type_alloc_buffer:",
            "ggml_gallocr_reserve_n",
            "ggml_metal_",
            "llama_decode: ",
            ", compute capability ",
            'msg="model weights" device=',
            'msg="kv cache" device=',
            "source=ggml.go",
            "source=llama_server.go",
            *told_sizes.MARKS,
            'msg="inference compute"',
            'msg="total memory" size=',
            "OLLAMA_",
        ),
        devices=(
            r"Device \d+: (?P<name>[^,]+), compute capability",
            r"using device \w+ \((?P<name>.{1,80}?)\) (?:\(|- )",
            r"ggml_metal_init: found device: (?P<name>.{1,80})$",
            r"\bid=\S+ (?:filter_id=\S* )?library=(?!cpu)\w+ .{0,80}?description=\"(?P<name>[^\"]{1,80})\"",
            r"params_fit_impl:\s+- \w+ \((?P<name>[^)]{1,80})\)\s*: +\d+ layers",
            r"\bGPU \d+: (?P<name>.{1,80}?) \(Used: [\d.]+ GB, Total: ",
            r"(?:CUDA|ROCm|MTL|SYCL)\d+ *: (?P<name>.{1,80}?) \(\d+ MiB, \d+ MiB free\)",
            r"memory_breakdown_print: \|\s+- \w+ \((?P<name>[^)]{1,80})\)",
        ),
        refusals=REFUSALS,
        objections=OBJECTIONS,
        suggests=SUGGESTS,
        host_refusals=HOST_REFUSALS,
        lacks=(
            r"allocating (?P<wanted>[\d.]+) (?P<unit>MiB) on device \d+",
            r"memory allocation of (?P<unit>size) (?P<wanted>\d+) failed",
        ),
        running=MappingProxyType({"ctx_checkpoints": CHECKPOINTS}),
        kept=(
            "llama-server",
            "load_model: ",
            "failed to load model",
            "build: ",
            "build = ",
            "build_info",
            "print_info: build ",
            "build      :",
            "KvSize:",
            "context size reduced from",
            "and context length '",
            " (Used: ",
            "runner.name=",
            METAL,
        ),
        weights=partial(logged_weights, FIGURES),
        version=(r"(?:build(?:_info)?\s*[:=]|print_info: build) (?P<version>b?\d[\w.-]*)",),
        figures=FIGURES,
        command=partial(logged_command, read),
        also=also,
        given_memory=given_memory,
        soft=soft,
        fields=FIELDS,
        releases=others,
        explains=EXPLAINS,
        beyond=beyond,
    )

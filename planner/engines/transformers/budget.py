"""Say what accelerate may fill with weights, and what the process takes before."""

from __future__ import annotations

from planner.engines.engine import Deployment
from planner.engines.transformers.options import TransformersOptions
from planner.engines.transformers.placement import (
    HOST_SHARE,
    QUANTIZER_SHARE,
    SINGLE_GPU_SHARE,
    Budgets,
)
from planner.memory.breakdown import Kind, Term
from planner.provenance import Band, Confidence, Source
from planner.units import GIB, MIB

RUNTIME = 512 * MIB
"""CUDA context with libraries and their workspaces. Assumed: start-up logs of vLLM show about 0.4
GiB for the context, PyTorch's cuBLAS workspaces are 8 to 32 MiB."""


def runtime_term() -> Term:
    """Return what PyTorch takes beside tensors."""
    return Term(
        name="CUDA context and libraries",
        kind=Kind.RUNTIME,
        nbytes=RUNTIME,
        confidence=Confidence.ASSUMED,
        formula="process",
        values={"process": RUNTIME},
        source=Source(where="start-up logs of vLLM 0.16 to 0.31 (context)", when="2026-11-21"),
        band=Band(below=256 * MIB, above=512 * MIB),
    )


def budgets_of(deployment: Deployment) -> Budgets:
    """Return the budgets of weights.

        one GPU, balanced: 0.9 x free;  several, or "sequential": free;  host: 0.9 x memory
        bitsandbytes: 0.9 x every budget;  `max_memory` replaces free memory and the first 0.9

    Memory that CPU and GPU share is counted once, and a host whose memory is not known gets
    nothing.

    Source: transformers 5.23.0 integrations/accelerate.py (get_max_memory, get_balanced_memory),
    quantizers/quantizer_bnb_4bit.py (adjust_max_memory).
    """
    options: TransformersOptions = deployment.options
    system, count = deployment.system, deployment.layout.accelerators
    accelerator = system.accelerator
    balanced = options.device_map == "auto"
    given = options.max_memory_gpu is not None or options.max_memory_cpu is not None
    gpus = [each.total_bytes - RUNTIME for each in system.accelerators[:count]]
    if options.max_memory_gpu is not None:
        gpus = [min(free, int(options.max_memory_gpu * GIB)) for free in gpus]
    if balanced and count == 1 and not given:
        gpus = [int(free * SINGLE_GPU_SHARE) for free in gpus]
    host = 0
    if not accelerator.is_unified:
        if options.max_memory_cpu is not None:
            host = int(options.max_memory_cpu * GIB)
        elif system.host_memory_gib is not None and not given:
            host = int(system.host_memory_gib.value * GIB * HOST_SHARE)
    if "bnb" in deployment.checkpoint.kernels:
        gpus = [int(free * QUANTIZER_SHARE) for free in gpus]
        host = int(host * QUANTIZER_SHARE)
    return Budgets(gpus=tuple(max(0, free) for free in gpus), host=host, balanced=balanced)

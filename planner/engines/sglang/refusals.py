"""Say why SGLang cannot run a deployment at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hardware_db import Accelerator
from planner.engines.elsewhere import served_by, unbuilt
from planner.engines.engine import Deployment, Refusal
from planner.engines.sglang.legality import BLOCK_KERNEL
from planner.engines.sglang.ranks import gpu_of
from planner.engines.sglang.releases import source_of
from planner.engines.sglang.server import Server
from planner.errors import LayoutError
from planner.memo import Key, remembered
from planner.model.checkpoint import Checkpoint
from planner.model.tensors import Part
from planner.provenance import Source

LEAST_CAPABILITY = (7, 5)
KERNEL_CAPABILITY = {
    "fp8": (8, 0),
    BLOCK_KERNEL: (8, 0),
    "nvfp4": (8, 0),
    "nvfp4-marlin": (8, 0),
    "mxfp4": (8, 0),
    "mxfp8": (10, 0),
    "int8": (7, 5),
    "marlin-int4": (7, 5),
    "marlin-int8": (7, 5),
    "bnb": (7, 5),
}
"""Kernel family -> least compute capability (get_min_capability of the quantization configs)."""
ROCM_FORMATS = {"fp8": "fp8", BLOCK_KERNEL: "fp8", "nvfp4": "nvfp4", "mxfp4": "mxfp4"}
"""Kernel family -> format whose support `hardware_db` tells."""
HIGHEST_TP = 4096
_BUILDS = "SGLang sgl-kernel/setup_rocm.py (amdgpu_target, commit 01b582cb0e)"


def refusals_of(deployment: Deployment, server: Server) -> Iterator[Refusal]:
    """Yield every reason, the device first."""
    version = server.rules.version
    yield from _device(deployment, server)
    yield from _formats(server.checkpoint, deployment.system.accelerator, server.drafting)
    yield from _model(deployment, server)
    try:
        violations = server.violations()
    except LayoutError as error:
        yield Refusal(
            reason=str(error),
            source=Source(where=f"SGLang {version} configs/mamba_utils.py"),
            engine_message=f"AssertionError: {error}",
        )
        return
    remedy = _legal_layout(server) if server.load_violations() else None
    for found in violations:
        yield Refusal(
            reason=found.reason,
            source=Source(where=f"SGLang {version} {found.file}"),
            engine_message=found.engine_message or None,
            remedy=remedy,
        )


def refused_everywhere(deployment: Deployment) -> bool:
    """Say whether the device or the stored formats are refused, so that no layout can help."""
    accelerator = deployment.system.accelerator
    drafting = deployment.options.speculative_algorithm is not None
    return bool(_of_device(accelerator) or _formats(deployment.checkpoint, accelerator, drafting))


@remembered(lambda accelerator: ((accelerator,), None))
def _of_device(accelerator: Accelerator) -> tuple[Refusal, ...]:
    """Return what follows from the device, whatever is loaded."""
    return tuple(_accelerator(accelerator))


def _accelerator(accelerator: Accelerator) -> Iterator[Refusal]:
    capability = gpu_of(accelerator).capability
    if accelerator.vendor not in ("nvidia", "amd", "custom"):
        yield Refusal(
            reason=f"SGLang is planned for NVIDIA and AMD, not for {accelerator.name}",
            source=Source(where="SGLang 0.5.23 platforms/: other backends were not read"),
            remedy=served_by(accelerator),
        )
    if capability is not None and capability < LEAST_CAPABILITY:
        major, minor = capability
        yield Refusal(
            reason=f"SGLang needs compute capability 7.5, {accelerator.name} has {major}.{minor}",
            source=Source(
                where="SGLang 0.5.23 model_executor/model_runner_components/load_model_utils.py"
            ),
            engine_message="RuntimeError: SGLang only supports sm75 and above.",
        )
    if (refusal := unbuilt(accelerator, "SGLang", _BUILDS)) is not None:
        yield refusal


def _device(deployment: Deployment, server: Server) -> Iterator[Refusal]:
    yield from _of_device(deployment.system.accelerator)
    if server.parallel.replicas > 1 and deployment.system.nodes > 1:
        yield Refusal(
            reason="replicas (--dp-size) stay within one node",
            source=source_of(server.rules, "replica_nodes_error"),
            engine_message=server.rules.replica_nodes_error,
            remedy="start one server per node",
        )


def _on(checkpoint: Checkpoint, accelerator: Accelerator, drafting: bool) -> Key:
    return (checkpoint, accelerator), drafting


@remembered(_on)
def _formats(
    checkpoint: Checkpoint, accelerator: Accelerator, drafting: bool
) -> tuple[Refusal, ...]:
    """Return what follows from the stored formats: the same in every layout."""
    return tuple(_format_refusals(checkpoint, accelerator, drafting))


def _loaded(checkpoint: Checkpoint, drafting: bool) -> Key:
    return (checkpoint,), drafting


@remembered(_loaded)
def _kernels(checkpoint: Checkpoint, drafting: bool) -> tuple[str, ...]:
    """Return the families of kernels that what is loaded needs, in order."""
    parts: tuple[Part, ...] = ("text", "mtp") if drafting else ("text",)
    found = {row.format.kernel for row in checkpoint.rows(*parts)}
    return tuple(sorted(kernel for kernel in found if kernel is not None))


def _format_refusals(
    checkpoint: Checkpoint, accelerator: Accelerator, drafting: bool
) -> Iterator[Refusal]:
    gpu = gpu_of(accelerator)
    for kernel in _kernels(checkpoint, drafting):
        if kernel not in KERNEL_CAPABILITY:
            yield Refusal(
                reason=f"{checkpoint.scheme.title} weights ({kernel}) are not planned for SGLang",
                source=Source(where="SGLang 0.5.23 layers/quantization"),
                remedy="use FP8, NVFP4, MXFP4, INT8, GPTQ or AWQ weights",
            )
            continue
        least = KERNEL_CAPABILITY[kernel]
        if gpu.capability is not None and gpu.capability < least:
            yield Refusal(
                reason=f"{kernel} weights need compute capability {least[0]}.{least[1]},"
                f" {accelerator.name} has {gpu.capability[0]}.{gpu.capability[1]}",
                source=Source(where="SGLang 0.5.23 layers/quantization (get_min_capability)"),
            )
        format_name = ROCM_FORMATS.get(kernel, "")
        if gpu.hip and accelerator.formats.get(format_name, "").startswith("no"):
            yield Refusal(
                reason=f"{accelerator.name} has no kernels for {kernel} weights",
                source=Source(where=f"hardware database, formats of {accelerator.id}"),
            )


def _model(deployment: Deployment, server: Server) -> Iterator[Refusal]:
    model, asked = deployment.checkpoint.model, server.options.context_length
    if model.linear is None:
        yield Refusal(
            reason=f"{model.name} has no linear attention; SGLang is planned for hybrids",
            source=Source(where="SGLang 0.5.23 mem_cache/kv_cache_configurator.py"),
        )
    if server.parallel.pp_size > model.num_hidden_layers:
        yield Refusal(
            reason=f"{server.parallel.pp_size} pipeline stages for {model.num_hidden_layers} layers"
            " leave stages empty",
            source=Source(where="SGLang 0.5.23 distributed/utils.py (get_pp_indices)"),
        )
    if asked is not None and asked < deployment.context:
        yield Refusal(
            reason=f"--context-length {asked} is shorter than the {deployment.context:,} tokens"
            " asked for",
            source=Source(
                where="SGLang 0.5.23 managers/scheduler.py (longer requests are refused)"
            ),
            remedy="leave --context-length out, or raise it",
        )
    native = model.max_position_embeddings
    if asked is not None and asked > native and not deployment.yarn:
        yield Refusal(
            reason=f"--context-length {asked} is beyond the native {native:,} tokens",
            source=Source(where="SGLang 0.5.23 configs/model_config.py (_derive_context_length)"),
            engine_message=f"ValueError: Warning: User-specified context_length ({asked}) is"
            f" greater than the derived context_length ({native}).",
            remedy="allow YaRN (--yarn)",
        )
    if server.drafting and (model.mtp is None or not model.mtp.shipped):
        yield Refusal(
            reason=f"{deployment.checkpoint.id} ships no MTP module to speculate with",
            source=Source(where="SGLang 0.5.23 models/qwen3_5_mtp.py"),
            remedy="leave --speculative-algorithm out",
        )


def _legal_layout(server: Server) -> str | None:
    """Return the widest narrower tensor parallelism that loads, in words."""
    parallel = server.parallel
    for width in range(min(parallel.tp_size, HIGHEST_TP) - 1, 0, -1):
        if width % parallel.attn_dp_size:
            continue
        shared = width if parallel.ep_size == parallel.tp_size > 1 else 1
        narrower = replace(server, parallel=replace(parallel, tp_size=width, ep_size=shared))
        if not narrower.load_violations():
            return f"TP {width} works"
    return None

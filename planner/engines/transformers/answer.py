"""The engine's own figures, resolved parameters and warnings."""

from __future__ import annotations

from typing import Any

from planner.engines.engine import Deployment
from planner.engines.transformers.activations import attention_matrix_bytes
from planner.engines.transformers.budget import budgets_of
from planner.engines.transformers.cache import cache_bytes, cache_layer_classes, state_shapes
from planner.engines.transformers.legality import unverified
from planner.engines.transformers.loading import BLOCK_FP8, dequantizes_fp8, loads_vision
from planner.engines.transformers.options import TransformersOptions
from planner.engines.transformers.placement import DISK, HOST, Placement
from planner.engines.transformers.release import is_newer_than_read
from planner.units import format_gib

BNB_HOST_ERROR = (
    "Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit"
    " the quantized model."
)


def resolved_of(deployment: Deployment) -> dict[str, Any]:
    """Every parameter as the engine resolves it."""
    options: TransformersOptions = deployment.options
    moe = deployment.checkpoint.model.moe is not None
    return {
        "version": options.version,
        "auto_class": options.auto_class,
        "dtype": deployment.checkpoint.model.dtype,
        "device_map": options.device_map,
        "max_length": deployment.context,
        "batch_size": deployment.concurrency,
        "cache_implementation": options.cache_implementation,
        "prefill_chunk_size": options.prefill_chunk_size,
        "attn_implementation": options.attn_implementation,
        "experts_implementation": "grouped_mm" if moe else None,
        "vision_tower": loads_vision(deployment.checkpoint.model, options),
    }


def details_of(deployment: Deployment, placement: Placement) -> dict[str, Any]:
    """Placement and cache under the engine's own names."""
    model, options = deployment.checkpoint.model, deployment.options
    one = cache_bytes(model, batch=1, tokens=deployment.context)
    conv, recurrent = state_shapes(model, 1)
    budgets = budgets_of(deployment)
    names = {HOST: "cpu", DISK: "disk"}
    used = {device for device in placement.devices if device >= 0}
    return {
        "device_map": {
            module.name: names.get(device, device)
            for module, device in zip(placement.modules, placement.devices, strict=True)
        },
        "max_memory": {**dict(enumerate(budgets.gpus)), "cpu": budgets.host},
        "gpus_used": len(used),
        "weight_bytes": sum(module.nbytes for module in placement.modules),
        "offloaded_weight_bytes": sum(module.nbytes for module in placement.offloaded),
        "kv_bytes_per_sequence": one.kv,
        "state_bytes_per_sequence": one.state,
        "conv_shape": list(conv),
        "recurrent_shape": list(recurrent),
        "layer_types": list(cache_layer_classes(model, options.cache_implementation)),
    }


def start_error(deployment: Deployment, placement: Placement, *, placed: bool) -> str:
    """What happens where it does not start."""
    if placed:
        return "CUDA out of memory."
    if "bnb" in deployment.checkpoint.kernels:
        return BNB_HOST_ERROR
    missing = sum(module.nbytes for module in placement.on(DISK))
    return (
        f"{format_gib(missing)} of weights fit neither on the GPUs nor in the host memory that is"
        " known, and running from disk is not planned for."
    )


def warnings_of(
    deployment: Deployment, placement: Placement, *, host_known: bool
) -> tuple[str, ...]:
    """What a user should know."""
    options: TransformersOptions = deployment.options
    model, system = deployment.checkpoint.model, deployment.system
    notes = list(unverified(deployment))
    if is_newer_than_read(options.version):
        notes.append(
            f"transformers {options.version} is newer than the newest release read: its rules are"
            " assumed"
        )
    offloaded = placement.on(HOST)
    if offloaded:
        size = format_gib(sum(module.nbytes for module in offloaded))
        notes.append(
            f"{len(offloaded)} of {len(placement.modules)} modules ({size}) stay in host memory and"
            " cross the bus for every token: expect seconds per token rather than tokens per second"
        )
    elif placement.on(DISK) and not host_known and not system.accelerator.is_unified:
        notes.append(
            "the host's memory is not known, so nothing is offloaded to it; give max_memory_cpu"
        )
    if len({device for device in placement.devices if device >= 0}) > 1:
        notes.append("the GPUs take turns: a layer split saves memory, not time")
    stored = {row.format.name for row in deployment.checkpoint.rows("text")}
    if BLOCK_FP8 in stored and dequantizes_fp8(system.accelerator):
        notes.append(
            f"FP8 weights become {model.dtype} while loading: {system.accelerator.name} has no"
            " FP8 kernels that transformers uses"
        )
    if model.linear is not None and not options.flash_linear_attention:
        notes.append(
            "without flash-linear-attention DeltaNet prefill runs in plain PyTorch: slow, and with"
            " the peak that is planned here (option flash_linear_attention)"
        )
    if deployment.concurrency > 1 and options.attn_implementation == "sdpa":
        mask = attention_matrix_bytes(
            model,
            implementation="sdpa",
            batch=deployment.concurrency,
            queries=deployment.context - 1,
            keys=deployment.context,
        )
        notes.append(
            f"prompts of different length are padded, and sdpa then needs a mask (up to"
            f" {format_gib(mask)} more); flash_attention_2 does not"
        )
    if loads_vision(model, options):
        notes.append("the peak of encoding images is not planned for")
    return tuple(notes)

"""Hold what transformers would allocate, and say what is worth knowing about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hardware_db.records import frozen_with_cache
from planner.engines.engine import Deployment, FullAllocation
from planner.engines.transformers.activations import attention_matrix_bytes
from planner.engines.transformers.cache import CacheBytes, cache_layer_classes, state_shapes
from planner.engines.transformers.loading import BLOCK_FP8, dequantizes_fp8, loads_vision
from planner.engines.transformers.options import TransformersOptions, is_newer_than_read
from planner.engines.transformers.placement import APART, DISK, HOST, Budgets, DeviceMap
from planner.engines.transformers.refusals import unverified
from planner.memory.placement import Placement
from planner.units import format_gib

BNB_HOST_ERROR = (
    "Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM to fit"
    " the quantized model."
)


@frozen_with_cache
class TransformersAnswer(FullAllocation):
    """What transformers would allocate.

    Attributes:
        deployment: the question, whose options and lengths are the settings.
        device_map: where every module went.
        budgets: what each device could take.
        cache: the cache of one sequence.
    """

    deployment: Deployment
    device_map: DeviceMap
    budgets: Budgets
    cache: CacheBytes

    @property
    def gpus_used(self) -> int:
        """GPUs that hold any weights."""
        return len({device for device in self.device_map.devices if device >= 0})

    def settings(self) -> dict[str, Any]:
        """Return every parameter as the engine resolves it."""
        options: TransformersOptions = self.deployment.options
        model = self.deployment.checkpoint.model
        return {
            "version": options.version,
            "auto_class": options.auto_class,
            "dtype": model.dtype,
            "device_map": options.device_map,
            "max_length": self.deployment.context,
            "batch_size": self.deployment.concurrency,
            "cache_implementation": options.cache_implementation,
            "prefill_chunk_size": options.prefill_chunk_size,
            "attn_implementation": options.attn_implementation,
            "experts_implementation": "grouped_mm" if model.moe is not None else None,
            "vision_tower": loads_vision(model, options),
        }

    def figures(self) -> dict[str, Any]:
        """Return placement and cache under the engine's own names."""
        model, options = self.deployment.checkpoint.model, self.deployment.options
        conv, recurrent = state_shapes(model, 1)
        names = {HOST: "cpu", DISK: "disk", APART: "cpu"}
        where = self.device_map
        return {
            "device_map": {
                module.name: names.get(device, device)
                for module, device in zip(where.modules, where.devices, strict=True)
            },
            "max_memory": {**dict(enumerate(self.budgets.gpus)), "cpu": self.budgets.host},
            "gpus_used": self.gpus_used,
            "weight_bytes": sum(module.nbytes for module in where.modules),
            "offloaded_weight_bytes": sum(module.nbytes for module in where.offloaded),
            "kv_bytes_per_sequence": self.cache.kv,
            "state_bytes_per_sequence": self.cache.state,
            "conv_shape": list(conv),
            "recurrent_shape": list(recurrent),
            "layer_types": list(cache_layer_classes(model, options.cache_implementation)),
        }


def placement_of(where: DeviceMap) -> Placement:
    """Return where the weights lie; what is offloaded crosses to a GPU, whole, in every step.

    The cache of an offloaded layer stays on the GPU that computes it.
    """

    def size(device: int) -> int:
        return sum(module.nbytes for module in where.on(device))

    devices = {device for device in where.devices if device >= 0}
    return Placement(
        device=sum(size(device) for device in devices),
        host_streamed=size(HOST),
        disk=size(DISK),
    )


def start_error(deployment: Deployment, placement: DeviceMap, *, placed: bool) -> str:
    """Return what happens where it does not start."""
    if placed:
        return "CUDA out of memory."
    if "bnb" in deployment.checkpoint.kernels:
        return BNB_HOST_ERROR
    missing = sum(module.nbytes for module in placement.on(DISK))
    return (
        f"{format_gib(missing)} of weights fit neither on the GPUs nor in the host memory that is"
        " known, and running from disk is not planned for."
    )


def warnings_of(deployment: Deployment, where: DeviceMap, *, host_known: bool) -> Iterator[str]:
    """Yield what a user can act on."""
    options: TransformersOptions = deployment.options
    model, accelerator = deployment.checkpoint.model, deployment.system.accelerator
    yield from unverified(deployment)
    nodes = deployment.system.nodes
    if nodes > 1:
        yield f"one machine of {nodes} is planned: one process of transformers does not span several"
    if is_newer_than_read(options.version):
        yield (
            f"transformers {options.version} is newer than the newest release read: its rules are"
            " assumed"
        )
    offloaded = where.on(HOST)
    if offloaded:
        size = format_gib(sum(module.nbytes for module in offloaded))
        yield (
            f"{len(offloaded)} of {len(where.modules)} modules ({size}) stay in RAM and cross the"
            " bus for every token: expect seconds per token rather than tokens per second"
        )
    if tables := where.on(APART):
        size = format_gib(sum(module.nbytes for module in tables))
        yield f"the n-gram table stays in RAM and needs {size} there: see that it is free"
    if where.on(DISK) and not offloaded and not host_known and not accelerator.is_unified:
        yield (
            "how much RAM this machine has is not known, so nothing is offloaded to it: give"
            " max_memory_cpu"
        )
    stored = {row.format.name for row in deployment.checkpoint.rows("text")}
    if BLOCK_FP8 in stored and dequantizes_fp8(accelerator):
        yield (
            f"FP8 weights become {model.dtype} while loading: {accelerator.name} has no FP8 kernels"
            " that transformers uses"
        )
    if model.attention.indexer is not None:
        yield (
            "its indexer loops over queries in Python: good for trying the model, not for serving;"
            " the peak was read, not counted"
        )
    if model.linear is not None and not options.flash_linear_attention:
        yield (
            "without the package flash-linear-attention DeltaNet prefill runs in plain PyTorch:"
            " slow, and with the peak that is planned here (flash_linear_attention=True plans with"
            " it)"
        )
    if deployment.concurrency > 1 and options.attn_implementation == "sdpa":
        mask = attention_matrix_bytes(
            model,
            implementation="sdpa",
            batch=deployment.concurrency,
            queries=deployment.context - 1,
            keys=deployment.context,
        )
        yield (
            f"prompts of different lengths are padded, and sdpa then needs a mask of up to"
            f" {format_gib(mask)} more; flash_attention_2 does not"
        )


def notes_of(deployment: Deployment, where: DeviceMap) -> Iterator[str]:
    """Yield what else is worth knowing."""
    if len({device for device in where.devices if device >= 0}) > 1:
        yield "the GPUs take turns: a layer split saves memory, not time"
    if loads_vision(deployment.checkpoint.model, deployment.options):
        yield "the peak of encoding images is not planned for"

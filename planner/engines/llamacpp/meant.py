"""The server that a deployment means: one object for all that are equal."""

from __future__ import annotations

from planner.engines.engine import Deployment
from planner.engines.llamacpp.machine import backend_of, default_shares, used_gpus
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.server import Server, cache_type
from planner.engines.llamacpp.tensor_file import gguf_scheme
from planner.engines.options import same
from planner.errors import InputError, UnsupportedModelError
from planner.memo import Key, remembered


def _parts(server: Server) -> Key:
    """Return what decides about a server that a deployment means."""
    said = (
        server.devices,
        server.shares,
        server.type_k,
        server.type_v,
        server.context,
        server.slots,
        server.maps_tables,
        server.unlent,
        server.full,
    )
    return (server.checkpoint, server.options), said


@remembered(_parts)
def _one(server: Server) -> Server:
    """Return the server that stands for all that are equal: on cards that are alike it is the same."""
    return server


def all_said(deployment: Deployment) -> Key:
    """Return all of a deployment; equal options are one, for searches make them again and again."""
    return (deployment.checkpoint, deployment.system, same(deployment.options)), (
        deployment.layout,
        deployment.context,
        deployment.concurrency,
        deployment.kv_cache_dtype,
        deployment.yarn,
        deployment.lesson,
    )


def _all_asked(
    deployment: Deployment, *, slots: int | None = None, context: int | None = None
) -> Key:
    held, said = all_said(deployment)
    return held, (said, slots, context)


@remembered(_all_asked)
def server_of(
    deployment: Deployment, *, slots: int | None = None, context: int | None = None
) -> Server:
    """The server that a deployment means, or the same for other slots or lengths.

    Raises:
        UnsupportedModelError: the checkpoint is no GGUF and cannot become one.
        InputError: llama.cpp has no such cache type.
    """
    options: LlamacppOptions = deployment.options
    scheme = gguf_scheme(deployment.checkpoint)
    if scheme is None:
        raise UnsupportedModelError(
            f"llama.cpp reads GGUF files, not {deployment.checkpoint.scheme.title}"
        )
    type_k = cache_type(deployment.kv_cache_dtype)
    if type_k is None:
        raise InputError(f"llama.cpp has no KV cache type {deployment.kv_cache_dtype}")
    system = deployment.system
    gpus = 1 if options.split_mode == "none" else deployment.layout.accelerators
    devices = 0 if system.is_cpu_only or options.takes_no_gpu else gpus
    used = used_gpus(system, options, devices)
    if slots is None:
        slots = options.parallel or deployment.concurrency
    shared = bool(options.kv_unified) and options.parallel is not None
    meant = Server(
        checkpoint=deployment.checkpoint,
        model=deployment.checkpoint.model,
        scheme=scheme,
        options=options,
        devices=devices,
        own=max(0, devices - system.accelerators_per_node),
        shares=default_shares(used),
        type_k=type_k,
        type_v=options.cache_type_v or type_k,
        context=context if context is not None else deployment.context,
        maps_tables=not any(
            accelerator.is_unified and backend_of([accelerator]) in ("CUDA", "ROCm", "Vulkan")
            for accelerator in used
        ),
        unlent=system.accelerator.unlent_bytes if devices else 0,
        slots=slots,
        full=min(slots, deployment.concurrency) if shared else None,
    )
    return _one(meant)

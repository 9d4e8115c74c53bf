"""Say why llama.cpp cannot run a deployment at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.engines.elsewhere import served_by
from planner.engines.engine import Deployment, Refusal
from planner.engines.kinds import COVERED
from planner.engines.llamacpp.contexts import MAX_SEQUENCES
from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.tensor import block_type
from planner.engines.llamacpp.machine import BACKENDS, RPC, backend_of, machine_of
from planner.engines.llamacpp.meant import server_of
from planner.engines.llamacpp.options import CACHE_TYPES, LlamacppOptions, gpu_number
from planner.engines.llamacpp.releases import rules_of, source
from planner.engines.llamacpp.server import MAX_DEVICES, Server, cache_type
from planner.engines.llamacpp.tensor_file import gguf_scheme, has_mtp
from planner.errors import PlannerError
from planner.memo import Key, remembered
from planner.units import counted

if TYPE_CHECKING:
    from hardware_db import System


def refusals_of(deployment: Deployment) -> Iterator[Refusal]:
    """Yield every reason, the hardware first."""
    yield from _hardware(deployment)
    yield from _layout(deployment)
    yield from _devices(deployment)
    yield from _places(deployment)
    checkpoint = deployment.checkpoint
    if architecture(checkpoint.model) is None:
        yield Refusal(
            reason=f"the graph of {checkpoint.model.model_type} models is not planned for under"
            " llama.cpp",
            source=source("src/llama-arch.cpp"),
        )
        return
    rules = rules_of(deployment.options.version)
    if not rules.new_kinds and not COVERED.issuperset(checkpoint.model.kinds):
        yield Refusal(
            reason=f"llama.cpp {deployment.options.version} does not have the layers of"
            f" {checkpoint.model.model_type} models",
            source=source("src/models/qwen4exp.cpp"),
            remedy="use a build of September 2026 or newer",
        )
        return
    if gguf_scheme(checkpoint) is None:
        yield Refusal(
            reason=f"llama.cpp reads GGUF files; {checkpoint.scheme.title} is none",
            source=source("src/llama-model-loader.cpp"),
            remedy="name a GGUF precision such as q4_k_m",
        )
        return
    if cache_type(deployment.kv_cache_dtype) is None:
        yield Refusal(
            reason=f"llama.cpp has no KV cache type {deployment.kv_cache_dtype}",
            source=source("common/arg.cpp (kv_cache_types)"),
            remedy=f"use one of {', '.join(CACHE_TYPES)}",
        )
        return
    try:
        server = server_of(deployment)
        yield from _server(server)
        server.expert_blocks  # noqa: B018  a file with tensors that have no place is refused here
    except PlannerError as error:
        yield Refusal(reason=str(error), source=source("src/llama-model-loader.cpp"))


def _in_use(deployment: Deployment) -> Key:
    return (deployment.system,), deployment.layout.accelerators


@remembered(_in_use)
def _hardware(deployment: Deployment) -> tuple[Refusal, ...]:
    return tuple(_of_hardware(deployment))


def _of_hardware(deployment: Deployment) -> Iterator[Refusal]:
    used = deployment.system.accelerators[: deployment.layout.accelerators]
    for accelerator in dict.fromkeys(used):
        if backend_of([accelerator]) is None:
            yield Refusal(
                reason=f"llama.cpp has no backend for {accelerator.name}",
                source=source("ggml/src (ggml-cuda, ggml-hip, ggml-metal, ggml-sycl, ggml-vulkan)"),
                remedy=served_by(accelerator),
            )
            return
    if backend_of(used) is None:
        names = " and ".join(dict.fromkeys(accelerator.name for accelerator in used))
        yield Refusal(
            reason=f"no backend of llama.cpp runs on {names} together",
            source=source("ggml/src"),
            remedy="plan for GPUs of one vendor",
        )


def _layout(deployment: Deployment) -> Iterator[Refusal]:
    layout, system = deployment.layout, deployment.system
    if layout.tensor_parallel > 1 or layout.expert_parallel:
        yield Refusal(
            reason="its split by tensors (--split-mode tensor) is experimental and not planned for",
            source=source("common/fit.cpp (not implemented for SPLIT_MODE_TENSOR)"),
            remedy="use pipeline parallelism, which splits by layers",
        )
    if layout.data_parallel > 1:
        yield Refusal(
            reason="llama.cpp runs one copy of a model per server",
            source=source("tools/server/server.cpp"),
            remedy="run one server per copy and plan each on its own",
        )
    if layout.accelerators > system.accelerators_per_node and deployment.options.rpc == "":
        yield Refusal(
            reason=f"{layout.accelerators} GPUs are on more than one machine, and the command names"
            " no other (--rpc)",
            source=source("src/llama.cpp (llama_prepare_model_devices)"),
            remedy="name the others with --rpc host:port,host:port",
        )
    if layout.accelerators > MAX_DEVICES:
        yield Refusal(
            reason=f"{layout.accelerators} GPUs are more than the scheduler takes beside the CPU"
            f" ({MAX_DEVICES})",
            source=source("ggml/src/ggml-backend.cpp (GGML_SCHED_MAX_BACKENDS)"),
        )


def _devices(deployment: Deployment) -> Iterator[Refusal]:
    """GPUs in -dev that the machine has not, or others than are planned."""
    named, system = deployment.options.device, deployment.system
    there = 0 if system.is_cpu_only else deployment.layout.accelerators
    none = deployment.options.takes_no_gpu
    uses = 0 if none else len(named)
    reason = _unknown_device(named, system) if uses else None
    remedy = "leave -dev out"
    if reason is None and (not named or uses == there):
        return
    machine = machine_of(deployment, gpus=0)
    if none and machine.host_total is not None and not machine.unified:
        return
    if reason is None:
        reason = f"-dev names {counted(uses, 'GPU')}, and the machine has {there}"
        if none and machine.unified:
            reason = "-dev none uses no GPU, and its memory would be counted"
            remedy = "plan for the processor: --on 'cpu, 64GB' with your RAM"
        elif none:
            reason = "-dev none uses no GPU, and how much RAM this machine has is not known"
            remedy = f"say it: --on '{system.id}, 64GB'"
        elif uses < there:
            only = [system.accelerators[gpu_number(name)].id for name in named]
            same = f"{uses}x {only[0]}" if len(set(only)) == 1 < uses else " + ".join(only)
            remedy = f"plan for those that it uses, without -dev: --on '{same}'"
    yield Refusal(reason=reason, source=source("common/arg.cpp (--device)"), remedy=remedy)


def _unknown_device(named: tuple[str, ...], system: System) -> str | None:
    """Say what is wrong with the names of -dev; None: each is one GPU of the machine."""
    own = 0 if system.is_cpu_only else system.accelerators_per_node
    for name in named:
        title = name.rstrip("0123456789")
        others = system.count - own if title == RPC else own
        if title not in (*BACKENDS.values(), RPC) or title == name:
            return f"-dev names {name}; llama.cpp calls a GPU CUDA0 or the like (--list-devices)"
        if gpu_number(name) >= others:
            last = f"the last is {title}{others - 1}" if others else "the machine has none"
            return f"-dev names {name}; {last}"
    twice = next((name for name in named if named.count(name) > 1), None)
    return None if twice is None else f"-dev names {twice} twice"


def _places(deployment: Deployment) -> Iterator[Refusal]:
    """GPUs of which -mg or -ot tells the number, and which the server does not have."""
    options, system = deployment.options, deployment.system
    there = 0 if system.is_cpu_only else deployment.layout.accelerators
    own, alone = min(there, system.accelerators_per_node), options.split_mode == "none"
    last = f"the last is {own - 1}" if own else "the machine has none"
    if alone and options.main_gpu >= max(own, 1):
        yield Refusal(
            reason=f"there is no GPU {options.main_gpu} (-mg); {last}",
            engine_message=f"invalid value for main_gpu: {options.main_gpu}",
            source=source("src/llama.cpp (llama_prepare_model_devices)"),
            remedy="they are counted from 0",
        )
    usable = (options.main_gpu,) if alone else range(own)
    for rule in options.override_tensor:
        buffer = rule.rpartition("=")[2]
        if buffer != "CPU" and gpu_number(buffer) not in usable:
            why = ", which -sm none does not use" if alone else f"; {last}"
            yield Refusal(
                reason=f"-ot names {buffer}{why}",
                engine_message="unknown buffer type",
                source=source("common/arg.cpp (parse_tensor_buffer_overrides)"),
                remedy="they are counted from 0; CPU is RAM",
            )


def _server(server: Server) -> Iterator[Refusal]:
    options: LlamacppOptions = server.options
    if server.slots > MAX_SEQUENCES:
        yield Refusal(
            reason=f"{server.slots:,} slots are more than {MAX_SEQUENCES}",
            engine_message=f"n_seq_max must be <= {MAX_SEQUENCES}",
            source=source("src/llama-context.cpp (LLAMA_MAX_SEQ)"),
            remedy=f"ask for up to {MAX_SEQUENCES} sequences per server",
        )
    draft = server.draft
    types = [server.type_v, *((draft.type_v,) if draft is not None else ())]
    packed = next((name for name in types if block_type(name).elements > 1), None)
    if not server.flash_attn and packed is not None:
        yield Refusal(
            reason=f"a V cache of {packed} needs flash attention",
            engine_message="quantized V cache was requested, but this requires Flash Attention",
            source=source("src/llama-context.cpp"),
            remedy="use --flash-attn on, or a V cache of f16",
        )
    if options.draft_tokens and not has_mtp(server.model, server.scheme):
        yield Refusal(
            reason="the file holds no MTP blocks to draft with",
            source=source("src/models/qwen35.cpp (graph_mtp)"),
            remedy="use a file converted with MTP, or draft nothing",
        )
    if options.mmproj and server.model.vision is None:
        yield Refusal(
            reason="the model has no vision tower",
            source=source("tools/mtmd/clip.cpp"),
            remedy="leave --mmproj out",
        )

"""llama.cpp as an engine: refusals, allocation, command, log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from planner.engines.economies import Economy, Knob
from planner.engines.engine import Allocation, Deployment, Engine, Launch, Refusal
from planner.engines.llamacpp import economies as saving
from planner.engines.llamacpp.capacity import capacity_of
from planner.engines.llamacpp.device import Machine, machine_of
from planner.engines.llamacpp.fit import Fitted, Room, fit
from planner.engines.llamacpp.launch import launch_of, log_lines
from planner.engines.llamacpp.options import LlamacppOptions
from planner.engines.llamacpp.refusing import refusals_of
from planner.engines.llamacpp.server import Server, server_of
from planner.engines.llamacpp.terms import COMMIT, host_bytes, ranks
from planner.layout import Degrees
from planner.units import MIB, format_gib


class Llamacpp(Engine[LlamacppOptions, Allocation]):
    """The policy of llama.cpp, read from one commit."""

    name = "llamacpp"
    title = "llama.cpp"
    options_type = LlamacppOptions
    degrees = Degrees(pipeline=True, nodes=False, idle=False, automatic=True)

    def version(self, options: LlamacppOptions) -> str:
        """The commit whose rules are used."""
        return COMMIT

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Why llama.cpp cannot run it; see `refusing`."""
        return tuple(refusals_of(deployment))

    def allocate(self, deployment: Deployment) -> Allocation:
        """The placement that fits, every buffer under it, and how far the memory goes.

            weights + KV cache + recurrent state + compute buffer + context and pools
                <= total - margin, on every GPU

        Source: llama.cpp 0c1e570 common/fit.cpp and the sources of `buffers`.
        """
        server = server_of(deployment)
        machine = machine_of(deployment.system, deployment.options, gpus=server.devices)
        room = machine.room(deployment.options)
        fitted = fit(server, room)
        capacity = capacity_of(deployment, server, fitted, room)
        single, alone = server, fitted
        if not fitted.fits and server.slots > 1 and deployment.options.parallel is None:
            single = replace(server, slots=1)
            alone = fit(single, room)
        shortfall = max(0, -room.slack(single.usage(alone.placement, dry_run=True)))
        shown = ranks(server, machine, fitted)
        return Allocation(
            ranks=shown,
            capacity=capacity,
            starts=shortfall == 0,
            shortfall=shortfall,
            kv_cache_dtype=server.type_k,
            resolved=_resolved(server, fitted),
            details=_details(server, machine, fitted),
            warnings=tuple(_warnings(deployment, server, machine, fitted, room)),
        )

    def launch(self, deployment: Deployment, allocation: Allocation) -> Launch:
        """The command with exactly the flags that the plan assumed."""
        server, _, fitted = _settled(deployment)
        return launch_of(deployment, server, fitted)

    def expected_log(self, deployment: Deployment, allocation: Allocation) -> tuple[str, ...]:
        """The lines on memory that it would print."""
        return tuple(log_lines(*_settled(deployment)))

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Changes that save memory; none of them cures a refusal."""
        return () if self.refusals(deployment) else tuple(saving.economies(deployment))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Settings that can be solved for."""
        return () if self.refusals(deployment) else tuple(saving.knobs(deployment))


LLAMACPP = Llamacpp()


def _settled(deployment: Deployment) -> tuple[Server, Machine, Fitted]:
    server = server_of(deployment)
    machine = machine_of(deployment.system, deployment.options, gpus=server.devices)
    return server, machine, fit(server, machine.room(deployment.options))


def _resolved(server: Server, fitted: Fitted) -> dict[str, Any]:
    options, placement = server.options, fitted.placement
    return {
        "ctx_size": server.n_ctx,
        "parallel": server.slots,
        "kv_unified": server.kv_unified,
        "n_gpu_layers": placement.n_gpu_layers,
        "n_cpu_moe": fitted.n_cpu_moe,
        "tensor_split": list(fitted.tensor_split) if fitted.tensor_split else None,
        "split_mode": options.split_mode,
        "batch_size": server.trunk.batch_size,
        "ubatch_size": options.ubatch_size,
        "flash_attn": server.flash_attn,
        "cache_type_k": server.type_k,
        "cache_type_v": server.type_v,
        "kv_offload": options.kv_offload,
        "op_offload": options.op_offload,
        "fit_target_mib": options.fit_target_mib if options.fit else 0,
        "spec_type": options.spec_type,
        "spec_draft_n_max": options.draft_tokens,
        "mmproj": options.mmproj,
        "ctx_checkpoints": options.ctx_checkpoints,
        "cache_ram_mib": options.cache_ram_mib,
        "load_mode": options.load_mode,
    }


def _details(server: Server, machine: Machine, fitted: Fitted) -> dict[str, Any]:
    placement, usage = fitted.placement, server.usage(fitted.placement)
    names = [*(f"{machine.backend}{gpu}" for gpu in range(placement.devices)), "host"]
    return {
        "n_ctx": server.trunk.cells,
        "n_ctx_seq": server.trunk.n_ctx_seq,
        "kv_streams": server.trunk.n_streams,
        "n_outputs_max": server.trunk.n_outputs_max,
        "pipeline_parallel": placement.pipeline,
        "blocks": placement.blocks,
        "layers_per_device": {
            name: sum(placement.device_of(block) == index for block in range(placement.blocks + 1))
            for index, name in enumerate(names)
        },
        "buffers": {
            name: {
                "model": usage.weights[index] + usage.mtp_weights[index],
                "context": usage.kv[index] + usage.states[index] + usage.draft_kv[index],
                "compute": usage.compute[index] + usage.draft_compute[index],
            }
            for index, name in enumerate(names)
        },
        "output_bytes": usage.outputs,
        "host_bytes": host_bytes(server, fitted),
    }


def _warnings(
    deployment: Deployment, server: Server, machine: Machine, fitted: Fitted, room: Room
) -> Iterator[str]:
    placement, options = fitted.placement, server.options
    context = server.trunk
    if server.slots > 1:
        how = "share one cache" if server.kv_unified else "have a share each"
        yield (
            f"-c {server.n_ctx:,} is {server.slots} slots x {deployment.context:,} tokens, which"
            f" {how}; without -np llama-server makes 4 slots that share one cache"
        )
    if context.n_ctx_seq != deployment.context and not server.kv_unified:
        yield f"each slot has {context.n_ctx_seq:,} cells: lengths are rounded up to 256"
    offloaded = [b for b in range(placement.blocks + 1) if placement.device_of(b) == placement.host]
    if server.devices and (fitted.n_cpu_moe or offloaded):
        what = (
            f"the experts of {fitted.n_cpu_moe} of {server.expert_blocks} blocks"
            if fitted.n_cpu_moe
            else ""
        )
        blocks = f"{len(offloaded)} whole layers" if offloaded else ""
        yield (
            f"{' and '.join(part for part in (what, blocks) if part)} are computed from host"
            " memory: much slower than from the GPU"
        )
    if machine.host_total is None and not machine.unified:
        yield (
            f"llama-server needs {format_gib(host_bytes(server, fitted))} of host memory;"
            " this system's is not known (option host_memory_gib)"
        )
        if not fitted.fits and not options.places_by_hand:
            yield from _with_host(server, room)
    if placement.pipeline:
        yield (
            "pipeline parallelism keeps every input four times per GPU; -ot or --n-cpu-moe turns"
            " it off"
        )
    if options.cache_ram_mib:
        yield (
            f"prompts of idle slots may take up to {format_gib(options.cache_ram_mib * MIB)} more"
            " host memory (--cache-ram)"
        )
    if machine.backend != "CUDA":
        yield f"compute buffers were checked against CUDA; under {machine.backend} they may differ"
    if deployment.checkpoint.scheme is not server.scheme:
        yield f"the 16-bit checkpoint is taken as converted to {server.scheme.title}"


def _with_host(server: Server, room: Room) -> Iterator[str]:
    """What host memory would make of it."""
    endless = replace(room, host=2**62)
    found = fit(server, endless)
    if found.fits:
        usage = server.usage(found.placement)
        moved = (
            f"--n-cpu-moe {found.n_cpu_moe}" if found.n_cpu_moe else f"-ngl {found.n_gpu_layers}"
        )
        yield (
            f"with {format_gib(usage.total(found.placement.host))} of host memory it would run"
            f" ({moved}): say how much there is (option host_memory_gib)"
        )

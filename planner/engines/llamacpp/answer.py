"""Hold what llama-server would allocate, and say what is worth knowing about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import field, replace
from functools import cached_property, lru_cache
from typing import Any

from hardware_db.memory import with_system
from hardware_db.records import frozen_with_cache
from planner.engines.elsewhere import makers_of
from planner.engines.engine import Allocation, Capacity, Deployment
from planner.engines.llamacpp.checkpoints import (
    checkpoint_bytes,
    checkpoints_kept,
)
from planner.engines.llamacpp.contexts import SMALL_UBATCH
from planner.engines.llamacpp.fit import Bare, Fitted, fit
from planner.engines.llamacpp.machine import RPC_PORT, RPC_SERVER, Machine, Room, machine_of
from planner.engines.llamacpp.meant import server_of
from planner.engines.llamacpp.options import CHECKPOINTS
from planner.engines.llamacpp.placement import TABLES, is_expert
from planner.engines.llamacpp.placement import Placement as Homes
from planner.engines.llamacpp.reach import fits_anew, longest_of, slots_of
from planner.engines.llamacpp.releases import NEWEST, RELEASES, rules_of
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.llamacpp.tensor_file import OUTSIDE, FileScheme, file_tensors
from planner.engines.llamacpp.terms import host_terms
from planner.memory.placement import Placement
from planner.model.spec import ModelSpec
from planner.units import GIB, MIB, counted, format_gib

USUAL_RAM = 8 * GIB
"""RAM that every machine with a GPU is taken to have (assumed): nobody is told to see for less."""


@frozen_with_cache
class LlamacppAnswer(Allocation):
    """What llama-server would allocate.

    How far the memory goes, and what more RAM would make of it, take more graphs than the answer.

    Attributes:
        deployment: the question.
        shortfall: bytes missing on the tightest backend to start; zero if it starts.
        with_slots: the answer to the same question with another number of requests at once.
        server: the server as resolved.
        machine: where it runs.
        room: what of it may be used.
        fitted: what lies where, and how that is told to the server.
        usage: bytes per backend once it has started, the host last.
        ram: bytes of RAM that it takes.
        bare: the server without GPUs, where it may do without.
    """

    deployment: Deployment
    shortfall: int = field()
    with_slots: Callable[[int], LlamacppAnswer] = field(repr=False, compare=False)
    server: Server
    machine: Machine
    room: Room
    fitted: Fitted
    usage: Usage
    ram: int
    bare: Bare | None

    @cached_property
    def capacity(self) -> Capacity:
        """How far the memory goes."""
        sequences, limit = self._slots
        return Capacity(
            sequences=sequences,
            tokens=sequences * self.deployment.context,
            longest_context=self.longest_context,
            limited_by=limit,
        )

    @cached_property
    def _slots(self) -> tuple[int, str]:
        return slots_of(self.server, self.fitted, self.room, self.bare)

    @property
    def sequences(self) -> int:
        """Slots that fit at the asked context."""
        return self._slots[0]

    @cached_property
    def longest_context(self) -> int:
        """Tokens of the longest single request under the placement of the command."""
        if not self.fitted.fits and self.served is not self:
            return self.served.longest_context
        longest = longest_of(self.deployment, self.server, self.fitted, self.room)
        if self.fitted.fits or self.bare is None:
            return longest
        bare, alone = self.bare, fit(self.bare.server, self.bare.room)
        return max(longest, longest_of(self.deployment, bare.server, alone, bare.room))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user can act on, one sentence each."""
        return tuple(_warnings_of(self))

    @cached_property
    def served(self) -> LlamacppAnswer:
        """What the command starts: slots are filled at start, so that it has those that fit.

        The other requests wait for them.
        """
        if self.fitted.fits or self.deployment.options.parallel is not None:
            return self
        fewer, _ = self._slots
        return self.with_slots(fewer) if 0 < fewer < self.deployment.concurrency else self

    @property
    def checkpoints(self) -> int:
        """Copies of its state that a slot may keep."""
        return checkpoints_kept(self.server, self.ranks)

    def holds(self, sequences: int) -> bool:
        """Say whether so many sequences are held: as many as there are slots, if it fits at all."""
        slots = self.server.slots
        if self.fitted.fits == (sequences <= slots) or sequences == slots:
            return self.fitted.fits
        if self.server.options.parallel is not None:
            return False
        if sequences > slots:
            return super().holds(sequences)
        without = self.bare is not None and self.bare.fits(sequences)
        return without or fits_anew(self.server, self.fitted, self.room, sequences)

    def settings(self) -> dict[str, Any]:
        """Return every option as the server resolves it."""
        server, options, fitted = self.server, self.server.options, self.fitted
        return {
            "version": options.version,
            "ctx_size": server.n_ctx,
            "parallel": server.slots,
            "kv_unified": server.kv_unified,
            "n_gpu_layers": fitted.placement.n_gpu_layers,
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
            "fit_target_mib": options.kept_free_mib,
            "spec_type": options.spec_type,
            "spec_draft_n_max": options.draft_tokens,
            "spec_draft_type_k": options.spec_draft_type_k,
            "spec_draft_type_v": options.spec_draft_type_v,
            "mmproj": options.mmproj,
            "ctx_checkpoints": self.checkpoints,
            "cache_ram_mib": options.cache_ram_mib,
            "load_mode": options.load_mode,
            "lazy_mode": options.lazy_mode,
        }

    def figures(self) -> dict[str, Any]:
        """Return the server's own figures, in bytes where they are sizes."""
        placement, usage, trunk = self.fitted.placement, self.usage, self.server.trunk
        names = [*self.gpu_names, "host"]
        homes = [placement.device_of(block) for block in range(placement.blocks + 1)]
        return {
            "n_ctx": trunk.cells,
            "n_ctx_seq": trunk.n_ctx_seq,
            "kv_streams": trunk.n_streams,
            "n_outputs_max": trunk.n_outputs_max,
            "pipeline_parallel": placement.pipeline,
            "blocks": placement.blocks,
            "layers_per_device": {name: homes.count(index) for index, name in enumerate(names)},
            "buffers": {
                name: {
                    "model": usage.weights[index] + usage.mtp_weights[index],
                    "context": usage.kv[index] + usage.states[index] + usage.draft_kv[index],
                    "compute": usage.computing[index],
                }
                for index, name in enumerate(names)
            },
            "output_bytes": usage.outputs,
            "table_bytes_in_file": usage.tables,
            "host_bytes": self.ram,
        }

    @property
    def gpu_names(self) -> list[str]:
        """Names of the GPUs as the log prints them."""
        return list(self.machine.gpu_names)


def placement_of(server: Server, homes: Homes, usage: Usage) -> Placement:
    """Return where the weights lie; what lies in RAM is computed there, step by step.

    Left out is what no step of decoding reads: tables of embeddings in RAM or in the file, of which a
    step looks up a few rows per sequence, and the vision tower.
    """
    model = server.model
    mtp = bool(server.options.draft_tokens)
    computed, experts = _bytes_in_ram(model, server.scheme, homes, mtp=mtp)
    blocks = model.num_hidden_layers
    in_ram = homes.on_host(blocks)
    held = tuple(a + b for a, b in zip(usage.weights[:-1], usage.mtp_weights[:-1], strict=True))
    return Placement(
        device=sum(held),
        of_accelerators=held,
        host_computed=computed,
        host_computed_experts=experts,
        host_layers=in_ram,
        host_cache_layers=in_ram if homes.kv_offload else blocks,
        chunk=server.options.ubatch_size,
        chunk_options=("batch_size", "ubatch_size"),
        prompts_stream=server.options.op_offload and server.devices > 0,
    )


@lru_cache(maxsize=512)
def _bytes_in_ram(
    model: ModelSpec, scheme: FileScheme, homes: Homes, *, mtp: bool
) -> tuple[int, int]:
    """Return the bytes of weights that the CPU computes with, and how many are routed experts."""
    tensors = file_tensors(model, scheme)
    kept = [
        tensor
        for tensor in tensors.values()
        if tensor.key not in TABLES and homes.home(tensor) == homes.host and (mtp or not tensor.mtp)
    ]
    computed = sum(tensor.nbytes for tensor in kept)
    if model.tie_word_embeddings and homes.device_of(homes.blocks) == homes.host:
        computed += tensors["token_embd", OUTSIDE].nbytes
    return computed, sum(tensor.nbytes for tensor in kept if is_expert(tensor))


def _without_a_tensor(server: Server, homes: Homes) -> Iterator[str]:
    """Yield the patterns of -ot that match no tensor of the file."""
    by_hand = homes.overrides if server.options.override_tensor else ()
    tensors = file_tensors(server.model, server.scheme).values() if by_hand else ()
    for rule in by_hand:
        if not rule.experts and not any(map(rule.takes, tensors)):
            yield rule.pattern


def _warnings_of(answer: LlamacppAnswer) -> Iterator[str]:
    """Yield what a user can act on."""
    deployment, server, machine = answer.deployment, answer.server, answer.machine
    options, context, system, fitted = (
        server.options,
        server.trunk,
        deployment.system,
        answer.fitted,
    )
    rules = rules_of(options.version)
    if options.version != NEWEST and rules is not RELEASES[0]:
        also = " but for its inputs, which were read from b11434" if rules.mixed else ""
        yield f"rules were read from commit {NEWEST}: those of {options.version} are assumed alike{also}"
    if machine.remote:
        yield (
            "the other machines are planned as GPUs behind --rpc: llama.cpp shares blocks out over"
            " them as over its own; what the network costs is assumed, nobody measured it, and whoever"
            " reaches their ports can use them"
        )
    elif system.nodes > 1:
        yield (
            f"one machine of {system.nodes} is planned: to join the others, start"
            f" `{' '.join(RPC_SERVER)}` on each and add --rpc ADDRESS:{RPC_PORT} (with commas between)"
        )
    if makers := makers_of(deployment):
        yield f"{makers} GPUs serve together in a build for Vulkan; planned as under their own builds"
    if context.n_ctx_seq != deployment.context and not server.kv_unified:
        yield f"each slot has {context.n_ctx_seq:,} cells: lengths are rounded up to 256"
    moved = list(_in_ram(server, fitted.placement, fitted.n_cpu_moe))
    told = len(options.tensor_split or ())
    if told > max(server.devices, 1):
        yield (
            f"-ts has {told} proportions for {counted(server.devices, 'GPU')}: llama.cpp leaves out"
            " those that follow"
        )
    for pattern in _without_a_tensor(server, fitted.placement):
        yield f"-ot {pattern}: no tensor of this file is called so, and nothing is moved"
    if options.n_cpu_moe and server.model.moe is None:
        yield "--n-cpu-moe moves nothing: this model is dense, it has no experts"
    if options.override_tensor:  # single tensors: neither experts nor layers as a whole
        computed, _ = _bytes_in_ram(server.model, server.scheme, fitted.placement, mtp=False)
        moved = [f"{format_gib(computed)} of weights"] if computed else []
    if server.devices and moved:
        yield f"{' and '.join(moved)} in RAM, computed by the CPU: much slower than on the GPU"
    if server.options.takes_no_gpu and not deployment.options.takes_no_gpu:
        yield _no_gpu(answer)
    much = not fitted.fits or answer.ram > USUAL_RAM
    if machine.host_total is None and not machine.unified and much:
        needs = f"llama-server needs {format_gib(answer.ram)} of RAM"
        if not fitted.fits and not options.places_by_hand:
            needs = _with_ram(server, answer.room) or needs
        yield f"{needs}; how much this machine has is not known (--ram)"
    if server.reads_tables:
        yield (
            f"the n-gram table ({format_gib(server.table_bytes)}) stays in the file, of which"
            f" {_rows(server)} rows are read per token: keep it on an SSD, or hold it in RAM with"
            " --lazy-mode off"
        )
    if answer.checkpoints < CHECKPOINTS and options.ctx_checkpoints is None:
        each = format_gib(checkpoint_bytes(server) * server.slots)
        lost = "; a long prompt of which the beginning changes is computed anew"
        yield (
            f"{CHECKPOINTS} copies of the state would not fit in RAM ({each} for one in every slot):"
            f" the command carries --ctx-checkpoints {answer.checkpoints}{lost if answer.curbed else ''}"
        )
    if deployment.checkpoint.scheme.name != server.scheme.name:
        yield f"the 16-bit checkpoint is taken as converted to {server.scheme.title}"


def notes_of(
    deployment: Deployment, server: Server, machine: Machine, fitted: Fitted
) -> Iterator[str]:
    """Yield what else is worth knowing."""
    options, backend = server.options, machine.backend
    if backend not in ("CUDA", "CPU"):
        name = "Metal" if backend == "MTL" else backend
        yield f"compute buffers were checked against CUDA; under {name} they may differ"
    if server.table_bytes and not server.reads_tables:
        yield (
            f"the n-gram table takes {format_gib(server.table_bytes)} of RAM; --lazy-mode on leaves"
            " it in the file, slower"
        )
    if server.full is not None:
        yield (
            f"{server.slots} slots share the {server.n_ctx:,} tokens of -c: one request may use them"
            " all (llama-server's own choice without -np)"
        )
    elif server.slots > 1:
        how = "share one cache" if server.kv_unified else "have a share each"
        yield (
            f"-c {server.n_ctx:,} is {server.slots} slots x {deployment.context:,} tokens, which"
            f" {how}; without -np llama-server makes 4 slots that share one cache"
        )
    if fitted.placement.pipeline:
        yield (
            "pipeline parallelism keeps every input four times per GPU; -ot or --n-cpu-moe turns"
            " it off"
        )
    if machine.host_total is not None and machine.host_usable is not None and not machine.unified:
        left = format_gib(machine.host_total - machine.host_usable)
        yield f"{left} of RAM is left to the system: an assumption; a desktop with a browser takes more"
    if options.cache_ram_mib:
        size = format_gib(options.cache_ram_mib * MIB)
        yield f"The prompt cache may use up to {size} more RAM (--cache-ram)"


def _rows(server: Server) -> int:
    ngrams = server.model.ngrams
    return 0 if ngrams is None else ngrams.heads


def _in_ram(server: Server, homes: Homes, n_cpu_moe: int) -> Iterator[str]:
    """Yield what lies in RAM, in words: experts, whole layers."""
    experts = min(n_cpu_moe, server.expert_blocks)
    if experts and experts == server.expert_blocks:
        yield "all experts"
    elif experts:
        yield f"the experts of {experts} of {server.expert_blocks} layers"
    layers = sum(homes.device_of(block) == homes.host for block in range(homes.blocks))
    if layers and layers == homes.blocks:
        yield "all layers"
    elif layers:
        yield counted(layers, "whole layer")


def _no_gpu(answer: LlamacppAnswer) -> str:
    """Say why no GPU is used, and what would let one compute the prompts."""
    asked = server_of(answer.deployment)
    room = machine_of(answer.deployment, gpus=asked.devices).room(asked.options.kept_free_mib)
    said = (
        "no GPU is used (-dev none): the compute buffer of this workload alone is more than it has"
        " room for, and the CPU computes everything, much slower"
    )
    smaller = replace(asked, options=replace(asked.options, ubatch_size=SMALL_UBATCH))
    if asked.options.ubatch_size > SMALL_UBATCH and fit(smaller, room).fits:
        said += f"; with -ub {SMALL_UBATCH} a GPU computes the prompts"
    return said


def _with_ram(server: Server, room: Room) -> str | None:
    """Return how much RAM would make it run, all that the server takes counted; None: none would."""
    found = fit(server, replace(room, host=2**62))
    if not found.fits:
        return None
    terms = host_terms(server, found.placement, server.usage(found.placement))
    moved = f"--n-cpu-moe {found.n_cpu_moe}" if found.n_cpu_moe else f"-ngl {found.n_gpu_layers}"
    needed = with_system(sum(term.nbytes for term in terms))
    return f"with {format_gib(needed)} of RAM it would run ({moved})"

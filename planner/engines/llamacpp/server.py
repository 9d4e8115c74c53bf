"""One `llama-server` resolved: which contexts it makes, and what they take under a placement."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache

from hardware_db.records import frozen, frozen_with_cache
from planner.columns import choose, smaller
from planner.engines.llamacpp.buffers import model_bytes
from planner.engines.llamacpp.compute import compute_buffers
from planner.engines.llamacpp.contexts import (
    CELLS_PADDING,
    Context,
    cache_bytes,
    index_bytes_per_block,
    kv_bytes_per_block,
    output_bytes,
    state_bytes_per_block,
    window_bytes_per_block,
)
from planner.engines.llamacpp.options import CACHE_TYPES, LlamacppOptions
from planner.engines.llamacpp.placement import (
    NGRAM_TABLE,
    Override,
    Placement,
    experts_on_host,
    is_expert,
)
from planner.engines.llamacpp.releases import rules_of
from planner.engines.llamacpp.tensor_file import (
    OUTSIDE,
    FileScheme,
    file_blocks,
    file_tensors,
    members,
)
from planner.engines.llamacpp.vision import VisionMemory, vision_memory
from planner.memo import Key, remembered
from planner.model.checkpoint import Checkpoint
from planner.model.spec import ModelSpec
from planner.units import GIB, round_up

_ALIASES = {"auto": "f16", "float16": "f16", "fp16": "f16", "bfloat16": "bf16", "float32": "f32"}

MAX_DEVICES = 15
"""GPUs beside the CPU that the scheduler takes (GGML_SCHED_MAX_BACKENDS)."""

LAZY_ABOVE = 4 * GIB
"""Bytes above which --lazy-mode auto reads a table on demand (src/llama-model-loader.cpp)."""


def cache_type(name: str) -> str | None:
    """The ggml type that a KV cache dtype means; None if llama.cpp has none."""
    plain = name.lower()
    found = _ALIASES.get(plain, plain)
    return found if found in CACHE_TYPES else None


@frozen
class Usage:
    """Bytes per backend, the host last.

    Attributes:
        weights: trunk, embeddings, head.
        mtp_weights: the MTP blocks, if they are loaded.
        kv: KV cache of the trunk.
        states: recurrent state of the trunk.
        compute: compute buffers of the trunk's context.
        draft_kv: KV cache of the MTP context.
        draft_compute: compute buffers of the MTP context.
        outputs: output buffers (host only).
        tables: n-gram tables that stay in the file; their rows are read when they are needed.
        unlent: those that lie in RAM of which the system lends the GPU none: the CPU alone reads them.
        vision_weights: the vision tower.
        vision_compute: what encoding one image takes.
    """

    weights: tuple[int, ...]
    mtp_weights: tuple[int, ...]
    kv: tuple[int, ...]
    states: tuple[int, ...]
    compute: tuple[int, ...]
    draft_kv: tuple[int, ...]
    draft_compute: tuple[int, ...]
    outputs: int
    tables: int
    unlent: int
    vision_weights: tuple[int, ...]
    vision_compute: tuple[int, ...]

    @property
    def computing(self) -> tuple[int, ...]:
        """Compute buffers of both contexts."""
        return tuple([a + b for a, b in zip(self.compute, self.draft_compute, strict=True)])

    def total(self, backend: int) -> int:
        """All bytes on one backend; outputs count on the host, tables elsewhere do not."""
        parts = (
            self.weights,
            self.mtp_weights,
            self.kv,
            self.states,
            self.compute,
            self.draft_kv,
            self.draft_compute,
            self.vision_weights,
            self.vision_compute,
        )
        host = self.outputs - self.unlent if backend == len(self.weights) - 1 else 0
        return sum(part[backend] for part in parts) + host


@frozen_with_cache
class Server:
    """A model, its file and the settings of the server; context and slots may be columns.

    Attributes:
        checkpoint: what is served.
        model: its architecture.
        scheme: how the file is stored.
        options: the server's options.
        devices: GPUs that it may use; none on a machine without.
        own: number of the machine's own first GPU: those of others stand before it.
        shares: proportions of the GPUs, unless told otherwise.
        type_k: ggml type of the K cache.
        type_v: ggml type of the V cache.
        context: tokens per sequence.
        slots: sequences at once.
        maps_tables: every GPU works beside a mapped file, which those that share the CPU's memory do
            not under CUDA and Vulkan.
        unlent: bytes of a shared memory that the system keeps from the GPU.
        full: how many of them may have that length, where they share one cache; None: all.
    """

    checkpoint: Checkpoint
    model: ModelSpec
    scheme: FileScheme
    options: LlamacppOptions
    devices: int
    shares: tuple[float, ...]
    type_k: str
    type_v: str
    context: int
    slots: int
    maps_tables: bool = True
    unlent: int = 0
    full: int | None = None
    own: int = 0

    @property
    def flash_attn(self) -> bool:
        """Fused attention; "auto" turns it on, as every backend here supports it."""
        return self.options.flash_attn != "off"

    @property
    def kv_unified(self) -> bool:
        """One cache for all slots; a single slot needs none of it."""
        return bool(self.options.kv_unified)

    @property
    def full_slots(self) -> int:
        """Sequences that may all have the whole length."""
        return self.slots if self.full is None else self.full

    @cached_property
    def blocks(self) -> int:
        """Blocks of the file."""
        return file_blocks(self.model, self.scheme)

    @cached_property
    def table_bytes(self) -> int:
        """Bytes of the model's n-gram tables."""
        tensors = file_tensors(self.model, self.scheme)
        table = tensors.get((NGRAM_TABLE, OUTSIDE))
        return 0 if table is None else table.nbytes

    @property
    def reads_tables(self) -> bool:
        """N-gram tables stay in the file, of which rows are read on demand (--lazy-mode)."""
        mode = self.options.lazy_mode
        if mode == "auto":
            return self.maps_tables and self.table_bytes > LAZY_ABOVE
        return mode == "on" and self.table_bytes > 0

    @cached_property
    def n_ctx(self) -> int:
        """-c: cells for all slots, each slot's share padded so that none is rounded up later."""
        shares = self.full_slots
        cells: int = choose(
            shares == 1, self.context, shares * round_up(self.context, CELLS_PADDING)
        )
        return cells

    @cached_property
    def trunk(self) -> Context:
        """The model's own context."""
        options, rules = self.options, rules_of(self.options.version)
        return Context(
            n_ctx=self.n_ctx,
            n_seq_max=self.slots,
            kv_unified=self.kv_unified,
            n_batch=options.batch_size,
            n_ubatch=options.ubatch_size,
            n_outputs_max=smaller(options.batch_size, self.slots * (1 + options.draft_tokens))
            if rules.few_outputs and not options.all_logits
            else 0,
            n_rs_seq=options.draft_tokens,
            flash_attn=self.flash_attn,
            type_k=self.type_k,
            type_v=self.type_v,
            half_mask=rules.half_mask,
            scratch=rules.scratch,
            mixed=rules.mixed,
        )

    @cached_property
    def draft(self) -> Context | None:
        """The MTP blocks' context: the same cells in a cache of its own types, one output per slot."""
        if not self.options.draft_tokens:
            return None
        options, rules = self.options, rules_of(self.options.version)
        return Context(
            kind="mtp",
            n_ctx=self.n_ctx,
            n_seq_max=self.slots,
            kv_unified=self.kv_unified,
            n_batch=options.batch_size,
            n_ubatch=options.ubatch_size,
            n_outputs_max=self.slots if rules.few_outputs else 0,
            flash_attn=self.flash_attn,
            type_k=options.spec_draft_type_k,
            type_v=options.spec_draft_type_v,
            half_mask=rules.half_mask,
            scratch=rules.scratch,
        )

    @cached_property
    def vision(self) -> VisionMemory | None:
        """The vision tower, if it is loaded."""
        if not self.options.mmproj:
            return None
        return vision_memory(self.model, self.scheme, flash_attn=self.flash_attn)

    def usage(self, placement: Placement, *, dry_run: bool = False) -> Usage:
        """Return what the server takes under a placement."""
        return _usage(self, placement, dry_run)

    def held(self, placement: Placement) -> Usage:
        """Return the same without compute buffers: no graph is needed for it."""
        return _held(self, placement)

    def counted(self, placement: Placement, *, dry_run: bool) -> Usage:
        """Return what the server takes, counted anew."""
        held = self.held(placement)
        if self.draft is None:
            drafting = held.draft_compute
        else:
            drafting = self._compute(placement, self.draft, dry_run=dry_run)
        return replace(
            held,
            compute=self._compute(placement, self.trunk, dry_run=dry_run),
            draft_compute=drafting,
        )

    def weighed(self, placement: Placement) -> Usage:
        """Return what it takes without compute buffers, counted anew."""
        speculative = bool(self.options.draft_tokens)
        weights = model_bytes(self.model, self.scheme, placement, mtp=False)
        loaded = model_bytes(self.model, self.scheme, placement, mtp=speculative)
        nothing = (0,) * placement.backends
        kv, states = cache_bytes(self.model, self.trunk, placement)
        draft_kv = nothing
        outputs = output_bytes(self.model, self.trunk)
        if self.draft is not None:
            draft_kv, _ = cache_bytes(self.model, self.draft, placement)
            most = self.slots * (1 + self.options.draft_tokens)
            rows = choose(self.trunk.n_outputs_max == 0, most, self.trunk.n_outputs_max)
            rows = rows - self.slots
            outputs += 4 * self.model.vocab_size * rows
            outputs += 4 * self.model.hidden_size * self.trunk.batch_size
            outputs += output_bytes(self.model, self.draft, hidden_rows=self.slots)
        seen_weights, seen_compute = self._vision(placement)
        drafting = tuple(b - a for a, b in zip(weights, loaded, strict=True))
        tables = self.table_bytes if self.reads_tables else 0
        return Usage(
            weights=(*weights[:-1], weights[-1] - tables),
            tables=tables,
            unlent=self.table_bytes if not tables and self.table_bytes <= self.unlent else 0,
            mtp_weights=drafting,
            kv=kv,
            states=states,
            compute=nothing,
            draft_kv=draft_kv,
            draft_compute=nothing,
            outputs=outputs,
            vision_weights=seen_weights,
            vision_compute=seen_compute,
        )

    def _compute(self, placement: Placement, context: Context, *, dry_run: bool) -> tuple[int, ...]:
        found = compute_buffers(
            self.model,
            self.scheme,
            placement,
            context,
            op_offload=self.options.op_offload,
            dry_run=dry_run,
        )
        return found.nbytes

    def _vision(self, placement: Placement) -> tuple[tuple[int, ...], tuple[int, ...]]:
        weights, compute = [0] * placement.backends, [0] * placement.backends
        if self.vision is not None:
            on_gpu = placement.devices > 0 and self.options.mmproj_offload
            home = 0 if on_gpu else placement.host
            weights[home] += self.vision.weights
            compute[home] += self.vision.compute
            if on_gpu:
                compute[placement.host] += self.vision.host
        return tuple(weights), tuple(compute)

    def placement(
        self,
        *,
        n_gpu_layers: int | None = None,
        n_cpu_moe: int = 0,
        shares: tuple[float, ...] | None = None,
        overrides: tuple[Override, ...] = (),
    ) -> Placement:
        """A placement on this server's devices; by default everything on equal GPUs."""
        layers = self.blocks + 1 if n_gpu_layers is None else n_gpu_layers
        experts = experts_on_host(min(n_cpu_moe, self.blocks), host=self.devices)
        return Placement(
            devices=self.devices,
            blocks=self.blocks,
            n_gpu_layers=layers if self.devices else 0,
            shares=shares or self.shares,
            overrides=(*overrides, *experts),
            kv_offload=self.options.kv_offload,
        )

    def cache_of_blocks(self) -> dict[int, int]:
        """Bytes of cache and recurrent state per block, draft context included."""
        sizes: dict[int, int] = {}
        for context in (self.trunk, self.draft):
            if context is None:
                continue
            each = sum(kv_bytes_per_block(self.model, context))
            each += index_bytes_per_block(self.model, context)
            for block in context.attention_blocks(self.model):
                sizes[block] = sizes.get(block, 0) + each
        sizes.update(
            dict.fromkeys(
                self.model.linear_attention_layers,
                sum(state_bytes_per_block(self.model, self.trunk)),
            )
        )
        for block in self.model.ngram_layers:
            sizes[block] += window_bytes_per_block(self.model, self.trunk)
        return sizes

    @cached_property
    def expert_blocks(self) -> int:
        """Blocks with routed experts that can be kept in RAM; zero for dense models."""
        return expert_blocks(self.model, self.scheme, mtp=bool(self.options.draft_tokens))


@lru_cache(maxsize=64)
def expert_blocks(model: ModelSpec, scheme: FileScheme, *, mtp: bool) -> int:
    """Return how many blocks have routed experts, those of the MTP module only with `mtp`."""
    return sum(
        any(is_expert(tensor) for tensor in parts) and (mtp or not parts[0].mtp)
        for parts in members(model, scheme).values()
    )


def _under(server: Server, placement: Placement, dry_run: bool) -> Key:
    return (server,), (placement, dry_run)


@remembered(_under)
def _usage(server: Server, placement: Placement, dry_run: bool) -> Usage:
    return server.counted(placement, dry_run=dry_run)


@remembered(lambda server, placement: ((server,), placement))
def _held(server: Server, placement: Placement) -> Usage:
    return server.weighed(placement)

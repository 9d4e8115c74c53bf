"""All buffers of a model and its contexts, per backend: what llama.cpp prints and --fit adds up."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache, partial
from typing import Any

from hardware_db.records import frozen
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml.allocator import (
    CUDA_ALIGNMENT,
    HOST_ALIGNMENT,
    alloc_bytes,
    buffer_sizes,
)
from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.homes import Homes, Setting
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.model import block_kind, mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.samples import Spot
from planner.engines.llamacpp.ggml.scheduler import OFFLOAD_MIN_BATCH, schedule
from planner.engines.llamacpp.ggml.shapes import number, peaks, peaks_at
from planner.engines.llamacpp.ggml.tensor import GgmlTensor
from planner.engines.llamacpp.placement import Placement, is_expert, is_expert_key
from planner.engines.llamacpp.tensor_file import (
    OUTSIDE,
    FileScheme,
    FileTensor,
    file_tensors,
    members,
)
from planner.errors import UnsupportedModelError
from planner.model.spec import ModelSpec
from planner.units import round_up

OUTPUT_NORMS = ("output_norm", "output_hc_norm", "output_hc_down", "output_hc_up")
"""What lies between the last block and the output layer."""


@frozen
class ComputeBuffers:
    """Compute buffers of one context.

    Attributes:
        nbytes: per backend, the host last.
        graph_nodes: tensors of the graph, as the log counts them.
        graph_splits: parts of the graph that run on one backend each.
    """

    nbytes: tuple[int, ...]
    graph_nodes: int
    graph_splits: int


@lru_cache(maxsize=512)
def model_bytes(
    model: ModelSpec, scheme: FileScheme, placement: Placement, *, mtp: bool
) -> tuple[int, ...]:
    """Return the bytes of the weights per backend, the host last.

    Every tensor is padded to the backend's alignment. A tied embedding table is held twice where
    the output layer is on a GPU: on the host for lookups, there as the output head. MTP blocks are
    left out unless speculation uses them.
    """
    sizes = [0] * placement.backends
    host = placement.host
    for block, parts in members(model, scheme).items():
        if parts[0].mtp and not mtp:
            continue
        experts = placement.experts_only
        if block == OUTSIDE or experts is None:
            for tensor in parts:
                home = placement.home(tensor)
                sizes[home] += _padded(tensor, on_gpu=home != host)
        else:
            home = placement.device_of(block)
            rest, routed = _block_bytes(model, scheme, block, on_gpu=home != host)
            sizes[home] += rest
            if block < experts:
                sizes[host] += _block_bytes(model, scheme, block, on_gpu=False)[1]
            else:
                sizes[home] += routed
    if model.tie_word_embeddings:
        head = placement.device_of(placement.blocks)
        if head != host:
            table = file_tensors(model, scheme)["token_embd", OUTSIDE]
            sizes[head] += _padded(table, on_gpu=True)
    return tuple(sizes)


@lru_cache(maxsize=512)
def gpu_bytes_of_blocks(
    model: ModelSpec, scheme: FileScheme, placement: Placement, *, mtp: bool
) -> tuple[int, ...]:
    """Return the bytes that each block keeps on GPUs, as the file counts them.

    The last entry is what lies outside the blocks.
    """
    sizes = [0] * (placement.blocks + 1)
    for block, parts in members(model, scheme).items():
        if parts[0].mtp and not mtp:
            continue
        sizes[placement.blocks if block == OUTSIDE else block] = sum(
            tensor.nbytes for tensor in parts if placement.home(tensor) != placement.host
        )
    return tuple(sizes)


@lru_cache(maxsize=16_384)
def _block_bytes(
    model: ModelSpec, scheme: FileScheme, block: int, *, on_gpu: bool
) -> tuple[int, int]:
    """Return the bytes of a block's tensors in one buffer: routed experts apart."""
    sizes = [0, 0]
    for tensor in members(model, scheme)[block]:
        sizes[is_expert(tensor)] += _padded(tensor, on_gpu=on_gpu)
    return sizes[0], sizes[1]


def _padded(tensor: FileTensor, *, on_gpu: bool) -> int:
    """Return the bytes that a buffer of weights gives a tensor."""
    stored = GgmlTensor("none", tensor.type, tensor.ne)
    # The file's own bytes: of a published size, a type's may be scaled.
    padding = alloc_bytes(stored, on_gpu=on_gpu) - alloc_bytes(stored, on_gpu=False)
    return round_up(tensor.nbytes + padding, CUDA_ALIGNMENT if on_gpu else HOST_ALIGNMENT)


def compute_buffers(
    model: ModelSpec,
    scheme: FileScheme,
    placement: Placement,
    context: Context,
    *,
    op_offload: bool = True,
    dry_run: bool = False,
    generation: bool = False,
) -> ComputeBuffers:
    """Return the compute buffers of one context: the graph of the worst batch, run to its peaks.

    A start ties each block's norms to the block's GPU; the dry run behind --fit forgets that
    (ggml_backend_sched_reserve_size resets the scheduler first), copies one more tensor to every
    further GPU and so asks for 16 x hidden size x tokens bytes more there.

    Not a formula: the graph is built, split and put through ggml's allocator as llama.cpp does
    it. Agrees to the byte with llama.cpp 0c1e570 (suite `llamacpp`). `generation` asks for the
    graph of one token per sequence instead, which needs less.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    asked = asked_of_graph(
        model,
        scheme,
        placement,
        context,
        op_offload=op_offload,
        dry_run=dry_run,
        generation=generation,
    )
    found = peaks(*asked)
    return ComputeBuffers(nbytes=found.nbytes, graph_nodes=found.nodes, graph_splits=found.splits)


def asked_of_graph(
    model: ModelSpec,
    scheme: FileScheme,
    placement: Placement,
    context: Context,
    *,
    op_offload: bool,
    dry_run: bool,
    generation: bool = False,
) -> tuple[Homes, Setting, Batch]:
    """Return all that the graph behind `compute_buffers` follows from."""
    batch = context.batch(model, generation=generation)
    started = generation or not dry_run
    setting = _setting(placement, context, batch, op_offload=op_offload, started=started)
    return homes_of(model, scheme, placement), setting, batch


def compute_at_lengths(
    model: ModelSpec,
    scheme: FileScheme,
    placement: Placement,
    context: Context,
    cells: Any,
    *,
    op_offload: bool,
    dry_run: bool,
) -> tuple[Any, ...]:
    """Return the bytes of `compute_buffers` at a column of lengths, per backend, the host last.

    Args:
        model: the model.
        scheme: how the file is stored.
        placement: what lies where.
        context: one of the contexts; only its length counts for nothing.
        cells: cells of one stream of the KV cache, a column.
        op_offload: as in `compute_buffers`.
        dry_run: likewise.
    """
    asked = asked_of_graph(
        model, scheme, placement, context, op_offload=op_offload, dry_run=dry_run
    )
    return peaks_at(*asked, cells)


def _setting(
    placement: Placement, context: Context, batch: Batch, *, op_offload: bool, started: bool
) -> Setting:
    alike = placement.full and placement.devices == 1
    alike = alike and placement.experts_only is not None  # every norm is on that GPU anyway
    tied_to_blocks = placement.full or batch.n_tokens < OFFLOAD_MIN_BATCH
    return Setting(
        mtp=context.kind == "mtp",
        op_offload=op_offload,
        pipeline=placement.pipeline,
        pinned=started and not alike and tied_to_blocks,
        tied=started and not placement.kv_offload,
    )


@lru_cache(maxsize=512)
def homes_of(model: ModelSpec, scheme: FileScheme, placement: Placement) -> Homes:
    """Return where a file's weights lie under a placement, as far as graphs depend on it.

    A weight's type counts only where the weight lies in RAM or away from its block: only there it
    may be copied.
    """
    arch = architecture(model)
    if arch is None:
        raise UnsupportedModelError(f"llama.cpp: the graph of {model.model_type} is not modelled")
    layers, host = model.num_hidden_layers, placement.host

    def frame(block: int, away: Hashable) -> Hashable:
        kind = block_kind(model, arch, block) if block < layers else "mtp"
        return kind, placement.device_of(block), placement.cache_home(block), away

    def away(block: int) -> _Away:
        device = placement.device_of(block)
        if placement.overrides or device == host:
            return _away(model, scheme, placement, block, device)
        return ()

    def role(block: int, backend: int) -> Hashable:
        device = placement.device_of(block)
        return "own" if backend == device else "host" if backend == host else backend

    def piece(block: int, others: _Away) -> Hashable:
        told = tuple((key, role(block, home), type_ == "f32") for key, home, type_ in others)
        return block_kind(model, arch, block), role(block, placement.cache_home(block)), told

    def spot(block: int) -> Spot:
        device, cache = placement.device_of(block), placement.cache_home(block)
        # experts need nothing that other blocks need: where they lie is nothing to those
        others = tuple(other for other in apart[block] if not is_expert_key(other[0]))
        backends = {device, cache, *(home for _, home, _ in others)}
        return Spot(
            piece=number(piece(block, apart[block])),
            needs=number(piece(block, others)),
            device=device,
            mixed=bool(apart[block]) or device == host or not placement.kv_offload,
            # large batches are computed on the first GPU
            backends=frozenset(backends | {0} if host in backends else backends),
        )

    apart = list(map(away, range(placement.blocks)))
    numbers = [number(frame(block, found)) for block, found in enumerate(apart)]
    head = placement.device_of(placement.blocks)
    weights = partial(_weights, model, scheme, placement)
    made, tensors = weights(), file_tensors(model, scheme)
    last = placement.device_of(layers - 1)

    def end(backend: int) -> Hashable:
        return "last" if backend == last else "host" if backend == host else backend

    homes = (
        made.home("token_embd", OUTSIDE),
        *(made.home(key, OUTSIDE) for key in OUTPUT_NORMS if (key, OUTSIDE) in tensors),
        head,
    )
    type_ = made.types("output", OUTSIDE)[0] if head == host else ""
    return Homes(
        model=model,
        arch=arch,
        backends=placement.backends,
        blocks=tuple(numbers[:layers]),
        frames=tuple(
            number(frame(block, tuple((*place, type_ == "f32") for *place, type_ in apart[block])))
            for block in range(layers)
        ),
        spots=tuple(map(spot, range(layers))),
        outside=number((homes, type_)),
        ends=(*map(end, homes), type_ == "f32"),
        mtp=numbers[layers] if placement.blocks > layers else None,
        weights=weights,
        cache=placement.cache_home,
        device=placement.device_of,
        by_hand=placement.experts_only is None,
    )


def _weights(model: ModelSpec, scheme: FileScheme, placement: Placement) -> Weights:
    """Return a file's weights with their homes, as one graph takes them."""
    tensors = file_tensors(model, scheme)

    def look_up(key: str, block: int) -> FileTensor:
        if key == "output" and model.tie_word_embeddings:
            key = "token_embd"
        return tensors[key, block]

    def types(key: str, block: int) -> tuple[str, tuple[int, ...]]:
        tensor = look_up(key, block)
        return tensor.type, tensor.ne

    def home(key: str, block: int) -> int:
        if key == "output":
            return placement.device_of(placement.blocks)
        return placement.home(look_up(key, block))

    return Weights(types, home)


_Away = tuple[tuple[str, int, str], ...]
"""Weights that lie in RAM or away from their block: key, backend, type."""


def _away(
    model: ModelSpec, scheme: FileScheme, placement: Placement, block: int, device: int
) -> _Away:
    """Return a block's weights that lie in RAM or away from the block."""
    experts = placement.experts_only
    if experts is not None and device != placement.host:
        return _experts(model, scheme, block, placement.host) if block < experts else ()
    return tuple(
        (tensor.key, home, tensor.type)
        for tensor in members(model, scheme).get(block, ())
        if (home := placement.home(tensor)) != device or home == placement.host
    )


@lru_cache(maxsize=4096)
def _experts(model: ModelSpec, scheme: FileScheme, block: int, host: int) -> _Away:
    """Return a block's experts, which are in RAM."""
    parts = members(model, scheme).get(block, ())
    return tuple((tensor.key, host, tensor.type) for tensor in parts if is_expert(tensor))


def whole_graph(
    model: ModelSpec,
    scheme: FileScheme,
    placement: Placement,
    context: Context,
    *,
    op_offload: bool = True,
    dry_run: bool = False,
    generation: bool = False,
) -> ComputeBuffers:
    """Return the same as `compute_buffers` the long way: every block built, nothing kept.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    arch = architecture(model)
    if arch is None:
        raise UnsupportedModelError(f"llama.cpp: the graph of {model.model_type} is not modelled")
    batch = context.batch(model, generation=generation)
    homes = homes_of(model, scheme, placement)

    def pin(block: int) -> int | None:
        if (generation or not dry_run) and (placement.full or batch.n_tokens < OFFLOAD_MIN_BATCH):
            return placement.device_of(block)
        return None

    build = mtp_graph if context.kind == "mtp" else trunk_graph
    tied = None if placement.kv_offload or (dry_run and not generation) else placement.host
    inputs = Inputs(model, arch, batch, placement.cache_home, host=tied)
    graph = build(inputs, homes.weights(), pin)
    nodes = len(graph.nodes)
    plan = schedule(
        graph,
        backends=placement.backends,
        op_offload=op_offload,
        pipeline=placement.pipeline,
    )
    sizes = buffer_sizes(plan.leafs, plan.nodes, backends=placement.backends, host=placement.host)
    return ComputeBuffers(nbytes=sizes, graph_nodes=nodes, graph_splits=plan.splits)

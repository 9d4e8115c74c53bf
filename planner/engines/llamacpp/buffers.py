"""All buffers of a model and its contexts, per backend: what llama.cpp prints and --fit adds up."""

from __future__ import annotations

from functools import lru_cache
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
from planner.engines.llamacpp.ggml.inputs import Inputs
from planner.engines.llamacpp.ggml.model import mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.scheduler import OFFLOAD_MIN_BATCH, schedule
from planner.engines.llamacpp.ggml.shapes import peaks, peaks_at
from planner.engines.llamacpp.ggml.tensor import GgmlTensor
from planner.engines.llamacpp.placement import Placement, is_expert
from planner.engines.llamacpp.tensor_file import (
    OUTSIDE,
    FileScheme,
    FileTensor,
    file_tensors,
    members,
)
from planner.engines.llamacpp.whereabouts import homes_of
from planner.errors import UnsupportedModelError
from planner.model.spec import ModelSpec
from planner.units import round_up


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
    experts = placement.experts_only
    for block, parts in members(model, scheme).items():
        if parts[0].mtp and not mtp:
            continue
        if block == OUTSIDE or experts is None:
            sizes[placement.blocks if block == OUTSIDE else block] = sum(
                tensor.nbytes for tensor in parts if placement.home(tensor) != placement.host
            )
        elif placement.device_of(block) != placement.host:
            rest, routed = _block_bytes(model, scheme, block, on_gpu=None)
            sizes[block] = rest if block < experts else rest + routed
    return tuple(sizes)


@lru_cache(maxsize=16_384)
def _block_bytes(
    model: ModelSpec, scheme: FileScheme, block: int, *, on_gpu: bool | None
) -> tuple[int, int]:
    """Return the bytes of a block's tensors in one buffer, or (None) in the file: routed experts apart."""
    sizes = [0, 0]
    for tensor in members(model, scheme)[block]:
        size = tensor.nbytes if on_gpu is None else _padded(tensor, on_gpu=on_gpu)
        sizes[is_expert(tensor)] += size
    return sizes[0], sizes[1]


def _padded(tensor: FileTensor, *, on_gpu: bool) -> int:
    """Return the bytes that a buffer of weights gives a tensor."""
    # The file's own bytes: of a published size, a type's may be scaled.
    padding = _padding(tensor.type, tensor.ne) if on_gpu else 0
    return round_up(tensor.nbytes + padding, CUDA_ALIGNMENT if on_gpu else HOST_ALIGNMENT)


@lru_cache(maxsize=4096)
def _padding(type_: str, ne: tuple[int, ...]) -> int:
    """Return the bytes that a GPU takes for a weight beyond its own."""
    stored = GgmlTensor("none", type_, ne)
    return alloc_bytes(stored, on_gpu=True) - alloc_bytes(stored, on_gpu=False)


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

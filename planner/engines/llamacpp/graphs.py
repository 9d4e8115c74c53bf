"""Graphs, built: what `compute` says of those that were not worked out before."""

from __future__ import annotations

from typing import Any

from planner.engines.llamacpp.compute import ComputeBuffers, setting_of
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml.allocator import buffer_sizes
from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.homes import Homes
from planner.engines.llamacpp.ggml.inputs import Inputs
from planner.engines.llamacpp.ggml.model import mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.scheduler import schedule
from planner.engines.llamacpp.ggml.segment import Peaks
from planner.engines.llamacpp.ggml.setting import OFFLOAD_MIN_BATCH, Setting
from planner.engines.llamacpp.ggml.shapes import peaks, peaks_at
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.tensor_file import FileScheme
from planner.engines.llamacpp.whereabouts import homes_of
from planner.errors import UnsupportedModelError
from planner.model.spec import ModelSpec


def peaks_of(
    model: ModelSpec, scheme: FileScheme, placement: Placement, setting: Setting, batch: Batch
) -> Peaks:
    """Return the buffers of a batch's graph.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    return peaks(homes_of(model, scheme, placement), setting, batch)


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
    setting = setting_of(placement, context, batch, op_offload=op_offload, started=started)
    return homes_of(model, scheme, placement), setting, batch


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

"""The compute buffers of a context: what its graph takes while it runs."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.llamacpp import ready
from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.setting import OFFLOAD_MIN_BATCH, Setting
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.tensor_file import FileScheme
from planner.model.spec import ModelSpec


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
    it, or was when the package was built (`ready`). Agrees to the byte with llama.cpp 0c1e570 (suite
    `llamacpp`). `generation` asks for the graph of one token per sequence instead, which needs less.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    batch = context.batch(model, generation=generation)
    started = generation or not dry_run
    setting = setting_of(placement, context, batch, op_offload=op_offload, started=started)
    found = ready.peaks(model, placement, setting, batch)
    if found is None:
        from planner.engines.llamacpp.graphs import peaks_of  # most starts do without its modules

        found = peaks_of(model, scheme, placement, setting, batch)
    return ComputeBuffers(nbytes=found.nbytes, graph_nodes=found.nodes, graph_splits=found.splits)


def setting_of(
    placement: Placement, context: Context, batch: Batch, *, op_offload: bool, started: bool
) -> Setting:
    """Return how the graph of a context's batch is made.

    Args:
        placement: what lies where.
        context: the context.
        batch: its batch.
        op_offload: as in `compute_buffers`.
        started: by a start, not by the dry run behind --fit.
    """
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

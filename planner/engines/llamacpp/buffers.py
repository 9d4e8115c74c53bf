"""All buffers of a model and its contexts, per backend: what llama.cpp prints and --fit adds up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from planner.engines.llamacpp.contexts import Context
from planner.engines.llamacpp.ggml.allocator import (
    CUDA_ALIGNMENT,
    HOST_ALIGNMENT,
    alloc_bytes,
    buffer_sizes,
)
from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.inputs import Inputs, Weights
from planner.engines.llamacpp.ggml.model import mtp_graph, trunk_graph
from planner.engines.llamacpp.ggml.scheduler import schedule
from planner.engines.llamacpp.ggml.tensor import GgmlTensor
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.tensor_file import OUTSIDE, FileScheme, FileTensor, file_tensors
from planner.errors import UnsupportedModelError
from planner.model.spec import ModelSpec
from planner.units import round_up

_SMALL_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """Bytes of the weights per backend, the host last.

    Every tensor is padded to the backend's alignment. A tied embedding table is held twice where
    the output layer is on a GPU: on the host for lookups, there as the output head. MTP blocks are
    left out unless speculation uses them.
    """
    sizes = [0] * placement.backends

    def add(tensor: FileTensor, backend: int) -> None:
        on_gpu = backend != placement.host
        stored = GgmlTensor("none", tensor.type, tensor.ne)
        alignment = CUDA_ALIGNMENT if on_gpu else HOST_ALIGNMENT
        # The file's own bytes: of a published size, a type's may be scaled.
        padding = alloc_bytes(stored, on_gpu=on_gpu) - alloc_bytes(stored, on_gpu=False)
        sizes[backend] += round_up(tensor.nbytes + padding, alignment)

    for tensor in file_tensors(model, scheme).values():
        if mtp or not tensor.mtp:
            add(tensor, placement.home(tensor))
    if model.tie_word_embeddings:
        head = placement.device_of(placement.blocks)
        if head != placement.host:
            add(file_tensors(model, scheme)["token_embd", OUTSIDE], head)
    return tuple(sizes)


@lru_cache(maxsize=512)
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
    """Compute buffers of one context: the graph of the worst batch, scheduled and allocated.

    A start ties each block's norms to the block's GPU; the dry run behind --fit forgets that
    (ggml_backend_sched_reserve_size resets the scheduler first), copies one more tensor to every
    further GPU and so asks for 16 x hidden size x tokens bytes more there.

    Not a formula: the graph is built, split and put through ggml's allocator as llama.cpp does
    it. Agrees to the byte with llama.cpp 0c1e570 (suite `llamacpp`). `generation` asks for the
    graph of one token per sequence instead, which needs less.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    arch = architecture(model)
    if arch is None:
        raise UnsupportedModelError(f"llama.cpp: the graph of {model.model_type} is not modelled")
    batch = context.batch(model, generation=generation)
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

    def pin(block: int) -> int | None:
        if (generation or not dry_run) and (placement.full or batch.n_tokens < _SMALL_BATCH):
            return placement.device_of(block)
        return None

    build = mtp_graph if context.kind == "mtp" else trunk_graph
    tied = None if placement.kv_offload or (dry_run and not generation) else placement.host
    inputs = Inputs(model, arch, batch, placement.cache_home, host=tied)
    graph = build(inputs, Weights(types, home), pin)
    nodes = len(graph.nodes)
    plan = schedule(
        graph,
        backends=placement.backends,
        op_offload=op_offload,
        pipeline=placement.pipeline,
    )
    sizes = buffer_sizes(plan.leafs, plan.nodes, backends=placement.backends, host=placement.host)
    return ComputeBuffers(nbytes=sizes, graph_nodes=nodes, graph_splits=plan.splits)

"""ggml's scheduler: which backend computes what, and which tensors are copied to it.

Backends are numbered as llama.cpp lists them: the GPUs in order, the CPU last. Every operation is
taken to be supported everywhere, which holds for this family on CUDA.

Source: llama.cpp 0c1e570 ggml/src/ggml-backend.cpp (ggml_backend_sched_split_graph) and
ggml-cuda/ggml-cuda.cu (offload_op, graph_optimize).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import Placed
from planner.engines.llamacpp.ggml.fusion import kept_alive
from planner.engines.llamacpp.ggml.setting import OFFLOAD_MIN_BATCH
from planner.engines.llamacpp.ggml.tensor import VIEW_OPS, GgmlTensor, Graph

MAX_COPIES = 4
"""Copies of every input under pipeline parallelism (GGML_SCHED_MAX_COPIES)."""


class Split:
    """Consecutive nodes of one backend, what is copied to it before them, and the node that asks first."""

    def __init__(self, *, backend: int, start: int) -> None:
        self.backend, self.start, self.end = backend, start, 0
        self.inputs: list[GgmlTensor] = []
        self.asked: list[int] = []


@frozen
class Schedule:
    """A graph ready for allocation.

    Attributes:
        leafs: inputs, weights and caches.
        nodes: what is computed, copies and dependencies included.
        starts: index among the graph's own nodes at which each split begins.
        copied: copy (by id) -> what it is a copy of.
        asked: copy (by id) that is kept several times -> index of the node that is the first to need it.
    """

    leafs: tuple[Placed, ...]
    nodes: tuple[Placed, ...]
    starts: tuple[int, ...]
    copied: Mapping[int, GgmlTensor]
    asked: Mapping[int, int]

    @property
    def splits(self) -> int:
        """Parts of the graph that run on one backend each."""
        return len(self.starts)


def schedule(graph: Graph, *, backends: int, op_offload: bool, pipeline: bool) -> Schedule:
    """Assign, split and add copies, as the scheduler does before it allocates.

    Args:
        graph: the graph; operands that are copied are replaced in it.
        backends: how many backends, the CPU included.
        op_offload: large batches compute on a GPU even where their weights are on the host.
        pipeline: pipeline parallelism: every input is kept `MAX_COPIES` times.
    """
    return _Scheduler(graph, backends, op_offload, MAX_COPIES if pipeline else 1).run()


def _on(tensor: GgmlTensor) -> int:
    """The backend that a tensor was given."""
    if tensor.backend is None:
        raise ValueError(f"{tensor.op} {tensor.name} has no backend")
    return tensor.backend


def _batch_of(node: GgmlTensor) -> int:
    match node.op:
        case "get_rows":
            return 0
        case "mul_mat":
            return node.ne[1]
        case "mul_mat_id" | "rope":
            return node.ne[2]
    return node.rows


class _Scheduler:
    def __init__(self, graph: Graph, backends: int, op_offload: bool, copies: int) -> None:
        self.graph, self.cpu, self.copies = graph, backends - 1, copies
        self.op_offload = op_offload and self.cpu > 0
        self.copied: dict[tuple[int, int], list[GgmlTensor]] = {}
        self.copies_of: dict[int, GgmlTensor] = {}

    def run(self) -> Schedule:
        graph = self.graph
        for tensor in (*graph.leafs, *graph.nodes):
            tensor.backend = self.from_place(tensor)
        computed = [node for node in graph.nodes if node.op not in VIEW_OPS]
        self.spread(computed, gpu_only=True)
        self.spread(computed[::-1], gpu_only=True)
        self.spread(computed, gpu_only=False)
        self.spread(computed[::-1], gpu_only=False)
        self.assign_rest()
        splits = self.split()
        pipelined = self.pipeline_inputs() if self.copies > 1 else []
        return Schedule(
            leafs=tuple(self.place_leafs(splits, pipelined)),
            nodes=tuple(self.place_nodes(splits)),
            starts=tuple(split.start for split in splits),
            copied=self.copies_of,
            asked=self.asked(splits) if self.copies > 1 else {},
        )

    def from_place(self, tensor: GgmlTensor) -> int | None:
        """Backend that follows from where the tensor, or its weights, lie."""
        if tensor.pinned is not None:
            return tensor.pinned
        holder = tensor.view_src or tensor
        if holder.home is not None:
            return holder.home
        if tensor.is_input:
            return self.cpu
        if tensor.op in ("rope", "flash_attn"):
            return None
        for operand in tensor.src:
            if operand.is_weight:
                if (
                    self.op_offload
                    and operand.home == self.cpu
                    and _batch_of(tensor) >= OFFLOAD_MIN_BATCH
                ):
                    return 0
                return operand.home
        return None

    def spread(self, nodes: list[GgmlTensor], *, gpu_only: bool) -> None:
        """Give unassigned nodes the backend of their neighbour."""
        current: int | None = None
        for node in nodes:
            known = node.backend
            if known is not None:
                current = None if gpu_only and known == self.cpu else known
            elif current is not None:
                node.backend = current

    def assign_rest(self) -> None:
        """Views follow what they show, other operands the node that needs them."""
        for node in self.graph.nodes:
            if node.backend is None:
                base = node.view_src
                node.backend = 0 if base is None else base.backend or 0
            for operand in node.src:
                if operand.backend is None:
                    base = operand.view_src
                    operand.backend = node.backend if base is None else base.backend

    def split(self) -> list[Split]:
        """Cut where the backend changes, or where further host weights would pile up."""
        nodes = self.graph.nodes
        first = next(node for node in nodes if node.op not in VIEW_OPS)
        current = Split(backend=_on(first), start=0)
        splits = [current]
        started = False
        for index, node in enumerate(nodes):
            started = started or node is first
            if not started or node.op in VIEW_OPS:
                continue
            backend = _on(node)
            fresh = backend == current.backend and bool(current.inputs) and self.needs_weight(node)
            if backend != current.backend or fresh:
                current.end = index
                current = Split(backend=backend, start=index)
                splits.append(current)
            for position, operand in enumerate(node.src):
                if operand.backend != backend:
                    node.src[position] = self.copy(operand, current, index)
        current.end = len(nodes)
        return splits

    def needs_weight(self, node: GgmlTensor) -> bool:
        own = _on(node)
        return any(operand.is_weight and operand.home != own for operand in node.src)

    def copy(self, operand: GgmlTensor, split: Split, index: int) -> GgmlTensor:
        key = (id(operand), split.backend)
        copies = self.copied.get(key)
        if copies is None:
            copies = [
                GgmlTensor("none", operand.type, operand.ne, nb=operand.nb, name=operand.name)
                for _ in range(self.copies)
            ]
            for copy in copies:
                copy.is_input = copy.is_output = self.copies > 1
                copy.backend = split.backend
                self.copies_of[id(copy)] = operand
            self.copied[key] = copies
            split.inputs.append(operand)
            split.asked.append(index)
        return copies[0]

    def asked(self, splits: list[Split]) -> dict[int, int]:
        return {
            id(copy): index
            for split in splits
            for operand, index in zip(split.inputs, split.asked, strict=True)
            for copy in self.copied[id(operand), split.backend]
        }

    def pipeline_inputs(self) -> list[GgmlTensor]:
        """Every copy of every graph input, the original as the first."""
        found: list[GgmlTensor] = []
        for leaf in self.graph.leafs:
            if leaf.is_input:
                others = [
                    GgmlTensor("none", leaf.type, leaf.ne, nb=leaf.nb, name=leaf.name)
                    for _ in range(self.copies - 1)
                ]
                for tensor in (leaf, *others):
                    tensor.is_input = tensor.is_output = True
                    tensor.backend = leaf.backend
                    found.append(tensor)
                self.copies_of |= dict.fromkeys(map(id, others), leaf)
        return found

    def place_leafs(self, splits: list[Split], pipelined: list[GgmlTensor]) -> list[Placed]:
        leafs = list(pipelined)
        if self.copies > 1:
            for split in splits:
                for operand in split.inputs:
                    leafs += self.copied[id(operand), split.backend]
        leafs += self.graph.leafs
        return [(leaf, _on(leaf)) for leaf in leafs]

    def place_nodes(self, splits: list[Split]) -> list[Placed]:
        nodes, placed = self.graph.nodes, list[Placed]()
        kept: dict[int, list[GgmlTensor]] = {}
        for split in splits:
            if split.backend != self.cpu:
                kept_alive(nodes, split.start, split.end, kept)
        for split in splits:
            for operand in split.inputs:
                alive = _dependency(operand, [operand])
                placed.append((alive, _on(operand)))
                copy = self.copied[id(operand), split.backend][0]
                placed.append((copy, split.backend))
            for node in nodes[split.start : split.end]:
                placed.append((node, _on(node)))
                alive_here = kept.get(id(node), ())
                for start in range(0, len(alive_here), _MAX_OPERANDS):
                    group = alive_here[start : start + _MAX_OPERANDS]
                    dependency = _dependency(group[0], group)
                    placed.append((dependency, split.backend))
        return placed


_MAX_OPERANDS = 10


def _dependency(of: GgmlTensor, operands: Sequence[GgmlTensor]) -> GgmlTensor:
    """A view that computes nothing and keeps its operands alive until here."""
    return GgmlTensor(
        "none", of.type, of.ne, nb=of.nb, src=tuple(operands), view_src=of, name="keep"
    )

"""ggml's graph allocator: the size of a compute buffer is what this algorithm comes to.

Tensors get the best fitting free block when they are made and give it back after their last use;
an operation that may work in place takes over its operand's block. The peak therefore depends on
the order of tensors and on fragmentation, not on their sum: no closed formula gives it.

Source: llama.cpp 0c1e570 ggml/src/ggml-alloc.c (algorithm), ggml-cuda/ggml-cuda.cu and
fattn.cu (what CUDA adds to a tensor's size). Checked against the allocator itself: suite `llamacpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from planner.engines.llamacpp.ggml.tensor import (
    IN_PLACE_OPS,
    GgmlTensor,
    Hold,
    block_type,
    row_bytes,
)
from planner.units import round_up

CUDA_ALIGNMENT = 128
HOST_ALIGNMENT = 32
_CUDA_ROW_PADDING = 512
_ENDLESS = 2**62


def alloc_bytes(tensor: GgmlTensor, *, on_gpu: bool) -> int:
    """Bytes that a backend reserves for a tensor.

    CUDA pads the last row of quantized tensors to 512 elements, and flash attention appends F16
    copies of K and V where the cache is stored otherwise.
    """
    size = tensor.nbytes
    if not on_gpu:
        return size
    if tensor.op == "flash_attn":
        for cache in tensor.src[1:3]:
            if cache.type != "f16":
                size = round_up(size, CUDA_ALIGNMENT) + 2 * cache.elements
    rest = tensor.ne[0] % _CUDA_ROW_PADDING
    if rest and block_type(tensor.type).elements > 1:
        size += row_bytes(tensor.type, _CUDA_ROW_PADDING - rest)
    return size


@dataclass(slots=True)
class _Arena:
    """One buffer while its size is found out."""

    alignment: int
    peak: int = 0
    free: list[list[int]] = field(default_factory=lambda: [[0, _ENDLESS]])

    def take(self, size: int) -> int:
        """Offset of the best fitting block; the endless last one only if none fits."""
        size = round_up(size, self.alignment)
        best, best_size = len(self.free) - 1, _ENDLESS
        for index in range(len(self.free) - 1):
            if size <= self.free[index][1] <= best_size:
                best, best_size = index, self.free[index][1]
        block = self.free[best]
        offset = block[0]
        block[0] += size
        block[1] -= size
        if block[1] == 0:
            del self.free[best]
        self.peak = max(self.peak, offset + size)
        return offset

    def give_back(self, offset: int, size: int) -> None:
        """Return a block, joined with free neighbours."""
        size, free = round_up(size, self.alignment), self.free
        for index, block in enumerate(free):
            if block[0] + block[1] == offset:
                block[1] += size
                if index + 1 < len(free) and block[0] + block[1] == free[index + 1][0]:
                    block[1] += free[index + 1][1]
                    del free[index + 1]
                return
            if offset + size == block[0]:
                block[0], block[1] = offset, block[1] + size
                if index and free[index - 1][0] + free[index - 1][1] == offset:
                    free[index - 1][1] += block[1]
                    del free[index]
                return
        at = 0
        while at < len(free) and free[at][0] < offset:
            at += 1
        free.insert(at, [offset, size])


class Placed(NamedTuple):
    """A tensor of the scheduled graph and the backend it belongs to.

    `op` is that of the graph; a dependency that only keeps operands alive has op "none" and `src`.
    """

    tensor: GgmlTensor
    backend: int


def buffer_sizes(
    leafs: Sequence[Placed], nodes: Sequence[Placed], *, backends: int, host: int
) -> tuple[int, ...]:
    """Bytes of each backend's compute buffer for one graph.

    Args:
        leafs: inputs, weights and caches, in the graph's order.
        nodes: tensors in the order of computation, copies and dependencies included.
        backends: how many there are.
        host: index of the host's.
    """
    allocator = _Allocator(backends, host)
    allocator.run(leafs, nodes)
    return tuple(arena.peak for arena in allocator.arenas)


class _Allocator:
    def __init__(self, backends: int, host: int) -> None:
        self.host = host
        self.arenas = [
            _Arena(HOST_ALIGNMENT if index == host else CUDA_ALIGNMENT) for index in range(backends)
        ]

    def run(self, leafs: Sequence[Placed], nodes: Sequence[Placed]) -> None:
        for leaf, backend in leafs:
            self.place(leaf, backend)
        for tensor, backend in nodes:
            if tensor.view_src is not None and tensor.op != "none":
                tensor.view_src.hold.views += 1
            if tensor.is_input:
                self.place(tensor, backend)
            for operand in tensor.src:
                operand.hold.children += 1
                if operand.is_input:
                    self.place(operand, backend)
        for tensor, backend in nodes:
            for operand in tensor.src:
                self.place(operand, backend)
            self.place(tensor, backend)
            for operand in tensor.src:
                self.release(operand)

    def place(self, tensor: GgmlTensor, backend: int) -> None:
        state = tensor.hold
        if state.own or tensor.home is not None or tensor.view_src is not None:
            return
        state.own = True
        if tensor.op in IN_PLACE_OPS and self.take_over(tensor, state):
            return
        state.arena = backend
        state.size = alloc_bytes(tensor, on_gpu=backend != self.host)
        state.offset = self.arenas[backend].take(state.size)

    def take_over(self, tensor: GgmlTensor, state: Hold) -> bool:
        """Use an operand's memory, if this is its last use and the layouts agree.

        Views hold no memory of their own, so they are never taken over.
        """
        for operand in tensor.src:
            theirs = operand.hold
            if (
                theirs.own
                and not operand.is_output
                and theirs.children == 1
                and not theirs.views
                and tensor.same_layout(operand)
            ):
                self.inherit(tensor, state, theirs)
                return True
        return False

    def inherit(self, tensor: GgmlTensor, state: Hold, theirs: Hold) -> None:
        state.arena, state.offset = theirs.arena, theirs.offset
        theirs.own = False
        arena = self.arenas[state.arena]
        state.size = alloc_bytes(tensor, on_gpu=state.arena != self.host)
        have = round_up(theirs.size, arena.alignment)
        need = round_up(state.size, arena.alignment)
        if have > need:
            arena.give_back(state.offset + need, have - need)

    def release(self, operand: GgmlTensor) -> None:
        state = operand.hold
        state.children -= 1
        if state.children or state.views:
            return
        source = operand.view_src
        if source is not None:
            base = source.hold
            base.views -= 1
            if not base.views and not base.children and base.own:
                self.free(source, base)
        elif state.own:
            self.free(operand, state)

    def free(self, tensor: GgmlTensor, state: Hold) -> None:
        if tensor.is_output:
            return
        self.arenas[state.arena].give_back(state.offset, state.size)
        state.own = False

"""Run ggml's graph allocator: the size of a compute buffer is what this algorithm comes to.

Tensors get the best fitting free block when they are made and give it back after their last use;
an operation that may work in place takes over its operand's block. The peak therefore depends on
the order of tensors and on fragmentation, not on their sum: no closed formula gives it.

What is taken and given back in which order follows from the graph alone (`record`); which block is
taken follows from the sizes (`Arena`). Sizes grow with the context, and so do offsets: every
comparison that decides something is looked at as a function of the context, so that one run tells
the peaks on a whole stretch of lengths.

Source: llama.cpp 0c1e570 ggml/src/ggml-alloc.c (algorithm), ggml-cuda/ggml-cuda.cu and
fattn.cu (what CUDA adds to a tensor's size). Checked against the allocator itself: suite `llamacpp`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain
from weakref import WeakValueDictionary

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.tensor import (
    IN_PLACE_OPS,
    NO_SCRATCH,
    GgmlTensor,
    block_type,
    row_bytes,
)
from planner.units import round_up

CUDA_ALIGNMENT = 128
HOST_ALIGNMENT = 32
_CUDA_ROW_PADDING = 512
_ENDLESS = 2**62

TAKE, GIVE, INHERIT = 0, 1, 2
"""Events: a slot takes a block, gives it back, or takes over another slot's.

One event is three numbers side by side: what, the slot, the other slot of `INHERIT`.
"""


def alloc_bytes(tensor: GgmlTensor, *, on_gpu: bool) -> int:
    """Return the bytes that a backend reserves for a tensor.

    CUDA pads the last row of quantized tensors to 512 elements, and flash attention appends F16
    copies of K and V where the cache is stored otherwise.
    """
    size = tensor.nbytes
    if not on_gpu:
        return size
    if tensor.op == "flash_attn" and tensor.name != NO_SCRATCH:
        for cache in tensor.src[1:3]:
            if cache.type != "f16":
                size = aligned(size, CUDA_ALIGNMENT) + 2 * cache.elements
    rest = int(tensor.ne[0]) % _CUDA_ROW_PADDING
    if rest and block_type(tensor.type).elements > 1:
        size += row_bytes(tensor.type, _CUDA_ROW_PADDING - rest)
    return size


def aligned(size: int, alignment: int) -> int:
    """Return `size` rounded up; what it is short of the multiple does not grow with the context."""
    return size + (round_up(int(size), alignment) - int(size))


Placed = tuple[GgmlTensor, int]
"""A tensor of the scheduled graph and the backend it belongs to.

A dependency that only keeps operands alive has op "none" and `src`.
"""


@frozen
class Record:
    """What one graph takes and gives back, in order, whatever the sizes.

    Attributes:
        events: the order; the numbers of one event after those of the other, as the tuples of
            thousands of events would take ten times the memory.
        slots: the tensor of each slot.
        arenas: the backend of each slot.
        marks: numbers in `events` before each of the tensors that were to be marked is followed by
            the next.
    """

    events: array[int]
    slots: tuple[GgmlTensor, ...]
    arenas: array[int]
    marks: tuple[int, ...]


def record(
    leafs: Sequence[Placed], nodes: Sequence[Placed], *, marked: Sequence[GgmlTensor] = ()
) -> Record:
    """Return the events of one graph.

    Args:
        leafs: inputs, weights and caches, in the graph's order.
        nodes: tensors in the order of computation, copies and dependencies included.
        marked: nodes after which the number of events is wanted.
    """
    recorder = _Recorder()
    recorder.run(leafs, nodes, frozenset(map(id, marked)))
    return Record(
        events=kept_once(recorder.events),
        slots=tuple(recorder.slots),
        arenas=kept_once(recorder.arenas),
        marks=tuple(recorder.marks),
    )


def kept_once(numbers: Sequence[int]) -> array[int]:
    """Return numbers from zero up in as few bytes as hold them; of two columns that are equal, the first.

    A graph's order of events is that of many: of other models of the family, other files, other GPUs.
    """
    found = array("H" if max(numbers, default=0) < 2**16 else "I", numbers)
    kept = _COLUMNS.setdefault(hash(found.tobytes()), found)
    return kept if kept == found else found


_COLUMNS: WeakValueDictionary[int, array[int]] = WeakValueDictionary()


def buffer_sizes(
    leafs: Sequence[Placed], nodes: Sequence[Placed], *, backends: int, host: int
) -> tuple[int, ...]:
    """Return the bytes of each backend's compute buffer for one graph.

    Args:
        leafs: inputs, weights and caches, in the graph's order.
        nodes: tensors in the order of computation, copies and dependencies included.
        backends: how many there are.
        host: index of the host's.
    """
    made = record(leafs, nodes)
    memory = Memory(backends=backends, host=host)
    sizes = [
        alloc_bytes(tensor, on_gpu=backend != host)
        for tensor, backend in zip(made.slots, made.arenas, strict=True)
    ]
    memory.run(made.events, made.arenas, memory.aligned(made.arenas, sizes), [0] * len(sizes))
    return tuple(arena.peak for arena in memory.arenas)


class _Recorder:
    def __init__(self) -> None:
        self.events: list[int] = []
        self.slots: list[GgmlTensor] = []
        self.arenas: list[int] = []
        self.marks: list[int] = []

    def run(self, leafs: Sequence[Placed], nodes: Sequence[Placed], marked: frozenset[int]) -> None:
        place = self.place
        for leaf, backend in leafs:
            place(leaf, backend)
        for tensor, backend in nodes:
            if tensor.view_src is not None and tensor.op != "none":
                tensor.view_src.views += 1
            if tensor.is_input:
                place(tensor, backend)
            for operand in tensor.src:
                operand.children += 1
                if operand.is_input:
                    place(operand, backend)
        for tensor, backend in nodes:
            for operand in tensor.src:
                if not operand.own:
                    place(operand, backend)
            if not tensor.own:
                place(tensor, backend)
            for operand in tensor.src:
                operand.children -= 1
                if not operand.children and not operand.views:
                    self.release(operand)
            if id(tensor) in marked:
                self.marks.append(len(self.events))

    def place(self, tensor: GgmlTensor, backend: int) -> None:
        if tensor.own or tensor.home is not None or tensor.view_src is not None:
            return
        tensor.own = True
        tensor.slot = slot = len(self.slots)
        self.slots.append(tensor)
        if tensor.op in IN_PLACE_OPS and self.take_over(tensor):
            return
        self.arenas.append(backend)
        self.events += (TAKE, slot, 0)

    def take_over(self, tensor: GgmlTensor) -> bool:
        """Use an operand's memory, if this is its last use and the layouts agree.

        Views hold no memory of their own, so they are never taken over.
        """
        for operand in tensor.src:
            if (
                operand.own
                and not operand.is_output
                and operand.children == 1
                and not operand.views
                and tensor.same_layout(operand)
            ):
                operand.own = False
                self.arenas.append(self.arenas[operand.slot])
                self.events += (INHERIT, tensor.slot, operand.slot)
                return True
        return False

    def release(self, operand: GgmlTensor) -> None:
        """Give back what nothing uses any more."""
        source = operand.view_src
        if source is not None:
            source.views -= 1
            if not source.views and not source.children and source.own:
                self.give(source)
        elif operand.own:
            self.give(operand)

    def give(self, tensor: GgmlTensor) -> None:
        if tensor.is_output:
            return
        self.events += (GIVE, tensor.slot, 0)
        tensor.own = False


class Arena:
    """One buffer while its size is found out.

    Free blocks are [offset, size, growth of offset, growth of size]; the last one is endless.
    """

    __slots__ = ("alignment", "free", "peak", "peak_growth")

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.peak = self.peak_growth = 0
        self.free: list[list[int]] = [[0, _ENDLESS, 0, 0]]


class Memory:
    """All buffers while a graph runs through them.

    Attributes:
        arenas: per backend.
        least: how many steps of cells fewer than now leave every decision as it is, as a negative number.
        most: how many steps more do so.
    """

    __slots__ = ("arenas", "least", "most", "offsets")

    def __init__(self, *, backends: int, host: int) -> None:
        self.arenas = [
            Arena(HOST_ALIGNMENT if index == host else CUDA_ALIGNMENT) for index in range(backends)
        ]
        self.least, self.most = -_ENDLESS, _ENDLESS
        self.offsets: dict[int, tuple[int, int, int, int]] = {}

    def aligned(self, arenas: Sequence[int], sizes: Sequence[int]) -> list[int]:
        """Return the sizes of slots rounded up to their arenas' alignments."""
        alignments = [arena.alignment for arena in self.arenas]
        return [
            round_up(int(size), alignments[arena])
            for arena, size in zip(arenas, sizes, strict=True)
        ]

    def run(
        self,
        events: Sequence[int],
        arenas: Sequence[int],
        sizes: Sequence[int],
        growths: Sequence[int],
    ) -> None:
        """Run the events of a `Record`, or some of them; slot i lies in arena `arenas[i]` and takes `sizes[i]`, aligned.

        `growths[i]` is how much slot i takes more per further step of cells.
        """
        offsets, memory = self.offsets, self.arenas
        numbers = iter(events)
        for what, slot, other in zip(numbers, numbers, numbers, strict=True):
            arena = memory[arenas[slot]]
            if what == TAKE:
                size, growth = sizes[slot], growths[slot]
                offset, shift = self.take(arena, size, growth)
                offsets[slot] = (offset, size, shift, growth)
            elif what == GIVE:
                self.give(arena, *offsets.pop(slot))
            else:
                offset, have, shift, grown = offsets.pop(other)
                size, growth = sizes[slot], growths[slot]
                offsets[slot] = (offset, size, shift, growth)
                if have > size or grown > growth:
                    self.give(arena, offset + size, have - size, shift + growth, grown - growth)

    def rename(self, first: int, shift: int) -> None:
        """Count the slots that are held, from `first` on, as later ones."""
        for slot in [slot for slot in self.offsets if slot >= first]:
            self.offsets[slot + shift] = self.offsets.pop(slot)

    def state(self, first: int) -> tuple[tuple[int, ...], ...]:
        """Return what is free and where slots from `first` on lie, in the order in which they were taken.

        Two moments with the same answer go on in the same way.
        """
        held = [place for slot, place in self.offsets.items() if slot >= first]
        return *(tuple(chain.from_iterable(arena.free)) for arena in self.arenas), *held

    def take(self, arena: Arena, size: int, growth: int) -> tuple[int, int]:
        """Return offset and its growth of the best fitting block; the endless one if none fits."""
        free = arena.free
        best, least, grown = free[-1], _ENDLESS, 0
        for index in range(len(free) - 1):
            block = free[index]
            if block[3] != growth:
                self.keep_sign(block[1] - size, block[3] - growth)
            if size <= block[1]:
                if block[3] != grown:
                    self.keep_sign(least - block[1], grown - block[3])
                if block[1] <= least:
                    best, least, grown = block, block[1], block[3]
        offset, shift = best[0], best[2]
        best[0] += size
        best[1] -= size
        best[2] += growth
        best[3] -= growth
        if best[1] == 0:
            if best[3]:
                self.least = self.most = 0
            free.remove(best)
        end, end_growth = offset + size, shift + growth
        if end_growth != arena.peak_growth:
            self.keep_sign(arena.peak - end, arena.peak_growth - end_growth)
        if end > arena.peak:
            arena.peak, arena.peak_growth = end, end_growth
        return offset, shift

    def give(self, arena: Arena, offset: int, size: int, shift: int, growth: int) -> None:
        """Return a block, joined with free neighbours."""
        free = arena.free
        end, end_shift = offset + size, shift + growth
        for index, block in enumerate(free):
            block_end, ends = block[0] + block[1], block[2] + block[3]
            if block_end == offset:
                self.touch(ends, shift)
                block[1] += size
                block[3] += growth
                if index + 1 < len(free):
                    self.join(free, index)
                return
            if block[0] == end:
                self.touch(block[2], end_shift)
                block[0], block[1] = offset, block[1] + size
                block[2], block[3] = shift, block[3] + growth
                return
            if block[0] > end:
                if block[2] != end_shift:
                    self.keep_sign(block[0] - end - 1, block[2] - end_shift)
                free.insert(index, [offset, size, shift, growth])
                return
            if ends != shift:
                self.keep_sign(offset - block_end - 1, shift - ends)
        free.append([offset, size, shift, growth])  # an empty one within the endless block

    def join(self, free: list[list[int]], index: int) -> None:
        """Join a free block with the one behind it, if they meet."""
        block, after = free[index], free[index + 1]
        end, ends = block[0] + block[1], block[2] + block[3]
        if after[0] == end:
            self.touch(ends, after[2])
            block[1] += after[1]
            block[3] += after[3]
            del free[index + 1]
        elif after[2] != ends:
            self.keep_sign(after[0] - end - 1, after[2] - ends)

    def touch(self, one: int, other: int) -> None:
        """Two ends meet here; where they grow differently, they do so at this length alone."""
        if one != other:
            self.least = self.most = 0

    def keep_sign(self, value: int, growth: int) -> None:
        """Narrow the stretch of lengths to that on which `value` stays at or above zero, or below."""
        if value >= 0:
            if growth < 0:
                self.most = min(self.most, value // -growth)
            else:
                self.least = max(self.least, -(value // growth))
        elif growth > 0:
            self.most = min(self.most, (-1 - value) // growth)
        else:
            self.least = max(self.least, -((-1 - value) // -growth))

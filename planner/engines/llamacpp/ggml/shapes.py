"""Find compute buffers by shape: a graph once, then arithmetic.

A graph's order of events follows from where its tensors lie and from a few properties of the batch
(`structures`); the sizes follow from the batch (`Shape`); the length of the context only stretches
them (`Segment`). Each is worked out once and kept. What is kept and what is left out is exact:

- blocks in the same situation have the same events (see `pieces`), so that a few are built;
- where the allocator is in the same state before and after some blocks, further such blocks change
  nothing, and are not run;
- a stretch of lengths ends where any of the allocator's decisions would change (see `allocator`).
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.allocator import CUDA_ALIGNMENT, HOST_ALIGNMENT, Memory
from planner.engines.llamacpp.ggml.architecture import unnamed
from planner.engines.llamacpp.ggml.batch import Batch
from planner.engines.llamacpp.ggml.cells import STEP, Cells, growth_of
from planner.engines.llamacpp.ggml.homes import Homes, decides
from planner.engines.llamacpp.ggml.indexer import cells_read
from planner.engines.llamacpp.ggml.segment import Peaks, Segment
from planner.engines.llamacpp.ggml.setting import Setting
from planner.engines.llamacpp.ggml.structures import Structure, sizes_of, structure_of
from planner.memo import Key, drop_oldest, forgettable, remembered
from planner.model.spec import ModelSpec
from planner.units import round_up

STRUCTURES, SHAPES, SEGMENTS, NUMBERS = 512, 4096, 64, 2**16
"""How many are kept: some 20 kB, 4 to 8 kB, 200 and 200 bytes each."""

Kept = TypeVar("Kept")


@frozen
class Begun:
    """A run that came to the last block.

    Attributes:
        cells: the length.
        memory: what lies where.
        event: the next event.
        slot: no event from there on takes a block for an earlier one.
    """

    cells: int
    memory: Memory
    event: int
    slot: int

    @property
    def low(self) -> int:
        """The shortest length at which so far the same is decided."""
        return self.cells + self.memory.least * STEP

    @property
    def high(self) -> int:
        """The longest such length."""
        return self.cells + self.memory.most * STEP

    def at(self, cells: int) -> Memory:
        """Return what lies where at such a length, to go on from."""
        steps, known = (cells - self.cells) // STEP, self.memory
        made = Memory(backends=len(known.arenas), host=len(known.arenas) - 1)
        made.least, made.most = known.least - steps, known.most - steps
        made.offsets = {
            slot: (offset + shift * steps, size + growth * steps, shift, growth)
            for slot, (offset, size, shift, growth) in known.offsets.items()
        }
        for arena, before in zip(made.arenas, known.arenas, strict=True):
            arena.peak = before.peak + before.peak_growth * steps
            arena.peak_growth = before.peak_growth
            arena.free = [
                [offset + shift * steps, size + growth * steps, shift, growth]
                for offset, size, shift, growth in before.free
            ]
        return made


class Shape:
    """A model's placement, a setting and a batch, whose peaks at any length are arithmetic once found.

    Args:
        homes: where the tensors lie.
        setting: how the graph is made.
        batch: the batch; its length does not count.
        known: what shapes with the same structure have in common.
    """

    def __init__(self, homes: Homes, setting: Setting, batch: Batch, known: Hashable) -> None:
        self._segments: list[Segment] = []
        self._begun: Begun | None = None
        # the length at which the sizes of slots are worked out, by class, and their growth per step
        self._at = batch.n_kv
        batch = replace(batch, n_kv=Cells(self._at, STEP))
        found = _STRUCTURES.get(known)
        if found is None:
            found, sizes = structure_of(homes, setting, batch)
            _keep(_STRUCTURES, known, found, STRUCTURES)
        else:
            sizes = sizes_of(found, homes, setting, batch)
        aligned = (
            round_up(int(size), CUDA_ALIGNMENT if on_gpu else HOST_ALIGNMENT)
            for size, (_, on_gpu) in zip(sizes, found.classes, strict=True)
        )
        self._sizes = array("q", aligned)
        self._growths = array("q", map(growth_of, sizes))
        self._backends = homes.backends
        self.structure = found

    def at(self, cells: int) -> Segment:
        """Return the stretch of lengths that `cells` lies in."""
        for segment in self._segments:
            if segment.low <= cells <= segment.high:
                return segment
        memory = self._run(cells)
        segment = Segment(
            at=cells,
            low=cells + memory.least * STEP,
            high=cells + memory.most * STEP,
            nbytes=tuple(arena.peak for arena in memory.arenas),
            growth=tuple(arena.peak_growth for arena in memory.arenas),
        )
        if len(self._segments) == SEGMENTS:
            del self._segments[0]
        self._segments.append(segment)
        return segment

    def _run(self, cells: int) -> Memory:
        """Run the events at a length: from the last block on, where what comes before is known of it."""
        slots, steps = self.structure.slots, (cells - self._at) // STEP
        sizes, growths = self._sizes.tolist(), self._growths.tolist()
        if steps:
            sizes = [size + growth * steps for size, growth in zip(sizes, growths, strict=True)]
        begun = self._begun
        if begun is None or not begun.low <= cells <= begun.high:
            whole = [sizes[index] for index in slots], [growths[index] for index in slots]
            begun = self._begin(cells, *whole)
        first, memory = begun.slot, begun.at(cells)
        behind = slots[first:]
        memory.run(
            self.structure.events[begun.event :],
            self.structure.arenas,
            [0] * first + [sizes[index] for index in behind],
            [0] * first + [growths[index] for index in behind],
        )
        if cells + memory.least * STEP > begun.low or cells + memory.most * STEP < begun.high:
            self._begun = begun  # other stretches begin so
        return memory

    def _begin(self, cells: int, sizes: list[int], growths: list[int]) -> Begun:
        """Run the events before the last block.

        Blocks that begin where earlier ones did, with as much free, and are like them in events and sizes,
        are left out: they take and give back the same, and end in the same state. What their last leaves to the next is
        where its like lies.
        """
        structure = self.structure
        memory = Memory(backends=self._backends, host=self._backends - 1)
        events, arenas = structure.events, structure.arenas
        alike, starts, firsts = (structure.blocks[which::3].tolist() for which in range(3))
        seen: dict[Hashable, list[int]] = {}

        def repeated(before: int, at: int) -> int:
            """Return the block at which what lies between two moments stops to come again."""
            period, low, high = alike[before:at], firsts[before], firsts[at]
            end = at
            while alike[end : end + len(period)] == period and all(
                column[firsts[end] : firsts[end] + high - low] == column[low:high]
                for column in (sizes, growths)
            ):
                end += len(period)
            return end

        at, ran = 0, 0
        while at < len(alike) - 2:  # the last number stands for what comes behind the blocks
            memory.run(events[ran : starts[at]], arenas, sizes, growths)
            ran = starts[at]
            earlier = seen.setdefault(memory.state(firsts[0]), [])
            # of all moments in the same state: blocks come in turns of four, and two turns may be needed
            ends = ((repeated(before, at), before) for before in reversed(earlier))
            end, before = next((found for found in ends if found[0] > at), (at, at))
            earlier.append(at)
            if end == at:
                at += 1
                continue
            memory.rename(firsts[before], firsts[end] - firsts[at])
            at, ran = end, starts[end]
        event, slot = (starts[at], firsts[at]) if alike else (0, 0)
        memory.run(events[ran:event], arenas, sizes, growths)
        return Begun(cells=cells, memory=memory, event=event, slot=slot)


_STRUCTURES: dict[Hashable, Structure] = forgettable({})
_SHAPES: dict[Hashable, Shape] = forgettable({})
_NUMBERS: dict[Hashable, int] = forgettable({})
_NEXT = count()


def peaks(homes: Homes, setting: Setting, batch: Batch) -> Peaks:
    """Return the buffers of a graph."""
    shape = _shape(homes, setting, batch)
    structure = shape.structure
    return Peaks(
        nbytes=shape.at(batch.n_kv).nbytes_at(batch.n_kv),
        nodes=structure.nodes,
        splits=structure.splits,
    )


def peaks_at(homes: Homes, setting: Setting, batch: Batch, cells: Any) -> tuple[Any, ...]:
    """Return the buffers of a graph at a column of lengths, per backend, the host last."""
    stretches = _stretches(homes, setting, replace(batch, n_kv=0))
    least, most = int(cells.min()), int(cells.max())
    whole = _stretch(stretches, homes, setting, batch, least)
    if most <= whole.high:
        return whole.nbytes_at(cells)
    found = [cells * 0 for _ in range(homes.backends)]
    left = cells == cells
    while left.any():
        segment = _stretch(stretches, homes, setting, batch, int(cells[left].min()))
        here = left & (cells <= segment.high)
        for sizes, part in zip(found, segment.nbytes_at(cells[here]), strict=True):
            sizes[here] = part
        left &= ~here
    return tuple(found)


def stretches_of(homes: Homes, setting: Setting, batch: Batch) -> Iterator[Segment]:
    """Yield the stretches of lengths up to that of the batch."""
    cells = STEP
    while cells <= batch.n_kv:
        segment = _shape(homes, setting, replace(batch, n_kv=cells)).at(cells)
        yield segment
        cells = round_up(segment.high + 1, STEP)


def _of_batch(homes: Homes, setting: Setting, batch: Batch) -> Key:
    return (homes,), (setting, batch)


@remembered(_of_batch, most=4096)
def _stretches(homes: Homes, setting: Setting, batch: Batch) -> list[tuple[int, Segment]]:
    """Return the stretches that were found so far, each from the shortest length asked of it."""
    return []


def _stretch(
    known: list[tuple[int, Segment]], homes: Homes, setting: Setting, batch: Batch, cells: int
) -> Segment:
    """Return the stretch from a length up, out of those that are known or found now."""
    for low, segment in known:
        if low <= cells <= segment.high:
            return segment
    segment = _shape(homes, setting, replace(batch, n_kv=cells)).at(cells)
    if len(known) == SEGMENTS:
        del known[0]
    known.append((cells, segment))
    return segment


def _shape(homes: Homes, setting: Setting, batch: Batch) -> Shape:
    """Return the shape of a batch."""
    mtp = homes.mtp if setting.mtp else None
    about = (number(unnamed(homes.model)), homes.backends, homes.outside, mtp, setting)
    sizes = (
        batch.n_tokens,
        batch.n_seqs,
        batch.n_outputs,
        batch.type_k,
        batch.type_v,
        _reads_all(homes.model, batch.n_kv),
    )
    rules = decides(batch)
    blocks, frames = ((), ()) if setting.mtp else (homes.blocks, homes.frames)
    key = (about, blocks, rules, sizes)
    shape = _SHAPES.get(key)
    if shape is None:
        shape = Shape(homes, setting, batch, (about, frames, rules))
        _keep(_SHAPES, key, shape, SHAPES)
    return shape


def _reads_all(model: ModelSpec, n_kv: int) -> bool:
    """Say whether an indexer leaves nothing out at this length: its choice then grows with it."""
    indexer = model.attention.indexer
    return indexer is not None and cells_read(indexer, n_kv) == n_kv


def number(value: Hashable) -> int:
    """Return the number by which keys know `value`: values of equal numbers are equal."""
    found = _NUMBERS.get(value)
    if found is None:
        found = next(_NEXT)
        _keep(_NUMBERS, value, found, NUMBERS)
    return found


def _keep(kept: dict[Hashable, Kept], key: Hashable, value: Kept, most: int) -> None:
    """Keep a value; the oldest goes where there are too many."""
    if len(kept) >= most:
        drop_oldest(kept)
    kept[key] = value

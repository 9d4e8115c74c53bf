"""What a graph's buffers are: at one length, and on a stretch of lengths."""

from __future__ import annotations

from hardware_db.records import frozen
from planner.engines.llamacpp.ggml.cells import STEP


@frozen
class Segment:
    """Peaks on a stretch of lengths: `nbytes + growth x (cells - at) / STEP` from `low` to `high`."""

    at: int
    low: int
    high: int
    nbytes: tuple[int, ...]
    growth: tuple[int, ...]

    def nbytes_at(self, cells: int) -> tuple[int, ...]:
        """Return the peaks at a length, or at a column of them, within the stretch."""
        more = (cells - self.at) // STEP
        return tuple(a + b * more for a, b in zip(self.nbytes, self.growth, strict=True))


@frozen
class Peaks:
    """The buffers of one graph at one length.

    Attributes:
        nbytes: per backend, the host last.
        nodes: tensors of the graph, as the log counts them.
        splits: parts of it that run on one backend each.
    """

    nbytes: tuple[int, ...]
    nodes: int
    splits: int

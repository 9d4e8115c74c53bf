"""The answers to many workloads at once, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from hardware_db.records import frozen
from planner.memory.breakdown import Kind, Rank


@frozen
class Columns:
    """The answers to a column of workloads: numpy arrays, one place per row.

    Attributes:
        starts: the engine starts and serves one sequence.
        tight: it may not, at the far end of the estimates' bands.
        sequences: as in `Capacity`.
        tokens: likewise.
        longest_context: likewise.
        limited_by: likewise.
        usable: bytes of the tightest accelerator that the engine plans to use.
        used: bytes of all terms there.
        weights: of them weights.
        kv_cache: of them KV cache.
        state: of them recurrent state.
    """

    starts: Any
    tight: Any
    sequences: Any
    tokens: Any
    longest_context: Any
    limited_by: Any
    usable: Any
    used: Any
    weights: Any
    kv_cache: Any
    state: Any

    @classmethod
    def of_ranks(cls, ranks: Sequence[Rank], like: Any, *, tight: Any, **found: Any) -> Columns:
        """Return the columns of ranks whose terms are columns: in each row the tightest rank's.

        Args:
            ranks: of two alike the first counts.
            like: a column of as many rows.
            tight: where something beside the ranks' bands may go wrong.
            **found: the columns that no rank tells.
        """
        import numpy

        def of_tightest(values: Iterable[Any]) -> Any:
            columns = numpy.stack([numpy.broadcast_to(value, like.shape) for value in values])
            return numpy.take_along_axis(columns, tightest[None], 0)[0]

        def kinds(*kinds: Kind) -> Any:
            return of_tightest(rank.of_kind(*kinds) for rank in ranks)

        spare = [numpy.broadcast_to(rank.headroom, like.shape) for rank in ranks]
        tightest = numpy.argmin(numpy.stack(spare), axis=0)
        for rank in ranks:
            tight = tight | (rank.headroom < rank.band.above)
        return cls(
            tight=numpy.broadcast_to(tight, like.shape),
            usable=of_tightest(rank.usable for rank in ranks),
            used=of_tightest(rank.used for rank in ranks),
            weights=kinds(Kind.WEIGHTS),
            kv_cache=kinds(Kind.KV_CACHE),
            state=kinds(Kind.RECURRENT_STATE),
            **{name: numpy.broadcast_to(value, like.shape) for name, value in found.items()},
        )

    @classmethod
    def joined(cls, length: int, parts: Iterable[tuple[Any, Columns]]) -> Columns:
        """Return columns of `length` rows from parts, each with the rows that it answers."""
        import numpy

        whole: dict[str, Any] = {}
        for rows, part in parts:
            for field_ in fields(cls):
                values = getattr(part, field_.name)
                if field_.name not in whole:
                    whole[field_.name] = numpy.empty(length, dtype=values.dtype)
                if whole[field_.name].dtype.itemsize < values.dtype.itemsize:  # longer words
                    whole[field_.name] = whole[field_.name].astype(values.dtype)
                whole[field_.name][rows] = values
        return cls(**whole)

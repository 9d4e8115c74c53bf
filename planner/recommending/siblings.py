"""Models to set beside a named one, and which of two is the newer."""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest

from planner.model import catalog
from planner.model.parameters import count_parameters
from planner.recommending.wanted import Wanted
from planner.registry import classes


def siblings(wanted: Wanted, base: str) -> tuple[str, ...]:
    """Return models to set beside a named one: faster ones of its class, and better ones, in turn.

    Faster is what less than half as much is active of per token. The newest of each kind first.
    """
    place = wanted.place_of(base)
    groups = classes(wanted.wish.use)[: place + 1]
    others = [other for group in groups for other in group if other != base]
    others.sort(key=lambda other: (wanted.place_of(other), -released(other), _active(other)))
    faster = [other for other in others if is_quicker(other, base)]
    better = [other for other in others if other not in faster and wanted.place_of(other) < place]
    pairs = zip_longest(faster, better)
    return tuple(other for pair in pairs for other in pair if other is not None)


def is_quicker(base: str, than: str | None) -> bool:
    """Say whether a token goes through less than half the parameters of another model."""
    return than is not None and 2 * _active(base) < _active(than)


@lru_cache(maxsize=256)
def released(base: str) -> int:
    """Return the day of a model's release as a number that grows; 0 where it is not known."""
    known = catalog.find(base)
    day = known[0].released if known is not None else None
    return int((day or "0").replace("-", ""))


@lru_cache(maxsize=256)
def _active(base: str) -> int:
    """Parameters that one token goes through."""
    known = catalog.find(base)
    return count_parameters(known[0].model).active_decode if known is not None else 0

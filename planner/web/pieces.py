"""Show many answers as they are computed, so that nobody looks at an empty page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

STEP = 0.35
"""Seconds after which what there is so far is shown."""


def in_pieces(
    items: Iterable[T], compute: Callable[[T], R], show: Callable[[list[R]], None]
) -> list[R]:
    """Compute item by item; what is there is shown now and then, the whole is returned.

    Args:
        items: what to compute.
        compute: answer of one item; what is remembered comes at once.
        show: draws what is there so far, in the place of what it drew before.
    """
    found: list[R] = []
    shown = time.monotonic()
    for item in items:
        found.append(compute(item))
        now = time.monotonic()
        if now - shown >= STEP:
            show(found)
            shown = time.monotonic()
    return found

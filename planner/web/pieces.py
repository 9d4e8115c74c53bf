"""Show many answers as they are computed, so that nobody looks at an empty page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

STEP = 0.35
"""Seconds after which what there is so far is shown."""

AT_ONCE = 2
"""Items that are asked at the same time: as many as there are worker processes at least."""


def in_pieces(
    items: Iterable[T], compute: Callable[[T], R], show: Callable[[list[R]], None]
) -> list[R]:
    """Compute item by item; what is there is shown now and then, the whole is returned.

    Args:
        items: what to compute.
        compute: answer of one item, from a worker process; it is called in other threads.
        show: draws what is there so far, in the place of what it drew before.
    """
    found: list[R] = []
    shown = time.monotonic()
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for answer in pool.map(compute, items):
            found.append(answer)
            if time.monotonic() - shown >= STEP:
                show(found)
                shown = time.monotonic()
    finally:  # the visitor may have gone on
        pool.shutdown(wait=False, cancel_futures=True)
    return found

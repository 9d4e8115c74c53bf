"""Show many answers as they are computed, so that nobody looks at an empty page."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

STEP = 0.35
"""Seconds after which what there is so far is first shown."""

LATER = 2
"""Times as long as before until it is shown again: to draw a table takes a tenth of the first step."""

AT_ONCE = 2
"""Items that are asked at the same time: as many as there are worker processes at least."""


def in_pieces(
    items: Iterable[T], compute: Callable[[T], R], show: Callable[[list[R]], None]
) -> list[R]:
    """Compute item by item; what is there is shown now and then, the whole is returned.

    One begins at the front and one at the back. Neighbours are alike, and a worker process keeps
    what it has worked out: two that took turns would both work out nearly everything.

    Args:
        items: what to compute.
        compute: answer of one item, from a worker process; it is called in other threads.
        show: draws what is there so far, in the place of what it drew before.
    """
    left, found = deque(enumerate(items)), dict[int, R]()
    shown, step = time.monotonic(), STEP
    pool = ThreadPoolExecutor(AT_ONCE)
    ends: tuple[Callable[[], tuple[int, T]], ...] = (left.popleft, left.pop)
    running: dict[Future[R], tuple[int, Callable[[], tuple[int, T]]]] = {}

    def begin(end: Callable[[], tuple[int, T]]) -> None:
        if left:
            place, item = end()
            running[pool.submit(compute, item)] = place, end

    try:
        for end in ends:
            begin(end)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                place, end = running.pop(future)
                found[place] = future.result()
                begin(end)
            if running and time.monotonic() - shown >= step:
                show([found[place] for place in sorted(found)])
                shown, step = time.monotonic(), step * LATER
    finally:  # the visitor may have gone on
        pool.shutdown(wait=False, cancel_futures=True)
    return [found[place] for place in sorted(found)]

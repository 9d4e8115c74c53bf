"""Keep the server's own process small: what its caches hold is forgotten where it has grown.

Pages ask plans for figures (how far one goes, what it warns of) in the server's thread, and each such
answer is kept. Every cache is bounded, but all of them full take hundreds of MiB that no visitor needs:
whoever comes back finds the worker's answer, which is kept apart (`kept.py`).
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from planner.memo import forget_all
from planner.web.worker import let_go

MOST_GROWN = 400_000
"""Objects of Python by which the server may grow before its caches are emptied: some 40 MiB, what 300 pages
leave. To work out again what the next pages want takes a tenth of a second."""


@dataclass(slots=True)
class Growth:
    """How far a process has grown since its caches were emptied last.

    Attributes:
        most: objects by which it may.
        count: how many objects there are.
    """

    most: int = MOST_GROWN
    count: Callable[[], int] = sys.getallocatedblocks
    _from: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> bool:
        """Forget where it has grown too far; say whether that was so."""
        there = self.count()
        if self._from is None or there < self._from:
            self._from = there
        if there - self._from <= self.most or not self._lock.acquire(blocking=False):
            return False
        try:
            forget_all()
            let_go()
            gc.collect()  # sessions that have ended hold themselves by circles
            self._from = self.count()
        finally:
            self._lock.release()
        return True


_SERVERS = Growth()


def stay_small() -> None:
    """Forget where the server has grown too far; after each page."""
    _SERVERS.look()

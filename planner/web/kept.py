"""Keep answers by what was asked, in a bounded number of bytes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

_LARGEST = 8
"""What takes more than this part of all that is kept is not kept: it would put out the others'."""


class Kept:
    """Answers by their request, up to a number of bytes; the one unused for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, tuple[object, int, float]] = OrderedDict()

    def get(self, request: bytes) -> tuple[object] | None:
        """Return the answer in a tuple, or None."""
        with self._lock:
            found = self._answers.get(request)
            if found is None or found[2] < time.monotonic():
                return None
            self._answers.move_to_end(request)
            return (found[0],)

    def keep(self, request: bytes, answer: object, size: int, seconds: float) -> None:
        """Keep an answer for so many seconds."""
        size += 2 * len(request)
        if size > self._most // _LARGEST:
            return
        with self._lock:
            old = self._answers.pop(request, None)
            self._answers[request] = (answer, size, time.monotonic() + seconds)
            self._bytes += size - (old[1] if old is not None else 0)
            while self._bytes > self._most:
                _, (_, freed, _) = self._answers.popitem(last=False)
                self._bytes -= freed

"""Keep answers by what was asked, in a bounded number of bytes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from hashlib import sha256

_LARGEST = 8
"""What takes more than this part of all that is kept is not kept: it would put out the others'."""

_IN_MEMORY, _EACH = 2, 4096
"""An answer counts as so many times its pickle and so many bytes: whole answers and advice take 1.6 times as
many in memory, a curve of 1.2 kB 10 and a row of a table 1 (tracemalloc, 234 answers)."""


class Kept:
    """Answers by their request, up to a number of bytes; the one unused for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._lock = threading.Lock()
        self._answers: OrderedDict[bytes, tuple[object, int, float]] = OrderedDict()

    def get(self, request: bytes) -> tuple[object] | None:
        """Return the answer in a tuple, or None."""
        key = _key(request)
        with self._lock:
            found = self._answers.get(key)
            if found is None or found[2] < time.monotonic():
                return None
            self._answers.move_to_end(key)
            return (found[0],)

    def keep(self, request: bytes, answer: object, size: int, seconds: float) -> None:
        """Keep an answer for so many seconds.

        Args:
            request: what was asked.
            answer: what came out.
            size: bytes of its pickle.
            seconds: for how long.
        """
        size = _IN_MEMORY * size + _EACH
        if size > self._most // _LARGEST:
            return
        key = _key(request)
        with self._lock:
            old = self._answers.pop(key, None)
            self._answers[key] = (answer, size, time.monotonic() + seconds)
            self._bytes += size - (old[1] if old is not None else 0)
            while self._bytes > self._most:
                _, (_, freed, _) = self._answers.popitem(last=False)
                self._bytes -= freed


def _key(request: bytes) -> bytes:
    """Return what a request is known by: it carries checkpoints and systems, 4 to 12 kB of them."""
    return sha256(request).digest()

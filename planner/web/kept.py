"""Keep answers by what was asked, in a bounded number of bytes.

Answers of workers are kept as the compressed bytes they came in: as objects a whole answer takes six times as
much, and a collector's round over all of them grows with it. To make one again takes a millisecond.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from hashlib import sha256

_LARGEST = 8
"""What takes more than this part of all that is kept is not kept: it would put out the others'."""

_EACH = 400
"""Bytes beside what is kept: key, tuple, place in the table (tracemalloc)."""


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
            size: bytes that it takes.
            seconds: for how long.
        """
        size += _EACH
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

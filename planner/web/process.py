"""One worker process, seen from the server: started, asked, heard, ended."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path

import planner
from planner.web import worker

WORKERS_SWITCH = "QWENPLAN_WEB_WORKERS"
"""Environment variable: how many processes answer; 0 computes in the calling thread."""


Subject = tuple[str, str]
"""What a question is alike others in: the function's name, and who asks."""

_REMEMBERED = 64
"""Subjects of a process: its caches forget as well."""


class Process:
    """One worker process.

    Args:
        limit: seconds of processor time after which it ends itself over one answer.

    Attributes:
        subjects: what it was asked of late.
    """

    def __init__(self, limit: float) -> None:
        path = str(Path(planner.__file__).parents[1])
        known = os.environ.get("PYTHONPATH")
        self._process = subprocess.Popen(
            [sys.executable, "-m", worker.__name__, f"{limit:g}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": f"{path}{os.pathsep}{known}" if known else path,
                WORKERS_SWITCH: "0",  # what runs there runs there
            },
        )
        self._replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.subjects: deque[Subject] = deque(maxlen=_REMEMBERED)
        self._ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with self._process, suppress(OSError):
            stream = self._process.stdout
            while stream is not None and (reply := worker.receive(stream)) is not None:
                self._replies.put(reply)
        self._ended.set()
        self._replies.put(None)

    def ask(self, request: bytes, *, steps: int = 0) -> None:
        """Send a request that begins so many steps back; where that fails, the reply is None."""
        with suppress(OSError, ValueError):  # ended, and its pipe closed
            if (stream := self._process.stdin) is not None:
                worker.send(stream, bytes([steps]) + request)

    def reply(self, seconds: float) -> bytes | None:
        """Return the reply; None if there is none within so many seconds, or the process ended."""
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            return None

    def knows(self, subject: Subject) -> int:
        """Say how much of a subject its caches hold: 2 it was asked by the same visitor, 1 by another."""
        if subject in self.subjects:
            return 2
        return int(any(name == subject[0] for name, _ in self.subjects))

    @property
    def id(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """It has not ended by itself."""
        return not self._ended.is_set()

    @property
    def used_its_time(self) -> bool:
        """It has ended because an answer took too much processor time."""
        return self._process.poll() == -getattr(signal, "SIGPROF", 0)

    def end(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()

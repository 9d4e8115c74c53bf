"""Be the process in which the page's questions are answered; `working.py` starts it and ends it.

It reads requests from its standard input and writes answers to its standard output: eight bytes
of length, then a pickle; of a request, one byte before the pickle says how many steps back it begins.
Its argument is how many seconds of processor time one answer may take. What it runs imports no
Streamlit, which would double its memory. Both ends are this program, so a pickle comes from nobody
else; what strangers wrote travels as text and bytes inside.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Literal

from hardware_db import System
from hardware_db.last_good import keep_last_good
from planner.cli import collect_rarely
from planner.errors import InputError, PlannerError
from planner.memo import forget_all
from planner.model.checkpoint import Checkpoint

MEMORY = 1 << 30
"""Bytes of address space of one process, libraries included (they take 200 MiB)."""

MOST_BLOCKS = 2_000_000
"""Objects of Python of one process: with more than that, all answers that caches keep are forgotten after an
answer. What they held is used again, so that a process stays near 260 MiB."""

RETIRES_AT = 300 << 20
"""Bytes of resident memory beyond which a process makes room for a fresh one after an answer."""

LONGEST = 64 << 20
"""Bytes of the longest answer."""

STEPS_BACK_AFTER = 0.5
"""Seconds after which an answer lets every other process go first: most are done by then."""

STEP_BACK = 5
"""Niceness of such an answer: where all want the same core, it gets a third of what others get.

A piece of a long answer, of which there are dozens, begins a step back, and so does what nobody waits for:
else a table of short rows would take the cores from everybody's single long answer. No further back: it
holds a process that short ones may wait for.
"""

_STATM = Path("/proc/self/statm")
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

_LENGTH = struct.Struct(">Q")
_MOST_HELD, _MOST_HELD_BYTES = 256, 64 << 20
"""Checkpoints and systems that each end holds, and bytes of their pickles: a bundled one has 2 kB, one that a
stranger had read from the Hub may have megabytes."""

Reply = tuple[Literal["answer", "error", "bug"], Any, bool]
"""What came out, the value, and whether the process ends now."""


class _Held:
    """Large objects that both ends know by a digest: one that comes back is the one that left.

    The caches of plans compare checkpoints and systems by identity (`planner/memo.py`); without
    this, every question would find them cold.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._of_digest: OrderedDict[bytes, tuple[object, bytes]] = OrderedDict()
        self._digests: OrderedDict[int, tuple[bytes, object]] = OrderedDict()
        self._bytes = 0

    def packed(self, thing: object) -> tuple[bytes, bytes]:
        """Return digest and pickle of `thing`."""
        with self._lock:
            known = self._digests.get(id(thing))
            if known is not None and known[0] in self._of_digest:
                digest = known[0]
            else:
                data = _packed(thing, whole=thing)
                digest = sha256(data).digest()
                self._keep(digest, thing, data)
            return digest, self._of_digest[digest][1]

    def unpacked(self, digest: bytes, data: bytes) -> object:
        """Return the thing of that digest: the one held, or the one in `data`."""
        with self._lock:
            if digest not in self._of_digest:
                self._keep(digest, pickle.loads(data), data)
            self._of_digest.move_to_end(digest)
            return self._of_digest[digest][0]

    def clear(self) -> None:
        """Let go of all: what comes back later is another, alike."""
        with self._lock:
            self._of_digest.clear()
            self._digests.clear()
            self._bytes = 0

    def _keep(self, digest: bytes, thing: object, data: bytes) -> None:
        if digest not in self._of_digest:  # of two that are equal, the first
            self._of_digest[digest] = (thing, data)
            self._bytes += len(data)
        self._digests[id(thing)] = (digest, thing)
        while len(self._of_digest) > _MOST_HELD or (
            self._bytes > _MOST_HELD_BYTES and len(self._of_digest) > 1
        ):
            old, (_, packed) = self._of_digest.popitem(last=False)
            self._bytes -= len(packed)
            for number in [key for key, known in self._digests.items() if known[0] == old]:
                del self._digests[number]
        while len(self._digests) > _MOST_HELD:
            self._digests.popitem(last=False)


_HELD = _Held()


def _unpacked(digest: bytes, data: bytes) -> object:
    return _HELD.unpacked(digest, data)


class _Pickler(pickle.Pickler):
    """Pickle what plans are made of; `whole` is what is not to be replaced by its digest."""

    def __init__(self, file: io.BytesIO, whole: object) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._whole = whole

    def reducer_override(self, thing: Any) -> Any:
        """Say how `thing` is made again; NotImplemented for pickle's own way."""
        if isinstance(thing, Checkpoint | System) and thing is not self._whole:
            return _unpacked, _HELD.packed(thing)
        return NotImplemented


def _packed(thing: object, *, whole: object = None) -> bytes:
    file = io.BytesIO()
    _Pickler(file, whole).dump(thing)
    return file.getvalue()


def let_go() -> None:
    """Let go of the large objects that this end holds, with the tables that each has made for itself.

    For the server, which computes little: its workers know a checkpoint by its digest whenever it comes.
    """
    _HELD.clear()


def packed(thing: object) -> bytes:
    """Return `thing` as bytes for the other end."""
    return _packed(thing)


def unpacked(data: bytes | memoryview) -> Any:
    """Return what the other end packed."""
    return pickle.loads(data)


def send(file: IO[bytes], data: bytes) -> None:
    """Write one message."""
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: IO[bytes]) -> bytes | None:
    """Read one message; None at the end."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = file.read(length)
    return data if len(data) == length else None


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _is_full() -> bool:
    return _resident() > RETIRES_AT


def _resident() -> int:
    """Return the bytes of memory that this process holds; 0 where the system does not tell.

    Not `ru_maxrss` on Linux: a child inherits the peak of the process that started it.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def reply_to(request: bytes | memoryview) -> bytes:
    """Return the packed `Reply` to a packed request."""
    try:
        function, args, kwargs = unpacked(request)
        answer: Reply = ("answer", function(*args, **kwargs), _is_full())
        data = packed(answer)
    except PlannerError as error:
        return packed(("error", error, _is_full()))
    except MemoryError:
        return packed(
            ("error", InputError("this needs more memory than one answer may take"), True)
        )
    except Exception:
        return packed(("bug", traceback.format_exc(), True))
    if len(data) > LONGEST:
        return packed(("error", InputError("this answer is too long for a page"), True))
    return data


def _requests(file: IO[bytes]) -> Callable[[], bytes]:
    """Return how to get the next request; the process ends as soon as nobody can ask any more."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        while (request := receive(file)) is not None:
            waiting.put(request)
        os._exit(0)  # whatever is being computed: there is nobody to hear it

    threading.Thread(target=read, daemon=True).start()
    return waiting.get


def _answered(request: bytes, seconds: float) -> bytes:
    """Return the reply; beyond so many seconds of processor time, end the process with SIGPROF.

    The first byte of the request says how many steps back it begins.

    Each request has a thread of its own. Linux keeps niceness by thread, so that a long answer steps
    back and the next one does not, which only root could do with a process.
    """
    replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    steps = request[0]

    def work() -> None:
        try:
            if steps:
                _step_back(threading.get_native_id(), steps)
            replies.put(reply_to(memoryview(request)[1:]))
        except BaseException:
            os._exit(1)

    worker = threading.Thread(target=work, daemon=True)
    _bound_time(seconds)
    worker.start()
    try:
        return replies.get(timeout=STEPS_BACK_AFTER)
    except queue.Empty:
        if worker.native_id is not None:
            _step_back(worker.native_id, max(steps, 1))
        return replies.get()
    finally:
        _bound_time(0)


def _step_back(thread: int, steps: int) -> None:
    """Let a thread of this process go so many steps behind what runs on the machine."""
    if sys.platform == "linux":
        with suppress(OSError):  # it is done, or further back already
            os.setpriority(os.PRIO_PROCESS, thread, steps * STEP_BACK)


def _bound_time(seconds: float) -> None:
    """End this process after so many seconds of processor time; 0 lifts that."""
    if sys.platform != "win32":  # where only the server's clock counts
        signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
    """Answer until the other end closes."""
    seconds = float(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, whose end ends this
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # whatever prints does not speak to the server
    _bound_memory()
    collect_rarely()
    keep_last_good(is_server=False)
    following = _requests(sys.stdin.buffer)
    while True:
        answer = _answered(following(), seconds)
        try:
            send(out, answer)
        except BrokenPipeError:
            os._exit(0)  # the server ended meanwhile: there is nobody to hear it
        if sys.getallocatedblocks() > MOST_BLOCKS:
            forget_all()
            gc.collect()


if __name__ == "__main__":
    # Under its own name, so that both ends mean the same classes.
    from planner.web import worker

    worker.main()

"""The worker processes, and who is answered by which."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hardware_db.records import frozen
from planner.errors import PlannerError
from planner.web import worker
from planner.web.process import Process, Subject

LIMIT = 20.0
"""Seconds of processor time for one answer."""

LONGEST = 3 * LIMIT
"""Seconds on the clock for one answer, on a server that has much to do."""

PATIENCE = 20.0
"""Seconds for which a question waits for a free process."""

LONG_AFTER = 1.0
"""Seconds after which a question makes room: one more process may run beside it."""

STAYS_FOR = 60.0
"""Seconds for which a process that was started beside a long question stays for the next one: to start
one and warm it takes the machine as long as twenty short questions."""

NOT_ANSWERED = ("this page is busy", "and was stopped", "ended before it was done")
"""What every refusal for want of time, processes or memory says."""

STANDS_BACK = 2.0
"""Seconds by which a question of one step back counts as asked later than it was: who waits for one short
answer goes before the rows of a table, and no row waits for ever."""

_GLANCE, _SELDOM = 0.1, 0.4
"""Seconds between two looks whether an answer is still wanted, at first and after `LONG_AFTER`: each takes
the server half a millisecond, for every visitor who waits."""


class BusyError(PlannerError):
    """The question was not answered for want of time or processes; later it may be."""


class TooLongError(BusyError):
    """The answer took longer than one may; so many seconds later it may be tried again."""

    again_after = 60.0


class TooHardError(TooLongError):
    """The answer took more processor time than one may: it would take as much again."""

    again_after = 3600.0


_Ticket = queue.SimpleQueue[Process | None]
"""How one who waits is told: a process, or None for leave to start one."""

_NOTHING: Subject = ("", "")


@frozen
class _Waiting:
    """One who waits for a process.

    Attributes:
        ticket: how it is told.
        subject: what it asks about.
        turn: on the clock, the moment by which those who wait are put in order.
    """

    ticket: _Ticket
    subject: Subject
    turn: float


@dataclass(slots=True, kw_only=True)
class Pool:
    """So many worker processes, started when they are needed.

    `size` of them answer at once, and one more beside each question that takes long, up to twice as
    many. A pool that was told how to begin (`warm`) keeps one more ready, so that nobody waits for a
    process to start where another's question takes long.

    Attributes:
        size: processes that answer; 0 computes in the calling thread.
        limit: seconds of processor time for one answer.
        longest: seconds on the clock for one answer.
        patience: seconds for which a question waits for a free process.
        long_after: seconds after which a question makes room for another process.
        stays_for: seconds for which a process beside a long question stays after it.
        glance: called while an answer is awaited; raises when nobody wants it any more.
        keeps: answers are kept for those who ask the same.
    """

    size: int
    limit: float = LIMIT
    longest: float = LONGEST
    patience: float = PATIENCE
    long_after: float = LONG_AFTER
    stays_for: float = STAYS_FOR
    glance: Callable[[], None] = lambda: None
    keeps: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _free: list[Process] = field(default_factory=list)
    _busy: int = 0
    _long: int = 0
    _was_long: tuple[int, float] = (0, 0.0)
    _beginning: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)
    _first: bytes | None = None

    def run(
        self, request: bytes, subject: Subject = _NOTHING, *, steps: int = 0
    ) -> tuple[worker.Reply, bytes]:
        """Return the reply to a request, and the bytes that it came in.

        Args:
            request: what is asked.
            subject: a free process that was asked the like is taken before others.
            steps: how far behind other answers it waits, and begins.

        Raises:
            BusyError: it took too long, or no process was free.
            PlannerError: its process died.
        """
        if not self.size:
            data = worker.reply_to(request)
            return worker.unpacked(data), data
        process = self._take(subject, steps)
        is_long, ends, left = False, True, False
        deadline = time.monotonic() + self.longest
        short = time.monotonic() + min(self.long_after, self.longest)
        try:
            process.ask(request, steps=steps)
            found = None
            while found is None and process.alive and (wait := short - time.monotonic()) > 0:
                found = process.reply(min(_GLANCE, wait))
                if found is None:
                    left = True
                    self.glance()
                    left = False
            while found is None:
                if not process.alive:
                    if process.used_its_time:
                        raise TooHardError(
                            f"this takes more than {self.limit:g} s to work out and was stopped; ask"
                            " for fewer requests at once, or run qwenplan on your own machine"
                        )
                    raise PlannerError(
                        "this answer's process ended before it was done: one answer may take"
                        f" {worker.MEMORY >> 30} GiB of memory"
                    )
                if time.monotonic() >= deadline:
                    raise TooLongError(
                        f"this was not done within {self.longest:g} s and was stopped: the server is"
                        " busy; try again later, or run qwenplan on your own machine"
                    )
                is_long = is_long or self._make_room()
                self.glance()
                found = process.reply(_SELDOM)
            reply: worker.Reply = worker.unpacked(found)
            ends = reply[2]
            return reply, found
        finally:
            if left:
                threading.Thread(target=self._finish, args=(process, short), daemon=True).start()
            else:
                self._be_done(process, ends=ends, was_long=is_long)

    def _finish(self, process: Process, short: float) -> None:
        """Let a short answer end that nobody waits for: to end its process would cost more."""
        found = process.reply(max(short - time.monotonic(), 0.0))
        reply: worker.Reply | None = worker.unpacked(found) if found is not None else None
        self._be_done(process, ends=reply is None or reply[2], was_long=False)

    def _be_done(self, process: Process, *, ends: bool, was_long: bool) -> None:
        """Put a process back that has answered, or start another where it ends."""
        self._put_back(process, ends=ends, was_long=was_long)
        if ends:
            self._fill()

    def start(self) -> None:
        """Start the first process, so that the first question finds it ready."""
        with self._lock:
            if self.size and not self._free and not self._busy and not self._beginning:
                self._free.append(Process(self.limit))

    def warm(self, request: bytes) -> None:
        """Start the processes that are missing and let each answer `request` before any other.

        A fresh process takes seconds for its first answer, one whose caches are full a tenth of it.
        One that replaces another, or stands ready beside a long question, begins with it as well.
        """
        self._first = request
        self._fill()

    def _fill(self) -> None:
        with self._lock:
            there = len(self._free) + self._busy + self._beginning
            missing = self._wanted() - there if self._first is not None else 0
            self._beginning += max(0, missing)
        for _ in range(missing):
            threading.Thread(target=self._begin, args=(self._first,), daemon=True).start()

    def _begin(self, request: bytes) -> None:
        ready = None
        try:
            process = Process(self.limit)
            process.ask(request, steps=1)
            if process.reply(self.longest) is None:
                process.end()
            else:
                ready = process
        except OSError:  # none can be started now; the next question tries again
            return
        finally:
            with self._lock:
                self._beginning -= 1
                if ready is not None:
                    self._free.append(ready)
                    self._trim()
                    self._serve_waiting()

    def _wanted(self) -> int:
        """Return how many processes there should be, at work or ready."""
        return self.size + self._beside() + (self._first is not None)

    def _beside(self) -> int:
        """Return how many of them stand beside long questions, those of a while ago included."""
        most, until = self._was_long
        return max(self._long, most if time.monotonic() < until else 0)

    def close(self) -> None:
        """End the processes that wait for questions."""
        with self._lock:
            for process in self._free:
                process.end()
            self._free.clear()

    def _take(self, subject: Subject, steps: int) -> Process:
        process = self._next(subject, steps)
        if subject != _NOTHING:
            process.subjects.append(subject)
        return process

    def _next(self, subject: Subject, steps: int) -> Process:
        begun = time.monotonic()
        mine = _Waiting(
            ticket=queue.SimpleQueue(), subject=subject, turn=begun + steps * STANDS_BACK
        )
        with self._lock:
            self._waiting.append(mine)
            self._serve_waiting()
        deadline = begun + self.patience
        while True:
            short = time.monotonic() - begun < self.long_after
            try:
                return self._started(mine.ticket.get(timeout=_GLANCE if short else _SELDOM))
            except queue.Empty:
                pass
            try:
                self.glance()
                if time.monotonic() >= deadline:
                    raise BusyError("this page is busy with other questions; try again in a minute")
            except BaseException:
                self._give_up(mine)
                raise

    def _started(self, process: Process | None) -> Process:
        """Return `process`, or a new one where it is None or has ended while it waited."""
        if process is not None and process.alive:
            return process
        try:
            return Process(self.limit)
        except OSError as error:
            self._put_back(None, ends=True, was_long=False)
            raise BusyError(f"no process for this question could be started: {error}") from None

    def _give_up(self, mine: _Waiting) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
        self._put_back(mine.ticket.get(), ends=False, was_long=False)

    def _make_room(self) -> bool:
        """Let one more process run beside a long question; no more than twice the usual number."""
        with self._lock:
            if self._long >= self.size:
                return False
            self._stay()
            self._long += 1
            self._serve_waiting()
        self._fill()
        return True

    def _stay(self) -> None:
        """Let the processes beside long questions stay a while."""
        self._was_long = (self._beside(), time.monotonic() + self.stays_for)

    def _put_back(self, process: Process | None, *, ends: bool, was_long: bool) -> None:
        with self._lock:
            self._busy -= 1
            if was_long:
                self._stay()
                self._long -= 1
            if process is not None:
                if ends:
                    process.end()
                else:
                    self._free.append(process)
            self._trim()
            self._serve_waiting()

    def _trim(self) -> None:
        """End who is free and one too many: unused for longest, its caches help least."""
        while self._free and len(self._free) + self._busy > self._wanted():
            self._free.pop(0).end()

    def _serve_waiting(self) -> None:
        while self._waiting and self._busy < self.size + self._long:
            self._busy += 1
            first = min(self._waiting, key=lambda one: one.turn)
            self._waiting.remove(first)
            first.ticket.put(self._best_for(first.subject))

    def _best_for(self, subject: Subject) -> Process | None:
        """Take the free process that knows most of a subject.

        Where all know as much, the one that was asked least else, as others will come back to theirs; of
        equals, the one used last.
        """
        if not self._free:
            return None

        def worth(place: int) -> tuple[int, int, int]:
            process = self._free[place]
            return process.knows(subject), -len(set(process.subjects)), place

        return self._free.pop(max(range(len(self._free)), key=worth))

"""Answer the page's questions in processes that can be ended, beside the server's own.

    working.run(function, question)

runs `function(question)` in a worker process, and the server draws other visitors' pages meanwhile.

- `function` is importable by its name (no lambda, no method of a session), from a module that does
  not import Streamlit; arguments and answer can be pickled. Checkpoints and systems keep their
  identity, so that the worker's caches stay warm.
- An answer that takes more processor time than the limit is ended, and so is one that nobody waits
  for any more (the visitor clicked on or left). Seconds on the clock count three times as generously:
  a busy server gives the same answers as a quiet one, later.
- An answer that takes long steps back behind the short ones, one of the dozens that a table is made of
  (`run_piece`) behind those, and a process that begins warm is kept ready for the next visitor.
- Of the processes that are free, one that was asked the like by the same visitor answers: its caches
  hold what the others would work out again.
- Answers are kept, up to `MOST_KEPT` bytes: the same question again costs a millisecond.
- What goes wrong is a `PlannerError` in one line, raised here.

QWENPLAN_WEB_WORKERS says how many processes; 0 computes in the calling thread, without a limit.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from copy import copy
from functools import cache
from typing import ParamSpec, TypeVar, cast

import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from planner.errors import PlannerError, SourceError
from planner.web import worker
from planner.web.kept import Kept
from planner.web.pool import LONGEST, Pool, TooLongError
from planner.web.process import WORKERS_SWITCH, Subject

P = ParamSpec("P")
T = TypeVar("T")

MOST_KEPT = 24 << 20
"""Bytes of the answers that are kept, compressed: some 1,200 whole ones of 20 kB."""

_KEPT = Kept(MOST_KEPT)


def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `function(*args, **kwargs)`, computed in a worker process.

    Raises:
        PlannerError: what the function raises; `BusyError` where it was not answered in time.
    """
    return run_in(_pool(), function, *args, **kwargs)


def run_piece(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do as `run` does, for one of dozens that an answer is made of: it lets others' questions go first.

    Raises:
        PlannerError: what the function raises; `BusyError` where it was not answered in time.
    """
    return cast("T", _asked(_pool(), function, args, kwargs, steps=1))


def run_in(pool: Pool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do as `run` does, in the processes of `pool`.

    Raises:
        PlannerError: what the function raises; `BusyError` where it was not answered in time.
        RuntimeError: a bug in the function; carries the worker's traceback.
    """
    return cast("T", _asked(pool, function, args, kwargs))


def _asked(
    pool: Pool,
    function: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
    *,
    steps: int = 0,
) -> object:
    request = worker.packed((function, args, kwargs))
    found = _KEPT.get(request) if pool.keeps else None
    subject = (function.__name__, _visitor())
    answer = _again(found) if found is not None else _computed(pool, request, subject, steps)
    if isinstance(answer, PlannerError):
        raise copy(answer)
    return answer


def _again(found: tuple[object]) -> object:
    """Return an answer that was kept."""
    reply: worker.Reply = worker.unpacked(zlib.decompress(cast("bytes", found[0])))
    return reply[1]


def _keep(request: bytes, reply: bytes, seconds: float) -> None:
    small = zlib.compress(reply, 1)
    _KEPT.keep(request, small, len(small), seconds)


def _visitor() -> str:
    """Return who asks; nobody in particular in a thread that only works for a page."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context is not None else ""


def _computed(pool: Pool, request: bytes, subject: Subject, steps: int) -> object:
    try:
        (kind, answer, _), reply = pool.run(request, subject, steps=steps)
    except TooLongError as error:
        _keep(request, worker.packed(("error", error, False)), error.again_after)
        raise
    if kind == "bug":
        raise RuntimeError(f"in the worker process:\n{answer}")
    if pool.keeps and not isinstance(answer, SourceError):
        _keep(request, reply, math.inf)
    return answer


def start() -> None:
    """Start the first process, so that the first question finds it ready."""
    _pool().start()


def warm(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Let every process that is started beside the first answer this before anything else."""
    if workers():
        _pool().warm(worker.packed((function, args, kwargs)))


@cache
def _pool() -> Pool:
    return pool()


def pool(*, longest: float = LONGEST, keeps: bool = True) -> Pool:
    """Return a pool for visitors' questions: one that nobody waits for any more is ended."""
    return Pool(size=workers(), longest=longest, keeps=keeps, glance=_still_wanted)


def workers() -> int:
    """Return how many processes answer: as many as cores, at least 2, at most 8, unless said."""
    said = os.environ.get(WORKERS_SWITCH, "").strip()
    return min(int(said), 64) if said.isdecimal() else max(2, min(os.cpu_count() or 2, 8))


def _still_wanted() -> None:
    """Let Streamlit stop this run if the visitor has gone on: asking the session does that."""
    if get_script_run_ctx(suppress_warning=True) is not None:
        st.session_state.get("nobody-waits")

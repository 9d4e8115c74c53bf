"""Remember answers that depend on few things, in caches whose size is bounded.

A checkpoint, a system or an options object is compared by identity: hashing one takes longer than
most answers, and two that are equal may still differ in what equality leaves out (a system's
`assumptions`). The cache holds on to what it compares, so that an identity is never given twice.
Everything else is compared by value.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import _lru_cache_wrapper
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

Key = tuple[tuple[object, ...], Hashable]
"""What an answer depends on: things compared by identity, and values."""

_OURS = ("planner", "hardware_db")

MOST = 1024
"""Answers that one cache keeps unless it says otherwise; the oldest goes first."""

_ALL: WeakSet[Memo[..., Any]] = WeakSet()
_TABLES: list[dict[Any, Any]] = []


class Memo(Generic[P, T]):
    """A function with its answers.

    Attributes:
        most: answers that are kept.
    """

    def __init__(self, function: Callable[P, T], key: Callable[P, Key], most: int) -> None:
        _ALL.add(self)
        self._function, self._key, self.most = function, key, most
        self._kept: dict[Hashable, tuple[tuple[object, ...], T]] = {}
        self._lock = Lock()
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", "memo")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's answer, computed once."""
        held, said = self._key(*args, **kwargs)
        key = (*map(id, held), said)
        found = self._kept.get(key)
        if found is not None:
            return found[1]
        answer = self._function(*args, **kwargs)
        with self._lock:
            while len(self._kept) >= self.most:
                drop_oldest(self._kept)
            self._kept[key] = (held, answer)
        return answer

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        """Forget every answer."""
        with self._lock:
            self._kept.clear()


def remembered(
    key: Callable[P, Key], *, most: int = MOST
) -> Callable[[Callable[P, T]], Memo[P, T]]:
    """Return a decorator that computes a function once per `key`.

    The answer is handed out again as it is: it must not be changed by who gets it.

    Args:
        key: from the function's arguments: what is compared by identity, and what by value. It
            names everything that the answer depends on.
        most: answers that are kept.
    """

    def wrap(function: Callable[P, T]) -> Memo[P, T]:
        return Memo(function, key, most)

    return wrap


def forgettable(kept: dict[K, V]) -> dict[K, V]:
    """Return a dictionary of answers that is bounded by who fills it; `forget_all` empties it."""
    _TABLES.append(kept)
    return kept


def drop_oldest(kept: dict[K, V]) -> None:
    """Drop what a dictionary has held for longest, also while other threads do the same or empty it."""
    with suppress(StopIteration, RuntimeError):  # empty; changed between the two steps
        kept.pop(next(iter(kept)), None)


def forget_all() -> None:
    """Forget every answer that depends on what was asked, for a process that is to stay small.

    Each cache is bounded; all of them full are some hundreds of MiB. What takes no argument (the tables
    that were read) is kept. Other threads may compute meanwhile: what they miss is worked out again.
    """
    for memo in list(_ALL):
        memo.clear()
    for table in _TABLES:
        table.clear()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OURS:
            for kept in list(vars(module).values()):
                if isinstance(kept, _lru_cache_wrapper) and kept.cache_parameters()["maxsize"]:
                    kept.cache_clear()

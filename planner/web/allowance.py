"""How often visitors of a public page may have the Hub asked."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from planner.errors import SourceError
from planner.web.access import is_public

HOUR = 3600.0

PER_VISITOR = 20
"""Repositories that one session may have looked up in an hour; what is remembered costs nothing."""

IN_ALL = 300
"""Repositories that all sessions together may: the Hub counts requests by the server's address."""

_MOST_VISITORS = 10_000


@dataclass(slots=True)
class Allowance:
    """So many questions in any hour, for each visitor and for all together.

    Attributes:
        per_visitor: for each.
        in_all: for all together.
        clock: seconds of a steady clock.
    """

    per_visitor: int = PER_VISITOR
    in_all: int = IN_ALL
    clock: Callable[[], float] = time.monotonic
    _all: deque[float] = field(default_factory=deque)
    _each: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, visitor: str) -> None:
        """Count one question.

        Raises:
            SourceError: it is one too many; says when the next is free.
        """
        with self._lock:
            now = self.clock()
            own = self._each.setdefault(visitor, deque())
            self._each.move_to_end(visitor)
            if len(self._each) > _MOST_VISITORS:
                self._each.popitem(last=False)
            for asked, most, whose in (
                (own, self.per_visitor, "for you"),
                (self._all, self.in_all, "for its visitors"),
            ):
                while asked and now - asked[0] >= HOUR:
                    asked.popleft()
                if len(asked) >= most:
                    minutes = math.ceil((HOUR - (now - asked[0])) / 60)
                    raise SourceError(
                        f"this page has asked the Hub {most} times {whose} within an hour; try again"
                        f" in {minutes} min, or plan a bundled model"
                    )
            own.append(now)
            self._all.append(now)


_ALLOWANCE = Allowance()


def visitor() -> str:
    """Return what tells one session from another."""
    context = get_script_run_ctx(suppress_warning=True)
    return context.session_id if context is not None else ""


def allow_hub_question(visitor: str) -> None:
    """Count one question to the Hub; only a public page counts.

    Raises:
        SourceError: too many within an hour.
    """
    if is_public():
        _ALLOWANCE.take(visitor)

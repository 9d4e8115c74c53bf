"""What one session may take of the server's own processor: pages are drawn in it, one after the other.

Who clicks without end would leave others no time; who thinks, or holds a key for a while, waits for
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st

from planner.web.access import is_public

SHARE = 0.25
"""Of one core, on average."""

SAVED = 3.0
"""Seconds of processor time that a session saves up while it asks nothing: some sixty pages."""

_CREDIT = "drawn"


@dataclass(slots=True)
class Credit:
    """What is left to a session.

    Attributes:
        seconds: of processor time; below zero it has to wait.
        since: when that was, by a steady clock.
    """

    seconds: float = SAVED
    since: float = field(default_factory=time.monotonic)

    def wait(self, now: float) -> float:
        """Return the seconds until a page may be drawn."""
        self.seconds = min(SAVED, self.seconds + SHARE * (now - self.since))
        self.since = now
        return max(0.0, -self.seconds / SHARE)

    def spend(self, seconds: float) -> None:
        """Count the processor time of a page."""
        self.seconds -= seconds


@contextmanager
def drawn() -> Iterator[None]:
    """Draw a page in the block, later where a stranger's session has drawn too much of late."""
    if not is_public():
        yield
        return
    credit = st.session_state.setdefault(_CREDIT, Credit())
    time.sleep(credit.wait(time.monotonic()))
    start = time.thread_time()
    try:
        yield
    finally:
        credit.spend(time.thread_time() - start)

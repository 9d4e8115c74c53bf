"""What one session may take of the server's own processor: pages are drawn in it, one after the other.

Who clicks without end would leave others no time; who thinks, or holds a key for a while, waits for
nothing. The sessions of one address have a share together (`peers.py`): it is not to be doubled by a second
window.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from planner.web.access import is_public
from planner.web.credit import Credit
from planner.web.peers import PEERS

SHARE = 0.25
"""Of one core, on average."""

SAVED = 3.0
"""Seconds of processor time that a session saves up while it asks nothing: some sixty pages."""

_CREDIT = "drawn"


def of_session() -> Credit:
    """Return what a session has that begins now."""
    return Credit(share=SHARE, saved=SAVED)


@contextmanager
def drawn() -> Iterator[None]:
    """Draw a page in the block, later where a stranger's session has drawn too much of late."""
    if not is_public():
        yield
        return
    credits = [st.session_state.setdefault(_CREDIT, of_session())]
    peer = PEERS.of(st.context.ip_address)
    if peer is not None:
        credits.append(peer.drawn)
    now = time.monotonic()
    time.sleep(max(credit.wait(now) for credit in credits))
    start = time.thread_time()
    try:
        yield
    finally:
        for credit in credits:
            credit.spend(time.thread_time() - start)

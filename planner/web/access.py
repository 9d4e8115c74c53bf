"""What a visitor may set off on the server: asking the Hub, looking at this machine's devices.

Never: reading a path that somebody typed, or using the server's own Hub token. See docs/security.md.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

import streamlit as st

HUB_SWITCH = "QWENPLAN_WEB_HUB"
"""Environment variable of the operator: 1 lets visitors name any public repository of the Hub,
0 forbids it; unset, only the user of this very machine may."""

PUBLIC_SWITCH = "QWENPLAN_WEB_PUBLIC"
"""Environment variable of `qwenplan web --public`: 1 says that strangers visit, whatever the address
that the server listens on (a proxy may stand before it)."""

_YES = ("1", "true", "yes", "on")
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


def is_public() -> bool:
    """Return whether strangers may visit: said so, or listening beyond the loopback address."""
    said = os.environ.get(PUBLIC_SWITCH, "").strip().lower() in _YES
    return said or not is_loopback(st.get_option("server.address"))


def is_own_user() -> bool:
    """Return whether the visitor sits at the machine that serves the page.

    The page is not public, the other end of the connection is this machine (the socket says so, no
    header), and Streamlit refuses pages of other sites. Headers can only take the right away: a
    proxy's marks, a Host that is not this machine, a page of another server on this machine.
    """
    if is_public() or st.context.ip_address is not None:  # Streamlit's None: a loopback peer
        return False
    if not (st.get_option("server.enableCORS") and st.get_option("server.enableXsrfProtection")):
        return False
    headers = st.context.headers
    if any(headers.get(name) for name in _FORWARDED):
        return False
    host, origin = headers.get("Host"), headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return False
    return host is not None and is_loopback(urlsplit(f"//{host}").hostname)


def hub_allowed(*, own_user: bool | None = None) -> bool:
    """This visitor may have the Hub asked, as anybody could: without a token.

    Args:
        own_user: `is_own_user()`, where the caller knows it already.
    """
    switch = os.environ.get(HUB_SWITCH, "").strip().lower()
    if switch:
        return switch in _YES
    return is_own_user() if own_user is None else own_user


def is_loopback(host: str | None) -> bool:
    """`host` names this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

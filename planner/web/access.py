"""What a visitor may set off on the server: asking the Hub, looking at this machine's devices.

Never: reading a path that somebody typed, or using the server's own Hub token.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

import streamlit as st

HUB_SWITCH = "QWENPLAN_WEB_HUB"
"""Environment variable of the operator: 1 lets visitors name any public repository of the Hub,
0 forbids it; unset, only the user of this very machine may."""

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Forwarded", "Via")


def is_own_user() -> bool:
    """The visitor sits at the machine that serves the page.

    The server listens on the loopback address alone, the browser asked for a loopback name, and
    no proxy stands between.
    """
    if not is_loopback(st.get_option("server.address")):
        return False
    headers = st.context.headers
    if any(headers.get(name) for name in _FORWARDED):
        return False
    host = headers.get("Host")
    return host is not None and is_loopback(urlsplit(f"//{host}").hostname)


def hub_allowed(*, own_user: bool | None = None) -> bool:
    """This visitor may have the Hub asked, as anybody could: without a token.

    Args:
        own_user: `is_own_user()`, where the caller knows it already.
    """
    switch = os.environ.get(HUB_SWITCH, "").strip().lower()
    if switch:
        return switch in ("1", "true", "yes", "on")
    return is_own_user() if own_user is None else own_user


def is_loopback(host: str | None) -> bool:
    """`host` names this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

"""What one address may take of the server, whatever it sends: the other end of the socket, no header.

A session is bounded by what it asks (`guard.py`, `pace.py`), but whoever leaves out the cookie is a new
one each time, and some things cost before they are a message: requests with a thousand headers, a message
in fragments of one byte, pings, connections that are opened and closed. So the processor time that the
server's loop takes for an address is counted, and who has used up its share is heard later: nothing is
refused, and others are not kept waiting.

Behind a proxy all visitors have its address: proxies that are named are not counted (PROXIES_SWITCH), and
count themselves.

Source: CPython 3.11 asyncio/selector_events.py (`_accept_connection`); uvicorn 0.54 protocols/http/h11_impl.py (`handle_websocket_upgrade`, `flow`) and
protocols/websockets/websockets_sansio_impl.py (`frames`, `read_paused`): what is read is taken in at once,
up to 256 KiB: 40,000 pings or fragments.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from planner.web.access import is_public
from planner.web.credit import Credit

PROXIES_SWITCH = "QWENPLAN_WEB_PROXIES"
"""Environment variable: addresses and networks of proxies, with commas between them."""

SHARE, SAVED = 0.2, 2.0
"""What an address gets of the loop's core on average, and the seconds it saves up while it asks nothing: a
browser's first visit takes a quarter of a second."""

DRAWN_SHARE, DRAWN_SAVED = 0.5, 6.0
"""The same of pages that are drawn for all of its sessions: two of them click without end."""

REQUEST, SOCKET, HEADER = 0.002, 0.02, 0.00001
"""Seconds that a request, a session and a header are counted as beside what they take at once: their tasks
and threads."""

MOST_CONNECTIONS, MOST_SOCKETS = 200, 50
"""Connections and websockets of one address: as many people in one office."""

MOST_FRAGMENTS = 1_000
"""Pieces in which one message may come: a browser sends it whole."""

PIECE = 1024
"""Bytes that are taken in at once: 170 pings, some 5 ms."""

CONNECTION = 0.0003
"""Seconds that a connection is counted as."""

AT_ONCE = 4
"""Connections that are taken in at once: asyncio takes 2,048, which keeps all others waiting."""

OWES = 5.0
"""Seconds that an address has to wait, from which on it gets no further connection."""

_MOST_PEERS = 10_000
_PREFIX = 64  # of IPv6: what one customer gets


@dataclass(slots=True)
class Peer:
    """One address.

    Attributes:
        heard: what is left to it of the loop.
        drawn: what is left to it of pages.
        connections: that are open.
        sockets: websockets of these.
    """

    heard: Credit = field(default_factory=lambda: Credit(share=SHARE, saved=SAVED))
    drawn: Credit = field(default_factory=lambda: Credit(share=DRAWN_SHARE, saved=DRAWN_SAVED))
    connections: int = 0
    sockets: int = 0


class Peers:
    """All addresses that were heard of late."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Peer] = OrderedDict()

    def of(self, address: str | None) -> Peer | None:
        """Return what is known of an address; None where it is not counted."""
        if address is None or not is_public():
            return None
        name = _counted_as(address, os.environ.get(PROXIES_SWITCH, ""))
        if name is None:
            return None
        found = self._of.get(name)
        if found is None:
            found = self._of[name] = Peer()
            if len(self._of) > _MOST_PEERS:
                self._forget()
        self._of.move_to_end(name)
        return found

    def _forget(self) -> None:
        """Forget the address that was heard longest ago, of those that have no connection."""
        for name, peer in self._of.items():
            if not peer.connections:
                del self._of[name]
                return


PEERS = Peers()


@lru_cache(maxsize=4096)
def _counted_as(address: str, proxies: str) -> str | None:
    """Return the name under which an address is counted; None for a proxy, and what is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    for proxy in networks(proxies):
        if found.version == proxy.version and found in proxy:
            return None
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _PREFIX), strict=False))
    return str(found)


def networks(said: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the addresses and networks that a setting names.

    Raises:
        ValueError: one is none.
    """
    parts = [part.strip() for part in said.split(",") if part.strip()]
    return [ipaddress.ip_network(part, strict=False) for part in parts]


class Line:
    """One connection as it is heard: so many bytes at once, and when its address may be heard.

    Args:
        peer: whose it is; None where that is not counted.
        transport: the connection.
    """

    def __init__(self, peer: Peer | None, transport: Any) -> None:
        self.peer, self.is_socket = peer, False
        self._transport = transport
        self._waiting = bytearray()
        self._timer: asyncio.Handle | None = None

    def take(self, connection: Any, hear: Any, data: bytes) -> None:
        """Take what has come; `hear` is how uvicorn's connection takes it in."""
        if self._timer is None and len(data) <= PIECE and not self._due():
            self._hear(connection, hear, data)
            return
        self._waiting += data
        self._transport.pause_reading()
        if self._timer is None:
            self._later(connection, hear)

    def close(self) -> None:
        """Forget what was not heard."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> float:
        return self.peer.heard.wait(time.monotonic()) if self.peer is not None else 0.0

    def _later(self, connection: Any, hear: Any) -> None:
        loop, due = asyncio.get_running_loop(), self._due()
        if due:
            self._timer = loop.call_later(due, self._pump, connection, hear)
        else:
            self._timer = loop.call_soon(self._pump, connection, hear)

    def _pump(self, connection: Any, hear: Any) -> None:
        self._timer = None
        piece = bytes(self._waiting[:PIECE])
        del self._waiting[:PIECE]
        self._hear(connection, hear, piece)
        if self._transport.is_closing() or self._transport.get_protocol() is not connection:
            self._waiting.clear()  # nobody sends more before a websocket is there
        elif self._waiting:
            self._later(connection, hear)
        elif not _holds(connection):
            self._transport.resume_reading()

    def _hear(self, connection: Any, hear: Any, piece: bytes) -> None:
        start = time.thread_time()
        hear(connection, piece)
        if self.peer is not None:
            self.peer.heard.spend(time.thread_time() - start)
        if len(getattr(connection, "frames", ())) > MOST_FRAGMENTS:
            self._transport.abort()


def _holds(connection: Any) -> bool:
    """Say whether uvicorn itself wants nothing to be read now."""
    flow = getattr(connection, "flow", None)
    return bool(getattr(connection, "read_paused", False) or (flow and flow.read_paused))


@contextmanager
def heard(*kinds: Any, peers: Peers = PEERS) -> Iterator[None]:
    """Hear connections of uvicorn's kinds so, while the block runs."""
    originals = [
        (kind, kind.connection_made, kind.data_received, kind.connection_lost) for kind in kinds
    ]
    for kind, made, received, lost in originals:
        _patch(kind, made, received, lost, peers)
    try:
        with _accepted(peers):
            yield
    finally:
        for kind, made, received, lost in originals:
            kind.connection_made, kind.data_received, kind.connection_lost = made, received, lost


class _Door:
    """A listening socket: who owes too much, or has too many connections, gets no further one."""

    def __init__(self, listening: Any, peers: Peers) -> None:
        self._listening, self._peers = listening, peers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> Any:
        """Return connection and address as a socket does; nothing where it was refused."""
        connection, address = self._listening.accept()
        peer = self._peers.of(address[0] if isinstance(address, tuple) else None)
        if peer is not None:
            if peer.heard.wait(time.monotonic()) > OWES or peer.connections >= MOST_CONNECTIONS:
                connection.close()
                raise BlockingIOError  # asyncio looks again in the next round
            peer.heard.spend(CONNECTION)
        return connection, address


@contextmanager
def _accepted(peers: Peers) -> Iterator[None]:
    """Take in few connections at once, while the block runs; as ever in a loop without that way."""
    loop: Any = asyncio.get_running_loop()
    accept = getattr(loop, "_accept_connection", None)
    if accept is None:  # Windows
        yield
        return

    def few(
        factory: Any,
        listening: Any,
        tls: Any = None,
        server: Any = None,
        backlog: int = 1,
        *more: Any,
    ) -> None:
        door = _Door(listening, peers)
        accept(factory, door, tls, server, min(backlog, AT_ONCE), *more)

    loop._accept_connection = few
    try:
        yield
    finally:
        del loop._accept_connection


def _patch(kind: Any, made: Any, received: Any, lost: Any, peers: Peers) -> None:
    def connection_made(connection: Any, transport: Any) -> None:
        line = getattr(transport.get_protocol(), "line", None)
        made(connection, transport)
        if line is None:
            client = connection.client
            line = Line(peers.of(client[0] if client else None), transport)
            if line.peer is not None:
                line.peer.connections += 1
                if line.peer.connections > MOST_CONNECTIONS:
                    transport.abort()
        elif line.peer is not None:  # what was a request becomes a websocket
            line.is_socket = True
            line.peer.sockets += 1
            line.peer.heard.spend(SOCKET)
            if line.peer.sockets > MOST_SOCKETS:
                transport.abort()
        connection.line = line

    def data_received(connection: Any, data: bytes) -> None:
        if connection.transport.get_protocol() is connection:
            connection.line.take(connection, received, data)
        else:  # uvicorn hands a websocket's request on
            received(connection, data)

    def connection_lost(connection: Any, error: Exception | None) -> None:
        line = connection.line
        line.close()
        if line.peer is not None:
            line.peer.connections -= 1
            line.peer.sockets -= line.is_socket
        lost(connection, error)

    kind.connection_made = connection_made
    kind.data_received = data_received
    kind.connection_lost = connection_lost

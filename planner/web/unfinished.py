"""Connections on which nothing comes of a request: uvicorn waits for it without end.

A request that does not become whole (its headers or its body drip, or stop) holds a connection, as does
whoever stops reading an answer. Every so often each connection is looked at, and one on which the same
request was unfinished at the last look is closed: by its clock and not by its bytes, so that dripping
helps nobody. Websockets are no part of this: they ping.

Source: uvicorn 0.54 protocols/http/h11_impl.py and httptools_impl.py (`cycle`: the request at hand;
timeouts only for connections that are kept after an answer).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

SECONDS = 30.0
"""Between two looks: a request has that long at least, and twice as long at most."""


class Unfinished:
    """The connections of a server, and what was unfinished on each when it was last looked at."""

    def __init__(self) -> None:
        self._open: WeakSet[Any] = WeakSet()
        self._seen: WeakKeyDictionary[Any, tuple[object, int]] = WeakKeyDictionary()

    @contextmanager
    def known(self, kind: Any) -> Iterator[None]:
        """Know every connection that is made in the block.

        Args:
            kind: uvicorn's class of connections.
        """
        made = kind.connection_made

        def connection_made(connection: Any, transport: asyncio.BaseTransport) -> None:
            made(connection, transport)
            self._open.add(connection)

        kind.connection_made = connection_made
        try:
            yield
        finally:
            kind.connection_made = made

    def look(self) -> None:
        """Close what stands where it stood at the last look."""
        for connection in list(self._open):
            transport, cycle = connection.transport, connection.cycle
            if transport.is_closing() or transport.get_protocol() is not connection:
                self._open.discard(connection)  # it has ended, or is a websocket by now
                continue
            answering = cycle is not None and not (cycle.more_body or cycle.response_complete)
            left = transport.get_write_buffer_size() if answering else 0
            state = (cycle, left)
            if self._seen.get(connection) == state and not (answering and left == 0):
                transport.abort()
                self._open.discard(connection)
            else:
                self._seen[connection] = state


@asynccontextmanager
async def given_up(seconds: float = SECONDS) -> AsyncIterator[None]:
    """Give up unfinished requests of the server that runs in this loop, while the block does."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    unfinished = Unfinished()

    async def look() -> None:
        while True:
            await asyncio.sleep(seconds)
            unfinished.look()

    with unfinished.known(AutoHTTPProtocol):
        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

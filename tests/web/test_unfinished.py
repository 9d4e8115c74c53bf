"""Requests that never become whole, sent by raw sockets to a server that looks very often."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from planner.web.unfinished import given_up

LOOK = 0.05
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
UNFINISHED = [
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: x\r\n",
    b"PUT /_stcore/upload_file/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nlog",
]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads what is sent, thinks for several looks, answers."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(4 * LOOK)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def heard(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]) -> bytes:
    """What a client hears that talks so to the server."""

    async def serve() -> bytes:
        config, loop = Config(app, lifespan="off"), asyncio.get_running_loop()
        config.load()
        kind: Any = AutoHTTPProtocol
        async with given_up(LOOK):
            server = await loop.create_server(
                lambda: kind(config=config, server_state=ServerState(), app_state={}), "127.0.0.1"
            )
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            try:
                return await asyncio.wait_for(talk(reader, writer), 20)
            finally:
                writer.close()
                server.close()

    return asyncio.run(serve())


@pytest.mark.parametrize("said", UNFINISHED)
def test_a_request_that_never_becomes_whole_is_given_up(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(said)
        return await end_of(reader)

    assert heard(talk) == b""


def test_a_request_that_drips_is_given_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        async def drip() -> None:
            while not writer.is_closing():
                writer.write(b"X-Drip: x\r\n")
                await asyncio.sleep(LOOK / 10)

        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        dripping = asyncio.create_task(drip())
        found = await end_of(reader)
        dripping.cancel()
        return found

    assert heard(talk) == b""


def test_a_request_that_is_whole_is_answered_however_long_that_takes() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(WHOLE)
        return await reader.readline()

    assert b"204" in heard(talk)


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other end closes."""
    try:
        return await reader.read()
    except ConnectionError:  # closed at once, with what it had not read
        return b""

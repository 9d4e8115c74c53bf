"""What strangers send who speak to the server without a browser: raw bytes, as fast as it takes them.

    python -m benchmarks.hostile KIND PORT SECONDS

Beside the visitor of `benchmarks.load` in a process of its own, from an address of its own: 127.0.0.2,
which Linux has. It prints how often it sent the like.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

ADDRESS = "127.0.0.2"
AT_ONCE = 4
"""Threads of one hostile visitor."""

_UPGRADE = (
    b"GET /_stcore/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: streamlit\r\n\r\n"
)
_HEALTH = b"GET /_stcore/health HTTP/1.1\r\nHost: x\r\n"
_CONTINUED, _BINARY, _PING = 0, 2, 9
_MANY = 20_000

Send = Callable[[int], int]
"""Sends to a port until the other end has enough; returns how often."""


def _connected(port: int) -> socket.socket:
    opened = socket.socket()
    opened.settimeout(10)
    opened.bind((ADDRESS, 0))
    opened.connect(("127.0.0.1", port))
    return opened


def _websocket(port: int) -> socket.socket:
    opened = _connected(port)
    opened.sendall(_UPGRADE)
    opened.recv(4096)
    return opened


def frame(kind: int, data: bytes, *, last: bool = True, claims: int | None = None) -> bytes:
    """Return a frame of RFC 6455; `claims` is the length that it says it has."""
    length = len(data) if claims is None else claims
    head = bytes([(0x80 if last else 0) | kind])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", length)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", length)
    return head + bytes(4) + data  # a mask of zeros


def _asked(port: int, request: bytes) -> int:
    """Send requests on one connection, and read what comes."""
    with _connected(port) as opened:
        for turn in range(_MANY):
            opened.sendall(request)
            if not opened.recv(1 << 16):
                return turn
    return _MANY


def _talked(port: int, first: bytes, again: bytes) -> int:
    """Send frames on one websocket, and read what comes."""

    def read() -> None:
        with suppress(OSError):
            while opened.recv(1 << 16):
                pass

    with _websocket(port) as opened:
        threading.Thread(target=read, daemon=True).start()
        opened.sendall(first)
        for turn in range(_MANY):
            try:
                opened.sendall(again)
            except OSError:
                return turn
    return _MANY


def _opened(port: int) -> int:
    _websocket(port).close()
    return 1


def _touched(port: int) -> int:
    _connected(port).close()
    return 1


KINDS: dict[str, Send] = {
    "1,500 headers for each request": lambda port: _asked(
        port, _HEALTH + b"".join(b"h%d: 1\r\n" % number for number in range(1_500)) + b"\r\n"
    ),
    "20 requests at once": lambda port: _asked(port, (_HEALTH + b"\r\n") * 20),
    "frames of 100 MB": lambda port: _talked(
        port, frame(_BINARY, b"", claims=100_000_000), bytes(1 << 18)
    ),
    "messages of 10 MB": lambda port: _talked(port, b"", frame(_BINARY, b"\x0a" * 9_900_000)),
    "fragments of one byte": lambda port: _talked(
        port, frame(_BINARY, b"x", last=False), frame(_CONTINUED, b"x", last=False) * _MANY
    ),
    "pings": lambda port: _talked(port, b"", frame(_PING, b"") * _MANY),
    "sessions": _opened,
    "connections": _touched,
}
"""What it sends -> how."""


def main() -> None:
    """Send for so many seconds, by some threads."""
    kind, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    over, sent = threading.Event(), [0] * AT_ONCE

    def work(place: int) -> None:
        while not over.is_set():
            with suppress(OSError):
                sent[place] += KINDS[kind](port)

    for place in range(AT_ONCE):
        threading.Thread(target=work, args=(place,), daemon=True).start()
    time.sleep(seconds)
    sys.stdout.write(f"{sum(sent)}\n")
    sys.stdout.flush()
    os._exit(0)  # whatever is being sent


if __name__ == "__main__":
    main()

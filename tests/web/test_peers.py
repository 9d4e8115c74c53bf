"""What one address may take of the server, whatever it sends: it is heard later, and others are not."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from planner.web import peers
from planner.web.credit import Credit
from planner.web.peers import OWES, PIECE, Line, Peer, Peers, networks
from tests.present import some


@pytest.fixture(autouse=True)
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_PUBLIC", "1")
    monkeypatch.delenv(peers.PROXIES_SWITCH, raising=False)


class Loop:
    """A loop in which nothing happens by itself."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Any, *args: Any) -> object:
        self.calls.append((0.0, lambda: call(*args)))
        return object()

    def call_later(self, seconds: float, call: Any, *args: Any) -> object:
        self.calls.append((seconds, lambda: call(*args)))
        return object()

    def step(self) -> float:
        """Do what comes next; return how long it was put off."""
        seconds, call = self.calls.pop(0)
        call()
        return seconds


class Transport:
    """A connection that notes what is done to it."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.reads, self.is_open = True, True

    def get_protocol(self) -> Any:
        return self.protocol

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None:
        self.is_open = False

    def is_closing(self) -> bool:
        return not self.is_open


class Connection:
    """uvicorn's, that takes in what comes."""

    def __init__(self, transport: Transport) -> None:
        self.heard: list[bytes] = []
        self.frames: list[bytes] = []
        transport.protocol = self

    def hear(self, data: bytes) -> None:
        self.heard.append(data)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    found = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: found)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    clock = iter(range(10_000))
    monkeypatch.setattr(time, "thread_time", lambda: next(clock) / 10)  # each piece takes 0.1 s
    return found


def test_what_comes_at_once_is_taken_in_by_pieces_and_by_the_share(loop: Loop) -> None:
    transport = Transport()
    connection = Connection(transport)
    peer = Peer(heard=Credit(share=0.5, saved=0.25, since=100.0))
    line = Line(peer, transport)
    data = bytes(range(256)) * (5 * PIECE // 256)
    line.take(connection, Connection.hear, data)
    assert (connection.heard, transport.reads) == ([], False)
    waits = []
    while loop.calls:
        line.take(connection, Connection.hear, b"more")  # uvicorn has let it be read on
        waits.append(loop.step())
    assert waits[:3] == [0.0, 0.0, 0.0], "what was saved up"
    assert waits[3] == pytest.approx(0.1), "then a tenth of a second of work for two of the clock"
    assert waits[-1] > 0.2
    assert b"".join(connection.heard) == data + b"more" * len(waits)
    assert max(map(len, connection.heard)) == PIECE
    assert transport.reads


def test_who_is_not_counted_waits_for_nothing(loop: Loop) -> None:
    transport = Transport()
    connection = Connection(transport)
    line = Line(None, transport)
    line.take(connection, Connection.hear, b"short")
    assert connection.heard == [b"short"]
    line.take(connection, Connection.hear, bytes(10 * PIECE))
    assert {loop.step() for _ in range(10)} == {0.0}
    assert not loop.calls


def test_a_message_in_a_thousand_pieces_is_given_up(loop: Loop) -> None:
    transport = Transport()
    connection = Connection(transport)
    line = Line(None, transport)
    connection.frames = [b"x"] * peers.MOST_FRAGMENTS
    line.take(connection, Connection.hear, b"x")
    assert transport.is_open
    connection.frames.append(b"x")
    line.take(connection, Connection.hear, b"x")
    assert not transport.is_open


@pytest.mark.parametrize(
    ("address", "proxies", "name"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "", "fe80::/64"),
        ("192.0.2.7", "192.0.2.8", "192.0.2.7"),
        ("192.0.2.7", "10.0.0.1, 192.0.2.0/24", None),
        ("::ffff:192.0.2.7", "192.0.2.7", None),
        ("2001:db8::1", "0.0.0.0/0", "2001:db8::/64"),
        ("2001:db8::1", "0.0.0.0/0,::/0", None),
        ("testclient", "", None),
    ],
)
def test_who_is_counted_as_whom(address: str, proxies: str, name: str | None) -> None:
    assert peers._counted_as(address, proxies) == name


def test_no_proxy_is_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="proxy"):
        networks("10.0.0.1, proxy")


def test_only_a_public_page_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Peers()
    assert known.of("192.0.2.7") is known.of("192.0.2.7") is not None
    assert known.of(None) is None
    monkeypatch.setenv("QWENPLAN_WEB_PUBLIC", "")
    assert known.of("192.0.2.7") is None


def test_addresses_are_forgotten_but_not_those_that_are_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "_MOST_PEERS", 3)
    known = Peers()
    here = some(known.of("192.0.2.1"))
    here.connections = 1
    for last in range(2, 9):
        known.of(f"192.0.2.{last}")
    assert list(known._of) == ["192.0.2.1", "192.0.2.7", "192.0.2.8"]


class Listening:
    """A socket on which the same address connects again and again."""

    def __init__(self) -> None:
        self.closed = 0

    def accept(self) -> Any:
        return self, ("192.0.2.7", 1)

    def close(self) -> None:
        self.closed += 1


def test_who_owes_too_much_or_has_too_many_connections_gets_none() -> None:
    listening, known = Listening(), Peers()
    door = peers._Door(listening, known)
    assert door.accept()[1] == ("192.0.2.7", 1)
    peer = some(known.of("192.0.2.7"))
    peer.connections = peers.MOST_CONNECTIONS
    with pytest.raises(BlockingIOError):
        door.accept()
    peer.connections = 0
    door.accept()
    peer.heard.seconds = -OWES * peers.SHARE - 0.01
    with pytest.raises(BlockingIOError):
        door.accept()
    assert listening.closed == 2
    assert len(known._of) == 1

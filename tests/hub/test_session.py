"""Asking the Hub: retries within bounds, redirects, cut and slow connections, and the token."""

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest

from planner.errors import InputError, OfflineError, SourceError
from planner.hub import StatusError, open_session
from planner.hub.session import HubSession
from tests.hub import loopback
from tests.hub.loopback import LoopbackHub
from tests.model.builders import Stub

FILE = Stub(bytes(range(256)) * 4, 1_000_000)


@pytest.fixture
def url(hub: LoopbackHub) -> Any:
    repo = hub.add("a/b", {"x.safetensors": FILE, "x.json": {"a": 1}})
    return f"{hub.url}/a/b/resolve/{repo.commit}"


@pytest.fixture
def pauses() -> Any:
    return []


@pytest.fixture
def session(hub: LoopbackHub, pauses: Any) -> Any:
    return open_session(sleep=pauses.append)


class Clock:
    """Jumps `step` seconds whenever it is looked at."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_range_is_exactly_what_was_asked_for(hub: LoopbackHub, url: Any, session: Any) -> None:
    body, whole, at = session.read_range(f"{url}/x.safetensors", 8, 300)
    assert body == FILE.slice(8, 308)
    assert whole == FILE.size
    assert at.startswith(hub.store)
    assert hub.sent() == 300


def test_the_token_goes_to_the_hub_and_no_further(hub: LoopbackHub, url: Any) -> None:
    open_session(hub.token).read_range(f"{url}/x.safetensors", 0, 8)
    assert [(r.server, r.token) for r in hub.requests] == [("hub", hub.token), ("store", None)]


def test_a_sessions_token_is_not_printed(hub: LoopbackHub) -> None:
    assert hub.token not in repr(open_session(hub.token))


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    hub: LoopbackHub, url: Any, session: Any, pauses: Any, code: Any
) -> None:
    hub.fault("x.json", loopback.status(code), times=2)
    assert session.get(f"{url}/x.json", most=100).body == b'{"a": 1}'
    assert pauses == [0.5, 1.0]


def test_attempts_have_an_end(hub: LoopbackHub, url: Any, session: Any, pauses: Any) -> None:
    hub.fault("x.json", loopback.status(503), times=99)
    with pytest.raises(StatusError, match=r"the server answers 503 \(tried 4 times\)"):
        session.get(f"{url}/x.json", most=100)
    assert pauses == [0.5, 1.0, 2.0]
    assert len(hub.requests) == 4


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451, 501])
def test_what_will_not_pass_is_not_tried_again(
    hub: LoopbackHub, url: Any, session: Any, pauses: Any, code: Any
) -> None:
    hub.fault("x.json", loopback.status(code, {"X-Error-Message": "no way"}))
    with pytest.raises(StatusError, match=rf"answers {code}") as caught:
        session.get(f"{url}/x.json", most=100)
    assert caught.value.status == code
    assert "\n" not in str(caught.value)
    assert pauses == []


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"Retry-After": "7"}, 7.0),
        (
            {
                "Date": "Sat, 21 Nov 2026 10:00:00 GMT",
                "Retry-After": "Sat, 21 Nov 2026 10:00:09 GMT",
            },
            9.0,
        ),
        ({"Retry-After": "soon"}, 0.5),
        ({"Retry-After": "-5"}, 0.5),
        ({"ratelimit": '"api";r=0;t=11'}, 11.0),
        ({"ratelimit": '"api";r=400;t=11'}, 0.5),
    ],
)
def test_a_server_says_how_long_to_wait(
    hub: LoopbackHub, url: Any, session: Any, pauses: Any, headers: Any, pause: Any
) -> None:
    hub.fault("x.json", loopback.status(429, headers))
    session.get(f"{url}/x.json", most=100)
    assert pauses == [pause]


@pytest.mark.parametrize("after", ["3600", "999999999"])
def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(
    hub: LoopbackHub, url: Any, session: Any, pauses: Any, after: Any
) -> None:
    hub.fault("x.json", loopback.status(429, {"Retry-After": after}))
    with pytest.raises(SourceError, match=rf"too many requests.* pause of {after} s.*HF_TOKEN"):
        session.get(f"{url}/x.json", most=100)
    assert pauses == []


def test_waits_and_attempts_stay_within_one_deadline(
    hub: LoopbackHub, url: Any, pauses: Any
) -> None:
    session = open_session(sleep=pauses.append, clock=Clock(9.0), deadline=30.0)
    hub.fault("x.json", loopback.status(429, {"Retry-After": "5"}), times=99)
    with pytest.raises(StatusError, match="429"):
        session.get(f"{url}/x.json", most=100)
    assert len(pauses) < 3


@pytest.mark.parametrize("after", [0, 1, 299])
def test_a_cut_connection_is_tried_again(
    hub: LoopbackHub, url: Any, session: Any, after: Any
) -> None:
    hub.fault("/a/b/x.safetensors", loopback.cut(after))
    assert session.read_range(f"{url}/x.safetensors", 0, 300)[0] == FILE.slice(0, 300)


def test_a_connection_that_is_always_cut_is_given_up(
    hub: LoopbackHub, url: Any, session: Any, pauses: Any
) -> None:
    hub.fault("/a/b/x.safetensors", loopback.cut(5), times=99)
    with pytest.raises(SourceError, match=r"the connection broke .*\(tried 4 times\)"):
        session.read_range(f"{url}/x.safetensors", 0, 300)
    assert len(pauses) == 3


def test_a_body_that_drips_is_given_up_at_the_deadline(hub: LoopbackHub, url: Any) -> None:
    hub.fault("/a/b/x.safetensors", loopback.drip, times=9)
    session = open_session(clock=Clock(100.0), deadline=60.0)
    with pytest.raises(SourceError, match="too slow, given up after 60 s"):
        session.read_range(f"{url}/x.safetensors", 0, 300)


def test_headers_that_drip_are_given_up_at_the_deadline(hub: LoopbackHub, url: Any) -> None:
    hub.fault("x.json", loopback.drip_headers, times=9)
    with pytest.raises(SourceError, match="too slow, given up after 0 s"):
        open_session(deadline=0.2).get(f"{url}/x.json", most=100)


def test_a_compressed_bomb_is_read_no_further_than_its_limit(hub: LoopbackHub, url: Any) -> None:
    bomb = gzip.compress(bytes(2**26))
    hub.fault("x.json", loopback.status(200, {"Content-Encoding": "gzip"}, bomb))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="longer than 1,000,000 bytes"):
            open_session().get(f"{url}/x.json", most=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24


def test_a_compressed_document_is_read_though_it_was_not_asked_for(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        hub.fault("x.json", loopback.status(200, {"Content-Encoding": name}, pack(b'{"b": 2}')))
        assert session.get(f"{url}/x.json", most=100).body == b'{"b": 2}'


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [("br", b"xx", r"compressed \(br\)"), ("gzip", b"no gzip", r"\(tried 4 times\)")],
)
def test_compression_that_cannot_be_read_is_an_error_line(
    hub: LoopbackHub, url: Any, session: Any, encoding: str, body: bytes, words: str
) -> None:
    hub.fault("x.json", loopback.status(200, {"Content-Encoding": encoding}, body), times=9)
    with pytest.raises(SourceError, match=words):
        session.get(f"{url}/x.json", most=100)


@pytest.mark.parametrize("anonymous", [False, True])
def test_who_leads_elsewhere_is_followed_only_where_the_owner_chose_the_endpoint(
    hub: LoopbackHub, url: Any, anonymous: bool
) -> None:
    hub.fault("x.json", loopback.redirect("http://localhost:1/internal"), times=9)
    session = open_session(anonymous=anonymous, sleep=lambda pause: None)
    with pytest.raises(SourceError) as caught:
        session.get(f"{url}/x.json", most=100)
    assert ("not followed" in str(caught.value)) is anonymous


@pytest.mark.parametrize(
    ("host", "followed"),
    [
        ("huggingface.co", True),
        ("cdn-lfs.hf.co", True),
        ("evilhf.co", False),
        ("hf.co.evil.example", False),
        ("169.254.169.254", False),
        ("localhost", False),
    ],
)
def test_the_hub_leads_nobody_elsewhere(host: str, followed: bool) -> None:
    session = HubSession(endpoint="https://huggingface.co")
    assert session._leads_to(host) is followed


def test_a_server_that_says_nothing_is_given_up_and_called_offline(
    hub: LoopbackHub, url: Any, pauses: Any
) -> None:
    hub.fault("x.json", loopback.hang, times=9)
    session = open_session(sleep=pauses.append, timeout=0.05, attempts=2)
    with pytest.raises(OfflineError, match=r"does not answer \(time-out\)"):
        session.get(f"{url}/x.json", most=100)
    assert len(pauses) == 1


def test_a_server_without_ranges_is_read_from_the_start_and_no_further(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    hub.fault("/a/b/x.safetensors", loopback.whole, times=9)
    body, whole, _ = session.read_range(f"{url}/x.safetensors", 100, 200)
    assert body == FILE.slice(100, 300)
    assert whole == FILE.size
    with pytest.raises(SourceError, match="serves no ranges"):
        session.read_range(f"{url}/x.safetensors", 2**30, 8)


def test_another_range_than_was_asked_for_is_not_taken(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    hub.fault("/a/b/x.safetensors", loopback.other_range, times=9)
    with pytest.raises(SourceError, match="another range came"):
        session.read_range(f"{url}/x.safetensors", 0, 8)


def test_a_range_beyond_the_end_is_an_error(hub: LoopbackHub, url: Any, session: Any) -> None:
    with pytest.raises(StatusError, match="416"):
        session.read_range(f"{url}/x.safetensors", FILE.size, 8)
    with pytest.raises(SourceError, match=r"8 of 16 bytes came"):
        session.read_range(f"{url}/x.safetensors", FILE.size - 8, 16)


def test_a_document_longer_than_it_may_be_is_not_read(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    with pytest.raises(SourceError, match="longer than 5 bytes"):
        session.get(f"{url}/x.json", most=5)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed(hub: LoopbackHub, url: Any, session: Any, code: Any) -> None:
    hub.fault("x.json", loopback.redirect("/a/b/resolve/main/x.json?again", code))
    assert session.get(f"{url}/x.json", most=100).body == b'{"a": 1}'


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("x.json", "more than 5 redirects"),
        ("file:///etc/passwd", "redirected to 'file:///etc/passwd'"),
        ("http://", "more than 5 redirects"),
        ("http://[::1", "redirected to"),
        ("http://127.0.0.1:99999/", "redirected to"),
    ],
)
def test_redirects_that_lead_nowhere_are_not(
    hub: LoopbackHub, url: Any, session: Any, location: Any, words: Any
) -> None:
    hub.fault("x.json", loopback.redirect(location), times=99)
    with pytest.raises(SourceError, match=words):
        session.get(f"{url}/x.json", most=100)


def test_a_redirect_to_where_nobody_listens_is_an_error_line(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    hub.fault("x.json", loopback.redirect("http://127.0.0.1:1/x"), times=99)
    with pytest.raises(OfflineError, match=r"127\.0\.0\.1:1 cannot be reached"):
        session.get(f"{url}/x.json", most=100)


def test_a_redirect_with_an_odd_address_is_an_error_line(
    hub: LoopbackHub, url: Any, session: Any
) -> None:
    hub.fault("x.json", loopback.redirect("http://127.0.0.1:1/\x7f%zz"), times=99)
    with pytest.raises(SourceError) as caught:
        session.get(f"{url}/x.json", most=100)
    assert "\n" not in str(caught.value)


def test_a_signed_address_is_not_shown_in_errors(hub: LoopbackHub, url: Any, session: Any) -> None:
    hub.fault("/a/b/x.safetensors", loopback.status(418), times=9)
    with pytest.raises(StatusError) as caught:
        session.read_range(f"{url}/x.safetensors", 0, 8)
    assert "sig=" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["ftp://x", "nonsense", "http://", "http://[", "//host"])
def test_an_endpoint_that_is_none_is_refused(
    hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(InputError, match="HF_ENDPOINT"):
        open_session()


def test_the_programs_own_client_is_used(hub: LoopbackHub, url: Any, session: Any) -> None:
    import httpx2
    import huggingface_hub

    seen = []
    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(event_hooks={"request": [lambda request: seen.append(request)]})
    )
    try:
        session.get(f"{url}/x.json", most=100)
    finally:
        from huggingface_hub.utils._http import default_client_factory

        huggingface_hub.set_client_factory(default_client_factory)
    assert len(seen) == 1

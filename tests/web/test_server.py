"""What one visitor does to others, and what strangers reach: a real server, websockets without a browser."""

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.hostile import KINDS
from benchmarks.visitor import Visitor
from benchmarks.web_server import served
from planner.model.catalog import catalog
from planner.web import shell
from planner.web.allowance import PER_VISITOR
from planner.web.guard import MOST_HEADERS
from tests.hardware_db.test_user_file import CARD
from tests.hub.loopback import LoopbackHub
from tests.model.builders import safetensors

HEAVY: dict[str, str | int] = {
    "v": 2,
    "with": "llamacpp",
    "weights": "q4_k_m",
    "model": "Qwen3.5-35B-A3B",
    "users": 200,
}
LIGHT: dict[str, str | int] = {
    "v": 2,
    "with": "vllm",
    "weights": "fp8",
    "model": "Qwen3.5-27B",
    "on": "h100-sxm",
}


def evil(pattern: str) -> dict[str, Any]:
    """A config.json whose list of unquantized layers is a pattern that keeps `re` busy for hours."""
    config: dict[str, Any] = json.loads(json.dumps(catalog()[0].config))
    weights = {"num_bits": 4, "type": "int", "group_size": 32, "symmetric": True}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": [pattern],
    }
    return config


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as found:
        yield found


@pytest.fixture(scope="module")
def public(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A public page that may ask the Hub, which is a stranger's here."""
    log = tmp_path_factory.mktemp("public") / "server.log"
    with served(
        log=log,
        QWENPLAN_WEB_PUBLIC="1",
        QWENPLAN_WEB_HUB="1",
        HF_ENDPOINT=hub.url,
        HF_TOKEN="hf_" + "x" * 34,
        NO_PROXY="*",
    ) as address:
        yield address
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture
def visitor(public: str) -> Iterator[Any]:
    """Opens a page of the public server as a visitor of its own."""
    opened = []

    def visit(page: str = "", **query: str | int) -> Visitor:
        found = Visitor(address=public, page=page)
        opened.append(found)
        found.open(**query)
        return found

    yield visit
    for one in opened:
        one.close()


def test_a_heavy_question_leaves_other_visitors_their_page(public: str, visitor: Any) -> None:
    other = visitor(**LIGHT)
    heavy = Visitor(address=public, page="fits")
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(lambda: heavy.open(**HEAVY))
        for sequences in (11, 12, 13):
            other.set("users", sequences)
            assert f"{sequences} users at" in other.text
        assert not asked.done(), "others are answered while it is being computed"
        heavy.close()
        assert isinstance(asked.exception(), ConnectionClosed)


@pytest.mark.parametrize("pattern", ["re:.*.*.*.*.*.*.*.*!", "re:(.|.)*!", "re:((.+))+!"])
def test_a_strangers_pattern_is_applied_or_refused(
    hub: LoopbackHub, visitor: Any, pattern: str
) -> None:
    files: dict[str, Any] = {
        "config.json": evil(pattern),
        "model.safetensors": safetensors(
            {"model.language_model.layers.3.self_attn.q_proj.weight": ("BF16", (4096, 1024))}
        ),
    }
    hub.add("evil/poly", files)
    page = visitor(model="other", repository="evil/poly", on="h100-sxm")
    assert page.faults == []
    assert "on H100" in page.text or "Not answered" in page.text


def test_a_hostile_repository_leaves_other_visitors_their_page(
    hub: LoopbackHub, public: str, visitor: Any
) -> None:
    """Its pattern once held the whole server for 74 s, its health check as well."""
    hub.add("evil/slow", {"config.json": evil("re:(.|.)*(.|.)*(.|.)*!")})
    other = visitor(**LIGHT)
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(visitor, model="other", repository="evil/slow", on="h100-sxm")
        for users in (4, 5, 6):
            other.set("users", users)
            assert f"{users} users at" in other.text
            with urlopen(f"{public}/_stcore/health", timeout=5) as health:
                assert health.read() == b"ok"
        assert asked.result().faults == []


@pytest.mark.parametrize("pattern", ["(.|.)*x=CPU", ".*.*.*.*.*.*.*.*!=CPU"])
def test_a_pattern_in_a_link_is_answered(visitor: Any, pattern: str) -> None:
    page = visitor(
        v=2,
        model="Qwen3.5-4B",
        weights="q4_k_m",
        on="rtx-4090",
        **{"with": "llamacpp", "o-override_tensor": pattern},
    )
    assert page.faults == []
    assert "on RTX 4090" in page.text or "Not answered" in page.text


def test_a_visitor_has_the_hub_asked_so_many_times_an_hour(hub: LoopbackHub, visitor: Any) -> None:
    page = visitor(**LIGHT)
    for number in range(PER_VISITOR):
        page.set("model", f"someone/number-{number}")
    before = len(hub.requests)
    page.set("model", "someone/one-more")
    assert f"asked the Hub {PER_VISITOR} times for you within an hour" in page.text
    assert len(hub.requests) == before


def test_a_hub_that_leads_into_the_network_is_not_followed(hub: LoopbackHub, visitor: Any) -> None:
    def lead(handler: Any) -> None:
        handler.answer(302, {"Location": "http://localhost:1/internal"}, b"")

    hub.fault("evil/lead", lead, 99)
    page = visitor(model="other", repository="evil/lead")
    assert "Hub does not answer this page as it should" in page.text
    assert "localhost" not in page.text  # that is for the server's log
    assert {request.token for request in hub.requests} == {None}, "nor does the token go along"


def test_text_of_a_link_stays_text(visitor: Any) -> None:
    page = visitor(model="other", repository="![x](https://evil.example/x.png)")
    assert "evil.example" in page.text
    assert "![" not in page.text
    assert "https://evil" not in page.text


def test_a_path_is_no_model(visitor: Any) -> None:
    page = visitor(model="other", repository="/etc/passwd")
    assert "Not answered" in page.text
    assert "root:" not in page.text


def test_a_visitor_who_clicks_without_waiting_leaves_others_their_page(
    public: str, visitor: Any
) -> None:
    """Each click had a thread of its own: 400 of them stopped the server for minutes."""
    other, hasty = visitor(**LIGHT), visitor(**LIGHT)
    for turn in range(400):
        hasty.put("users", 1.0 + turn % 50)
    other.set("users", 7.0)
    assert "7 users at" in other.text
    hasty.set("users", 8.0)
    while "8 users at" not in hasty.text:  # the runs before it end one after the other
        hasty.wait()
    with urlopen(f"{public}/_stcore/health", timeout=5) as health:
        assert health.read() == b"ok"


@pytest.mark.parametrize("field", ["model", "engine", "on"])
def test_a_message_longer_than_any_log_is_refused(visitor: Any, field: str) -> None:
    page = visitor(**LIGHT)
    page.set(field, "q " * 900_000)  # its words were compared with every name of a list for 22 s
    assert "Not answered" in page.text
    assert "q q" in page.text
    with pytest.raises(ConnectionClosed):  # 1009, or in the middle of the message
        page.set(field, "x" * 11_000_000)


def test_numbers_without_end_are_none(visitor: Any) -> None:
    page = visitor("fits", **LIGHT, **{"fits-price": "1e999", "fits-memory": "9" * 400})
    assert page.faults == []
    page.set("users", float("nan"))
    page.set("users", float("inf"))
    page.set("users", 3.0)
    assert page.faults == []
    assert "3 users" in page.text


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is an address of its own there")
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_address_sends_without_end_leaves_others_their_page(
    public: str, visitor: Any, kind: str
) -> None:
    """Connections that were opened and closed kept another visitor's click for 5 s."""
    other = visitor(**LIGHT)
    port = public.rpartition(":")[2]
    with Popen([sys.executable, "-m", "benchmarks.hostile", kind, port, "60"]) as hostile:
        try:
            for users in (4, 5, 6):
                other.set("users", users)
                assert f"{users} users at" in other.text
            with urlopen(f"{public}/_stcore/health", timeout=10) as health:
                assert health.read() == b"ok"
        finally:
            hostile.kill()
    assert other.faults == []


def test_a_request_with_too_many_headers_is_refused(public: str) -> None:
    headers = {f"X-{number}": "1" for number in range(MOST_HEADERS)}
    with pytest.raises(HTTPError, match="431"):
        urlopen(Request(f"{public}/_stcore/health", headers=headers), timeout=5)
    with pytest.raises(InvalidStatus, match="403"):
        Visitor(address=public, headers=headers).open()


def test_what_no_browser_sends_ends_the_connection_quietly(public: str) -> None:
    with connect(
        f"{public.replace('http', 'ws')}/_stcore/stream",
        subprotocols=[Subprotocol("streamlit")],
        proxy=None,
    ) as socket_:
        socket_.send("text")
        with pytest.raises(ConnectionClosed, match="1003"):
            list(socket_)  # what it says before it has heard


def test_what_the_server_holds_is_nobodys_business(public: str) -> None:
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{public}/_stcore/metrics", timeout=5)


@pytest.mark.parametrize("origin", ["http://planner.example", "http://[::1"])
def test_another_sites_page_gets_no_socket(public: str, origin: str) -> None:
    stranger = Visitor(address=public, headers={"Origin": origin})
    with pytest.raises(InvalidStatus, match="403"):
        stranger.open()


@pytest.mark.parametrize("own", [True, False])
def test_with_the_checks_switched_off_nobody_is_the_machines_user(
    tmp_path: Path, own: bool
) -> None:
    """A proxy that rewrites Host and drops every other header looks like this machine's user."""
    switched = "true" if own else "false"
    with served(
        STREAMLIT_SERVER_ENABLE_CORS=switched, STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION=switched
    ) as address:
        page = Visitor(address=address)
        page.open()
        assert any(label.startswith("This machine") for label in page.choices["on"]) is own
        page.close()


def test_a_hardware_file_that_breaks_while_it_is_served_ends_no_page(tmp_path: Path) -> None:
    """It ended every page of every visitor until it was mended."""
    file, log = tmp_path / "hardware.toml", tmp_path / "server.log"
    file.write_text(CARD, encoding="utf-8")
    with served(log=log, QWENPLAN_HARDWARE=str(file)) as address:
        page = Visitor(address=address)
        page.open(v=2, model="Qwen3.5-27B", weights="fp8", on="our-card", **{"with": "vllm"})
        assert "on Our card" in page.text
        assert "mistake" not in page.text
        file.write_text(f"x = [\n{CARD}", encoding="utf-8")
        for users in (3, 4):
            page.set("users", users)
            assert f"{users} users" in page.text
            assert "on Our card" in page.text
            assert "What your hardware file said before is used" in page.text
        file.write_text(CARD.replace("Our card", "Mended"), encoding="utf-8")
        page.set("users", 5)
        assert "on Mended" in page.text
        assert "your hardware file" not in page.text
        assert page.faults == []
        page.close()
    assert log.read_text(encoding="utf-8").count("Hardware file: ") == 1


def test_connections_do_not_wait_to_be_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        shell.send_at_once.__wrapped__()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

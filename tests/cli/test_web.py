"""`qwenplan web`: what the server is started with, and what a public page says it switched."""

import json
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planner.cli import web
from planner.cli.main import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Command and environment of every server that would have been started."""
    found: list[tuple[list[str], dict[str, str]]] = []

    def serve(command: list[str], folder: Path, environment: Mapping[str, str]) -> int:
        assert (folder / ".streamlit" / "config.toml").is_file()
        found.append((command, dict(environment)))
        return 0

    monkeypatch.delenv("QWENPLAN_WEB_PUBLIC", raising=False)
    monkeypatch.delenv("QWENPLAN_WEB_HUB", raising=False)
    monkeypatch.delenv("QWENPLAN_WEB_PROXIES", raising=False)
    monkeypatch.setattr(web, "_serve", serve)
    monkeypatch.setattr(web, "_check_free", lambda *_: None)  # names would be looked up
    return found


def test_an_address_that_is_taken_or_none_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A port that was taken was Streamlit's line and status 1, a wrong address a traceback."""
    monkeypatch.setattr(web, "_serve", lambda *_: pytest.fail("started"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["web", "--port", str(port)]) == 2
    said = f"qwenplan: --port {port}: something else listens there already; name another one\n"
    assert capsys.readouterr().err == said

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert run(["web", "--address", "nope"]) == 2
    assert capsys.readouterr().err == "qwenplan: --address nope: no address is known by this name\n"


def value(command: list[str], name: str) -> Any:
    return json.loads(command[-1])[name]


@pytest.mark.parametrize(
    ("words", "public"),
    [
        ([], False),
        (["--address", "::1"], False),
        (["--public"], True),
        (["--address", "0.0.0.0"], True),
        (["--address", "planner.example"], True),
    ],
)
def test_who_is_public_is_said_and_passed_on(
    started: Any, capsys: pytest.CaptureFixture[str], words: list[str], public: bool
) -> None:
    assert run(["web", *words]) == 0
    command, environment = started[0]
    assert (environment.get("QWENPLAN_WEB_PUBLIC") == "1") is public
    assert ("every visitor is a stranger" in capsys.readouterr().out) is public
    assert value(command, "server.enableCORS") is True
    assert value(command, "server.enableXsrfProtection") is True


@pytest.mark.parametrize(
    ("words", "location"),
    [
        ([], "http://127.0.0.1:8501;"),
        (["--headless"], "http://127.0.0.1:8501;"),
        (["--address", "0.0.0.0", "--port", "80"], "http://127.0.0.1:80;"),
        (["--address", "::1"], "http://[::1]:8501;"),
    ],
)
def test_the_server_says_where_it_is_and_advertises_nothing(
    started: Any, capsys: pytest.CaptureFixture[str], words: list[str], location: str
) -> None:
    """Streamlit, when it opens a browser, may lay an advertisement over the page."""
    assert run(["web", *words]) == 0
    assert value(started[0][0], "logger.hideWelcomeMessage") is True
    assert location in capsys.readouterr().out


@pytest.mark.parametrize("browser", [True, False])
def test_no_way_to_start_the_page_has_the_advertisement(
    monkeypatch: pytest.MonkeyPatch, browser: bool
) -> None:
    """`qwenplan web` hides it and `make app` by their setting, `streamlit run app.py` by the file."""
    from streamlit import config
    from streamlit.web import skills

    settings = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))
    told = {
        "server.headless": not browser and settings["server"]["headless"],
        "logger.hideWelcomeMessage": browser,
    }
    monkeypatch.setattr(config, "get_option", told.__getitem__)
    monkeypatch.setattr(skills, "agent_harness_present", lambda: True)
    assert skills.nudge_suppression_reason(str(ROOT)) == (
        "welcome_hidden" if browser else "headless"
    )


def test_a_proxys_address_and_the_hub_are_allowed_by_name(
    started: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_HUB", "1")
    run(["web", "--public", "--origin", "https://planner.example"])
    assert value(started[0][0], "server.corsAllowedOrigins") == ["https://planner.example"]
    assert "Hub: asked as anybody" in capsys.readouterr().out


def test_a_mistake_in_the_hardware_file_is_told_who_starts_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hardware.toml").write_text("x = [")
    monkeypatch.setenv("QWENPLAN_HARDWARE", str(tmp_path / "hardware.toml"))
    assert run(["web", "--public"]) == 2
    assert "is not valid TOML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "proxies"),
    [
        (["--public"], "127.0.0.0/8,::1"),
        (["--public", "--origin", "https://planner.example"], "127.0.0.0/8,::1"),
        (["--address", "0.0.0.0"], ""),
        (["--address", "0.0.0.0", "--origin", "https://planner.example"], "0.0.0.0/0,::/0"),
        (["--address", "0.0.0.0", "--proxy", "10.0.0.2", "--proxy", "::1"], "10.0.0.2,::1"),
    ],
)
def test_a_public_page_knows_which_proxies_speak_for_many(
    started: Any, words: list[str], proxies: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["web", *words]) == 0
    assert started[0][1]["QWENPLAN_WEB_PROXIES"] == proxies
    said = capsys.readouterr().out
    assert "limits by address" in said
    assert ("off: limits by address" in said) is proxies.startswith("0.0.0.0")


def test_a_proxy_that_is_no_address_is_refused(
    started: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["web", "--public", "--proxy", "planner.example"]) == 2
    assert "--proxy planner.example: not an address or a network" in capsys.readouterr().err
    assert not started

"""`qwenplan web`: what the server is started with, and what a public page says it switched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planner.cli import web
from planner.cli.main import run


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
    monkeypatch.setattr(web, "_serve", serve)
    return found


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


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
    assert value(command, "--server.enableCORS") == "true"
    assert value(command, "--server.enableXsrfProtection") == "true"


def test_a_proxys_address_and_the_hub_are_allowed_by_name(
    started: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_HUB", "1")
    run(["web", "--public", "--origin", "https://planner.example"])
    assert value(started[0][0], "--server.corsAllowedOrigins") == "https://planner.example"
    assert "Hub: asked as anybody" in capsys.readouterr().out

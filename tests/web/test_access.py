"""What a visitor may not set off: no path is read, no token is used, no device is shown to strangers."""

import builtins
import io
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from planner.errors import SourceError, UnknownModelError
from planner.web import access, solving, working
from planner.web import answering as asking
from planner.web.allowance import Allowance
from planner.web.asked import Asked
from planner.web.kept import Kept
from planner.web.solving import Answer


def ask(model: str, *, hub: bool) -> Answer:
    return asking.answer(Asked(on="h100-sxm", model=model, context="8k"), hub=hub)


def forget() -> None:
    working._KEPT = Kept(working.MOST_KEPT)
    asking._FOUND = Kept(1 << 20)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Calls of the loader, which is not to reach the network here."""
    calls = []

    def load(name: Any, **how: Any) -> None:
        calls.append((name, how))
        raise UnknownModelError(f"{name} is not there")

    monkeypatch.setattr(solving, "load_checkpoint", load)
    forget()
    yield calls
    forget()


def test_the_hub_is_asked_as_anybody_and_never_for_a_path(loaded: list[Any]) -> None:
    for _ in range(3):  # a page asks at every key press; the Hub is asked once
        ask("someone/private-model", hub=True)
    assert loaded == [
        ("someone/private-model", {"precision": None, "anonymous": True, "local": False})
    ]


@pytest.mark.parametrize("name", ["someone/private-model", "/etc/passwd", "../x", "a/b/c"])
def test_without_leave_nothing_is_loaded(loaded: list[Any], name: str) -> None:
    (problem,) = ask(name, hub=False).problems
    assert problem.part == "model"
    assert "unknown model" in problem.text
    assert loaded == []


@pytest.mark.parametrize("hub", [False, True])
@pytest.mark.parametrize(
    "name", ["/etc/passwd", "~/.ssh/id_rsa", "./config.json", "../../secrets", "C:\\x", "a\x00b"]
)
def test_no_typed_path_is_opened(monkeypatch: pytest.MonkeyPatch, name: str, hub: bool) -> None:
    ask("Qwen3.5-4B", hub=False)  # catalog and registry are read once
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    opened = []
    for place, attribute in ((builtins, "open"), (io, "open"), (pathlib.Path, "open")):
        real = getattr(place, attribute)

        def spy(path: Any, *more: Any, _real: Any = real, **how: Any) -> Any:
            opened.append(str(path))
            return _real(path, *more, **how)

        monkeypatch.setattr(place, attribute, spy)
    forget()
    assert ask(name, hub=hub).problems
    assert [path for path in opened if name.strip("~./\\") in path] == []


class Headers(dict[str, str]):
    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


GUARDS = {"server.enableCORS": True, "server.enableXsrfProtection": True}


@pytest.mark.parametrize(
    ("listens", "headers", "own"),
    [
        ("127.0.0.1", {"host": "127.0.0.1:8501"}, True),
        ("localhost", {"host": "localhost:8501"}, True),
        ("127.0.0.1", {"host": "[::1]:8501"}, True),
        ("0.0.0.0", {"host": "127.0.0.1:8501"}, False),
        (None, {"host": "127.0.0.1:8501"}, False),
        ("127.0.0.1", {"host": "planner.example.org"}, False),
        ("127.0.0.1", {"host": "localhost.example.org"}, False),
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "10.0.0.1"}, False),
        ("127.0.0.1", {"host": "localhost:8501", "origin": "http://localhost:8501"}, True),
        ("127.0.0.1", {"host": "localhost:8501", "origin": "http://localhost:3000"}, False),
        ("127.0.0.1", {"host": "127.0.0.1:8501", "origin": "http://planner.example"}, False),
    ],
)
def test_who_counts_as_the_machines_own_user(
    monkeypatch: pytest.MonkeyPatch, listens: str | None, headers: dict[str, Any], own: bool
) -> None:
    monkeypatch.delenv(access.HUB_SWITCH, raising=False)
    monkeypatch.setattr(st, "get_option", {"server.address": listens, **GUARDS}.get)
    monkeypatch.setattr(
        type(st.context), "headers", property(lambda self: Headers(headers)), raising=True
    )
    assert access.is_own_user() is own
    assert access.hub_allowed() is own


@pytest.mark.parametrize(
    ("peer", "options", "public", "own"),
    [
        (None, {}, "", True),
        ("10.0.0.7", {}, "", False),
        (None, {"server.enableCORS": False}, "", False),
        (None, {"server.enableXsrfProtection": False}, "", False),
        (None, {}, "1", False),
    ],
)
def test_the_socket_and_the_operator_decide_and_no_header(
    monkeypatch: pytest.MonkeyPatch, peer: str | None, options: Any, public: str, own: bool
) -> None:
    monkeypatch.delenv(access.HUB_SWITCH, raising=False)
    monkeypatch.setenv(access.PUBLIC_SWITCH, public)
    settings = {"server.address": "127.0.0.1", **GUARDS, **options}
    monkeypatch.setattr(st, "get_option", settings.get)
    headers = Headers({"host": "127.0.0.1:8501"})
    monkeypatch.setattr(type(st.context), "headers", property(lambda self: headers))
    monkeypatch.setattr(type(st.context), "ip_address", property(lambda self: peer))
    assert access.is_own_user() is own
    assert access.hub_allowed() is own


def test_a_public_page_asks_the_hub_so_many_times_an_hour() -> None:
    now = 0.0
    allowance = Allowance(per_visitor=2, in_all=3, clock=lambda: now)
    for visitor in ("a", "a", "b"):
        allowance.take(visitor)
    with pytest.raises(SourceError, match="2 times for you within an hour; try again in 60 min"):
        allowance.take("a")
    with pytest.raises(SourceError, match="3 times for its visitors"):
        allowance.take("c")
    now = 3600.0
    allowance.take("a")


@pytest.mark.parametrize(
    ("switch", "allowed"), [("1", True), ("0", False), ("true", True), ("off", False)]
)
def test_the_operator_decides_about_the_hub(
    monkeypatch: pytest.MonkeyPatch, switch: str, allowed: bool
) -> None:
    monkeypatch.setenv(access.HUB_SWITCH, switch)
    assert access.hub_allowed(own_user=not allowed) is allowed


def test_a_stranger_is_not_offered_this_machine(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="local")
    assert not app.exception
    assert "local" not in app.selectbox(key="on").options
    assert "Not answered" in app.markdown[0].value


def test_a_link_to_somebodys_own_device_says_so(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="my-modded-4090")
    assert not app.exception
    assert "Not answered" in app.markdown[0].value
    assert any("session of their own" in element.value for element in app.markdown)

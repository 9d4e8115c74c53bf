from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from benchmarks.web_server import PATIENCE, browsing, served

APP = Path(__file__).resolve().parents[2] / "app.py"
LOOPBACK = ("127.0.0.1", "localhost", "::1", None)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer without worker processes, whose start would cost every test a second."""
    monkeypatch.setenv("QWENPLAN_WEB_WORKERS", "0")


@pytest.fixture
def open_app() -> Callable[..., Any]:
    """Opens a page as a visitor does who follows a link with these query parameters."""

    def open_with(page: str = "", /, **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        app._page_hash = calc_hash(page)  # AppTest finds pages by file only; these are functions
        for name, value in query.items():
            app.query_params[name.replace("__", "-")] = value
        return app.run()

    return open_with


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("web") / "server.log"


@pytest.fixture(scope="module")
def address(log: Any) -> Iterator[Any]:
    with served(log=log) as found:
        yield found
    printed = log.read_text(encoding="utf-8", errors="replace")
    # Streamlit's own, of who leaves while it shakes hands
    gone = "\nstarlette.websockets.WebSocketDisconnected: "
    assert printed.count("Traceback (most recent call last)") == printed.count(gone)
    assert "deprecat" not in printed.lower()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.fixture
def visit(browser: Any, address: Any) -> Iterator[Any]:
    """Opens a path in a fresh browser context and waits until the page is complete.

    No page that a test opens may ask another machine for anything, or stumble over its own script.
    """
    contexts, pages = [], []

    def open_path(
        path: str = "/",
        *,
        width: int = 1280,
        height: int = 860,
        scheme: str = "light",
        permissions: Any = (),
    ) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            permissions=list(permissions),
            accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.outside = []
        page.faults = []
        page.on(
            "request",
            lambda request: (
                page.outside.append(request.url)
                if urlsplit(request.url).scheme not in ("data", "blob")
                and urlsplit(request.url).hostname not in LOOPBACK
                else None
            ),
        )
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.goto(address + path)
        page.wait_for_selector('[data-testid="stApp"][data-test-connection-state="CONNECTED"]')
        page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
        return page

    yield open_path
    for context in contexts:
        context.close()
    assert [url for page in pages for url in page.outside] == []
    assert [fault for page in pages for fault in page.faults] == []

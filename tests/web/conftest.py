from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

APP = Path(__file__).resolve().parents[2] / "app.py"


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

"""What strangers wrote is shown as text on every page: no link, no image, no mark of Markdown."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from planner import load_checkpoint
from planner.web import solving
from planner.web.access import HUB_SWITCH
from planner.web.shell import VIEWS
from planner.web.tables import escape
from tests.web.test_access import forget

IMAGE = "![x](https://evil.example/x.png)"
LINK = "[Log in again](https://evil.example)"
HOSTILE = f"{IMAGE} {LINK} https://evil.example www.evil.example :violet[x] `c` <b>"
LIVE = re.compile(
    r"(?<!\\)\[[^\]]*(?<!\\)\]\(|https?\\?://\w|www\.\w|(?<!\\)`c|(?<!\\)<b>|(?<!\\):violet"
)


def shown(app: AppTest) -> Iterator[str]:
    """Whatever a page shows as Markdown."""
    for kind in ("markdown", "error", "warning", "info", "success", "title", "header", "subheader"):
        for element in getattr(app, kind):
            yield str(element.value)
    for element in app.expander:
        yield str(element.label)


def live(text: str) -> str:
    """The part of `text` that a page would make more of than text."""
    found = LIVE.search(text) if "evil" in text or "violet" in text else None
    return found[0] if found else ""


def test_the_test_itself_finds_what_is_live() -> None:
    for word in (*HOSTILE.split(" :")[0].split("  "), IMAGE, LINK, "https://evil.example"):
        assert live(word)
    assert not live(escape(HOSTILE))


@pytest.mark.parametrize("view", [view.name for view in VIEWS if not view.reference])
@pytest.mark.parametrize("repository", [IMAGE, LINK, "https://evil.example", "www.evil.example/x"])
def test_a_link_to_the_app_brings_no_text_of_its_own(
    open_app: Callable[..., AppTest], view: str, repository: str
) -> None:
    app = open_app(view, model="other", repository=repository)
    assert not app.exception
    texts = list(shown(app))
    assert any("evil" in text for text in texts), "the error names what was asked for"
    assert [text for text in texts if live(text)] == []


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
@pytest.mark.parametrize("on", ["h100-sxm", "rtx-4090"])
def test_a_strangers_model_brings_no_marks_onto_a_page(
    open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch, view: str, on: str
) -> None:
    real = load_checkpoint("Qwen3.5-27B")
    hostile = replace(
        real,
        model=replace(real.model, name=HOSTILE),
        source=HOSTILE,
        scheme=replace(real.scheme, title=HOSTILE),  # type: ignore[type-var]
    )
    monkeypatch.setenv(HUB_SWITCH, "1")
    monkeypatch.setattr(solving, "load_checkpoint", lambda *_, **__: hostile)
    forget()
    try:
        app = open_app(view, model="evil/model", on=on, context="8k")
        assert not app.exception
        assert [text for text in shown(app) if live(text)] == []
    finally:
        forget()


def test_every_word_of_an_answer_may_be_hostile(
    open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = solving.Answer(problems=(solving.Problem(part="model", text=HOSTILE, instead=(LINK,)),))
    monkeypatch.setattr("planner.web.shell.answer", lambda *_, **__: found)
    app = open_app()
    assert [text for text in shown(app) if live(text)] == []
    assert any("evil" in text for text in shown(app))

"""What strangers wrote is shown as text on every page: no link, no image, no mark of Markdown."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner import load_checkpoint
from planner.web import solving
from planner.web.access import HUB_SWITCH
from planner.web.problems import Problem
from planner.web.shell import VIEWS
from planner.web.tables import escape
from tests.web.test_access import forget

IMAGE = "![x](https://evil.example/x.png)"
LINK = "[Log in again](https://evil.example)"
HOSTILE = (
    f"{IMAGE} {LINK} https://evil.example www.evil.example :violet[x] `c` <b>"
    ' <a href="//evil.example">y</a> $evil$ :material/bug_report: :smile: :streamlit: ~~evil~~ -> x'
)
LIVE = re.compile(
    r"(?<!\\)\[[^\]]*(?<!\\)\]\(|https?\\?://\w|www\.\w|(?<!\\)`c|(?<!\\)<(?:b>|a href)"
    r"|(?<!\\):(?:violet|smile|material/bug_report)|(?<!\\)\$evil|(?<!\\)~evil"
)
LATE = re.compile(r":(?:smile|streamlit|material/bug_report):|(?<!\S)->(?= x)")
"""What Streamlit makes icons and signs of when Markdown has taken the backslashes away."""

PLAIN = re.compile(
    r"Selectbox\.(options|raw_value)|Code\.code_text|\.alt$|(TextInput|TextArea)\.(value|default)"
    r"|Dataframe\.|\.id$|\.url$"
)
"""Fields whose text a browser shows as it stands: choices, code, cells of a grid, what was typed."""


def shown(app: AppTest) -> Iterator[str]:
    """Whatever a page shows as Markdown or HTML: each text of each element, but for plain ones."""
    for node in below(app._tree):
        message = getattr(node, "proto", None)
        if hasattr(message, "ListFields"):
            for place, text in texts_of(message, type(message).__name__):
                if not PLAIN.search(place):
                    yield text


def below(block: Any) -> Iterator[Any]:
    for node in block.children.values():
        yield node
        if hasattr(node, "children"):
            yield from below(node)


def texts_of(message: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text of a message and where it stands; bytes as the text in them."""
    for field, value in message.ListFields():
        single = isinstance(value, str | bytes) or hasattr(value, "ListFields")
        where = f"{place}.{field.name}"
        for one in [value] if single else value if hasattr(value, "__iter__") else ():
            if hasattr(one, "ListFields"):
                yield from texts_of(one, where)
            elif isinstance(one, str | bytes):
                yield where, one if isinstance(one, str) else one.decode("utf-8", "replace")


def live(text: str) -> str:
    """The part of `text` that a page would make more of than text."""
    if "evil" not in text and "violet" not in text:
        return ""
    found = LIVE.search(text) or LATE.search(re.sub(r"\\(?=[^\w\s])", "", text))
    return found[0] if found else ""


def test_the_test_itself_finds_what_is_live() -> None:
    for word in (
        *HOSTILE.split(" :")[0].split("  "),
        IMAGE,
        LINK,
        "https://evil.example",
        "evil -> x",
    ):
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


FIELDS = ("on", "count", "with", "weights", "context", "users", "layout", "ram", "o-x")


@pytest.mark.parametrize("field", [*FIELDS, f"o-{IMAGE}"])
def test_no_field_of_a_link_brings_marks(open_app: Callable[..., AppTest], field: str) -> None:
    usual = {"v": "2", "model": "Qwen3.5-27B", "on": "h100-sxm", "with": "vllm"}
    app = open_app("", **{**usual, field: HOSTILE})
    assert not app.exception
    texts = list(shown(app))
    assert any("evil" in text or "vLLM has no option" in text for text in texts)
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
    found = solving.Answer(problems=(Problem(part="model", text=HOSTILE, instead=(LINK,)),))
    monkeypatch.setattr("planner.web.shell.answer", lambda *_, **__: found)
    app = open_app()
    assert [text for text in shown(app) if live(text)] == []
    assert any("evil" in text for text in shown(app))

"""Twenty questions on the pages beside the first: each number is the command line's."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from planner.throughput.answer import two_digits
from planner.units import capital, format_bytes, format_gib
from tests.web.test_compare import cards
from tests.web.test_question import text_of
from tests.web.test_run import QUESTIONS, told


def opened(open_app: Callable[..., AppTest], page: str, asked: Any, **more: str) -> AppTest:
    """A page for one of the questions."""
    model, on, count, said = asked
    query = {"with" if name == "engine" else name: value for name, value in said.items()}
    app = open_app(page, v="2", model=model, on=on, count=str(count), **query, **more)
    assert not app.exception
    return app


def of_kind(rank: dict[str, Any], kind: str) -> str:
    return format_gib(sum(term["bytes"] for term in rank["terms"] if term["kind"] == kind))


@pytest.mark.parametrize("asked", QUESTIONS, ids=lambda asked: "-".join(map(str, asked[:3])))
def test_every_page_says_what_the_command_line_says(
    open_app: Callable[..., AppTest], capsys: pytest.CaptureFixture[str], asked: Any
) -> None:
    document = told(capsys, *asked)
    first, capacity = document["ranks"][0], document["capacity"]

    app = opened(open_app, "trust", asked, trust__tab="This answer")
    labels = {expander.label.partition(" (")[0] for expander in app.expander}
    named = {label.replace("\\", "") for label in labels}
    shown = "\n".join(code.value for code in app.code)
    for rank in document["ranks"]:
        assert format_gib(rank["usable"]) in text_of(app)
        for term in rank["terms"]:
            size = f"**{format_bytes(term['bytes'])}**"
            name = capital(term["name"]).partition(" (")[0]
            assert any(label.startswith(name) for label in named), term["name"]
            assert any(size in expander.label for expander in app.expander), term["name"]
            assert f"= {term['bytes']:,} bytes" in shown
    for line in document["expected_log"]:
        assert line in shown

    app = opened(open_app, "explore", asked, explore__tab="Context and users")
    text = text_of(app)
    assert f"{of_kind(first, 'KV cache')} of KV cache" in text
    assert f"{of_kind(first, 'recurrent state')} of recurrent state" in text

    app = opened(open_app, "compare", asked)
    said = text_of(app) + "".join(f" **{words}**" for words in cards(app)[0].values())
    assert f"**{format_gib(abs(first['headroom']))}**" in said
    assert f"**{of_kind(first, 'weights')}**" in said
    assert f"**{capacity['sequences']:,}**" in said
    rate = (document["speed"] or {}).get("decode_per_user")
    if rate is not None and document["outcome"] != "does not fit":
        low, high = two_digits(rate["low"]), two_digits(rate["high"])
        assert f"**{two_digits(rate['value'])} ({low}–{high})**" in said

"""Every page in every state: what it shows is what the planner says, and nothing breaks it."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from benchmarks.screens import screens
from planner.engines import ENGINES
from planner.web.shell import VIEWS
from planner.web.views import explore, trust

PAGES = [view.name for view in VIEWS]

FAST = {
    "v": "2",
    "model": "Qwen3.5-9B",
    "on": "rtx-5090",
    "count": "2",
    "with": "vllm",
    "weights": "bf16",
}
"""A question that is answered at once: one checkpoint, one engine."""


def narrow(page: str) -> dict[str, Any]:
    """Fewer machines, where a page plans many."""
    return {"fits__groups": ["Two GPUs"]} if page == "fits" else {}


TABBED = [
    *((page, {}) for page in PAGES if page not in ("explore", "trust")),
    *(("explore", {"explore__tab": tab}) for tab in explore.TABS),
    *(("trust", {"trust__tab": tab}) for tab in trust.TABS),
]
"""Every page, and every tab of those that have some."""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_about_the_question_says_the_answer(
    open_app: Callable[..., AppTest], page: str
) -> None:
    app = open_app(page, **FAST, **narrow(page))
    assert not app.exception
    said = "fits" in app.markdown[0].value and "RTX 5090" in app.markdown[0].value
    assert said is not next(view.reference for view in VIEWS if view.name == page)


STATES = [
    {"on": "rtx-4090", "count": "1", "weights": "bf16"},  # does not fit
    {"context": "256k", "users": "64"},  # holds fewer
    {"layout": "tp3", "count": "3"},  # cannot run
    {"context": "abc"},  # cannot be read
    {"model": "nobody/knows-this-8B"},
    {"model": "Qwen3-Next-80B-A3B-Instruct", "on": "mi300x", "count": "8"},
    {"on": "custom", "memory": "24", "count": "1", "model": "Qwen3.5-4B"},
    {"on": "dgx-spark", "count": "2", "model": "Qwen3.5-122B-A10B"},
    {"yarn": "yes", "context": "1000000"},
    {"model": "Qwen3.8-2.4T-A95B", "on": "rtx-3060-12", "count": "1"},  # nothing comes near
]


@pytest.mark.parametrize(
    ("page", "tab"), [(p, tab) for p, tab in TABBED if p not in ("models", "hardware")], ids=str
)
@pytest.mark.parametrize("state", STATES, ids=lambda state: ",".join(state.values()))
def test_no_state_breaks_a_page(
    open_app: Callable[..., AppTest],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    tab: dict[str, str],
    state: dict[str, str],
) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_HUB", "0")
    app = open_app(page, **{**FAST, **state}, **narrow(page), **tab)
    assert not app.exception


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("page", ["", "trust", "compare"])
def test_every_engine_has_every_page(
    open_app: Callable[..., AppTest], page: str, engine: str
) -> None:
    app = open_app(page, **{**FAST, "with": engine})
    assert not app.exception
    assert app.selectbox(key="engine").value == engine


def test_every_chart_and_table_has_a_name_for_screen_readers(
    open_app: Callable[..., AppTest],
) -> None:
    for page, tab in TABBED:
        app = open_app(page, **FAST, **narrow(page), **tab)
        for kind in ("plotly_chart", "arrow_data_frame", "arrow_table"):
            for element in app.get(kind):
                assert element.proto.alt, (page, kind)


def test_a_device_of_ones_own_is_planned_with(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware")
    next(box for box in app.text_input if box.label == "Name").set_value("Modded 4090!")
    next(box for box in app.selectbox if box.label == "Otherwise like").set_value("rtx-4090")
    next(b for b in app.button if b.label == "Add for this session").click()
    app.run()
    assert not app.exception
    app._page_hash = calc_hash("")
    app.run()
    assert "Modded 4090!" in app.selectbox(key="on").options
    app.query_params["on"] = "my-modded-4090"
    app.run()
    assert not app.exception
    assert "on Modded 4090" in app.markdown[0].value
    said = "\n".join(element.value for element in app.markdown)
    assert "Sold as" not in said, "24 GB is what the other is sold as"


def test_every_page_has_its_pictures_in_both_sizes_and_themes() -> None:
    taken = dict(screens())
    assert len(taken) == 6 * len(VIEWS) * 4
    assert {(screen.page, screen.size, screen.scheme) for screen in taken.values()} == {
        (view.name, size, scheme)
        for view in VIEWS
        for size in ("desktop", "phone")
        for scheme in ("light", "dark")
    }

"""Every page in every state: what it shows is what the planner says, and nothing breaks it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

import hardware_db
import planner
from planner.engines import ENGINES
from planner.provenance import Confidence
from planner.web import fidelity
from planner.web.shell import VIEWS
from planner.web.views.trust import _MEANING
from tests.present import some

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
    return {"fits__vendor": ["amd"], "fits__memory": "100"} if page == "fits" else {}


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown)


def figure(app: Any, number: int = 0) -> Any:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


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


@pytest.mark.parametrize("page", [view.name for view in VIEWS if not view.reference])
@pytest.mark.parametrize("state", STATES, ids=lambda state: ",".join(state.values()))
def test_no_state_breaks_a_page(
    open_app: Callable[..., AppTest],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    state: dict[str, str],
) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_HUB", "0")
    app = open_app(page, **{**FAST, **state}, **narrow(page))
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
    for page in PAGES:
        app = open_app(page, **FAST, **narrow(page))
        for kind in ("plotly_chart", "arrow_data_frame"):
            for element in app.get(kind):
                assert element.proto.alt, (page, kind)


def test_what_fits_agrees_with_the_planner(open_app: Callable[..., AppTest]) -> None:
    app = open_app("fits", **FAST, fits__vendor=["nvidia"], fits__memory="90")
    (frame,) = app.dataframe
    table = frame.value.set_index("hardware")
    name = next(column for column in table.columns if column.startswith("bf16"))
    for row in (0, -1):
        title = table.index[row]
        card = next(entry for entry in hardware_db.accelerators() if entry.name == title)
        said = table.loc[title, name]
        count = int(said.partition("×")[0]) if "×" in said else None
        plan = planner.plan(FAST["model"], on=f"{count or 8} x {card.id}", precision="bf16")
        assert plan.fits is (count is not None)


def test_filters_of_what_fits(open_app: Callable[..., AppTest]) -> None:
    app = open_app("fits", **FAST, fits__vendor=["amd"], fits__kind="unified")
    names = set(app.dataframe[0].value["hardware"])
    known = {
        entry.name
        for entry in hardware_db.accelerators()
        if entry.vendor == "amd" and entry.is_unified and entry.total_bytes >= 14 * 2**30
    }
    assert names == known
    app.number_input(key="fits-memory").set_value(1000).run()
    assert not app.dataframe
    assert "No accelerator is left" in text_of(app)


def test_the_context_page_shows_the_ghost_of_a_plain_model(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app("explore", **FAST)
    names = [trace["name"] for trace in figure(app)["data"]]
    assert {"weights", "KV cache", "recurrent state", "if every layer kept KV"} <= set(names)
    by_name = {trace["name"]: trace for trace in figure(app)["data"]}
    state, cache = by_name["recurrent state"]["y"], by_name["KV cache"]["y"]
    assert max(state) == pytest.approx(min(state), rel=0.05)
    assert cache[-1] > 50 * cache[0]
    ghost = by_name["if every layer kept KV"]["y"]
    real = [sum(values) for values in zip(*(t["y"] for t in figure(app)["data"][:-1]), strict=True)]
    assert all(plain >= hybrid for plain, hybrid in zip(ghost[2:], real[2:], strict=True))


def test_the_frontier_falls_with_the_context(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", **FAST)
    lines = [trace for trace in figure(app, 1)["data"] if "lines" in trace["mode"]]
    assert len(lines) >= 2
    for line in lines:
        assert line["y"] == sorted(line["y"], reverse=True)


def test_layouts_are_ranked_and_refusals_have_reasons(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", **{**FAST, "on": "h100-sxm", "count": "6", "model": "Qwen3.5-27B"})
    app.session_state["explore-tabs"] = "Layouts"
    app.run()
    table = app.dataframe[0].value
    assert len(table) > 5
    refused = table[table["verdict"].str.contains("Cannot run")]
    assert len(refused)
    assert (refused["why"].str.len() > 20).all()
    order = [mark[0] for mark in table["verdict"]]
    assert order == sorted(order, key="✓!◐✗⊘".index)


def test_copies_of_kv_heads_are_marked(open_app: Callable[..., AppTest]) -> None:
    wanted = {"on": "h100-sxm", "count": "8", "model": "Qwen3.5-35B-A3B", "layout": "tp8"}
    app = open_app("explore", **{**FAST, **wanted})
    app.session_state["explore-tabs"] = "Layouts"
    app.run()
    names = [trace["name"] for trace in figure(app)["data"]]
    assert any("kept several times" in name for name in names)


def test_the_model_page_counts_like_the_planner(open_app: Callable[..., AppTest]) -> None:
    app = open_app("models", model="Qwen3.5-9B")
    total = planner.parameters("Qwen/Qwen3.5-9B").total
    assert f"{total:,}" in text_of(app)
    strip = figure(app)["data"]
    assert sum(len(trace["x"]) for trace in strip) == 32


def test_every_figure_of_an_entry_shows_its_source(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware", on="h100", count="1")
    card = hardware_db.resolve("h100").accelerator
    text = text_of(app)
    assert card.name in [element.value for element in app.subheader]
    assert f"{some(card.memory_driver_mib).value:,g}" in text
    assert some(card.memory_driver_mib).source.split()[0].strip("[]()*") in text.replace("\\", "")


def test_a_device_of_ones_own_is_planned_with(open_app: Callable[..., AppTest]) -> None:
    app = open_app("hardware")
    app.text_input[-1].set_value("Modded 4090!")
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


def test_every_term_is_explained(open_app: Callable[..., AppTest]) -> None:
    app = open_app("trust", **FAST)
    plan = planner.plan(FAST["model"], on="2x rtx-5090", precision="bf16", engine="vllm")
    labels = [expander.label for expander in app.expander]
    for term in plan.ranks[0].terms:
        assert any(label.startswith(f"{term.name}:") for label in labels)
        assert any(f"= {term.nbytes:,} bytes" in code.value for code in app.code)
    assert set(_MEANING) == set(Confidence)
    assert plan.expected_log[0] in app.code[-1].value


def test_the_shipped_fidelity_run_is_shown(open_app: Callable[..., AppTest]) -> None:
    shipped = fidelity.shipped()
    assert shipped is not None
    assert set(fidelity.ABOUT) >= {suite.name for suite in shipped.suites}
    text = text_of(open_app("trust", **FAST))
    for suite in shipped.suites:
        assert f"| {suite.cases:,} | {suite.exact} |" in text


def test_two_deployments_are_compared_and_their_differences_marked(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app("compare", **FAST)
    assert "Nothing to compare yet" in text_of(app)
    next(b for b in app.button if b.label.startswith("Add the present")).click().run()
    app.number_input(key="count").set_value(4).run()
    next(b for b in app.button if b.label.startswith("Add the present")).click().run()
    assert not app.exception
    text = text_of(app)
    assert "deployment 2" in text
    assert "**hardware** :material/difference:" in text
    assert "| engine |" in text
    assert "per million output tokens" in text


@pytest.mark.parametrize(
    "line", ["rm -rf /", "on=nobody", "v=2&count=0", "x" * 299, "model=/etc/passwd"]
)
def test_a_line_that_cannot_be_read_is_one_sentence(
    open_app: Callable[..., AppTest], line: str
) -> None:
    app = open_app("compare", **FAST, compare=[line])
    assert not app.exception

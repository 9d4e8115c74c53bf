"""Every page in every state: what it shows is what the planner says, and nothing breaks it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import hardware_db
import planner
from planner.engines import ENGINES
from planner.planning import Outcome
from planner.provenance import Confidence
from planner.web import choices, fidelity
from planner.web.shell import VIEWS
from planner.web.views.why import _MEANING
from tests.present import some

PAGES = [view.name for view in VIEWS]


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown)


def figure(app: Any, number: int = 0) -> Any:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_title_and_the_verdict(open_app: Callable[..., AppTest], page: str) -> None:
    app = open_app(page)
    assert not app.exception
    (title,) = app.title
    assert title.value == next(view.title for view in VIEWS if view.name == page)
    assert len(app.success) + len(app.warning) + len(app.error) == 1


STATES = [
    {"on": "rtx-4090", "count": "1", "precision": "bf16"},  # does not fit
    {"context": "256k", "concurrency": "64"},  # holds fewer
    {"tp": "3", "count": "3"},  # cannot run
    {"context": "abc"},  # cannot be read
    {"model": "other", "repository": "nobody/knows-this-8B"},
    {"model": "Qwen3-Next-80B-A3B-Instruct", "on": "mi300x", "count": "8"},
    {"on": "custom", "memory_gib": "24", "count": "1", "model": "Qwen3.5-4B"},
    {"on": "dgx-spark", "count": "2", "model": "Qwen3.5-122B-A10B"},
    {"yarn": "true", "context": "1000000"},
]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("state", STATES, ids=lambda state: ",".join(state.values()))
def test_no_state_breaks_a_page(
    open_app: Callable[..., AppTest],
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    state: dict[str, str],
) -> None:
    monkeypatch.setenv("QWENPLAN_WEB_HUB", "0")
    narrow = {"fits__vendor": ["amd"]} if page == "fits" else {}
    app = open_app(page, **state, **narrow)
    assert not app.exception
    assert len(app.title) == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ("model", "hardware")])
def test_every_engine_has_every_page(
    open_app: Callable[..., AppTest], page: str, engine: str
) -> None:
    narrow = {"fits__vendor": ["apple"], "fits__memory": "100"} if page == "fits" else {}
    app = open_app(page, engine=engine, **narrow)
    assert not app.exception
    assert app.selectbox(key="engine").value == engine


def test_every_chart_and_table_has_a_name_for_screen_readers(
    open_app: Callable[..., AppTest],
) -> None:
    for page in PAGES:
        app = open_app(page)
        for kind in ("plotly_chart", "arrow_data_frame"):
            for element in app.get(kind):
                assert element.proto.alt, (page, kind)


def test_what_fits_agrees_with_the_planner(open_app: Callable[..., AppTest]) -> None:
    app = open_app("fits", fits__vendor=["nvidia"], fits__memory="30", context="32k")
    (frame,) = app.dataframe
    table = frame.value.set_index("hardware")
    chosen = choices.defaults()
    name = next(column for column in table.columns if column.startswith("fp8"))
    for row, card in ((0, None), (-1, None)):
        title = table.index[row]
        card = next(entry for entry in hardware_db.accelerators() if entry.name == title)
        said = table.loc[title, name]
        count = int(said.partition("×")[0]) if "×" in said else None
        plan = planner.plan(
            chosen["model"],
            on=f"{count or 8} x {card.id}",
            precision="fp8",
            context="32k",
            concurrency=chosen["concurrency"],
        )
        assert plan.fits is (count is not None)


def test_filters_of_what_fits(open_app: Callable[..., AppTest]) -> None:
    app = open_app("fits", fits__vendor=["amd"], fits__kind="unified")
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
    app = open_app("context")
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
    app = open_app("context")
    lines = [trace for trace in figure(app, 1)["data"] if "lines" in trace["mode"]]
    assert len(lines) >= 2
    for line in lines:
        assert line["y"] == sorted(line["y"], reverse=True)


def test_layouts_are_ranked_and_refusals_have_reasons(open_app: Callable[..., AppTest]) -> None:
    app = open_app("layouts", on="h100", count="6", model="Qwen3.5-27B")
    table = app.dataframe[0].value
    assert len(table) > 5
    refused = table[table["verdict"].str.contains("Cannot run")]
    assert len(refused)
    assert (refused["why"].str.len() > 20).all()
    order = [mark[0] for mark in table["verdict"]]
    assert order == sorted(order, key="✓!◐✗⊘".index)


def test_copies_of_kv_heads_are_marked(open_app: Callable[..., AppTest]) -> None:
    app = open_app("layouts", on="h100", count="8", model="Qwen3.5-35B-A3B", tp="8")
    names = [trace["name"] for trace in figure(app)["data"]]
    assert any("kept several times" in name for name in names)


def test_the_model_page_counts_like_the_planner(open_app: Callable[..., AppTest]) -> None:
    app = open_app("model", model="Qwen3.5-9B")
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
    assert "my-modded-4090" in app.selectbox(key="on").options
    app.selectbox(key="on").set_value("my-modded-4090").run()
    app.number_input(key="count").set_value(1).run()
    assert "48.0 GiB" in text_of(app)
    alerts = [*app.success, *app.warning, *app.error]
    assert "Modded 4090!" in alerts[0].value


def test_every_term_is_explained(open_app: Callable[..., AppTest]) -> None:
    app = open_app("why")
    chosen = choices.defaults()
    plan = planner.plan(
        chosen["model"],
        on=f"{chosen['count']} x {chosen['on']}",
        precision=chosen["precision"],
        context=chosen["context"],
        concurrency=chosen["concurrency"],
    )
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
    text = text_of(open_app("why"))
    for suite in shipped.suites:
        assert f"| {suite.cases:,} | {suite.exact} |" in text


def test_two_deployments_are_compared_and_their_differences_marked(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app("compare")
    assert "Nothing to compare yet" in text_of(app)
    app.button[0].click().run()
    app.number_input(key="count").set_value(4).run()
    app.button[0].click().run()
    assert not app.exception
    text = text_of(app)
    assert "deployment 2" in text
    assert "**hardware** :material/difference:" in text
    assert "| engine |" in text
    assert "per million output tokens" in text


@pytest.mark.parametrize(
    "line",
    [
        "rm -rf /",
        "Qwen3.5-27B fp8 on 2x rtx-4090 with vllm 64k x4 evil=1",
        "Qwen3.5-27B fp8 on 0x rtx-4090 with vllm 64k x4",
        "Qwen3.5-27B fp8 on 2x rtx-4090 with nobody 64k x4",
        "/etc/passwd fp8 on 2x rtx-4090 with vllm 64k x4",
        "Qwen3.5-27B fp8 on 999999x rtx-4090 with vllm 64k x4",
        "x" * 299,
    ],
)
def test_a_line_that_cannot_be_read_is_one_sentence(
    open_app: Callable[..., AppTest], line: str
) -> None:
    app = open_app("compare", compare=[line])
    assert not app.exception
    assert "Deployment 1:" in text_of(app)


def test_advice_is_applied_with_one_click(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="rtx-4090", count="1", precision="bf16")
    advice = [button for button in app.button if button.label == "Apply"]
    assert advice
    advice[0].click().run()
    assert not app.exception
    assert app.success or app.warning
    assert not app.error


@pytest.mark.parametrize("outcome", [Outcome.HOLDS_FEWER, Outcome.DOES_NOT_FIT])
def test_every_piece_of_advice_keeps_its_word(
    open_app: Callable[..., AppTest], outcome: Outcome
) -> None:
    query = {
        Outcome.HOLDS_FEWER: {"context": "128k", "concurrency": "32"},
        Outcome.DOES_NOT_FIT: {"on": "rtx-4090", "count": "1"},
    }[outcome]
    first = open_app(**query)
    count = sum(button.label == "Apply" for button in first.button)
    assert count
    for number in range(count):
        app = open_app(**query)
        promised = app.button(key=f"advice-{number}").help
        app.button(key=f"advice-{number}").click().run()
        alerts: list[Any] = [*app.success, *app.warning, *app.error]
        (alert,) = alerts
        assert alert.value.lower() in promised.lower()

"""The first page: the verdict first, the numbers of the plan, the command; links that restore it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import planner
from planner.web import choices
from tests.present import some


def alerts(app: Any) -> list[str]:
    return [alert.value for alert in (*app.success, *app.warning, *app.error)]


def metrics(app: Any) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def headroom(app: Any) -> str:
    (value,) = [value for label, value in metrics(app).items() if label.startswith("Headroom")]
    return value


def bar(app: Any) -> Any:
    return json.loads(app.get("plotly_chart")[0].proto.spec)


def test_the_first_visit_answers_at_once(open_app: Callable[..., AppTest]) -> None:
    app = open_app()
    assert not app.exception
    chosen = choices.defaults()
    plan = planner.plan(
        chosen["model"],
        on=f"{chosen['count']} x {chosen['on']}",
        engine=chosen["engine"],
        precision=chosen["precision"],
        kv_cache_dtype=chosen["kv_cache_dtype"],
        context=chosen["context"],
        concurrency=chosen["concurrency"],
    )
    (verdict,) = alerts(app)
    assert verdict.lower() in plan.verdict.lower()
    assert len(verdict) > 0.8 * len(plan.verdict)
    assert metrics(app)["Sequences held"] == f"{some(plan.capacity).sequences:,}"
    assert metrics(app)["Longest context"] == f"{some(plan.capacity).longest_context:,}"
    assert app.code[0].value == some(plan.launch).command


def test_a_verdict_spells_an_engine_as_it_is_written(open_app: Callable[..., AppTest]) -> None:
    app = open_app(model="Qwen3.5-9B", on="rtx-4090", count="1", precision="q4_k_m")
    assert alerts(app)[0].startswith("vLLM does not load")


def test_the_address_restores_the_question(open_app: Callable[..., AppTest]) -> None:
    app = open_app(model="Qwen3.5-9B", on="rtx-4090", count="1", context="131072", concurrency="3")
    assert not app.exception
    assert app.selectbox(key="model").value == "Qwen3.5-9B"
    assert app.text_input(key="context").value == "131072"
    assert "3 requests of 131,072 tokens" in alerts(app)[0]
    assert "--max-model-len 131072" in app.code[0].value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "<script>alert(1)</script>"),
        ("model", "../../etc/passwd"),
        ("precision", "__import__('os')"),
        ("on", "/etc/passwd"),
        ("count", "-5"),
        ("count", "1e400"),
        ("count", "nan"),
        ("engine", "rm -rf"),
        ("concurrency", "1000000000000000000"),
        ("concurrency", "0"),
        ("kv_cache_dtype", "\x00"),
        ("tp", "abc"),
        ("vllm-gpu_memory_utilization", "inf"),
        ("nobody-knows-this", "x" * 5000),
    ],
)
def test_a_hostile_address_falls_back(
    open_app: Callable[..., AppTest], name: str, value: str
) -> None:
    hostile = open_app(**{name: value})
    assert not hostile.exception
    assert alerts(hostile)
    assert all(value not in text for text in alerts(hostile) if len(value) > 3)


@pytest.mark.parametrize("text", ["abc", "-1", "0", "10" * 20, "1.5", "nan", "", "128q", "9M"])
def test_a_context_that_cannot_be_is_one_friendly_sentence(
    open_app: Callable[..., AppTest], text: str
) -> None:
    app = open_app()
    app.text_input(key="context").set_value(text).run()
    assert not app.exception
    assert len(app.error) == 1
    assert "context" in app.error[0].value
    assert "\n" not in app.error[0].value
    assert not app.metric


def test_the_slider_writes_the_exact_entry(open_app: Callable[..., AppTest]) -> None:
    app = open_app()
    app.select_slider(key="context-slider").set_value("128k").run()
    assert app.text_input(key="context").value == "128k"
    assert "131,072 tokens" in alerts(app)[0]
    app.text_input(key="context").set_value("100000").run()
    assert app.select_slider(key="context-slider").value == "100000"


def test_beyond_the_native_context_needs_yarn(open_app: Callable[..., AppTest]) -> None:
    app = open_app(context="512k")
    assert "YaRN" in app.error[0].value
    next(button for button in app.button if "YaRN" in button.label).click().run()
    assert app.toggle(key="yarn").value is True
    assert not app.exception
    assert not [text for text in alerts(app) if "YaRN" in text and "ask" in text]


def test_what_does_not_fit_stays_visible_beyond_the_line(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="rtx-4090", count="1", precision="bf16")
    assert app.error[0].value.startswith("On ") or "over" in app.error[0].value
    figure = bar(app)
    over = [trace for trace in figure["data"] if trace["name"] == "over the usable memory"]
    assert over
    assert over[0]["marker"]["pattern"]["shape"]
    end = max(shape["x1"] for shape in figure["layout"]["shapes"])
    assert figure["layout"]["xaxis"]["range"][1] > end


def test_the_bar_sums_to_the_plan(open_app: Callable[..., AppTest]) -> None:
    app = open_app()
    figure = bar(app)
    parts = {trace["name"]: trace["x"][0] for trace in figure["data"]}
    usable = figure["layout"]["shapes"][0]["x0"]
    assert sum(parts.values()) == pytest.approx(usable)
    assert parts["free"] > 0


def test_an_impossible_layout_says_why(open_app: Callable[..., AppTest]) -> None:
    app = open_app(tp="3", count="3")
    assert not app.exception
    assert app.error
    assert app.error[0].proto.title == "Cannot run"
    assert not app.metric


def test_engine_options_reach_the_plan(open_app: Callable[..., AppTest]) -> None:
    app = open_app()
    assert "vllm-gpu_memory_utilization" not in [box.key for box in app.number_input]
    app.session_state["more"] = True
    app.run()
    before = headroom(app)
    app.number_input(key="vllm-gpu_memory_utilization").set_value(0.8).run()
    assert headroom(app) != before
    app.session_state["more"] = False
    app.run()
    assert headroom(app) != before, "closing the options must not unset them"
    app.number_input(key="vllm-gpu_memory_utilization").set_value(7.0).run()
    assert "gpu_memory_utilization" in app.error[0].value.replace("\\", "")


def test_custom_memory(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="custom", count="1", memory_gib="80")
    assert not app.exception
    assert alerts(app)
    app.number_input(key="memory_gib").set_value(8.0).run()
    assert app.error


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Qwen3.5-Plus", "hosted service"),
        ("Qwen3.5-28B", "unknown model"),
        ("/etc/passwd", "unknown model"),
        ("~/models/", "unknown model"),
        ("./config.json", "unknown model"),
        ("", "unknown model"),
    ],
)
def test_a_typed_name_is_a_name_and_never_a_path(
    open_app: Callable[..., AppTest], name: str, words: str
) -> None:
    app = open_app(model="other", repository=name)
    assert not app.exception
    assert words in app.error[0].value


def test_a_link_written_by_hand_is_understood(open_app: Callable[..., AppTest]) -> None:
    app = open_app(on="8x H100", model="Qwen/Qwen3.5-27B-FP8", engine="vLLM")
    assert not app.exception
    assert app.selectbox(key="on").value == "h100-sxm"
    assert app.number_input(key="count").value == 8
    assert app.selectbox(key="model").value == "Qwen3.5-27B"
    assert app.selectbox(key="precision").value == "fp8"


def test_files_of_a_plan(open_app: Callable[..., AppTest]) -> None:
    app = open_app()
    assert not app.get("download_button")
    app.session_state["files"] = True
    app.run()
    assert not app.exception
    labels = [button.proto.label for button in app.get("download_button")]
    assert labels[:3] == ["JSON", "CSV", "Markdown"]
    assert {"Compose", "Kubernetes"} <= set(labels)

"""Explore: curves go through plans, the asked context is marked, layouts are ranked."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import planner
from planner.memory.breakdown import Kind
from planner.question import question_of
from planner.units import GIB
from planner.web import curves, palette
from planner.web.figures.context import memory_over_context
from planner.web.views import context
from tests.present import some

FAST = {"v": "2", "model": "Qwen3.5-9B", "on": "rtx-5090", "with": "vllm", "weights": "bf16"}


def figure(app: Any, number: int = 0) -> Any:
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("Qwen3.5-35B-A3B", {"on": "2x rtx-5090", "precision": "fp8", "context": "50000"}),
        ("Qwen3.6-27B", {"on": "rtx-3090", "precision": "q4_k_m", "engine": "llamacpp"}),
    ],
)
def test_every_point_of_the_curve_is_what_a_plan_says(model: str, asked: dict[str, Any]) -> None:
    plan = planner.plan(model, **asked)
    question = question_of(plan)
    curve = curves.memory_curve(question)
    assert curve is not None
    assert curve.native == 262_144
    assert plan.deployment.context in {point.context for point in curve.points}
    for point in curve.points[::3]:
        rank = question.plan(context=point.context, yarn=point.context > curve.native).ranks[0]
        for kind in Kind:
            assert point.sizes[kind] == pytest.approx(rank.of_kind(kind), abs=curves.STRAIGHT)
        assert point.every_layer is None or point.every_layer > point.used - 2**30


def test_a_calculator_that_takes_every_layer_says_the_same_whatever_ram_there_is() -> None:
    """With RAM beside the GPU the cache that lies there was forgotten: 36.4 GiB in place of 51.8."""
    sizes = []
    for on in ("rtx-5090", "rtx-5090, 64GB RAM"):
        plan = planner.plan(
            "unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL", on=on, kv_cache_dtype="q8_0", context="64k"
        )
        curve = some(curves.memory_curve(question_of(plan)))
        at = next(point for point in curve.points if point.context == curve.native)
        sizes.append((some(at.every_layer) - at.used) / at.sizes[Kind.KV_CACHE])
    assert sizes[0] == pytest.approx(3, rel=0.05)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


def test_the_asked_context_is_marked_and_what_needs_yarn_shaded() -> None:
    plan = planner.plan("Qwen3.5-9B", on="rtx-5090", context="48k")
    curve = curves.memory_curve(question_of(plan))
    assert curve is not None
    document = memory_over_context(curve, asked=49_152, text="#000000")
    shapes = document["layout"]["shapes"]
    assert any(shape.get("x0") == shape.get("x1") == 49_152 for shape in shapes)
    (shade,) = [shape for shape in shapes if shape["type"] == "rect"]
    assert (shade["x0"], shade["x1"]) == (262_144, curve.points[-1].context)
    words = [note["text"] for note in document["layout"]["annotations"]]
    assert "48k asked" in words
    assert "with YaRN" in words


def test_words_are_about_the_asked_context_first(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", **FAST, context="64k", users="2")
    assert not app.exception
    plan = planner.plan(
        "Qwen3.5-9B", on="rtx-5090", engine="vllm", precision="bf16", context="64k", concurrency=2
    )
    words = context.here(plan)
    assert words.startswith("2 requests of 64k tokens take ")
    assert words in text_of(app)
    names = [trace["name"] for trace in figure(app)["data"]]
    assert {"weights", "KV cache", "recurrent state", "if every layer kept KV"} <= set(names)


def test_the_frontier_falls_with_the_context(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", **FAST)
    lines = [trace for trace in figure(app, 1)["data"] if "lines" in trace["mode"]]
    assert len(lines) >= 2
    for line in lines:
        assert line["y"] == sorted(line["y"], reverse=True)


def test_one_accelerator_has_nothing_to_spread(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", **FAST, explore__tab="Layouts")
    assert not app.exception
    assert not app.dataframe
    assert "nothing to spread" in app.info[0].value


def test_layouts_are_ranked_and_refusals_have_reasons(open_app: Callable[..., AppTest]) -> None:
    asked = FAST | {"on": "h100-sxm", "count": "6", "model": "Qwen3.5-27B"}
    app = open_app("explore", **asked, explore__tab="Layouts")
    assert not app.exception
    table = app.dataframe[0].value
    assert len(table) > 5
    refused = table[table["verdict"].str.contains("Cannot run")]
    assert len(refused)
    assert (refused["why"].str.len() > 20).all()
    order = [mark[0] for mark in table["verdict"]]
    assert order == sorted(order, key="✔▲◐✘–".index)
    held = (table["verdict"].str.startswith(("✔", "▲"))).sum()
    assert f"**{held} of {len(table)} layouts**" in text_of(app)


def test_the_first_layout_is_the_planned_one(open_app: Callable[..., AppTest]) -> None:
    asked = FAST | {"on": "h100-sxm", "count": "8", "model": "Qwen3.5-122B-A10B", "weights": "fp8"}
    app = open_app("explore", **asked, explore__tab="Layouts")
    plan = planner.plan("Qwen3.5-122B-A10B", on="8x h100-sxm", engine="vllm", precision="fp8")
    assert app.dataframe[0].value["layout"][0] == str(plan.deployment.layout)
    assert set(palette.LOOKS) == set(planner.Outcome)


def test_a_deployment_that_cannot_run_says_why_no_curve_is_drawn(
    open_app: Callable[..., AppTest],
) -> None:
    app = open_app("explore", **(FAST | {"layout": "tp3", "count": "3"}))
    assert not app.exception
    assert "No context can be drawn" in app.info[0].value
    assert not app.get("plotly_chart")


def test_usable_memory_is_the_ranks_own() -> None:
    plan = planner.plan("Qwen3.5-9B", on="rtx-5090", precision="bf16")
    curve = curves.memory_curve(question_of(plan))
    assert curve is not None
    assert (curve.usable, curve.total) == (plan.ranks[0].usable, plan.ranks[0].total)
    assert curve.usable / GIB < 32


def test_who_holds_what_is_drawn_once_it_is_opened(open_app: Callable[..., AppTest]) -> None:
    wanted = {"on": "h100-sxm", "count": "8", "model": "Qwen3.5-35B-A3B", "layout": "tp8"}
    app = open_app("explore", **(FAST | wanted), explore__tab="Layouts")
    assert not app.get("plotly_chart")
    app.session_state["explore-who"] = True
    app.run()
    assert not app.exception
    names = [trace["name"] for trace in figure(app)["data"]]
    assert any("kept several times" in name for name in names)


@pytest.mark.parametrize("on", ["8x h100-sxm", "4x dgx-spark"])
def test_more_machines_hold_no_fewer_sequences(on: str) -> None:
    count, _, card = on.partition("x ")
    plan = planner.plan("Qwen3.5-122B-A10B", on=on, engine="vllm", precision="fp8")
    many = dict(curves.frontier(replace(question_of(plan), layout=None)))
    half = planner.plan(
        "Qwen3.5-122B-A10B", on=f"{int(count) // 2}x {card}", engine="vllm", precision="fp8"
    )
    for tokens, held in curves.frontier(replace(question_of(half), layout=None)):
        assert many[tokens] >= held


def test_what_a_long_context_moves_into_ram_is_said() -> None:
    plan = planner.plan(
        "Qwen3.6-27B", on="rtx-3090 + 64GB RAM", precision="q4_k_m", engine="llamacpp"
    )
    curve = some(curves.memory_curve(question_of(plan)))
    assert curve.from_ram is not None
    assert curve.from_ram > some(plan.capacity).longest_context
    assert "part of the model lies in RAM" in context.elsewhere(curve, plan)
    alone = planner.plan("Qwen3.5-9B", on="rtx-5090", precision="fp8", engine="vllm")
    assert some(curves.memory_curve(question_of(alone))).from_ram is None


def test_the_name_of_a_line_that_lies_on_the_fill_can_be_read_in_both_themes() -> None:
    for on, on_fill in (("custom:1GiB", True), ("h100", False)):
        plan = planner.plan("Qwen3.5-9B", on=on, engine="vllm", precision="bf16")
        curve = some(curves.memory_curve(question_of(plan)))
        figure = memory_over_context(curve, asked=32_768, text=palette.DARK_THEME_TEXT)
        names = [trace for trace in figure["data"] if trace["mode"] == "text"]
        notes = [note["text"] for note in figure["layout"]["annotations"]]
        assert any("usable" in note for note in notes) is not on_fill
        assert figure["layout"]["xaxis"]["range"][0] == 12 * math.log10(2), (
            "nothing moves the areas"
        )
        levels = [shape for shape in figure["layout"]["shapes"] if shape["x0"] == 0]
        assert len(levels) == len({shape["y0"] for shape in levels})
        assert [trace["textfont"]["color"] for trace in names] == [palette.PARTS[0].ink] * on_fill


def test_the_name_of_a_line_is_not_drawn_over() -> None:
    """The dashed line and the areas lay over 'usable 22.9 GiB'."""
    for model, together in (("Qwen3.5-122B-A10B", True), ("Qwen3.5-2B", False)):
        found = planner.recommend(model, on="rtx-4090, 64GB RAM").pick
        curve = some(curves.memory_curve(question_of(some(found).plan)))
        notes = memory_over_context(curve, asked=32_768, text="#000000")["layout"]["annotations"]
        named = next(note["text"] for note in notes if "usable" in note["text"])
        assert ("all memory" in named) is together


def test_checkpoints_of_the_state_are_not_called_constant() -> None:
    spark = planner.plan("Qwen3.5-9B", on="dgx-spark", precision="q4_k_m", engine="llamacpp")
    words = context.elsewhere(some(curves.memory_curve(question_of(spark))), spark)
    assert "the recurrent state with its checkpoints" in words
    assert "does not grow" not in words
    assert "of recurrent state with its checkpoints." in context.here(spark)
    card = planner.plan("Qwen3.5-9B", on="rtx-5090", precision="fp8", engine="vllm")
    words = context.elsewhere(some(curves.memory_curve(question_of(card))), card)
    assert "The recurrent state does not grow with the context." in words


def test_a_model_with_a_window_of_ngrams_has_a_curve(open_app: Callable[..., AppTest]) -> None:
    app = open_app("explore", v="2", model="Qwen3.8-Flash-Next", on="dgx-spark", context="64k")
    assert not app.exception
    curve = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert "if every layer kept KV" in {trace["name"] for trace in curve["data"]}


def test_more_of_a_model_lies_in_ram_where_a_part_does_already() -> None:
    """'From about 48k on, part of the model lies in RAM', where experts lay there at 4k."""
    plan = planner.plan(
        "unsloth/Qwen3.5-35B-A3B-GGUF:UD-Q4_K_XL", on="rtx-3060-12, 64GB RAM", engine="llamacpp"
    )
    curve = some(curves.memory_curve(question_of(plan)))
    assert curve.in_ram
    assert "with the weights where they lie now" in context.here(plan)
    if curve.from_ram is not None:
        assert "more of the model lies in RAM" in context.elsewhere(curve, plan)
    bare = replace(curve, in_ram=False, from_ram=curve.points[1].context)
    assert "part of the model lies in RAM" in context.elsewhere(bare, plan)

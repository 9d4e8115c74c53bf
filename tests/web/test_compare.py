"""Compare: the nearest alternatives are there already; what was kept; costs are `planner.costing`'s."""

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import planner
from planner.cost import seller
from planner.costing import cost_of
from planner.recommending import recommend
from planner.throughput.answer import two_digits
from planner.wanting import want
from planner.web import comparing
from planner.web.asked import Asked
from planner.web.comparing import Side, facts, read, split, written
from tests.present import some

ASKED = {"v": "2", "on": "rtx-3090", "model": "Qwen3.5-9B", "context": "32k"}


def text_of(app: Any) -> str:
    return "\n".join(element.value for element in app.markdown).replace("\\", "")


def cards(app: Any) -> list[dict[str, str]]:
    """The cards' rows, in order."""
    return [
        {name: str(words).replace("\\", "") for name, words in table.value.iloc[:, 0].items()}
        for table in app.table
    ]


def test_it_starts_with_the_present_one_and_the_front(open_app: Callable[..., AppTest]) -> None:
    app = open_app("compare", **ASKED)
    assert not app.exception
    found = recommend(want("Qwen3.5-9B", on="rtx-3090", context="32k"))
    assert 2 <= len(app.table) == min(comparing.MOST, 1 + len(found.front))
    text = text_of(app)
    assert "the present one" in text
    for choice in found.front[: comparing.MOST - 1]:
        assert choice.better in text
    assert "The same for all: Machine **RTX 3090**" in text
    for row in cards(app):
        assert row.keys() == cards(app)[0].keys()
    for name in cards(app)[0]:
        assert len({row[name] for row in cards(app)}) > 1


def test_what_was_kept_stands_beside_what_is_asked_now(open_app: Callable[..., AppTest]) -> None:
    app = open_app("compare", **ASKED)
    before = len(app.table)
    app.button(key="compare-keep").click().run()
    assert not app.exception
    assert len(app.table) == before, "it is not its own neighbour"
    assert "the present one, kept" in text_of(app)
    app.number_input(key="users").set_value(2).run()
    assert [row["Users"] for row in cards(app)] == ["2", "1"]
    kept = app.query_params["compare"]
    again = open_app("compare", **ASKED, users="2", compare=kept)
    assert cards(again) == cards(app)
    again.button(key="compare-remove-1").click().run()
    assert not again.query_params.get("compare")


def test_an_alternative_can_be_taken(open_app: Callable[..., AppTest]) -> None:
    app = open_app("compare", **ASKED)
    front = recommend(want("Qwen3.5-9B", on="rtx-3090", context="32k")).front
    app.button(key="compare-take-1").click().run()
    assert not app.exception
    assert front[0].entry.name in [str(words) for words in app.query_params["weights"]] or (
        app.query_params["weights"] == front[0].entry.name
    )


@pytest.mark.parametrize(
    "kept", ["rm -rf /", "on=%2Fetc%2Fpasswd&model=x", "x" * 5000, "model=Qwen9-9B&on=rtx-3090"]
)
def test_what_cannot_be_read_is_one_sentence(open_app: Callable[..., AppTest], kept: str) -> None:
    app = open_app("compare", **ASKED, compare=[kept])
    assert not app.exception
    assert len(app.table) >= 1


def test_a_question_survives_its_way_through_the_address() -> None:
    asked = Asked(
        on="h100-sxm", count="8", model="Qwen3.5-27B", weights="fp8", users="200", kv="fp8"
    )
    assert read(written(asked)) == asked


def test_costs_are_those_of_the_library(open_app: Callable[..., AppTest]) -> None:
    app = open_app("compare", **ASKED, compare__busy="50", compare__answer="1000")
    plan = some(recommend(want("Qwen3.5-9B", on="rtx-3090", context="32k")).pick).plan
    bill = next(b for b in cost_of(plan, output_tokens=1000, busy=0.5).bills if b.kind == "own")
    assert f"Buy **{bill.offer.value:,.0f} USD ({bill.offer.date})**" in text_of(app)
    assert "USD/h: bought, over 3 years, with power" in text_of(app)
    million = two_digits(some(bill.tokens).per_million)
    assert cards(app)[0]["Own, per 1M"] == f"{million} USD"
    assert "busy 50% of the day" in text_of(app)


def test_a_hosted_price_stands_beside_in_the_same_mix() -> None:
    """Cards said that a hosted service costs less, and not what it asks."""
    plan = planner.plan("Qwen3.5-27B", on="rtx-5090", engine="vllm", precision="fp8", context="32k")
    cost = cost_of(plan, output_tokens=8192, busy=0.3)
    hosted = some(cost.hosted)
    mixed = 0.75 * hosted.price.per_million_input + 0.25 * hosted.price.per_million_output
    row = comparing.costs(cost, plan.deployment.context)["Hosted, per 1M"]
    assert row == f"{two_digits(mixed)} USD at {seller(hosted.provider)}"


def test_a_program_that_runs_llama_cpp_inside_is_named() -> None:
    plan = planner.plan("Qwen3.5-9B", on="rtx-4090", precision="q4_k_m", engine="llamacpp")
    asked = Asked(on="rtx-4090", engine="lmstudio")
    rows = facts(Side(asked=asked, plan=plan, choice=None, why=""))
    assert rows["Engine"] == f"LM Studio ({plan.server})"


def test_facts_say_what_is_missing() -> None:
    plan = planner.plan("Qwen3.5-27B", on="rtx-4090", precision="bf16")
    rows = facts(Side(asked=Asked(on="rtx-4090"), plan=plan, choice=None, why=""))
    assert "Spare" not in rows
    assert rows["Missing"].endswith("GiB")
    assert rows["Quality"] == "not known"


def test_which_model_has_the_better_scores_is_said(open_app: Callable[..., AppTest]) -> None:
    """'near-lossless' beside 'as the original' read as if it told the models apart."""
    other = written(Asked(on="rtx-3090", model="Qwen3.5-2B"))
    app = open_app("compare", **ASKED, compare=[other])
    first, second = (card["Model's scores"] for card in cards(app))
    place, of = (int(word) for word in first.removeprefix("class ").split(" of "))
    assert second == f"class {place + 2} of {of}"
    assert "published tests of general knowledge" in text_of(app)


def test_what_is_alike_is_said_once() -> None:
    same, rows = split([{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}])
    assert same == {"a": "1"}
    assert rows == [{"b": "2", "c": "—"}, {"b": "3", "c": "4"}]
    assert split([{"a": "1"}]) == ({}, [{"a": "1"}])


def test_lengths_and_prices_are_told_alike(open_app: Callable[..., AppTest]) -> None:
    for page in ("", "compare", "explore", "models"):
        app = open_app(page, v="2", on="dgx-spark", model="Qwen3.5-9B", context="64k")
        words = [*app.markdown, *app.metric]
        told = "\n".join(str(element.value) for element in words)
        assert "65,536" not in told
        assert "262,144 tokens" not in told
    assert [comparing._money(price) for price in (0.34, 0.1204, 0.0123, 12.3)] == [
        "0.34",
        "0.12",
        "0.012",
        "12.30",
    ]

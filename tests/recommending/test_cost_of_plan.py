"""What a plan costs at its load; what a notebook holds."""

import json

import pytest

import planner
from planner.cli.main import run
from planner.cost.listed import seller
from planner.costing import cost_lines, cost_of
from planner.recommending import schema
from planner.speed import speed_of
from planner.throughput import SpeedEstimate


def test_rent_own_and_hosted_are_named_and_dated() -> None:
    cost = planner.plan("Qwen3.5-27B", on="h100", engine="vllm", precision="fp8").cost
    assert [bill.kind for bill in cost.bills] == ["rent", "own"]
    assert all(bill.offer.date for bill in cost.bills)
    assert cost.hosted is not None
    assert cost.hosted.date
    text = "\n".join(cost_lines(cost))
    assert seller(cost.hosted.provider) in text
    assert "kWh" in text
    assert "a quarter of the context" in text


def test_more_users_make_a_token_cheaper() -> None:
    def output(users: int) -> float:
        plan = planner.plan(
            "Qwen3.5-27B", on="h100", engine="vllm", precision="fp8", concurrency=users
        )
        tokens = cost_of(plan, output_tokens=1000).bills[0].tokens
        assert tokens is not None
        return tokens.per_million_output

    assert output(8) < output(1)


def test_rent_per_hour_is_what_the_tokens_of_an_hour_cost() -> None:
    plan = planner.plan("Qwen3.5-27B", on="h100", engine="vllm", precision="fp8", concurrency=4)
    rent = cost_of(plan, output_tokens=2000).bills[0]
    assert rent.tokens is not None
    per_day = rent.tokens.per_request * rent.tokens.requests_per_day
    assert per_day == pytest.approx(24 * rent.offer.value)


@pytest.mark.parametrize("answers", [None, 100, 1000])
def test_tokens_that_are_produced_cost_something(answers: int | None) -> None:
    """Replicas compute prompts at the same time, and no prompt takes all of a request's time."""
    plan = planner.plan(
        "Qwen3.5-397B-A17B",
        on="8x h100",
        engine="vllm",
        precision="fp8",
        concurrency=16,
        context=65536,
    )
    cost = cost_of(plan, output_tokens=answers)
    rent = cost.bills[0]
    assert rent.tokens is not None
    assert rent.tokens.per_million_input is not None
    steady = speed_of(plan)
    assert isinstance(steady, SpeedEstimate)
    decoded = rent.expense.per_hour / 3600 / steady.total.value * 1e6
    assert decoded / 4 < rent.tokens.per_million_output < 4 * decoded
    prompt = plan.deployment.context - cost.output_tokens
    whole = rent.tokens.per_million_input * prompt
    whole += rent.tokens.per_million_output * cost.output_tokens
    assert whole / 1e6 == pytest.approx(rent.tokens.per_request)


def test_the_command_prints_it_and_the_document_holds_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["plan", "Qwen3.5-4B", "--on", "h100", "--cost"]) == 0
    assert "per million tokens" in capsys.readouterr().out
    assert run(["plan", "Qwen3.5-4B", "--on", "h100", "--cost", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cost"]["bills"][0]["per_hour"] > 0
    assert document["alternatives"]
    assert run(["plan", "Qwen3.5-4B", "--on", "h100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cost"] is None


def test_recommendations_and_layouts_have_money_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    """M10: money per million tokens, power and rent appeared in no command."""
    jsonschema = pytest.importorskip("jsonschema")
    asked = ["recommend", "Qwen3.5-4B", "--on", "h100", "--cost"]
    assert run(asked) == 0
    text = capsys.readouterr().out
    assert "per million tokens" in text
    assert "kWh" in text
    assert run([*asked, "--output-tokens", "500", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, schema())
    assert document["cost"]["output_tokens"] == 500
    assert run(["layouts", "Qwen3.5-4B", "--on", "2x h100", "--objective", "cost"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "USD" in line]
    costs = [float(row[-2]) for row in rows]
    assert len(costs) > 1
    assert all(cost > 0 for cost in costs)


def test_a_notebook_gets_the_verdict_the_bar_and_the_command() -> None:
    """M12: a plan printed 17,775 characters and had neither speed nor advice."""
    plan = planner.plan("Qwen3.5-27B", on="h100", engine="vllm", precision="fp8")
    page = plan._repr_html_()
    assert plan.launch is not None
    assert plan.launch.command in page
    assert "weights" in page
    assert len(repr(plan)) < 300
    assert plan.speed is not None
    assert plan.advice == ()
    (fit,) = planner.fits("Qwen3.5-4B", on="h100")
    assert len(repr(fit.plan)) < 300


def test_a_plan_knows_what_else_there_is() -> None:
    found = planner.plan("Qwen3.5-27B", on="h100", engine="vllm").alternatives
    assert found[0].entry.repo == "Qwen/Qwen3.5-27B-FP8"

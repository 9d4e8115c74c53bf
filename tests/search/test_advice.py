"""Advice was planned before it is given, and comes in the order of what it costs the user."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardware_db
import planner
from planner.engines.economies import economies_of
from planner.layout import Layout
from planner.planning import Outcome
from planner.report.text import plan_text
from planner.search import advise
from planner.search.combining import applied, fewest
from planner.search.hardware import larger_counts


def test_nothing_is_advised_where_it_fits(ask: Callable[..., Any]) -> None:
    assert advise(ask("Qwen3.5-9B", "h100").plan()) == ()


@settings(max_examples=6)
@given(
    st.sampled_from(["Qwen3.5-9B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-27B-FP8"]),
    st.sampled_from(["rtx-4090", "rtx-3090", "2x rtx-4090", "gb10", "custom:24GiB"]),
    st.sampled_from([8192, 65_536, 262_144]),
    st.integers(1, 64),
)
def test_every_piece_of_advice_is_enough_or_none_is(
    ask: Callable[..., Any], model: Any, machine: Any, context: Any, concurrency: Any
) -> None:
    plan = ask(model, machine, context=context, concurrency=concurrency).plan()
    found = advise(plan)
    assert plan.fits == (not found)
    if any(entry.enough for entry in found):
        assert all(entry.enough and entry.plan.fits for entry in found)
        order = [(not entry.trusted, entry.cost) for entry in found]
        assert order == sorted(order)
    gains = [entry.gained for entry in found if entry.gained is not None]
    for entry, gain in zip(found, gains, strict=False):
        assert gain == entry.plan.headroom - plan.headroom


def test_the_first_is_the_cheapest_that_is_enough(ask: Callable[..., Any]) -> None:
    """A little too much for the card: leaving out what is not used comes before everything else."""
    question = ask("Qwen3.5-9B", "custom:24GiB", context=32_768, concurrency=1)
    left = question.plan().headroom
    assert left is not None
    assert left > 0
    question = ask("Qwen3.5-9B", f"custom:{24 - left / 2**30 - 0.3:.2f}GiB")
    first = advise(question.plan())[0]
    assert first.title.startswith("leave the vision tower out")
    assert first.gained is not None
    assert first.gained > 0
    assert first.plan.deployment.options.language_model_only


def test_economies_are_combined_where_one_is_not_enough(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-27B", "2x rtx-3090", precision="fp8", concurrency=8)
    plan = question.plan()
    together = next(entry for entry in advise(plan) if entry.steps > 1)
    assert together.enough
    for economy in economies_of(question.engine, plan.deployment):
        assert not applied(question, economy).plan().fits


def test_a_combination_has_no_needless_part(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-27B", "2x rtx-3090", precision="fp8", concurrency=8)
    taken = fewest(question, economies_of(question.engine, question.plan().deployment))
    assert len(taken) > 1
    for left_out in taken:
        rest = question
        for economy in taken:
            if economy is not left_out:
                rest = applied(rest, economy)
        assert not rest.plan().fits


def test_another_layout_is_advised_where_one_is_refused(ask: Callable[..., Any]) -> None:
    plan = ask(
        "Qwen3.5-35B-A3B", "8x h100", precision="fp8", layout=Layout(tensor_parallel=8)
    ).plan()
    assert plan.outcome is Outcome.CANNOT_RUN
    first = advise(plan, most=1)[0]
    assert first.title.startswith("use TP 4")
    assert first.gained is None


def test_the_hopeless_case_names_hardware_that_holds_it(ask: Callable[..., Any]) -> None:
    found = advise(ask("Qwen3.5-397B-A17B", "rtx-4060-ti-8").plan())
    assert found
    assert found[-1].enough
    assert found[-1].title.startswith("use ")


def test_no_more_than_asked(ask: Callable[..., Any]) -> None:
    plan = ask("Qwen3.5-27B", "rtx-4090", precision="fp8").plan()
    assert len(advise(plan, most=2)) == 2


def test_the_report_shows_three(ask: Callable[..., Any]) -> None:
    plan = ask("Qwen3.5-27B", "2x rtx-3090", precision="fp8", concurrency=8).plan()
    text = plan_text(plan, advice=advise(plan))
    assert "It fits with:" in text
    assert text.count("\n  - ") == 3
    assert "It fits with" not in plan_text(plan)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "llamacpp"])
def test_an_engines_economies_change_its_own_options(ask: Callable[..., Any], engine: str) -> None:
    question = ask(
        "Qwen3.5-27B", "h100", engine=engine, precision="q4_k_m" if engine == "llamacpp" else "fp8"
    )
    known = set(type(question.options).__dataclass_fields__)
    for economy in economies_of(question.engine, question.plan().deployment):
        assert set(economy.options) <= known
        assert economy.title
        assert economy.loses
        assert 1 <= economy.cost <= 4
        assert applied(question, economy) != question


def test_an_engine_whose_rules_were_only_read_never_comes_first() -> None:
    """On a Spark TensorRT-LLM's assumed overheads made it the first advice."""
    plan = planner.plan(
        "Qwen3.5-122B-A10B",
        on="dgx-spark",
        engine="sglang",
        precision="nvfp4",
        context=131_072,
        concurrency=4,
    )
    found = advise(plan)
    assert any(not advice.trusted for advice in found)
    order = [advice.trusted for advice in found]
    assert order == sorted(order, reverse=True)
    (first,) = advise(plan, most=1)
    assert first.trusted


@pytest.mark.parametrize(
    "on", ["rtx-5090-laptop", "apple-m4-pro-24", "orin-64", "strix-halo-64", "3090 + 3060 12gb"]
)
def test_what_nobody_adds_to_is_not_multiplied(on: str) -> None:
    """A second laptop was advised, with --nnodes 2."""
    assert list(larger_counts(hardware_db.resolve(on))) == []


def test_another_machine_is_named_instead(ask: Callable[..., Any]) -> None:
    found = advise(ask("Qwen3.6-35B-A3B-FP8", "rtx-5090-laptop", context=65_536).plan())
    (other,) = (advice for advice in found if advice.loses == "other hardware")
    assert other.plan.deployment.system.nodes == 1
    assert not any(advice.loses == "more hardware" for advice in found)


def test_sparks_are_joined_and_cards_are_added() -> None:
    for on in ("dgx-spark", "rtx-3090"):
        assert next(larger_counts(hardware_db.resolve(on))).count == 2


def test_what_is_owned_comes_before_more_of_it() -> None:
    """Five cards were advised where the other two of four were free."""
    plan = planner.plan_command(
        "vllm serve Qwen/Qwen3.5-35B-A3B --tensor-parallel-size 2", on="4x rtx-3090"
    )
    for found in (advise(plan), plan.advice):
        assert found[0].plan.deployment.layout.accelerators == 4
        assert all(advice.plan.deployment.system.count <= 4 for advice in found)
        assert not any("hardware" in advice.loses for advice in found)


@pytest.mark.parametrize(
    ("model", "on", "context"),
    [
        ("unsloth/Qwen3.6-27B-GGUF:UD-IQ2_XXS", "2x rtx-3090", "1M"),
        ("Qwen/Qwen3.6-35B-A3B-FP8", "2x rtx-3090", "1M"),
    ],
)
def test_the_verdict_and_the_advice_name_one_length(model: str, on: str, context: str) -> None:
    """504,832 tokens fitted, and the context was to be limited to 512,000."""
    plan = planner.plan(model, on=on, context=context, yarn=True)
    told = f"{plan.longest_context:,} tokens"
    assert told in plan.verdict
    (shorter,) = (advice for advice in advise(plan) if advice.title.startswith("limit"))
    assert told in shorter.title
    assert shorter.plan.fits

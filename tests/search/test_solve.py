"""Limits are exact: the value fits, one step beyond does not."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.engines.economies import Knob
from planner.errors import InputError
from planner.layout import Layout
from planner.search.solve import (
    last_that_fits,
    longest_context,
    most_sequences,
    solve_limits,
    turn,
)

MODELS = st.sampled_from(["Qwen3.5-4B", "Qwen3.5-9B", "Qwen3.5-27B-FP8", "Qwen3.5-35B-A3B-FP8"])
MACHINES = st.sampled_from(["rtx-4090", "2x rtx-3090", "h100", "custom:40GiB", "l40s", "gb10"])
ENGINES = st.sampled_from(["vllm", "sglang"])
CACHES = st.sampled_from(["auto", "fp8_e4m3"])


def whole(found: Any) -> int:
    """The value of a limit in tokens or sequences."""
    assert isinstance(found.value, int)
    return found.value


@settings(max_examples=30)
@given(MODELS, MACHINES, ENGINES, CACHES, st.integers(1, 24))
def test_one_token_more_does_not_fit(
    ask: Callable[..., Any], model: Any, machine: Any, engine: Any, cache: Any, concurrency: Any
) -> None:
    question = ask(model, machine, engine=engine, kv_cache_dtype=cache, concurrency=concurrency)
    found = longest_context(question)
    native = question.checkpoint.model.max_position_embeddings
    if found.value is None:
        assert not question.plan(context=1).fits
    else:
        assert question.plan(context=found.value).fits
        assert found.value == native or not question.plan(context=whole(found) + 1).fits


@settings(max_examples=30)
@given(MODELS, MACHINES, ENGINES, CACHES, st.sampled_from([512, 4096, 30_000, 131_072]))
def test_one_sequence_more_does_not_fit(
    ask: Callable[..., Any], model: Any, machine: Any, engine: Any, cache: Any, context: Any
) -> None:
    question = ask(model, machine, engine=engine, kv_cache_dtype=cache, context=context)
    found = most_sequences(question)
    if found.value is None:
        assert not question.plan(concurrency=1).fits
    else:
        assert question.plan(concurrency=found.value).fits
        assert not question.plan(concurrency=whole(found) + 1).fits
        assert found.beyond is not None


@settings(max_examples=20)
@given(MODELS, MACHINES, st.integers(1, 8), st.data())
def test_what_fits_at_a_limit_fits_below_it(
    ask: Callable[..., Any], model: Any, machine: Any, concurrency: Any, data: Any
) -> None:
    question = ask(model, machine, concurrency=concurrency)
    found = longest_context(question)
    if found.value is not None:
        less = data.draw(st.integers(1, whole(found)))
        assert question.plan(context=less).fits


@given(st.integers(0, 400), st.integers(0, 400))
def test_bisection_finds_the_boundary(ask: Callable[..., Any], boundary: Any, high: Any) -> None:
    """On a predicate that is known, without the planner."""
    fits = ask("Qwen3.5-4B", "h100").plan()
    fails = ask("Qwen3.5-397B-A17B", "l4").plan()

    def asked_at(value: Any) -> Any:
        plan = fits if value <= boundary else fails
        plan = replace(plan, deployment=replace(plan.deployment, context=value))
        return SimpleNamespace(fits=lambda: plan.fits, plan=lambda: plan)

    found, beyond = last_that_fits(asked_at, 0, high)
    assert found.deployment.context == min(boundary, high)
    assert (beyond is None) == (high <= boundary)
    if beyond is not None:
        assert beyond.deployment.context == boundary + 1


def test_the_smallest_utilization_is_the_smallest(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-27B", "h100", precision="fp8", concurrency=4)
    limits = solve_limits(question)
    share = next(s for s in limits.knobs if s.asked == "smallest utilization").value
    assert isinstance(share, float)
    for value, fits in ((share, True), (round(share - 0.01, 2), False)):
        assert question.with_options(gpu_memory_utilization=value).plan().fits is fits


def test_no_more_weights_than_needed_go_to_the_host(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-27B", "rtx-4090", precision="fp8", language_model_only=True)
    limits = solve_limits(question)
    size = next(s for s in limits.knobs if s.asked == "least weights on the host").value
    assert isinstance(size, int | float)
    assert size > 0
    assert question.with_options(cpu_offload_gb=size).plan().fits
    assert not question.with_options(cpu_offload_gb=size - 1).plan().fits


def test_a_knob_may_fit_in_the_middle_only(ask: Callable[..., Any]) -> None:
    """What helps the GPU may overfill the host: then the values are tried one by one."""
    question = ask("Qwen3.5-27B", "h100", precision="fp8")
    knob = Knob(
        question="a share that is allowed",
        option="gpu_memory_utilization",
        values=(0.05, 0.1, 0.9, 0.1),
    )
    assert turn(question, knob).value == 0.9
    hopeless = replace(knob, values=(0.05, 0.1, 0.2))
    assert turn(question, hopeless).value is None


def test_the_best_precision_is_the_first_that_fits(ask: Callable[..., Any]) -> None:
    limits = solve_limits(ask("Qwen3.5-35B-A3B", "rtx-5090", concurrency=2))
    assert limits.precision.value == "gptq-int4"
    assert limits.precision.plan.fits
    assert limits.precision.beyond is not None
    assert not limits.precision.beyond.fits
    assert solve_limits(ask("Qwen3.5-4B", "h100")).precision.value == "bf16"


def test_nothing_fits_is_said_in_words(ask: Callable[..., Any]) -> None:
    limits = solve_limits(ask("Qwen3.5-397B-A17B", "rtx-4060-ti-8"))
    assert [solution.value for solution in limits.solutions[:3]] == [None, None, None]
    assert all("fit" in s.words for s in limits.solutions[:3])


def test_the_door_takes_names() -> None:
    limits = planner.solve("Qwen3.5-27B", on="2x rtx-3090", precision="fp8", context="16k")
    assert (
        limits.sequences.value
        == planner.solve(
            "Qwen3.5-27B",
            on="2x rtx-3090",
            precision="fp8",
            context="16k",
            layout=Layout(tensor_parallel=2),
        ).sequences.value
    )


@pytest.mark.parametrize(
    "bad", [{"context": 0}, {"context": "abc"}, {"concurrency": 0}, {"on": "rtx-9999"}]
)
def test_wrong_questions_are_refused(bad: dict[str, Any]) -> None:
    question = {"model": "Qwen3.5-9B", "on": "h100"} | bad
    with pytest.raises(InputError):
        planner.solve(question.pop("model"), **question)


def test_a_precision_that_somebody_publishes_is_known_whoever_made_the_asked_file() -> None:
    limits = planner.solve("bartowski/Qwen_Qwen3.5-27B-GGUF:Q4_K_M", on="rtx-3090")
    assert limits.precision.words == (
        "q6_k (GGUF Q6_K), such as lmstudio-community/Qwen3.5-27B-GGUF:Q6_K."
    )


def test_another_layout_is_named_beside_the_answer() -> None:
    found = planner.solve("Qwen3.5-122B-A10B", on="2x dgx-spark", precision="q4_k_m").sequences
    plan = planner.plan("Qwen3.5-122B-A10B", on="2x dgx-spark", precision="q4_k_m")
    assert plan.deployment.layout.accelerators == 1
    assert " at once with PP 2, " in found.words


def test_what_python_prints_is_one_line() -> None:
    """Plans hold every tensor: what holds a plan is printed by its verdict."""
    limits = planner.solve("Qwen3.5-9B", on="h100")
    short = planner.plan("Qwen3.5-27B", on="rtx-3090", precision="q8_0")
    found = [
        *limits.solutions,
        planner.layouts("Qwen3.5-9B", on="2x h100")[0],
        planner.fits("Qwen3.5-9B", on=["h100"])[0],
        planner.advise(short)[0],
    ]
    assert all(len(repr(thing)) < 300 for thing in found)
    assert limits.context.words in repr(limits.context)


@pytest.mark.parametrize(
    ("on", "engine", "flag"),
    [("m4-max-128", "mlx", "--decode-concurrency"), ("h200", "vllm", "--max-num-seqs")],
)
def test_a_setting_that_limits_is_named_by_its_flag(on: str, engine: str, flag: str) -> None:
    plan = planner.plan("Qwen3.5-0.8B", on=on, engine=engine, context=2048)
    assert plan.capacity is not None
    assert plan.capacity.limited_by == flag

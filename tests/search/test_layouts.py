"""Every layout is tried; those that people run come first; those that cannot run say why."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.errors import InputError
from planner.layout import Layout
from planner.planning import Outcome
from planner.search import suggest_layouts
from planner.search.layouts import Suggestion
from planner.speed import rates_of, speed_of
from planner.throughput import SpeedEstimate


def best(
    ask: Callable[..., Any], *args: Any, objective: Any = "latency", **kwargs: Any
) -> Suggestion:
    return suggest_layouts(ask(*args, objective=objective, **kwargs), any_precision=True)[0]


@given(st.integers(1, 72))
def test_every_product_is_there_once(ask: Callable[..., Any], count: Any) -> None:
    question = ask("Qwen3.5-397B-A17B", f"{count}x h200-sxm")
    layouts = question.layouts()
    assert len(set(layouts)) == len(layouts)
    full = {layout for layout in layouts if layout.accelerators == question.system.count}
    divisors = [d for d in range(1, question.system.count + 1) if question.system.count % d == 0]
    for tensor in divisors:
        assert (
            Layout(tensor_parallel=tensor, pipeline_parallel=question.system.count // tensor)
            in full
        )
        wide = Layout(
            tensor_parallel=tensor,
            data_parallel=question.system.count // tensor,
            expert_parallel=True,
        )
        assert (wide in full) == (question.system.count > 1)


# Deployments that people publish; the layouts are theirs.
KNOWN = [
    ("Qwen3.5-397B-A17B", "8x h200-sxm", "fp8", Layout(tensor_parallel=8)),
    ("Qwen3.5-27B", "2x rtx-3090", "fp8", Layout(tensor_parallel=2)),
    ("Qwen3.5-122B-A10B", "4x h200-sxm", "bf16", Layout(tensor_parallel=4)),
    ("Qwen3.5-122B-A10B", "2x h200-sxm", "fp8", Layout(tensor_parallel=2)),
    ("Qwen3.5-122B-A10B", "2x dgx-spark", "fp8", Layout(tensor_parallel=2)),
    ("Qwen3.5-35B-A3B", "2x h100", "bf16", Layout(tensor_parallel=2)),
]


@pytest.mark.parametrize(("model", "machine", "precision", "layout"), KNOWN)
def test_the_suggested_layout_is_one_that_people_run(
    ask: Callable[..., Any], model: str, machine: str, precision: str, layout: Layout
) -> None:
    first = best(ask, model, machine, precision=precision)
    assert first.plan.fits
    assert first.layout == layout


@pytest.mark.parametrize(
    ("model", "machine", "bits"),
    [("Qwen3.5-122B-A10B", "dgx-spark", 4), ("Qwen3.5-35B-A3B", "rtx-5090", 4)],
)
def test_where_16_bits_do_not_fit_the_best_precision_is_suggested(
    ask: Callable[..., Any], model: str, machine: str, bits: int
) -> None:
    first = best(ask, model, machine)
    assert first.plan.fits
    checkpoint = first.plan.deployment.checkpoint
    assert checkpoint.nbytes("text") * 8 / 1e9 < 1.5 * bits * float(model.split("-")[1][:-1])
    assert not checkpoint.hypothetical


def test_replicas_beat_a_wide_split_for_many_users(ask: Callable[..., Any]) -> None:
    question = ask("Qwen3.5-9B", "8x h100", concurrency=256, context=8192)
    first = suggest_layouts(question.with_(objective="throughput"))[0]
    assert first.layout.data_parallel > 1
    alone = ask("Qwen3.5-27B", "8x h100", precision="fp8", context=8192)
    assert suggest_layouts(alone)[0].layout.data_parallel == 1


def test_what_holds_the_workload_comes_first(ask: Callable[..., Any]) -> None:
    order = (
        Outcome.FITS,
        Outcome.TIGHT,
        Outcome.HOLDS_FEWER,
        Outcome.DOES_NOT_FIT,
        Outcome.CANNOT_RUN,
    )
    found = suggest_layouts(ask("Qwen3.5-122B-A10B", "8x rtx-4090", precision="fp8", concurrency=8))
    places = [order.index(entry.plan.outcome) for entry in found]
    assert places == sorted(places)
    assert places[0] < places[-1]


def test_what_cannot_run_says_why(ask: Callable[..., Any]) -> None:
    found = suggest_layouts(ask("Qwen3.5-35B-A3B", "8x h100", precision="fp8"))
    refused = {str(entry.layout): entry.why for entry in found if not entry.legal}
    assert "FP8 blocks are 128 wide" in refused["TP 8"]
    assert "FP8 blocks are 128 wide" in refused["TP 8 EP"]


def test_notes_tell_what_a_layout_replicates_and_where_it_talks(ask: Callable[..., Any]) -> None:
    found = suggest_layouts(
        ask("Qwen3.5-397B-A17B", "2x dgx-h200", precision="fp8", concurrency=8),
    )
    notes = {str(entry.layout): " ".join(entry.notes) for entry in found}
    assert "2 KV heads over TP 8: each is kept on 4 ranks" in notes["TP 8 x PP 2"]
    assert "stages hand over between nodes: InfiniBand" in notes["TP 8 x PP 2"]
    assert "2 replicas with 4 requests each" in notes["TP 8 x DP 2"]
    assert "EP 16: 32 whole experts per rank" in notes["DP 16 EP"]
    rack = suggest_layouts(ask("Qwen3.5-397B-A17B", "gb200-nvl72"))
    wide = next(entry for entry in rack if str(entry.layout) == "TP 8 x DP 9")
    assert "one link domain of 72" in " ".join(wide.notes)


def test_replicas_of_a_mixture_share_its_experts_under_vllm(ask: Callable[..., Any]) -> None:
    """Without expert parallelism vLLM cuts experts over the ranks of all replicas."""
    question = ask("Qwen3.5-122B-A10B", "8x h100")
    weights = {
        width: question.plan(layout=Layout(tensor_parallel=width, data_parallel=8 // width))
        .ranks[0]
        .terms[0]
        .nbytes
        for width in (4, 8)
    }
    assert weights[4] < 1.3 * weights[8]


def test_odd_numbers_may_leave_accelerators_idle(ask: Callable[..., Any]) -> None:
    layouts = {
        entry.layout.accelerators
        for entry in suggest_layouts(ask("Qwen3.5-27B", "3x h100", precision="fp8"))
    }
    assert layouts == {2, 3}


def test_hardware_is_suggested_cheapest_or_smallest_first() -> None:
    cheap = planner.suggest("Qwen3.5-9B", objective="cost", concurrency=2)
    prices = [entry.offer.value for entry in cheap if entry.offer is not None]
    assert prices == sorted(prices)
    assert all(entry.plan.fits for entry in cheap)
    small = planner.suggest("Qwen3.5-9B", objective="memory", concurrency=2)
    counts = [entry.plan.deployment.system.count for entry in small]
    assert counts == sorted(counts)
    assert counts[0] == 1
    ids = [entry.plan.deployment.system.accelerator.id for entry in small]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("objective", ["speed", "", "LATENCY "])
def test_unknown_objectives_are_refused(objective: Any) -> None:
    with pytest.raises(InputError, match="known: latency"):
        planner.suggest("Qwen3.5-9B", on="h100", objective=objective)


@pytest.mark.parametrize(
    ("on", "asked"),
    [
        ("8x h100", {"precision": "fp8", "concurrency": 8, "num_speculative_tokens": 2}),
        ("2x rtx-4090", {"precision": "q8_0", "engine": "llamacpp", "context": 262_144}),
        ("4x rtx-3080-12", {"precision": "awq-int4"}),
    ],
    ids=["drafts", "weights in RAM", "no figures"],
)
def test_layouts_are_compared_by_the_rates_of_the_whole_estimate(
    ask: Any, on: str, asked: dict[str, Any]
) -> None:
    held = [plan for plan in ask("Qwen3.5-35B-A3B", on, **asked).plans() if plan.fits]
    assert held
    for plan in held:
        whole, rates = speed_of(plan), rates_of(plan)
        assert type(whole) is type(rates)
        if isinstance(whole, SpeedEstimate) and isinstance(rates, SpeedEstimate):
            assert (rates.per_user, rates.total) == (whole.per_user, whole.total)

"""Separate drafters under vLLM: how they regroup the pool, and when they are refused."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.answer import Plan
from planner.engines.vllm import VLLM
from planner.engines.vllm.options import VllmOptions
from planner.errors import InputError
from planner.planning import Outcome


def ask(model: str = "Qwen3.5-27B", on: str = "h100", **question: Any) -> Plan:
    return planner.plan(model, on=on, **{"context": 8192, "engine": "vllm", **question})


def test_a_drafter_without_a_name_is_asked_for() -> None:
    drafts = {"speculative_method": "dflash", "num_speculative_tokens": 4}
    shape = {"draft_num_layers": 5, "draft_num_key_value_heads": 4, "draft_head_dim": 128}
    unnamed = ask("Qwen3.5-4B", options={**drafts, **shape})
    named = ask("Qwen3.5-4B", options={**drafts, **shape, "draft_model": "someone/drafter"})
    assert unnamed.launch is not None
    assert named.launch is not None
    assert any("name the drafter" in note for note in unnamed.launch.notes)
    assert named.launch.notes == ()
    assert '"model": "someone/drafter"' in named.launch.command


@pytest.mark.parametrize(
    ("model", "context", "tokens", "pool_gib", "version", "printed", "concurrency"),
    [
        ("Qwen3.6-35B-A3B", 262_144, 15, 62.81, "0.20.0", 587_504, 4.74),
        ("Qwen3.5-122B-A10B", 165_000, 6, 27.92, "0.23.0", 458_423, 2.78),
    ],
)
def test_a_separate_drafter_regroups_the_layers_as_logged(
    model: str,
    context: int,
    tokens: int,
    pool_gib: float,
    version: str,
    printed: int,
    concurrency: float,
) -> None:
    """Start-up logs of DFlash on GB10: jethac/dgx-spark-hijinks, styles01/sparkrun-recipes."""
    plan = ask(
        model,
        "gb10",
        context=context,
        precision="w4a16",
        options={
            "version": version,
            "num_speculative_tokens": tokens,
            "speculative_method": "dflash",
            "enable_prefix_caching": True,
            "kv_cache_memory_bytes": int(pool_gib * 2**30),
        },
    )
    assert plan.figures["kv_cache_size_tokens"] == printed
    assert round(plan.figures["max_concurrency"], 2) == concurrency
    assert plan.capacity is not None
    longest = plan.capacity.longest_context
    assert context <= longest <= 262_144


def test_a_drafter_of_unknown_shape_is_refused_until_it_is_given() -> None:
    options = {"num_speculative_tokens": 4, "speculative_method": "dflash"}
    assert ask("Qwen3.5-9B", options=options).outcome is Outcome.CANNOT_RUN
    shape = {"draft_num_layers": 5, "draft_num_key_value_heads": 8, "draft_head_dim": 128}
    assert ask("Qwen3.5-9B", options=options | shape).outcome is not Outcome.CANNOT_RUN
    unseen = ask("Qwen3.8-27B", options=options)
    assert any("is assumed" in warning for warning in unseen.warnings)
    assert not any("is assumed" in warning for warning in ask(options=options).warnings)


def test_sliding_windows_of_a_drafter_stop_growing() -> None:
    """z-lab/Qwen3.6-27B-DFlash: four of five layers attend to 2,048 tokens (SlidingWindowSpec)."""
    options = {"num_speculative_tokens": 4, "speculative_method": "dflash"}
    short, long = (
        ask("Qwen3.6-27B", "h200", context=context, options=options) for context in (8192, 131_072)
    )
    groups = {
        plan.deployment.context: [
            group["blocks_per_req"]
            for group in plan.figures["groups"]
            if group["kind"] == "sliding"
        ]
        for plan in (short, long)
    }
    block = next(
        group["block_size"] for group in long.figures["groups"] if group["kind"] == "sliding"
    )
    in_flight = 2 * long.settings["max_num_batched_tokens"]
    assert groups[131_072] == [-(-(2047 + in_flight) // block) + 1] * 4
    assert groups[8192] == [-(-8192 // block) + 1] * 4
    old = ask("Qwen3.6-27B", "h200", options={**options, "version": "0.28.0"})
    assert "V2 model runner" in old.verdict
    given = {
        "draft_num_layers": 5,
        "draft_num_key_value_heads": 8,
        "draft_head_dim": 128,
        "draft_sliding_layers": 5,
        "draft_sliding_window": 2048,
    }
    whole = ask("Qwen3.5-9B", "h200", options={**options, **given, "version": "0.28.0"})
    assert whole.outcome is not Outcome.CANNOT_RUN
    with pytest.raises(InputError, match="draft_sliding_window"):
        ask("Qwen3.5-9B", options={**options, **given, "draft_sliding_window": None})


@given(context=st.integers(1, 262_144), available=st.integers(2**30, 2**36))
def test_the_longest_context_beside_sliding_windows_is_exact(context: int, available: int) -> None:
    options = {
        "num_speculative_tokens": 4,
        "speculative_method": "dflash",
        "kv_cache_memory_bytes": available,
        "max_num_seqs": 1,
    }
    plan = ask("Qwen3.6-27B", "h200", context=context, options=options)
    assert plan.capacity is not None
    assert plan.allocation is not None
    assert plan.allocation.starts == (context <= plan.capacity.longest_context)


def test_a_drafter_that_does_not_fit_is_advised_away() -> None:
    options = {
        "speculative_method": "dflash",
        "num_speculative_tokens": 4,
        "draft_model": "z-lab/Qwen3.5-27B-DFlash",
    }
    plan = ask("Qwen3.5-27B", "rtx-4090", precision="fp8", context="32k", options=options)
    assert plan.outcome is Outcome.DOES_NOT_FIT
    economies = VLLM.economies(plan.deployment)
    saved = next(economy for economy in economies if "separate drafter" in economy.title)
    without = dataclasses.replace(plan.deployment.options, **saved.options)
    assert without == VllmOptions()
    assert plan.advice

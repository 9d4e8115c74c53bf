"""MLX: measured sizes of its cache, Apple's share of the memory, and what it refuses."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.engines.mlx import MLX
from planner.engines.mlx.activations import score_bytes
from planner.engines.mlx.cache import cache_rule, quantized_format
from planner.engines.mlx.memory import memory_of
from planner.engines.mlx.options import MlxOptions
from planner.errors import InputError
from planner.model.catalog import find
from planner.model.spec import ModelSpec
from planner.planning import Outcome, Plan
from planner.units import GIB, MIB


def model(name: str) -> ModelSpec:
    found = find(name)
    assert found is not None
    return found[0].model


def ask(name: str = "Qwen3.5-35B-A3B", on: str = "apple-m4-max", **question: object) -> Plan:
    asked = {"context": 32_768, "precision": "mlx-4bit", **question}
    return planner.plan(name, on=on, engine="mlx", **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(("bits", "per_element"), [(8, 8.5), (4, 4.5)])
def test_quantized_bits_with_scale_and_bias(bits: int, per_element: float) -> None:
    """Measured on mlx-lm 0.32.2: 8.5 and 4.5 bits per element in groups of 64."""
    assert quantized_format(bits, 64).head_bytes(256) == 256 * per_element / 8


@given(name=st.sampled_from(("Qwen3.5-4B", "Qwen3.5-35B-A3B")), tokens=st.integers(1, 262_144))
def test_the_cache_grows_in_steps_and_its_state_does_not(name: str, tokens: int) -> None:
    spec = model(name)
    rule = cache_rule(spec)
    cache, next_step = rule.of(tokens), rule.of(tokens + 256)
    per_token = len(spec.full_attention_layers) * spec.attention.kv_elements_per_token * 2
    assert next_step.kv - cache.kv == 256 * per_token
    assert tokens * per_token <= cache.kv < (tokens + 256) * per_token
    assert next_step.state == cache.state == rule.of(1).state


def test_state_keeps_three_columns_and_float32() -> None:
    """35B-A3B: 30 layers of 8192 channels in BF16, and 32 heads of 128 x 128 in FP32."""
    cache = cache_rule(model("Qwen3.5-35B-A3B")).of(1)
    assert cache.conv == 30 * 3 * 8192 * 2
    assert cache.recurrent == 30 * 32 * 128 * 128 * 4


@given(
    context=st.integers(1, 262_144),
    many=st.integers(1, 40),
    on=st.sampled_from(("m1-max-32", "apple-m4-max")),
    options=st.sampled_from(({}, {"prompt_cache_size": 2}, {"prompt_concurrency": 40})),
)
def test_as_many_sequences_are_counted_as_are_held(
    context: int, many: int, on: str, options: dict[str, int]
) -> None:
    memory = memory_of(ask("Qwen3.5-9B", on, options=options).deployment)
    assert (many <= memory.sequences(context)) is (
        many <= memory.at_once and memory.holds(context, many)
    )


def test_the_cache_is_quantized_from_a_length_on() -> None:
    rule = cache_rule(model("Qwen3.5-35B-A3B"), kv_bits=8, quantized_kv_start=5000)
    assert rule.kv(4608) > rule.kv(5120)


def test_macos_lends_a_share() -> None:
    plan = ask()
    assert plan.fits
    assert plan.ranks[0].usable == 110_100 * MIB
    assert any("84%" in warning for warning in plan.warnings)
    raised = ask(options={"iogpu_wired_limit_mb": 122_880})
    assert raised.ranks[0].usable == 120 * GIB
    assert raised.launch is not None
    assert any("iogpu.wired_limit_mb=122880" in note for note in raised.launch.notes)


def test_vision_and_mtp_are_left_out() -> None:
    plan = ask(precision="bf16")
    assert plan.figures["weight_bytes"] == planner.load_checkpoint("Qwen3.5-35B-A3B").nbytes("text")


def test_quantized_cache_answers_one_request_at_a_time() -> None:
    plan = ask(concurrency=2, options={"kv_bits": 8})
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert plan.capacity is not None
    assert plan.capacity.sequences == 1
    assert ask(concurrency=2).fits


def test_no_more_than_the_server_decodes_at_once() -> None:
    plan = ask(context=256, concurrency=33)
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert plan.capacity is not None
    assert plan.capacity.sequences == 32


def test_kept_caches_are_bounded_to_what_fits() -> None:
    roomy, tight = ask(), ask(context=200_000, on="apple-m4-pro-48")
    assert roomy.launch is not None
    assert "--prompt-cache-size" not in roomy.launch.command
    assert tight.launch is not None
    words = shlex.split(tight.launch.command)
    kept = int(words[words.index("--prompt-cache-size") + 1])
    assert 0 <= kept < 10
    assert any("finished requests" in warning for warning in tight.warnings)


def test_long_context_needs_an_edited_config() -> None:
    plan = ask(context=400_000, yarn=True, options={"prefill_step_size": 512})
    assert plan.launch is not None
    assert "--prefill-step-size 512" in plan.launch.command
    assert any('"factor": 2.0' in note for note in plan.launch.notes)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"on": "h200"}, "Apple's GPUs only"),
        ({"on": "strix-halo-128"}, "Apple's GPUs only"),
        ({"precision": "q4_k_m"}, "not verified"),
        ({"precision": "nvfp4"}, "not verified"),
        ({"kv_cache_dtype": "fp8"}, "--kv-bits"),
        ({"kv_cache_dtype": "what"}, "--kv-bits"),
        ({"on": "2x mac-studio-m4-max-128", "layout": planner.Layout(tensor_parallel=2)}, "machin"),
    ],
)
def test_what_it_cannot_run(question: dict[str, Any], words: str) -> None:
    plan = ask(**question)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert words in plan.verdict


@pytest.mark.parametrize(
    "options",
    [
        {"kv_bits": 3},
        {"kv_group_size": 48},
        {"prefill_step_size": 0},
        {"decode_concurrency": -1},
        {"prompt_cache_size": 10**18},
        {"iogpu_wired_limit_mb": 0},
        {"version": "new"},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=next(iter(options)) if "version" not in options else "mlx"
    ):
        MlxOptions(**options)


def test_one_buffer_is_bounded_apart_from_the_memory() -> None:
    """Reported: 9B in 4 bits on an M1 Max 32 GB holds 64,022 tokens and dies of one buffer at
    128,022: 22,011,707,392 bytes (four prompts of 2048 queries over 83,968 keys, the 41st step of
    each) where Metal allows 20.10 GB."""
    works, dies = (ask("Qwen3.5-9B", "m1-max-32", context=n) for n in (64_022, 128_022))
    assert works.outcome is Outcome.FITS
    assert dies.outcome is Outcome.TIGHT
    assert "4 such prompts at once need one buffer of 31.3 GiB" in dies.verdict
    assert "the command's --prompt-concurrency 1 avoids it" in dies.verdict
    assert dies.launch is not None
    assert dies.launch.argv[-2:] == ("--prompt-concurrency", "1")
    assert 4 * 2048 * 41 * 2048 * score_bytes(model("Qwen3.5-9B")) == 22_011_707_392
    alone = {"prompt_concurrency": 1}
    assert ask("Qwen3.5-9B", "m1-max-32", context=128_022, options=alone).outcome is Outcome.FITS
    assert dies.figures["max_buffer_length"] == 20_100_415_488
    wide = ask("Qwen3.5-9B", "m1-max-32", context=128_022, options={"prefill_step_size": 8192})
    assert wide.outcome is Outcome.DOES_NOT_FIT
    assert wide.allocation is not None
    assert "maximum allowed buffer size of 20100415488 bytes" in (wide.allocation.refusal or "")


def test_the_server_takes_no_more_prompts_than_are_safe() -> None:
    """One request was promised with a command that lets four prompts end the server; four prompts
    of 64k need 24 GiB, where 14 are free beside one."""
    roomy, full = (ask("Qwen3.6-27B", "m4-pro-48", context=n) for n in (32_768, 65_536))
    assert roomy.outcome is full.outcome is Outcome.FITS
    assert roomy.launch is not None
    assert "--prompt-concurrency" not in roomy.launch.argv
    assert full.launch is not None
    assert full.launch.argv[-2:] == ("--prompt-concurrency", "1")
    own = ask("Qwen3.6-27B", "m4-pro-48", context=65_536, options={"prompt_concurrency": 8})
    assert own.outcome is Outcome.TIGHT
    assert any("--prompt-concurrency 1" in warning for warning in full.warnings)


def test_a_server_that_somebody_starts_takes_prompts_as_it_does() -> None:
    """What the plan would write beside a command is not what runs under it."""
    served = "mlx_lm.server --model mlx-community/Qwen3.6-27B-4bit"
    asked = {"on": "m4-pro-48", "context": 65_536}
    typed = planner.plan_command(served, **asked)  # type: ignore[arg-type]
    assert typed.outcome is Outcome.TIGHT
    kept_apart = planner.plan_command(f"{served} --prompt-concurrency 1", **asked)  # type: ignore[arg-type]
    assert kept_apart.outcome is Outcome.FITS


def test_it_is_said_that_no_prompt_is_remembered() -> None:
    """mlx-lm 0.32.2 models/cache.py (LRUPromptCache): what comes into a cache of size 0 leaves it."""
    full = ask("Qwen3.6-27B", "m4-pro-48", context=131_072)
    assert any("computes its whole prompt again" in warning for warning in full.warnings)


def test_raising_the_working_set_does_not_raise_the_largest_buffer() -> None:
    """Measured on an M5 Max 128 GB with iogpu.wired_limit_mb raised: still 86.6 GB."""
    raised = ask(on="m5-max-128", options={"iogpu_wired_limit_mb": 124_518})
    assert raised.figures["max_buffer_length"] == pytest.approx(86_586_540_032, rel=1e-5)


def test_a_smaller_step_is_advised_where_a_prompt_is_too_much() -> None:
    plan = ask("Qwen3.5-9B", "m1-max-32", context=128_022, options={"prefill_step_size": 8192})
    titles = [economy.title for economy in MLX.economies(plan.deployment)]
    assert any("--prefill-step-size" in title for title in titles)
    small = ask("Qwen3.5-9B", "m1-max-32", context=128_022, options={"prefill_step_size": 256})
    assert small.outcome is Outcome.FITS


@given(
    context=st.integers(1, 262_144),
    concurrency=st.integers(1, 64),
    options=st.fixed_dictionaries(
        {}, optional={"kv_bits": st.sampled_from((4, 8)), "prompt_cache_size": st.integers(0, 9)}
    ),
)
def test_what_a_search_asks_for_is_the_sum_of_the_terms(
    context: int, concurrency: int, options: dict[str, Any]
) -> None:
    plan = ask(context=context, concurrency=concurrency, options=options)
    assert memory_of(plan.deployment).needed(context, concurrency) == plan.ranks[0].used

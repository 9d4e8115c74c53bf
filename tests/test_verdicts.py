"""Verdicts: the sentence, the ranks and the capacity say the same."""

import json
import shlex
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import planner
from planner.planning import Outcome, Plan
from planner.report.markdown import plan_markdown
from planner.report.text import plan_text
from planner.speed import speed_of
from planner.units import capital

GIB = 2**30
HARDWARE = ("h100", "2x rtx-4090", "dgx-spark", "4x rtx-3090", "mi300x", "custom:48GiB", "l4")
MODELS = ("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B")
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "vllm": [
        {},
        {"gpu_memory_utilization": 0.6},
        {"max_num_seqs": 16},
        {"enable_prefix_caching": False},
        {"num_speculative_tokens": 2},
        {"version": "0.19.0", "enable_prefix_caching": False},
        {"kv_cache_memory_bytes": 4 * GIB},
    ],
    "sglang": [
        {},
        {"mem_fraction_static": 0.7},
        {"disable_radix_cache": True},
        {"speculative_algorithm": "NEXTN"},
        {"max_running_requests": 8},
        {"version": "0.5.12"},
    ],
}


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    engine = draw(st.sampled_from(sorted(OPTIONS)))
    return draw(st.sampled_from(MODELS)), {
        "on": draw(st.sampled_from(HARDWARE)),
        "engine": engine,
        "precision": draw(st.sampled_from(["fp8", "gptq-int4"])),
        "context": draw(st.sampled_from([1, 8192, 100_000, 262_144])),
        "concurrency": draw(st.sampled_from([1, 3, 40])),
        "kv_cache_dtype": draw(st.sampled_from(["auto", "fp8"])),
        "options": draw(st.sampled_from(OPTIONS[engine])),
    }


@settings(max_examples=40, deadline=None)
@given(questions())
def test_capacity_is_what_the_same_deployment_then_holds(
    question: tuple[str, dict[str, Any]],
) -> None:
    model, asked = question
    plan = planner.plan(model, **asked)
    assume(plan.capacity is not None)
    assert plan.capacity is not None

    # What vLLM's sequences were set to belongs to the deployment: a server that is asked for
    # fewer would capture fewer CUDA graphs, and hold more.
    chosen = {key: plan.settings[key] for key in ("max_num_seqs",) if key in plan.settings}
    same = {"layout": plan.deployment.layout, "options": chosen | asked["options"]}

    def again(**changes: int) -> Plan:
        return planner.plan(model, **asked | same | changes)

    held, longest = plan.capacity.sequences, plan.capacity.longest_context
    assert plan.fits == (held >= asked["concurrency"])
    assert (held > 0) == (longest >= asked["context"])
    if plan.fits:
        assert all(rank.headroom >= 0 for rank in plan.ranks)
    if held:
        assert again(concurrency=held).fits
        assert not again(concurrency=held + 1).fits
    if longest:
        assert again(context=longest, concurrency=1).fits
    one_more = longest + (plan.capacity.block_size or 1)
    if longest and one_more <= 262_144:
        assert not again(context=one_more, concurrency=1).fits


def test_names_of_engines_keep_their_spelling_at_the_start_of_a_sentence() -> None:
    refused = planner.plan("Qwen3.5-4B", on="m4-max-128", engine="vllm")
    assert refused.outcome is Outcome.CANNOT_RUN
    assert refused.verdict.endswith(". MLX or llama.cpp run there.")


@pytest.mark.parametrize(
    ("said", "begins"),
    [
        ("serve 1 at once", "Serve 1 at once"),
        ("re-order, then serve", "Re-order, then serve"),
        ("on", "On"),
        ("vLLM does not load it", "vLLM does not load it"),
        ("llama.cpp (GGUF) reads it", "llama.cpp (GGUF) reads it"),
        ("mlx-community/Qwen3.5-9B-4bit fits", "mlx-community/Qwen3.5-9B-4bit fits"),
        ("gptq-int4 needs it", "gptq-int4 needs it"),
        ("llama-server itself", "llama-server itself"),
        ("mlx-lm serves text", "mlx-lm serves text"),
        ("--max-num-seqs 4", "--max-num-seqs 4"),
        ("2x h100", "2x h100"),
        ("", ""),
    ],
)
def test_only_plain_words_take_a_capital(said: str, begins: str) -> None:
    assert capital(said) == begins


def test_the_spare_bytes_name_the_stage_that_has_the_fewest() -> None:
    plan = planner.plan(
        "Qwen3.5-27B", on="2x h100", layout=planner.Layout(pipeline_parallel=2), context="32k"
    )
    tightest = min(plan.ranks, key=lambda rank: rank.headroom)
    assert f"GiB to spare on {tightest.name}." in plan.verdict


def test_what_is_over_is_the_stage_that_is_over_before_any_cache() -> None:
    whole = planner.load_checkpoint("Qwen3.5-27B")
    plan = planner.plan(whole, on="2x rtx-4090", layout=planner.Layout(pipeline_parallel=2))
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert "over on stage" in plan.verdict


def test_a_fixed_cache_that_is_too_large_is_named_and_not_the_context() -> None:
    plan = planner.plan(
        "Qwen3.5-4B", on="l4", context=4096, options={"kv_cache_memory_bytes": 100 * GIB}
    )
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert "the fixed KV cache memory and the weights exceed the GPU's memory" in plan.verdict
    assert "longest" not in plan.verdict
    old = planner.plan(
        "Qwen3.5-4B",
        on="l4",
        context=4096,
        options={"kv_cache_memory_bytes": 100 * GIB, "version": "0.17.0"},
    )
    assert old.outcome is Outcome.DOES_NOT_FIT


def test_a_fixed_cache_is_taken_whole() -> None:
    def free(gib: int) -> Plan:
        options = {"kv_cache_memory_bytes": gib * GIB, "max_num_seqs": 16}
        asked: dict[str, Any] = {"on": "l4", "context": 4096, "options": options}
        return planner.plan("Qwen3.5-4B", precision="bf16", **asked)

    small, large = free(2), free(6)
    assert small.headroom is not None
    assert large.headroom is not None
    assert small.headroom - large.headroom == 4 * GIB
    outcomes = {gib: free(gib).outcome for gib in range(8, 16)}
    assert set(outcomes.values()) == {Outcome.FITS, Outcome.TIGHT, Outcome.DOES_NOT_FIT}


def test_all_of_the_memory_is_refused_by_vllm() -> None:
    asked: dict[str, Any] = {"on": "rtx-pro-6000", "context": 4096}
    whole = planner.plan("Qwen3.5-4B", **asked, options={"gpu_memory_utilization": 1.0})
    assert whole.outcome is Outcome.DOES_NOT_FIT
    assert "less than desired GPU memory utilization" in whole.verdict
    almost = planner.plan("Qwen3.5-4B", **asked, options={"gpu_memory_utilization": 0.999})
    assert almost.outcome is Outcome.TIGHT
    assert "vLLM may refuse to start" in almost.verdict


def test_a_number_of_sequences_near_the_number_of_blocks_is_tight() -> None:
    plan = planner.plan(
        "Qwen3.5-27B", on="2x rtx-4090", precision="fp8", options={"max_num_seqs": 190}
    )
    assert plan.outcome is Outcome.TIGHT
    assert "refuses to start with --max-num-seqs 190" in plan.verdict


def test_no_sequence_waits_that_the_cache_has_room_for_and_vllm_would_take() -> None:
    asked: dict[str, Any] = {"on": "4x rtx-3090", "engine": "vllm", "precision": "gptq-int4"}
    asked |= {"context": 1, "kv_cache_dtype": "fp8"}
    plan = planner.plan("Qwen3.5-122B-A10B", concurrency=100, **asked)
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert plan.capacity is not None
    held = plan.capacity.sequences
    assert planner.plan("Qwen3.5-122B-A10B", concurrency=held, **asked).fits
    assert not planner.plan("Qwen3.5-122B-A10B", concurrency=held + 1, **asked).fits


def test_sglangs_split_pools_are_tight_where_the_bands_end_short_of_the_workload() -> None:
    plan = planner.plan(
        "Qwen3.5-35B-A3B", on="h100", engine="sglang", precision="fp8", concurrency=22
    )
    assert plan.outcome is Outcome.TIGHT
    assert "the pools hold 21 of them" in plan.verdict
    assert plan.headroom is not None
    assert plan.headroom > plan.ranks[0].band.above


def test_sglangs_longest_context_is_the_pools_not_the_questions() -> None:
    short = planner.plan("Qwen3.5-4B", on="h100", engine="sglang", context=4096)
    assert short.capacity is not None
    assert short.capacity.longest_context == 262_144
    bound = planner.plan(
        "Qwen3.5-4B", on="h100", engine="sglang", context=4096, options={"context_length": 5000}
    )
    assert bound.capacity is not None
    assert bound.capacity.longest_context == 5000


def test_old_releases_that_start_but_serve_nothing_say_so() -> None:
    plan = planner.plan(
        "Qwen3.5-27B-FP8", on="2x rtx-3090", context="256k", options={"version": "0.17.0"}
    )
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert "but cannot hold one request of 262,144 tokens" in plan.verdict
    assert speed_of(plan) is None


def test_a_rate_is_for_the_sequences_that_are_resident() -> None:
    plan = planner.plan("Qwen3.5-27B-FP8", on="2x rtx-4090", context="128k", concurrency=4)
    alone = planner.plan("Qwen3.5-27B-FP8", on="2x rtx-4090", context="128k")
    assert plan.capacity is not None
    assert plan.capacity.sequences == 1
    speed = speed_of(plan)
    assert speed == speed_of(alone)
    text = plan_text(plan, speed=speed)
    assert "Speed     with 1 at once: about" in text
    assert "Room for  1 request of 131,072 tokens" in text


def test_drafting_counts_under_every_engine_that_drafts_with_the_mtp_module() -> None:
    for engine, options in (
        ("vllm", {"num_speculative_tokens": 3}),
        ("sglang", {"speculative_algorithm": "NEXTN"}),
    ):
        plan = planner.plan("Qwen3.5-27B", on="h200", engine=engine, options=options)
        speed = speed_of(plan)
        assert speed is not None
        assert "drafting gives " in speed.words


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"num_speculative_tokens": 20}, "more than 16 drafted tokens"),
    ],
)
def test_what_was_never_seen_is_no_estimate_and_no_error(
    options: dict[str, Any], reason: str
) -> None:
    plan = planner.plan("Qwen3.5-27B", on="h200", precision="fp8", options=options)
    speed = speed_of(plan)
    assert speed is not None
    assert reason in speed.words


def test_an_answer_leaves_room_for_a_prompt() -> None:
    plan = planner.plan("Qwen3.5-4B", on="h100", context=4096)
    with pytest.raises(planner.InputError, match="answer: 4,096 tokens leave no prompt"):
        speed_of(plan, output_tokens=4096)


def test_every_node_gets_a_whole_command() -> None:
    plan = planner.plan(
        "Qwen3.5-27B", on="2x dgx-spark", engine="vllm", context="400k", yarn=True, precision="fp8"
    )
    assert plan.launch is not None
    (other,) = plan.launch.further_commands
    assert other.startswith("VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 vllm serve ")
    words = shlex.split(other)
    rope = json.loads(words[words.index("--hf-overrides") + 1])
    assert rope["text_config"]["rope_parameters"]["rope_type"] == "yarn"
    assert other in plan_text(plan)
    assert other in plan_markdown(plan)


def test_what_is_nothing_is_not_listed() -> None:
    plan = planner.plan("Qwen3.5-27B", on="l4", engine="sglang")
    assert plan.outcome is Outcome.DOES_NOT_FIT
    text = plan_text(plan)
    assert "Room for" not in text
    assert "Longest" not in text
    assert "Blocks" not in text
    over = next(line for line in plan_markdown(plan).splitlines() if line.startswith("| over"))
    assert "-" not in over

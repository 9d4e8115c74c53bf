"""vLLM: properties that hold whatever the numbers, beside the reference cases."""

import dataclasses
import itertools
import tomllib
from importlib.resources import files
from math import lcm
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.answer import Plan
from planner.engines.vllm.answer import STATE_FIGURES
from planner.engines.vllm.cache import align_page, group_layers
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import Rules, parse_version, rules_of
from planner.engines.vllm.weights import stage_layers
from planner.errors import InputError
from planner.model.checkpoint import Checkpoint
from planner.model.quantization import get_scheme
from planner.planning import Outcome
from tests.present import plan_of_weights

MODELS = ("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3-Next-80B-A3B-Instruct")


def ask(model: str = "Qwen3.5-27B", on: str = "h100", **question: Any) -> Plan:
    return plan_of_weights(model, on=on, **{"context": 8192, "engine": "vllm", **question})


@given(
    token=st.integers(1, 8192),
    state=st.integers(0, 2**24),
    user=st.none() | st.integers(1, 4096),
    checkpoints=st.booleans(),
)
def test_a_page_holds_a_state_and_no_smaller_block_does(
    token: int, state: int, user: int | None, checkpoints: bool
) -> None:
    page = align_page(
        attention_bytes_per_token=token,
        state_bytes=state,
        block_size=user,
        prefill_checkpoints=checkpoints,
    )
    assert page.nbytes >= state
    assert page.block_size % 16 == 0
    assert page.block_size >= (user or 16)
    unit = max(16, user or 16)
    unit = lcm(unit, 64) if checkpoints else unit
    if page.block_size > max(unit, user or 16) + 15:
        assert (page.block_size - unit) * token < state + 15 * token


@given(attention=st.integers(1, 60), state=st.integers(0, 120))
def test_groups_hold_every_layer_once(attention: int, state: int) -> None:
    groups = group_layers(
        attention=range(attention),
        state=range(1000, 1000 + state),
        factor=rules_of("0.33.0").grouping_factor,
    )
    held = sorted(layer for group in groups for layer in group.layers)
    assert held == [*range(attention), *range(1000, 1000 + state)]
    sizes = [len(group.layers) for group in groups]
    assert max(sizes) <= max(attention, state)


@given(layers=st.integers(1, 100), stages=st.integers(1, 100))
def test_stages_share_the_layers_out(layers: int, stages: int) -> None:
    shares = stage_layers(layers, min(stages, layers))
    assert [layer for share in shares for layer in share] == list(range(layers))
    sizes = {len(share) for share in shares}
    assert max(sizes) - min(sizes) <= 1


@given(
    model=st.sampled_from(MODELS),
    context=st.integers(1, 262_143),
    more=st.integers(1, 100_000),
    concurrency=st.integers(1, 64),
)
def test_more_work_never_leaves_more_memory(
    model: str, context: int, more: int, concurrency: int
) -> None:
    longer = min(context + more, 262_144)
    fixed = {"options": VllmOptions(max_num_seqs=64), "layout": planner.Layout(tensor_parallel=2)}
    small = ask(model, "2x h200", context=context, concurrency=concurrency, **fixed)
    long = ask(model, "2x h200", context=longer, concurrency=concurrency, **fixed)
    many = ask(model, "2x h200", context=context, concurrency=concurrency + 1, **fixed)
    assert small.headroom is not None
    assert long.headroom is not None
    assert many.headroom is not None
    assert long.headroom <= small.headroom
    assert many.headroom < small.headroom
    assert small.capacity is not None
    assert long.capacity is not None
    assert long.capacity.sequences <= small.capacity.sequences


@given(context=st.integers(1, 262_144), available=st.integers(2**24, 2**35))
def test_the_longest_context_is_exact(context: int, available: int) -> None:
    """One block more than the longest context that fits does not start; the longest does."""
    options = VllmOptions(kv_cache_memory_bytes=available, max_num_seqs=1)
    plan = ask(on="h200", context=context, options=options)
    assert plan.capacity is not None
    assert plan.allocation is not None
    longest = plan.capacity.longest_context
    assert plan.allocation.starts == (context <= longest)
    if 0 < longest < 262_144:
        assert ask(on="h200", context=longest, options=options).allocation.starts  # type: ignore[union-attr]
        assert not ask(on="h200", context=longest + 1, options=options).allocation.starts  # type: ignore[union-attr]


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_ranks_cover_the_whole_model(tp: int) -> None:
    plan = ask("Qwen3.5-397B-A17B", f"{tp}x b200", layout=planner.Layout(tensor_parallel=tp))
    (stage,) = plan.figures["params"]
    whole = planner.load_checkpoint("Qwen3.5-397B-A17B")
    served = whole.nbytes("text", "vision")
    assert served <= tp * stage["param_bytes"] + tp * 2**20
    assert tp * stage["param_bytes"] < served * 1.01


def test_kv_heads_are_replicated_beyond_their_number() -> None:
    heads = [
        ask("Qwen3.5-35B-A3B", f"{tp}x h200").figures["attn_kv_heads_per_rank"]
        for tp in (1, 2, 4, 8)
    ]
    assert heads == [2, 1, 1, 1]


def test_default_max_num_seqs_that_would_not_start_is_replaced_in_the_command() -> None:
    plan = ask("Qwen3.5-27B", "2x rtx-4090", precision="fp8")
    assert plan.launch is not None
    assert plan.allocation is not None
    assert plan.settings["default_max_num_seqs"] == 256
    chosen = plan.settings["max_num_seqs"]
    assert chosen < plan.figures["num_blocks"]
    assert f"--max-num-seqs {chosen}" in plan.launch.command
    assert "refuse to start" in plan.notes[0]
    insisted = ask("Qwen3.5-27B", "2x rtx-4090", precision="fp8", options={"max_num_seqs": 256})
    assert insisted.outcome is Outcome.DOES_NOT_FIT
    assert "exceeds available Mamba cache blocks" in insisted.verdict


def test_turning_things_off_saves_what_they_take() -> None:
    full = ask(options={"num_speculative_tokens": 2})
    without_mtp = ask()
    text_only = ask(options={"language_model_only": True})
    assert full.figures["params"][0]["draft_param_bytes"] == 849_398_784
    assert without_mtp.figures["params"][0]["draft_param_bytes"] == 0
    assert text_only.figures["params"][0]["param_bytes"] == 53_792_001_536
    assert text_only.headroom > without_mtp.headroom > full.headroom  # type: ignore[operator]


def test_yarn_is_in_the_command_and_the_cache() -> None:
    plan = ask("Qwen3.5-4B", "h200", context=1_000_000, yarn=True)
    assert plan.launch is not None
    assert '"factor": 4.0' in plan.launch.command
    assert "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1" in plan.launch.command
    assert plan.figures["params"][0]["buffer_bytes"] == 1_000_000 * 64 * 2


@pytest.mark.parametrize("version", ["0.16.0", "abc", "", "1.x"])
def test_releases_that_cannot_be_planned_are_refused(version: str) -> None:
    with pytest.raises(InputError, match="vLLM"):
        ask(options={"version": version})


def test_a_newer_release_is_planned_with_a_warning() -> None:
    assert any("newer than" in warning for warning in ask(options={"version": "0.40.0"}).warnings)


def test_beyond_the_native_length_the_plan_warns_and_the_command_scales() -> None:
    far = ask("Qwen3.5-4B", context="500k", yarn=True)
    assert any("YaRN" in warning and "static" in warning for warning in far.warnings)
    assert far.launch is not None
    assert '"rope_type": "yarn"' in far.launch.command
    near = ask("Qwen3.5-4B", context="200k", yarn=True)
    assert not any("YaRN" in warning for warning in near.warnings)


def test_apple_cannot_run_it() -> None:
    plan = ask(on="apple-m4-max")
    assert plan.outcome is Outcome.CANNOT_RUN
    assert "not for Apple" in plan.verdict


def test_mtp_needs_its_module() -> None:
    plan = ask("Qwen3-Coder-Next", "2x h200", options={"num_speculative_tokens": 1})
    assert plan.outcome is Outcome.CANNOT_RUN
    assert "no MTP module" in plan.verdict


def test_several_nodes_get_a_command_each() -> None:
    plan = ask("Qwen3.5-122B-A10B", "2x dgx-spark", precision="fp8")
    assert plan.launch is not None
    assert len(plan.launch.per_node) == 1
    assert plan.allocation is not None
    assert plan.settings["gpu_memory_utilization"] == 0.85


def test_the_options_are_checked_one_by_one() -> None:
    for field in dataclasses.fields(VllmOptions):
        if field.type == "int | None":
            wrong: dict[str, Any] = {field.name: -1}
            with pytest.raises(InputError, match=field.name):
                VllmOptions(**wrong)


@pytest.mark.parametrize(
    ("precision", "on", "says"),
    [
        ("q4_k_m", "h100", "does not load q4_k_m"),
        ("mlx-4bit", "h100", "does not load mlx-4bit"),
        ("fp8", "v100-sxm2-32", "need compute capability 7.5"),
        ("nvfp4", "t4", "need compute capability 8.0"),
        ("bnb-nf4", "mi300x", "no bnb kernels"),
    ],
)
def test_formats_without_kernels_cannot_run(precision: str, on: str, says: str) -> None:
    plan = ask("Qwen3.5-4B", on, precision=precision)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert says in plan.verdict


def test_formats_that_are_unpacked_are_named() -> None:
    """Ampere serves FP8 weight-only (vLLM docs); MXFP6 has no kernel, but people ask for its size."""
    assert any("no native fp8-block" in w for w in ask(on="2x rtx-3090", precision="fp8").warnings)
    spark = ask("Qwen3.5-122B-A10B", "dgx-spark", precision="mxfp6")
    assert any("is assumed" in warning for warning in spark.warnings)
    old = ask("Qwen3.5-4B", "t4", precision="fp8")
    assert old.launch is not None
    assert "--dtype half" in old.launch.command


def test_tokens_are_shared_over_copies_of_a_kv_head_only() -> None:
    eight = planner.Layout(tensor_parallel=8)
    alone = ask("Qwen3.5-35B-A3B", "8x h100", context=262_144, layout=eight)
    shared = ask(
        "Qwen3.5-35B-A3B",
        "8x h100",
        context=262_144,
        layout=dataclasses.replace(eight, context_parallel=4),
    )
    assert shared.figures["blocks_per_request"] < alone.figures["blocks_per_request"]
    assert shared.launch is not None
    assert "--decode-context-parallel-size 4" in shared.launch.command
    for size, tp in ((8, 8), (2, 2), (3, 8)):
        refused = ask(
            "Qwen3.5-35B-A3B",
            f"{tp}x h100",
            layout=planner.Layout(tensor_parallel=tp, context_parallel=size),
        )
        assert refused.outcome is Outcome.CANNOT_RUN


def test_prefix_caching_of_hybrids_is_on_from_0_28_on() -> None:
    """Start-ups on 0.26.0 without the flag are exact with it off (engine/arg_utils.py)."""
    held = {}
    for version in ("0.25.1", "0.26.0", "0.27.1", "0.28.0", "0.33.0"):
        plan = ask("Qwen3.5-35B-A3B", precision="fp8", options={"version": version})
        assert plan.capacity is not None
        held[version] = (plan.settings["enable_prefix_caching"], plan.capacity.sequences)
    assert held["0.26.0"] == (False, 159)
    assert [on for on, _ in held.values()] == [False, False, False, True, True]
    assert held["0.28.0"][1] < held["0.27.1"][1]


def test_the_table_of_releases_is_in_order() -> None:
    """Rows are oldest first and do not overlap; every row names its source."""
    text = files("planner.engines.vllm").joinpath("data/releases.toml").read_text("utf-8")
    table = tomllib.loads(text)
    for rule in dataclasses.fields(Rules):
        if rule.name == "version":
            continue
        rows = table.pop(rule.name)
        assert "since" not in rows[0]
        assert "until" not in rows[-1]
        for row, later in itertools.pairwise(rows):
            assert parse_version(row["until"]) < parse_version(later["since"])
            assert row["value"] != later["value"]
        assert all(row["source"] for row in rows)
    assert set(table) == {"oldest", "newest", "read"}


def test_default_sequences_and_tokens_bound_each_other() -> None:
    """engine/arg_utils.py (_set_default_max_num_seqs_and_batched_tokens_args)."""
    few = ask("Qwen3.5-4B", options={"max_num_batched_tokens": 512})
    assert (few.settings["max_num_seqs"], few.settings["default_max_num_seqs"]) == (512, 512)
    short = ask("Qwen3.5-4B", context=1000, options={"max_num_seqs": 2})
    assert short.settings["max_num_batched_tokens"] == 2000
    asked = ask("Qwen3.5-4B", options={"max_num_batched_tokens": 512, "max_num_seqs": 600})
    assert asked.settings["max_num_seqs"] == 600


def test_where_no_number_of_sequences_is_safe_the_estimate_decides() -> None:
    """An A100 80 GB serves 122B GPTQ at 4,096 tokens (recipe r054), but only just."""
    question = {"context": 4096, "precision": "gptq-int4"}
    plan = ask("Qwen3.5-122B-A10B", "a100-sxm-80", **question)
    assert plan.outcome is Outcome.TIGHT
    assert plan.settings["max_num_seqs"] < plan.figures["num_blocks"]
    assert plan.launch is not None
    assert f"--max-num-seqs {plan.settings['max_num_seqs']}" in plan.launch.command


@given(
    model=st.sampled_from(MODELS),
    on=st.sampled_from(["rtx-4090", "h100", "2x rtx-5090", "dgx-spark"]),
    precision=st.sampled_from(["bf16", "fp8", "nvfp4"]),
    context=st.integers(1000, 262_144),
    concurrency=st.integers(1, 64),
    eager=st.booleans(),
)
def test_what_fits_leaves_no_less_than_nothing(
    model: str, on: str, precision: str, context: int, concurrency: int, eager: bool
) -> None:
    plan = ask(
        model,
        on,
        precision=precision,
        context=context,
        concurrency=concurrency,
        options={"enforce_eager": eager},
    )
    assert not plan.fits or (plan.headroom is not None and plan.headroom >= 0)


def test_a_model_without_state_answers_no_state_figures() -> None:
    hybrid = planner.load_checkpoint("Qwen3.5-4B").model
    attention = next(layer for layer in hybrid.layers if layer.mixer.kind == "full_attention")
    pure = dataclasses.replace(hybrid, layers=(attention,) * 8)
    stored = Checkpoint(id="pure", model=pure, scheme=get_scheme("bf16"), source="a test")
    figures = planner.plan(stored, on="h100", engine="vllm", context=8192).figures
    assert {figures[name] for name in STATE_FIGURES} == {None}
    assert [group["kind"] for group in figures["groups"]] == ["attention"]

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
from planner.engines.vllm import VLLM
from planner.engines.vllm.cache import align_page, group_layers
from planner.engines.vllm.options import VllmOptions
from planner.engines.vllm.releases import Rules, parse_version, rules_of
from planner.engines.vllm.weights import stage_layers
from planner.errors import InputError
from planner.model.checkpoint import Checkpoint
from planner.model.quantization_config import read_quantization
from planner.planning import Outcome

MODELS = ("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3-Next-80B-A3B-Instruct")


def ask(model: str = "Qwen3.5-27B", on: str = "h100", **question: Any) -> planner.Plan:
    return planner.plan(model, on=on, **{"context": 8192, "engine": "vllm", **question})


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
    assert "refuse to start" in plan.warnings[0]
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


@pytest.mark.parametrize(
    ("question", "last_but_one", "error"),
    [
        ({"on": "l4"}, "Available KV cache memory: -", "No available memory"),
        ({"on": "2x rtx-4090", "precision": "fp8", "context": "256k"}, "Available", "To serve at"),
        (
            {"on": "h100", "options": {"max_num_seqs": 1000}},
            "vllm cache_config_info",
            "max_num_seqs (1000) exceeds",
        ),
        ({"on": "h100", "options": {"gpu_memory_utilization": 1.0}}, "", "Free memory on device"),
    ],
)
def test_a_start_that_fails_prints_no_more_than_that(
    question: dict[str, Any], last_but_one: str, error: str
) -> None:
    lines = ask("Qwen3.5-27B", **question).expected_log
    assert lines[-1].startswith(f"ValueError: {error}")
    assert "".join(lines[-2:-1]).startswith(last_but_one)
    assert not any("0 tokens" in line and "GPU KV" in line for line in lines)


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


def test_apple_cannot_run_it() -> None:
    plan = ask(on="apple-m4-max")
    assert plan.outcome is Outcome.CANNOT_RUN
    assert "no backend" in plan.verdict


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
    assert any("is assumed" in warning for warning in ask(options=options).warnings)


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


def test_weights_on_the_host_are_placed_on_every_rank() -> None:
    plan = ask("Qwen3.5-27B", "2x rtx-4090", options={"cpu_offload_gb": 20.0})
    assert plan.allocation is not None
    assert plan.allocation.placement is not None
    assert plan.allocation.placement.host_streamed == 40 * 2**30
    assert plan.allocation.placement.host_streamed_experts == 0
    assert plan.allocation.host_bytes == 40 * 2**30
    experts = ask("Qwen3.5-35B-A3B", "rtx-4090", precision="fp8", options={"cpu_offload_gb": 20.0})
    assert experts.allocation is not None
    assert experts.allocation.placement is not None
    share = experts.allocation.placement.host_streamed_experts / (20 * 2**30)
    assert 0.9 < share < 1
    assert ask().allocation.placement.outside == 0  # type: ignore[union-attr]


SERVED = (
    "vllm serve Qwen/Qwen3.5-27B-FP8 --max-model-len 32k --port 8001 --host 0.0.0.0 --api-key key"
    " --served-model-name q --reasoning-parser qwen3 --tool-call-parser qwen3_coder"
    " --enable-auto-tool-choice --quantization fp8 --new-flag 3"
)


def test_flags_that_take_no_memory_come_back() -> None:
    plan = planner.plan_command(f"{SERVED} --kv-offloading-size 64", on="2x rtx-4090")
    assert plan.launch is not None
    for words in SERVED.split(" --")[2:]:
        assert f"--{words}" in plan.launch.command
    assert "--kv-offloading-size 64" in plan.launch.command
    assert any("--new-flag is not a flag" in warning for warning in plan.warnings)
    assert any("64.0 GiB of host memory" in warning for warning in plan.warnings)
    assert plan.allocation is not None
    assert plan.allocation.host_bytes == 64 * 2**30
    again = planner.plan_command(plan.launch.command, on="2x rtx-4090")
    assert again.launch is not None
    assert again.launch.argv == plan.launch.argv


def test_what_a_plan_writes_for_its_nodes_is_written_once() -> None:
    plan = ask("Qwen3.5-122B-A10B", "2x dgx-spark", precision="fp8")
    assert plan.launch is not None
    again = planner.plan_command(plan.launch.further_commands[0], on="2x dgx-spark")
    assert again.launch is not None
    assert again.launch.per_node == plan.launch.per_node
    assert again.launch.argv == plan.launch.argv


def test_context_parallelism_is_a_degree_of_the_layout() -> None:
    text = "vllm serve Qwen/Qwen3.5-35B-A3B --max-model-len 8192 -tp 8 -dcp 4"
    plan = planner.plan_command(text, on="8x h100")
    assert plan.deployment.layout == planner.Layout(tensor_parallel=8, context_parallel=4)
    assert plan.launch is not None
    assert plan.launch.command.count("--decode-context-parallel-size 4") == 1


def test_the_dtype_that_is_asked_for_is_served() -> None:
    plan = planner.plan_command("vllm serve Qwen/Qwen3.5-4B --dtype half", on="h100")
    assert plan.launch is not None
    assert "--dtype float16" in plan.launch.command
    assert plan.figures["mamba_dtypes"] == ["float16", "float32"]
    with pytest.raises(InputError, match="float32 is not planned"):
        planner.plan_command("vllm serve Qwen/Qwen3.5-4B --dtype float32", on="h100")


def test_experts_in_16_bits_are_padded_on_sm_10() -> None:
    """FLASHINFER_TRTLLM pads each rank's experts to 128 columns (oracle/unquantized.py)."""
    eight = planner.Layout(tensor_parallel=8)
    sizes = {
        (on, version): ask(
            "Qwen3.5-35B-A3B",
            f"8x {on}",
            layout=eight,
            options={"language_model_only": True, "version": version},
        ).figures["params"][0]["param_bytes"]
        / 2**30
        for on, version in (("b200", "0.33.0"), ("b200", "0.30.0"), ("h200", "0.33.0"))
    }
    assert round(sizes["b200", "0.33.0"], 2) == 15.62
    assert sizes["b200", "0.30.0"] == sizes["h200", "0.33.0"]
    assert round(sizes["h200", "0.33.0"], 2) == 8.12
    shared = dataclasses.replace(eight, expert_parallel=True)
    whole = [
        ask("Qwen3.5-35B-A3B", f"8x {on}", layout=shared).figures["params"][0]["param_bytes"]
        for on in ("b200", "h200")
    ]
    assert whole[0] == whole[1]


def test_next_holds_its_head_on_every_stage() -> None:
    """models/qwen3_next.py makes ParallelLMHead without a stand-in for other stages."""
    stages = planner.Layout(pipeline_parallel=2)
    sizes = [
        stage["components"].get("text.lm_head", 0)
        for stage in ask("Qwen3-Next-80B-A3B-Instruct", "2x h200", layout=stages).figures["params"]
    ]
    assert sizes == [622_329_856, 622_329_856]
    qwen = ask("Qwen3.5-27B", "2x h200", layout=stages).figures["params"]
    assert "text.lm_head" not in qwen[0]["components"]


def test_the_tower_lies_on_every_stage_up_to_0_32() -> None:
    """models/interfaces.py: from 0.33.0 on stages after the first leave it out."""
    stages = planner.Layout(pipeline_parallel=2)
    for version, last in (("0.32.0", True), ("0.33.0", False)):
        plan = ask("Qwen3.5-27B", "2x h200", layout=stages, options={"version": version})
        held = [
            any(name.startswith("vision") for name in stage["components"])
            for stage in plan.figures["params"]
        ]
        assert held == [True, last]


def test_a_tower_that_is_not_loaded_must_divide_all_the_same() -> None:
    """0.33.0 builds it on the meta device first (run: "12 is not divisible by 8")."""
    eight = planner.Layout(tensor_parallel=8)
    text = ask("Qwen3.5-0.8B", "8x h100", layout=eight, options={"language_model_only": True})
    assert text.outcome is Outcome.CANNOT_RUN
    assert text.refusals[0].engine_message == "12 is not divisible by 8"
    spread = ask("Qwen3.5-0.8B", "8x h100", layout=eight, options={"mm_encoder_tp_mode": "data"})
    assert spread.outcome is not Outcome.CANNOT_RUN


def test_the_tower_stays_until_images_and_videos_are_off() -> None:
    def loaded(text: str) -> bool:
        plan = planner.plan_command(
            f"vllm serve Qwen/Qwen3.5-4B --max-model-len 8192 {text}", on="h100"
        )
        assert plan.launch is not None
        assert not text or "--limit-mm-per-prompt" in plan.launch.command
        return bool(plan.settings["vision_tower"])

    assert loaded("")
    assert loaded("--limit-mm-per-prompt.image 0")
    assert loaded("--limit-mm-per-prompt.video 0")
    assert not loaded("--limit-mm-per-prompt image=0,video=0")
    assert not loaded("""--limit-mm-per-prompt '{"image": 0, "video": {"count": 0}}'""")


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


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            planner.Layout(tensor_parallel=2, context_parallel=2),
            "Decode context parallelism for GQA/MQA requires `--tensor-parallel-size` (2) to be"
            " greater than the model's total number of KV heads (2). Increase"
            " `--tensor-parallel-size` or set `--decode-context-parallel-size 1`.",
        ),
        (
            planner.Layout(tensor_parallel=8, context_parallel=8),
            "`--decode-context-parallel-size` (8) exceeds the maximum supported value (4) for"
            " `--tensor-parallel-size` (8) and 2 model KV heads.",
        ),
    ],
)
def test_refusals_are_in_the_engines_own_words(layout: planner.Layout, message: str) -> None:
    plan = ask("Qwen3.5-35B-A3B", "8x h100", layout=layout)
    assert plan.refusals[0].engine_message == message


def test_the_verdict_keeps_the_first_sentence_of_the_engines_message() -> None:
    plan = ask("Qwen3.5-27B", "2x rtx-4090", precision="fp8", options={"max_num_seqs": 256})
    assert plan.allocation is not None
    assert "Each decode sequence requires one Mamba cache block" in str(plan.allocation.refusal)
    assert "Each decode sequence" not in plan.verdict


AWQ = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": 128,
    "zero_point": True,
    "modules_to_not_convert": [
        "visual",
        "mtp",
        "mlp.gate",
        "shared_expert_gate",
        "linear_attn",
        "lm_head",
    ],
}
GPTQ = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 128,
    "sym": True,
    "dynamic": {"-:.*visual.*": {}, "-:.*mtp.*": {}},
}
GPTQ_EXPERTS = GPTQ | {
    "dynamic": {
        f"-:.*{part}.*": {}
        for part in ("visual", "mtp", "linear_attn", "shared_expert", "self_attn")
    }
}
FP8_CHANNEL = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "ignore": [
        "lm_head",
        "re:.*visual.*",
        "re:.*mlp.gate$",
        "re:.*shared_expert_gate$",
        "re:.*in_proj_[ab]$",
        "re:.*mtp.*",
    ],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "float",
                "strategy": "channel",
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
        }
    },
}


@pytest.mark.parametrize(
    ("model", "tp", "config", "nbytes"),
    [
        ("Qwen3.5-35B-A3B", 4, AWQ, 5_300_984_736),
        ("Qwen3.5-9B", 1, GPTQ, 7_664_978_432),
        ("Qwen3.5-9B", 8, GPTQ, 965_818_944),
        ("Qwen3.5-35B-A3B", 2, GPTQ_EXPERTS, 10_893_582_656),
        ("Qwen3.5-35B-A3B", 1, FP8_CHANNEL, 35_832_368_436),
    ],
)
def test_quantized_weights_take_what_the_engines_modules_take(
    model: str, tp: int, config: dict[str, object], nbytes: int
) -> None:
    """Parameters of vLLM 0.33.0's own modules on the meta device, scales of the cache apart."""
    scheme = read_quantization({"quantization_config": config}, name=model)
    assert scheme is not None
    spec = planner.load_checkpoint(model).model
    stored = Checkpoint(id=model, model=spec, scheme=scheme, source="a config alone")
    plan = planner.plan(
        stored,
        on=f"{tp}x h100",
        engine="vllm",
        context=32_768,
        layout=planner.Layout(tensor_parallel=tp),
        options={"language_model_only": True},
    )
    scales_of_the_cache = 18 * len(spec.full_attention_layers)
    assert 0 <= nbytes - plan.figures["params"][0]["param_bytes"] <= scales_of_the_cache

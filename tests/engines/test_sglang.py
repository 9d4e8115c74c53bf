"""SGLang: properties that hold whatever the numbers, and figures that its logs state."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from planner.engines.sglang import SGLANG, SGLangOptions
from planner.engines.sglang.answer import SglangAnswer
from planner.engines.sglang.defaults import prefill_buckets, vision_factor
from planner.engines.sglang.pool import Pool
from planner.engines.sglang.ranks import Gpu, Parallel, gpu_of, parallel_of
from planner.engines.sglang.releases import RULES, SOURCES, rules_for, source_of
from planner.engines.sglang.server import Server
from planner.errors import InputError, LayoutError
from planner.layout import Layout, layouts_of
from planner.memory.breakdown import Kind
from planner.model.catalog import bundled_checkpoint
from planner.planning import Outcome, Plan
from planner.units import GIB, MIB
from tests.present import plan_of_weights

H100 = Gpu(memory_mib=81559, capability=(9, 0))
MODELS = ("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B", "Qwen3-Next-80B-A3B-Instruct")


def server(
    model: str = "Qwen3.5-35B-A3B",
    *,
    gpu: Gpu = H100,
    context: int | None = None,
    kv_cache_dtype: str = "auto",
    parallel: Parallel | None = None,
    precision: str = "bf16",
    **options: Any,
) -> Server:
    return Server(
        checkpoint=bundled_checkpoint(model, precision=precision),
        parallel=parallel or Parallel(),
        gpu=gpu,
        options=SGLangOptions(**options),
        kv_cache_dtype=kv_cache_dtype,
        context=context,
    )


def pool(asked: Server, *, before: float = 79.0, after: float = 45.0) -> Pool:
    return asked.pool(free_before_load=before * GIB, free_after_load=after * GIB)


def ask(model: str = "Qwen3.5-35B-A3B", on: str = "h100", **question: Any) -> Plan:
    options = question.pop("options", None)
    return plan_of_weights(
        model, on=on, engine="sglang", options=options, **{"context": 8192, **question}
    )


@given(
    model=st.sampled_from(MODELS),
    after=st.floats(12, 75),
    fraction=st.floats(0.55, 0.95),
    running=st.none() | st.integers(1, 4096),
    ratio=st.floats(0.05, 5),
    drafting=st.booleans(),
    radix=st.booleans(),
    release=st.sampled_from([rules.version for rules in RULES if rules.pool_errors]),
)
def test_pools_never_take_more_than_the_budget(
    model: str,
    after: float,
    fraction: float,
    running: int | None,
    ratio: float,
    drafting: bool,
    radix: bool,
    release: str,
) -> None:
    asked = server(
        model,
        version=release,
        mem_fraction_static=fraction,
        max_running_requests=running,
        mamba_full_memory_ratio=ratio,
        speculative_algorithm="NEXTN" if drafting else None,
        disable_radix_cache=not radix,
    )
    made = pool(asked, after=after)
    if made.failure is not None:
        assert made.max_running_requests is None
        assert made.failure.reason
        return
    assert made.max_running_requests is not None
    assert made.max_total_num_tokens is not None
    assert made.max_mamba_cache_size is not None
    pad = int(asked.rules.budgets_padding_slot)
    taken = (made.max_mamba_cache_size + pad) * made.geometry.stage_slot_bytes
    taken += made.intermediate_bytes + made.max_total_num_tokens * made.geometry.cells[0]
    assert taken <= made.budget + 1
    assert made.max_running_requests * made.geometry.mamba_ratio <= made.max_mamba_cache_size
    assert made.max_running_requests <= max(1, running or 10**6)
    really, slot = asked.allocated(made), made.geometry.stage_slot_bytes
    on_top = 0 if pad or asked.resolved.speculation is None else slot
    drafted = asked.resolved.speculation.num_draft_tokens if asked.resolved.speculation else 0
    assert really.intermediate <= made.intermediate_bytes + on_top * drafted
    assert really.state <= (made.max_mamba_cache_size + 1) * slot


@given(after=st.floats(15, 70), more=st.floats(0.5, 20))
def test_more_memory_never_runs_fewer(after: float, more: float) -> None:
    asked = server()
    less, enough = pool(asked, after=after), pool(asked, after=after + more)
    assert (enough.max_running_requests or 0) >= (less.max_running_requests or 0)
    assert (enough.max_total_num_tokens or 0) >= (less.max_total_num_tokens or 0)


@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ({}, 5),
        ({"disable_radix_cache": True}, 1),
        ({"mamba_radix_cache_strategy": "no_buffer", "disable_overlap_schedule": True}, 3),
        ({"mamba_radix_cache_strategy": "extra_buffer_lazy"}, 4),
        ({"mamba_radix_cache_strategy": "extra_buffer", "disable_overlap_schedule": True}, 4),
        ({"version": "0.5.9"}, 3),
        ({"version": "0.5.9", "mamba_radix_cache_strategy": "extra_buffer"}, 5),
    ],
)
def test_slots_per_request(options: dict[str, Any], slots: int) -> None:
    assert server(**options).geometry.mamba_ratio == slots


def test_speculation_of_the_oldest_release_takes_one_tracking_slot() -> None:
    buffered = server(
        version="0.5.9", speculative_algorithm="NEXTN", mamba_radix_cache_strategy="extra_buffer"
    )
    assert buffered.geometry.mamba_ratio == 4
    assert not buffered.resolved.disable_radix_cache
    plain = server(version="0.5.9", speculative_algorithm="NEXTN")
    assert plain.resolved.disable_radix_cache
    assert plain.geometry.mamba_ratio == 1


def test_releases_differ_where_they_changed() -> None:
    small = Gpu(memory_mib=24564, capability=(8, 9))
    fractions = {}
    for rules in RULES:
        asked = server(gpu=small, version=rules.version, speculative_algorithm="NEXTN")
        fractions[rules.version] = asked.resolved.mem_fraction_static
        assert asked.resolved.chunked_prefill_size == rules.small_gpu_chunk
    assert fractions["0.5.12.post1"] < fractions["0.5.9"] < fractions["0.5.15"]
    assert fractions["0.5.20"] == fractions["0.5.23"] < fractions["0.5.18"]
    before, after = (
        pool(server(version=version, mem_fraction_static=0.8, mamba_full_memory_ratio=1))
        for version in ("0.5.15", "0.5.18")
    )
    assert 1 <= (before.max_mamba_cache_size or 0) - (after.max_mamba_cache_size or 0) <= 2
    assert before.budget - after.budget == 100 * MIB


def test_a_release_between_two_read_ones_follows_the_older_and_says_so() -> None:
    assert rules_for("0.5.13").version == "0.5.12.post1"
    assert rules_for("0.5.99").version == "0.5.23"
    assert not [note for note in ask().warnings if "assumed" in note]
    for version in ("0.5.19", "0.6.0"):
        notes = ask(options=SGLangOptions(version=version)).warnings
        assert [note for note in notes if "rules of 0.5." in note]


def test_the_state_pool_limits_what_it_is_known_to_limit() -> None:
    """735,006 tokens and 41 requests at the free memory that SGLang's own code was given."""
    plan = ask(context=8192, concurrency=64, precision="fp8")
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert plan.capacity is not None
    assert plan.capacity.limited_by == "state pool"
    assert plan.capacity.sequences == 41
    assert plan.capacity.tokens > 64 * 8192
    halved = ask(
        context=8192,
        concurrency=64,
        precision="fp8",
        options=SGLangOptions(mamba_ssm_dtype="bfloat16"),
    )
    assert halved.fits


def test_advice_holds_what_it_promises() -> None:
    plan = ask(context=131072, concurrency=8, precision="fp8")
    assert plan.outcome is Outcome.HOLDS_FEWER
    (note,) = [note for note in plan.warnings if "the same memory holds" in note]
    slots = int(note.partition("--max-mamba-cache-size ")[2].split()[0])
    options = SGLangOptions(max_mamba_cache_size=slots)
    assert ask(context=131072, concurrency=8, precision="fp8", options=options).fits


def test_what_does_not_start_says_why_and_what_would() -> None:
    plan = ask(concurrency=1)  # BF16 on 80 GB under the default fraction
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert plan.allocation is not None
    assert plan.allocation.shortfall > 0
    assert "Not enough GPU memory for hybrid" in (plan.allocation.refusal or "")
    (note,) = [note for note in plan.warnings if "would start it" in note]
    fraction = float(note.split()[1])
    assert ask(concurrency=1, options=SGLangOptions(mem_fraction_static=fraction)).fits
    less = round(fraction - 0.01, 2)
    assert not ask(concurrency=1, options=SGLangOptions(mem_fraction_static=less)).fits


@pytest.mark.parametrize("model", ["Qwen3.5-27B", "Qwen3.5-397B-A17B"])
@pytest.mark.parametrize("drafting", [None, "NEXTN"])
def test_terms_of_a_full_rank_add_up_to_the_device(model: str, drafting: str | None) -> None:
    """What the engine leaves, takes and pools is all of the device when the pools are full."""
    plan = ask(
        model,
        "8x h200",
        precision="fp8",
        layout=Layout(tensor_parallel=8),
        options=SGLangOptions(speculative_algorithm=drafting),
    )
    rank, details = plan.ranks[0], plan.figures
    fixed = rank.used - rank.of_kind(Kind.KV_CACHE, Kind.RECURRENT_STATE)
    fixed += sum(term.nbytes for term in rank.terms if "drafter's KV" in term.name)
    pools = details["static_budget_bytes"]
    assert math.isclose(fixed + pools, rank.total, rel_tol=1e-9)
    assert rank.usable == rank.total


def test_a_checkpoint_without_vision_keeps_nothing_for_images() -> None:
    text = server("Qwen3-Next-80B-A3B-Instruct")
    vision = server("Qwen3.5-35B-A3B")
    assert text.resolved.mem_fraction_static > vision.resolved.mem_fraction_static
    assert pool(text, after=45).budget > pool(server("Qwen3.5-35B-A3B"), after=45).budget


def test_attention_data_parallelism_multiplies_pools_and_replicates_attention() -> None:
    layout = Layout(data_parallel=8, expert_parallel=True)
    assert parallel_of(layout, SGLangOptions()) == Parallel(tp_size=8, attn_dp_size=8, ep_size=8)
    assert parallel_of(Layout(tensor_parallel=8), SGLangOptions(attn_dp_size=4)) == Parallel(
        tp_size=8, attn_dp_size=4
    )
    replicas = parallel_of(Layout(tensor_parallel=2, data_parallel=4), SGLangOptions())
    assert replicas == Parallel(tp_size=2, replicas=4)
    wide, grouped = (
        ask("Qwen3.5-397B-A17B", "8x h200", precision="fp8", layout=chosen)
        for chosen in (Layout(tensor_parallel=8, expert_parallel=True), layout)
    )
    assert grouped.figures["mamba_cache_per_req"] == 8 * wide.figures["mamba_cache_per_req"]
    assert wide.launch is not None
    assert grouped.launch is not None
    assert "--attn-dp-size 8" in grouped.launch.command
    assert "--ep-size 8" in wide.launch.command
    with pytest.raises(LayoutError):
        parallel_of(layout, SGLangOptions(attn_dp_size=4))
    with pytest.raises(LayoutError):
        parallel_of(Layout(data_parallel=2), SGLangOptions(attn_dp_size=2))


def test_pipeline_stages_cover_all_layers() -> None:
    stages = Parallel(pp_size=7).stages(60)
    assert [layer for stage in stages for layer in stage] == list(range(60))
    assert len(stages[-1]) == len(stages[0]) + 1
    plan = ask("Qwen3.5-122B-A10B", "2x h200", layout=Layout(pipeline_parallel=2), concurrency=1)
    assert {rank.name for rank in plan.ranks} == {"stage 1 of 2", "stage 2 of 2"}


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"layout": Layout(tensor_parallel=8), "precision": "fp8"}, "blocks are 128 wide"),
        ({"layout": Layout(tensor_parallel=6)}, "16 attention heads"),
        (
            {
                "layout": Layout(tensor_parallel=2, pipeline_parallel=2),
                "options": SGLangOptions(speculative_algorithm="NEXTN"),
            },
            "speculation does not work across pipeline stages",
        ),
        ({"options": SGLangOptions(language_model_only=True)}, "vision tower"),
        (
            {"options": SGLangOptions(mamba_radix_cache_strategy="no_buffer")},
            "overlap schedule off",
        ),
        (  # stages switch it off themselves, but only after this was looked at
            {
                "layout": Layout(pipeline_parallel=2),
                "options": SGLangOptions(mamba_radix_cache_strategy="no_buffer"),
            },
            "overlap schedule off",
        ),
        ({"options": SGLangOptions(context_length=4096)}, "shorter than"),
        ({"precision": "mlx-4bit"}, "not planned"),
    ],
)
def test_refusals_name_the_rule(question: dict[str, Any], words: str) -> None:
    layout = question.get("layout", Layout())
    assert isinstance(layout, Layout)
    plan = ask(on=f"{layout.accelerators}x h100", **{"layout": layout, **question})
    assert plan.outcome is Outcome.CANNOT_RUN
    assert words in plan.verdict
    assert all(refusal.source.where for refusal in plan.refusals)


def test_a_legal_width_is_named_and_is_legal() -> None:
    plan = ask(on="8x h100", layout=Layout(tensor_parallel=8), precision="fp8")
    assert plan.refusals[0].remedy == "TP 4 works"
    assert plan.refusals[0].engine_message == (
        "ValueError: Weight output_partition_size = 64 is not divisible by weight quantization"
        " block_n = 128."
    )
    best = ask(on="8x h100", precision="fp8")
    assert best.fits
    assert best.deployment.layout.tensor_parallel <= 4


def test_expert_parallelism_cures_routed_experts_but_not_the_shared_one() -> None:
    shared = server(parallel=Parallel(tp_size=8, ep_size=8), precision="fp8").load_violations()
    assert {found.rule for found in shared} == {"shared_gate_up", "shared_down"}
    replicated = server(
        parallel=Parallel(tp_size=8, ep_size=8), precision="fp8", moe_a2a_backend="deepep"
    )
    assert not replicated.load_violations()


@pytest.mark.parametrize("on", ["apple-m3-ultra", "v100"])
def test_devices_that_are_not_covered_are_refused(on: str) -> None:
    assert ask(on=on).outcome is Outcome.CANNOT_RUN


def test_the_command_carries_what_the_plan_assumed() -> None:
    options = SGLangOptions(
        mem_fraction_static=0.8,
        max_running_requests=16,
        mamba_radix_cache_strategy="extra_buffer",
        cuda_graph_max_bs=16,
        speculative_algorithm="NEXTN",
        disable_cuda_graph=True,
    )
    plan = ask("Qwen3.5-27B", precision="fp8", options=options, kv_cache_dtype="fp8")
    assert plan.launch is not None
    assert plan.launch.argv == (
        *("python", "-m", "sglang.launch_server", "--model-path", "Qwen/Qwen3.5-27B-FP8"),
        *("--context-length", "8192", "--kv-cache-dtype", "fp8_e4m3"),
        *("--mem-fraction-static", "0.8", "--max-running-requests", "16"),
        *("--speculative-algorithm", "NEXTN", "--disable-cuda-graph"),
        *("--cuda-graph-max-bs-decode", "16", "--mamba-radix-cache-strategy", "extra_buffer"),
    )
    old = dataclasses.replace(options, version="0.5.9")
    words = ask("Qwen3.5-27B", precision="fp8", options=old).launch
    assert words is not None
    assert "--mamba-scheduler-strategy" in words.argv
    assert "--cuda-graph-max-bs" in words.argv


def test_yarn_stands_in_plan_warning_and_command() -> None:
    plan = ask("Qwen3.5-35B-A3B", "h200", precision="fp8", context=524288, yarn=True)
    assert plan.launch is not None
    assert plan.launch.environment == {"SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN": "1"}
    assert '"factor": 2.0' in plan.launch.command
    assert [note for note in plan.warnings if "YaRN" in note]


def test_several_nodes_get_a_command_each() -> None:
    plan = ask("Qwen3.5-397B-A17B", "16x h100", layout=Layout(tensor_parallel=16))
    assert plan.launch is not None
    assert "--nnodes 2" in plan.launch.command
    assert plan.launch.argv[-1] == "0"
    assert [command[-1] for command in plan.launch.per_node] == ["1"]


def test_the_log_repeats_the_pools() -> None:
    plan = ask("Qwen3.5-27B", precision="fp8", options=SGLangOptions(speculative_algorithm="NEXTN"))
    details, text = plan.figures, "\n".join(plan.expected_log)
    assert f"max_total_num_tokens={details['max_total_num_tokens']}" in text
    assert f"max_running_requests={details['max_running_requests']}" in text
    assert f"max_mamba_cache_size: {details['max_mamba_cache_size']}" in text
    assert "intermediate_ssm_state_cache size" in text
    failed = ask(concurrency=1)
    assert failed.allocation is not None
    assert failed.expected_log[-1] == failed.allocation.refusal


def test_unified_memory_is_read_as_available_ram_and_warned_of() -> None:
    plan = ask("Qwen3.5-27B", "gb10", precision="fp8")
    assert gpu_of(hardware_db.resolve("gb10").accelerator).integrated
    assert [note for note in plan.warnings if "unified memory" in note]
    careful = ask(
        "Qwen3.5-27B", "gb10", precision="fp8", options=SGLangOptions(mem_fraction_static=0.7)
    )
    assert not [note for note in careful.warnings if "unified memory" in note]


def test_graph_buckets_grow_with_the_chunk() -> None:
    assert [prefill_buckets(size) for size in (-1, 2048, 4096, 8192, 16384)] == [0, 42, 50, 58, 74]


@pytest.mark.parametrize(
    "options",
    [
        {"mem_fraction_static": math.nan},
        {"mem_fraction_static": 1},
        {"mem_fraction_static": 85},
        {"mamba_full_memory_ratio": math.nan},
        {"mamba_full_memory_ratio": -1},
        {"mamba_full_memory_ratio": "abc"},
        {"max_running_requests": 0},
        {"max_running_requests": 10**18},
        {"max_mamba_cache_size": -1},
        {"chunked_prefill_size": 0},
        {"chunked_prefill_size": "8k"},
        {"attention_backend": "fa9"},
        {"mamba_ssm_dtype": "int8"},
        {"mamba_radix_cache_strategy": "none"},
        {"speculative_algorithm": "DFLASH"},
        {"speculative_algorithm": 5},
        {"speculative_num_steps": 3},
        {"speculative_algorithm": "NEXTN", "speculative_num_steps": 3},
        {"speculative_algorithm": "NEXTN", "speculative_eagle_topk": 1},
        {"version": "0.4.1"},
        {"version": "latest"},
        {"version": None},
        {"mamba_radix_cache_strategy": "extra_buffer_lazy", "version": "0.5.12"},
        {"quantization": "fp8"},
        {"attn_dp_size": True},
    ],
)
def test_options_out_of_range_are_one_clear_line(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as error:
        SGLangOptions(**options)
    assert next(iter(options)) in str(error.value) or "speculative" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_cache_dtype_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="int4_per_token_head"):
        ask(kv_cache_dtype="int4_per_token_head")


def test_mxfp8_cache_carries_a_scale_per_32_elements_and_needs_blackwell() -> None:
    halved, scaled = (
        server(gpu=Gpu(memory_mib=183359, capability=(10, 0)), kv_cache_dtype=name)
        for name in ("fp8", "mxfp8")
    )
    assert scaled.geometry.cells[0] * 32 == halved.geometry.cells[0] * 33
    assert "Blackwell" in ask(kv_cache_dtype="mxfp8", precision="fp8").verdict


def test_no_buffer_does_not_go_with_trtllm_mha_nor_with_pages() -> None:
    blackwell = Gpu(memory_mib=183359, capability=(10, 0))
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"attention_backend": "trtllm_mha"}, "no_buffer_trtllm"),
        ({"page_size": 16}, "no_buffer_page"),
    )
    for options, rule in cases:
        asked = server(
            gpu=blackwell,
            mamba_radix_cache_strategy="no_buffer",
            disable_overlap_schedule=True,
            **options,
        )
        found = asked.option_violations()
        assert [violation.rule for violation in found] == [rule]


def test_all_to_all_shares_experts_out_and_reserves_for_its_buffers() -> None:
    layout = Layout(tensor_parallel=8)
    options = SGLangOptions(moe_a2a_backend="deepep")
    parallel = parallel_of(layout, options)
    assert parallel.ep_size == 8
    plain = server(parallel=parallel)
    exchanging = server(parallel=parallel, moe_a2a_backend="deepep")
    assert exchanging.resolved.prefill_graph_buckets == 38
    assert exchanging.resolved.mem_fraction_static < plain.resolved.mem_fraction_static


def test_the_best_layout_loads_and_uses_every_accelerator() -> None:
    best = ask(on="8x h100", precision="fp8")
    assert best.fits
    assert best.deployment.layout.accelerators == 8
    assert not SGLANG.refusals(best.deployment)


def test_every_kind_of_layout_that_the_engine_accepts_is_enumerated() -> None:
    """Replicas of stages (data_parallel_controller.py), and attention DP that shares experts."""
    layouts = set(layouts_of(SGLANG.degrees, accelerators=8, per_node=8, experts=True, kv_heads=2))
    assert Layout(tensor_parallel=2, pipeline_parallel=2, data_parallel=2) in layouts
    assert Layout(data_parallel=8, expert_parallel=True) in layouts
    assert Layout(tensor_parallel=2, data_parallel=4, expert_parallel=True) in layouts
    for layout in layouts:
        plan = ask("Qwen3.5-397B-A17B", "8x h200", precision="fp8", layout=layout)
        assert all("replicas" not in refusal.reason for refusal in plan.refusals)


def test_a_tied_head_is_the_table_of_embeddings_and_counts_once() -> None:
    plan = ask("Qwen3.5-4B", "2x h100", layout=Layout(pipeline_parallel=2))
    assert plan.allocation is not None
    assert plan.allocation.placement is not None
    assert plan.deployment.checkpoint.model.tie_word_embeddings
    checkpoint = plan.deployment.checkpoint
    assert plan.allocation.placement.device == pytest.approx(checkpoint.nbytes("text"), rel=0.001)


def test_weights_lie_on_every_gpu() -> None:
    plan = ask("Qwen3.5-27B", precision="fp8", options={"speculative_algorithm": "NEXTN"})
    assert isinstance(plan.allocation, SglangAnswer)
    assert plan.allocation.placement is not None
    (weights,) = plan.figures["weights"]
    multiplied = [
        size
        for part in ("target", "draft")
        for name, size in weights[part].items()
        if name.startswith("mtp." if part == "draft" else "text.") and name != "text.embed_tokens"
    ]
    assert plan.allocation.placement.device == sum(multiplied)
    assert plan.allocation.placement.chunk == plan.settings["chunked_prefill_size"]
    assert plan.allocation.placement.outside == 0
    wide = ask("Qwen3.5-27B", "4x h100", precision="fp8", layout=Layout(data_parallel=4))
    alone = ask("Qwen3.5-27B", precision="fp8")
    assert wide.allocation is not None
    assert alone.allocation is not None
    assert wide.allocation.placement is not None
    assert alone.allocation.placement is not None
    assert wide.allocation.placement.device == 4 * alone.allocation.placement.device


def test_images_encoded_elsewhere_leave_a_larger_share_and_the_tower_where_it_is() -> None:
    """--language-only: no vision factor (memory_hook.py), but the tower is built (qwen3_vl.py)."""
    plain, alone = server(), server(language_only=True)
    assert math.isclose(
        plain.resolved.mem_fraction_static,
        alone.resolved.mem_fraction_static * vision_factor(plain.checkpoint.model),
    )
    plan = ask(precision="fp8", options={"language_only": True})
    assert plan.launch is not None
    assert "--language-only" in plan.launch.argv
    assert any(name.startswith("vision.") for name in plan.figures["weights"][0]["target"])


def test_every_cell_of_every_release_says_where_it_was_read() -> None:
    cells = [field.name for field in dataclasses.fields(RULES[0]) if field.name != "version"]
    assert set(SOURCES) == set(cells)
    for rules in RULES:
        for cell in cells:
            assert source_of(rules, cell).where.startswith(f"SGLang {rules.version} ")
    assert "server_args.py" in source_of(rules_for("0.5.9"), "prefill_graphs").where
    assert "memory_hook.py" in source_of(rules_for("0.5.23"), "small_gpu_chunk").where


@pytest.mark.parametrize(
    ("version", "words"),
    [("0.5.9", "mixed chunked prefill."), ("0.5.15", "speculative decoding"), ("0.5.23", "MTP")],
)
def test_speculation_over_stages_is_refused_in_the_releases_own_words(
    version: str, words: str
) -> None:
    plan = ask(
        on="2x h100",
        precision="fp8",
        layout=Layout(pipeline_parallel=2),
        options={"version": version, "speculative_algorithm": "NEXTN"},
    )
    assert plan.outcome is Outcome.CANNOT_RUN
    assert any(words in (refusal.engine_message or "") for refusal in plan.refusals)


@pytest.mark.parametrize(
    ("version", "flag"),
    [
        ("0.5.9", None),
        ("0.5.12", "--disable-piecewise-cuda-graph"),
        ("0.5.23", "--disable-prefill-cuda-graph"),
    ],
)
def test_flags_are_written_as_the_release_spells_them(version: str, flag: str | None) -> None:
    plan = ask(precision="fp8", options={"version": version, "disable_prefill_cuda_graph": True})
    assert plan.launch is not None
    written = [word for word in plan.launch.argv if word.startswith("--disable-")]
    assert written == ([flag] if flag else [])


def test_a_prefix_cache_in_host_memory_is_counted() -> None:
    """Twice the pools of every rank by default (hicache_hook.py), or --hicache-size GB each."""

    def taken(**options: object) -> int | None:
        plan = ask(
            "Qwen3.5-35B-A3B",
            "2x h100",
            precision="fp8",
            layout=Layout(tensor_parallel=2),
            options=options,
        )
        assert plan.allocation is not None
        if options:
            assert plan.launch is not None
            assert "--enable-hierarchical-cache" in plan.launch.argv
        return plan.allocation.host_bytes

    assert taken() is None
    figures = ask(
        "Qwen3.5-35B-A3B", "2x h100", precision="fp8", layout=Layout(tensor_parallel=2)
    ).figures
    pools = figures["max_total_num_tokens"] * figures["cell_bytes_per_token"][0]
    pools += figures["max_mamba_cache_size"] * figures["mamba_cache_per_req"]
    assert taken(enable_hierarchical_cache=True) == 2 * 2 * pools
    assert taken(enable_hierarchical_cache=True, hicache_ratio=1.5) == 2 * int(1.5 * pools)
    assert taken(enable_hierarchical_cache=True, hicache_size=30) == 2 * 30 * 10**9


def test_more_host_memory_than_there_is_is_said() -> None:
    plan = ask(
        "Qwen3.5-35B-A3B",
        "aws-g6e-48xlarge",
        precision="fp8",
        layout=Layout(tensor_parallel=4),
        options={"enable_hierarchical_cache": True, "hicache_size": 1000},
    )
    assert [note for note in plan.warnings if "SGLang does not start" in note]

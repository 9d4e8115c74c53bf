"""llama.cpp as an engine: placements that fit, refusals, command and log."""

import math
import re
from typing import Any

import pytest

import planner
from planner import asking
from planner.engines.llamacpp import LlamacppOptions
from planner.engines.llamacpp.machine import CONTEXT_BYTES, RUNTIME_BYTES
from planner.engines.llamacpp.tensor_file import OUTSIDE, file_tensors, gguf_scheme
from planner.errors import InputError
from planner.layout import Layout
from planner.memory.breakdown import Kind, Rank
from planner.planning import Outcome, Plan
from planner.units import GIB
from tests.present import some

SMALL = "Qwen/Qwen3.5-4B"
MOE = "Qwen/Qwen3.5-35B-A3B"


def ask(
    model: str = SMALL,
    on: str = "rtx-4090",
    precision: str = "q4_k_m",
    context: int = 8192,
    concurrency: int = 1,
    kv: str = "auto",
    layout: Layout | None = None,
    yarn: bool = False,
    **options: Any,
) -> Plan:
    return asking.ask(
        model,
        on=on,
        engine="llamacpp",
        precision=precision,
        context=context,
        concurrency=concurrency,
        kv_cache_dtype=kv,
        layout=layout,
        yarn=yarn,
        options=options,
    ).plan()


def test_what_fits_wholly_is_left_alone() -> None:
    plan = ask()
    assert plan.outcome is Outcome.FITS
    assert plan.launch is not None
    assert plan.launch.command == "llama-server -m Qwen3.5-4B-Q4_K_M.gguf -c 8192 -np 1"
    assert plan.figures["layers_per_device"] == {"CUDA0": 34, "host": 0}


def test_experts_go_to_the_host_as_few_as_possible() -> None:
    """What the user places keeps no margin, so the fewest are told by a plan that keeps none."""
    plan = ask(MOE, "custom:16GiB", context=16384, host_memory_gib=64, fit_target_mib=0)
    assert plan.fits
    assert plan.launch is not None
    moved = plan.settings["n_cpu_moe"]
    assert 0 < moved < 40
    assert f"--n-cpu-moe {moved}" in plan.launch.command
    host = next(rank for rank in plan.ranks if rank.name == "host")
    assert host.of_kind(Kind.WEIGHTS) > 5 * GIB
    one_less = ask(MOE, "custom:16GiB", context=16384, host_memory_gib=64, n_cpu_moe=moved - 1)
    assert not one_less.fits


@pytest.mark.parametrize(
    ("model", "on", "precision", "ram"),
    [
        ("Qwen/Qwen3.5-122B-A10B", "rtx-3090", "q4_k_m", 64),
        (MOE, "rtx-3060", "q4_k_m", 16),
        (MOE, "rtx-3060", "q4_k_m", 26),
        (MOE, "rtx-3060", "q8_0", 32),
    ],
)
def test_a_small_ram_takes_as_many_experts_as_it_must_and_can(
    model: str, on: str, precision: str, ram: int
) -> None:
    """RAM overflows with all experts in it, and the GPU with none: a number between fits."""
    plan = ask(model, on, precision, context=32_768, host_memory_gib=ram)
    assert plan.fits
    moved = plan.settings["n_cpu_moe"]
    assert 0 < moved < plan.figures["blocks"] - 1
    fewer = ask(model, on, precision, context=32_768, host_memory_gib=ram, n_cpu_moe=moved - 1)
    assert _rank(fewer, "GPU 0").used > _rank(plan, "GPU 0").usable
    assert some(some(plan.allocation).placement).host_computed == sum(
        term.nbytes for term in _rank(plan, "host").terms if "weights (text)" in term.name
    ) - _embedding(model, precision)


def _rank(plan: Plan, name: str) -> Rank:
    return next(rank for rank in plan.ranks if rank.name == name)


def _embedding(name: str, precision: str) -> int:
    checkpoint = planner.load_checkpoint(name, precision=precision)
    scheme = gguf_scheme(checkpoint)
    assert scheme is not None
    return file_tensors(checkpoint.model, scheme)["token_embd", OUTSIDE].nbytes


def test_where_the_weights_lie_is_said_to_the_byte() -> None:
    plain = some(ask(MOE, n_gpu_layers=99).allocation).placement
    moved = some(ask(MOE, n_gpu_layers=99, n_cpu_moe=10).allocation).placement
    whole = some(ask(MOE, n_gpu_layers=0, host_memory_gib=64).allocation).placement
    assert some(plain).outside == some(plain).host_layers == 0
    assert some(moved).host_computed == some(moved).host_computed_experts > 0
    assert some(moved).device + some(moved).host_computed == some(plain).device
    assert some(whole).device == 0
    assert some(whole).host_computed == some(plain).device
    assert some(whole).host_layers == 40


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_cpu_moe": 99}, "all experts in RAM"),
        ({"n_cpu_moe": 10_000, "n_gpu_layers": 0}, "all experts and all layers in RAM"),
        ({"n_cpu_moe": 3}, "the experts of 3 of 40 layers in RAM"),
        ({"n_gpu_layers": 41}, "1 whole layer in RAM"),
    ],
)
def test_what_lies_in_ram_is_counted_as_there_is(options: dict[str, Any], says: str) -> None:
    plan = ask(MOE, host_memory_gib=64, **options)
    assert any(text.startswith(says) for text in plan.warnings)
    assert not any("99 of" in text or "10000" in text for text in plan.warnings)


def test_the_prompt_cache_is_a_note() -> None:
    plan = ask()
    assert any("--cache-ram" in text for text in plan.notes)
    assert not any("--cache-ram" in text for text in plan.warnings)


def test_a_dense_model_leaves_whole_blocks_on_the_host() -> None:
    plan = ask(SMALL, "custom:4GiB", precision="q8_0", host_memory_gib=32)
    assert plan.fits
    layers = plan.settings["n_gpu_layers"]
    assert 0 < layers < 34
    assert f"-ngl {layers}" in some(plan.launch).command


def test_an_unknown_host_is_not_counted_on() -> None:
    plan = ask(MOE, "custom:16GiB", context=16384)
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert any("of RAM it would run (--n-cpu-moe" in text for text in plan.warnings)


def test_a_small_host_is_too_small() -> None:
    assert not ask(MOE, "custom:8GiB", context=16384, host_memory_gib=8).fits


def test_several_gpus_share_the_blocks() -> None:
    plan = ask(MOE, "2x rtx-4090", context=32768)
    assert plan.fits
    assert {rank.name for rank in plan.ranks} == {"GPU 0", "GPU 1"}
    assert plan.figures["pipeline_parallel"]
    layers = plan.figures["layers_per_device"]
    assert layers["CUDA0"] + layers["CUDA1"] == 42


def test_unequal_rooms_are_balanced_by_a_split() -> None:
    plan = ask(MOE, "2x custom:16GiB", context=16384, host_memory_gib=64)
    assert plan.fits


def test_slots_share_the_context_or_have_one_each() -> None:
    split = ask(context=8000, concurrency=3)
    assert some(split.launch).command.endswith("-c 24576 -np 3")
    unified = ask(context=8192, concurrency=3, kv_unified=True)
    assert "-kvu" in some(unified.launch).command
    kv = [rank.of_kind(Kind.KV_CACHE) for plan in (split, unified) for rank in plan.ranks[:1]]
    assert kv[0] == kv[1]


def test_more_sequences_than_fit() -> None:
    plan = ask(SMALL, "custom:8GiB", context=65536, concurrency=64)
    assert plan.outcome is Outcome.HOLDS_FEWER
    assert 1 <= some(plan.capacity).sequences < 64
    again = ask(SMALL, "custom:8GiB", context=65536, concurrency=some(plan.capacity).sequences)
    assert again.fits
    assert not ask(
        SMALL, "custom:8GiB", context=65536, concurrency=some(plan.capacity).sequences + 1
    ).fits


def test_the_longest_context_is_the_longest() -> None:
    plan = ask(SMALL, "custom:6GiB", context=4096)
    longest = some(plan.capacity).longest_context
    assert 4096 < longest < 262_144
    assert ask(SMALL, "custom:6GiB", context=longest).fits
    assert not ask(SMALL, "custom:6GiB", context=longest + 256).fits


def test_drafting_with_mtp_takes_weights_states_and_a_second_context() -> None:
    plain, drafting = ask(), ask(spec_type="draft-mtp")
    names = {term.name: term.nbytes for term in drafting.ranks[0].terms}
    assert {"weights (MTP)", "KV cache (MTP)", "compute buffer (MTP)"} <= set(names)
    states = [plan.ranks[0].of_kind(Kind.RECURRENT_STATE) for plan in (plain, drafting)]
    assert states[1] == 4 * states[0]
    assert "--spec-type draft-mtp" in some(drafting.launch).command


def test_the_cache_of_drafts_has_types_of_its_own() -> None:
    q8 = ask(
        model="Qwen/Qwen3.6-27B",
        on="h200",
        context=262_144,
        kv="q4_0",
        spec_type="draft-mtp",
        spec_draft_type_k="q8_0",
        spec_draft_type_v="q8_0",
    )
    (cache,) = (term for term in q8.ranks[0].terms if term.name == "KV cache (MTP)")
    assert cache.nbytes == 544 << 20  # as llama.cpp printed it: ggml-org/llama.cpp#23472
    assert "--spec-draft-type-k q8_0 --spec-draft-type-v q8_0" in some(q8.launch).command


def test_the_vision_tower_counts_only_where_it_is_loaded() -> None:
    names = {term.name for term in ask(mmproj=True).ranks[0].terms}
    assert {"vision tower", "vision: one image"} <= names
    assert not {term.name for term in ask().ranks[0].terms} & {"vision tower"}


def test_a_quantized_cache_is_half_as_large() -> None:
    full, half = ask(context=65536), ask(context=65536, kv="q8_0")
    kv = [plan.ranks[0].of_kind(Kind.KV_CACHE) for plan in (full, half)]
    assert kv[1] * 32 == kv[0] * 17
    assert "-ctk q8_0 -ctv q8_0" in some(half.launch).command


def test_unified_memory_is_one_rank() -> None:
    plan = ask(MOE, "dgx-spark")
    assert [rank.name for rank in plan.ranks] == ["unified memory"]
    assert any(term.name.endswith("on the host") for term in plan.ranks[0].terms)


def test_yarn_is_in_the_command() -> None:
    plan = ask(context=400_000, yarn=True)
    assert "--rope-scaling yarn --rope-scale 2 --yarn-orig-ctx 262144" in some(plan.launch).command


def test_16_bit_checkpoints_are_taken_as_converted() -> None:
    plan = ask(precision="bf16")
    assert plan.fits
    assert any("converted to GGUF BF16" in text for text in plan.warnings)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ({"precision": "fp8"}, "reads GGUF files"),
        ({"kv": "fp8"}, "no KV cache type fp8"),
        ({"kv": "q8_0", "flash_attn": "off"}, "needs flash attention"),
        (
            {"spec_type": "draft-mtp", "spec_draft_type_v": "q5_1", "flash_attn": "off"},
            "V cache of q5_1 needs flash attention",
        ),
        ({"concurrency": 300}, "more than 256"),
        ({"precision": "q4_k_m-nomtp", "spec_type": "draft-mtp"}, "no MTP blocks"),
        ({"on": "2x h100", "layout": Layout(tensor_parallel=2)}, "split by tensors"),
        ({"on": "2x h100", "layout": Layout(data_parallel=2)}, "one copy of a model"),
        ({"model": "Qwen/Qwen3.8-2.4T-A95B", "mmproj": True}, "no vision tower"),
    ],
)
def test_refusals(question: dict[str, Any], reason: str) -> None:
    plan = ask(**question)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert reason in plan.verdict


@pytest.mark.parametrize(
    "options",
    [
        {"n_gpu_layers": -1},
        {"n_cpu_moe": 10**18},
        {"ubatch_size": 0},
        {"flash_attn": "abc"},
        {"override_tensor": ("no buffer",)},
        {"override_tensor": ("([=CPU",)},
        {"override_tensor": ("(.|.)*(?>x)=CPU",)},
        {"tensor_split": (0.0,)},
        {"tensor_split": (float("nan"),)},
        {"host_memory_gib": float("nan")},
        {"cache_type_v": "q9"},
        {"split_mode": "row"},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        LlamacppOptions(**options)


def test_an_override_moves_what_it_names() -> None:
    plain, moved = ask(MOE, n_gpu_layers=42), ask(MOE, override_tensor=(r"ffn_down_exps=CPU",))
    buffers = [plan.figures["buffers"] for plan in (plain, moved)]
    shift = buffers[1]["host"]["model"] - buffers[0]["host"]["model"]
    assert shift == buffers[0]["CUDA0"]["model"] - buffers[1]["CUDA0"]["model"] > 0


@pytest.mark.parametrize("pattern", ["(.|.)*x", ".*.*.*.*.*.*.*.*[!]", "((.+))+[!]"])
def test_an_override_made_to_take_forever_takes_a_moment(pattern: str) -> None:
    plan = ask(MOE, n_gpu_layers=42, override_tensor=(f"{pattern}=CPU",))
    assert plan.figures["buffers"]["CUDA0"]["model"] > 0


def test_the_log_agrees_with_the_plan() -> None:
    plan = ask(MOE, "2x rtx-4090", context=32768, concurrency=2)
    printed = sum(
        float(match.group(1))
        for line in plan.expected_log
        if (match := re.search(r"CUDA\d .*buffer size = +([\d.]+) MiB", line))
    )
    gpus = [rank for rank in plan.ranks if rank.name.startswith("GPU")]
    planned = sum(
        term.nbytes for rank in gpus for term in rank.terms if term.kind is not Kind.RUNTIME
    )
    assert printed == pytest.approx(planned / 2**20, abs=0.2)
    assert any("2/2 seqs" in line for line in plan.expected_log)


def test_every_term_says_where_it_comes_from() -> None:
    for plan in (ask(), ask(MOE, "2x rtx-4090", spec_type="draft-mtp", mmproj=True)):
        for rank in plan.ranks:
            assert all(term.source.where and term.formula for term in rank.terms)
            assert all(term.nbytes >= 0 for term in rank.terms)


def test_a_refused_format_is_advised_on_without_a_fault() -> None:
    plan = planner.plan("Qwen3.5-27B", on="rtx-4090", engine="llamacpp", precision="fp8")
    assert plan.outcome is planner.Outcome.CANNOT_RUN
    assert all(advice.words for advice in planner.advise(plan, most=2))


@pytest.mark.parametrize(
    ("model", "on", "context"),
    [
        ("unsloth/Qwen3.6-27B-GGUF:Q6_K", "3080 10gb + 5060ti 16gb", 102_400),
        ("unsloth/Qwen3.6-27B-GGUF:Q4_K_M", "3080 10gb + 5060ti 16gb", 102_400),
        ("unsloth/Qwen3.5-35B-A3B-GGUF:Q8_0", "rtx-3090", 32_768),
    ],
)
def test_ram_that_is_not_known_is_told_once(model: str, on: str, context: int) -> None:
    """It needed 3.5 GiB of RAM, and with 1.6 GiB it would run."""
    plan = planner.plan(model, on=on, context=context)
    told = [warning for warning in plan.warnings if "of RAM" in warning]
    assert len(told) == 1
    assert told[0].endswith("how much this machine has is not known (--ram)")
    enough = re.match(r"with ([\d.]+) GiB of RAM it would run", told[0])
    assert (enough is None) == plan.fits
    if enough is not None:
        ram = f"{math.ceil(float(enough[1])) + 1}GB"
        assert planner.plan(model, on=on, context=context, ram=ram).fits


def test_a_placement_by_hand_keeps_no_margin() -> None:
    """--fit gives up where -ngl, -ts or -ot are said, and llama-server loads as it was told."""
    question: dict[str, Any] = {"model": MOE, "on": "custom:24GiB", "context": 16384}
    kept = ask(**question)
    told = ask(**question, n_gpu_layers=99)
    assert told.ranks[0].terms == kept.ranks[0].terms
    assert told.ranks[0].usable - kept.ranks[0].usable == GIB - (RUNTIME_BYTES - CONTEXT_BYTES)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"override_tensor": ("_exps=CUDA3",)}, "-ot names CUDA3; the last is 2"),
        ({"split_mode": "none", "main_gpu": 3}, "there is no GPU 3"),
        ({"split_mode": "none", "override_tensor": ("x=CUDA1",)}, "-sm none does not use"),
        ({"device": ("CUDA0", "CUDA2")}, "-dev names 2 GPUs, and the machine has 3"),
        ({"device": ("none",)}, "-dev none uses no GPU"),
        ({"device": ("Foo", "Bar", "CUDA1")}, "-dev names Foo; llama.cpp calls a GPU CUDA0"),
        ({"device": ("CUDA0", "CUDA1", "CUDA7")}, "-dev names CUDA7; the last is CUDA2"),
        ({"device": ("CUDA0", "CUDA1", "CUDA0")}, "-dev names CUDA0 twice"),
        ({"device": ("RPC0", "CUDA1", "CUDA0")}, "-dev names RPC0; the machine has none"),
    ],
)
def test_gpus_that_are_not_there_are_refused(told: dict[str, Any], says: str) -> None:
    """They were counted as RAM, or the plan was of other GPUs than the command's."""
    plan = planner.plan(
        "Qwen3.5-9B", on="3x rtx-3060-12", engine="llamacpp", precision="q4_k_m", options=told
    )
    assert says in plan.verdict


def test_one_gpu_of_several_is_the_one_that_is_named() -> None:
    plan = planner.plan(
        "Qwen3.5-9B",
        on="rtx-3060-12 + rtx-3090",
        engine="llamacpp",
        precision="q4_k_m",
        options={"split_mode": "none", "main_gpu": 1},
    )
    assert plan.ranks[0].name == "GPU 1"
    assert plan.ranks[0].total > 23 * GIB
    assert plan.launch is not None
    assert plan.launch.command.endswith("-sm none -mg 1")


@pytest.mark.parametrize(
    ("on", "named", "remedy"),
    [
        ("rtx-3060-12 + rtx-3090", ("CUDA1",), "--on 'rtx-3090'"),
        ("rtx-3060-12 + rtx-3090 + rtx-4090", ("CUDA2", "CUDA0"), "--on 'rtx-4090 + rtx-3060-12'"),
        ("3x rtx-3060-12", ("CUDA2", "CUDA0"), "--on '2x rtx-3060-12'"),
    ],
)
def test_fewer_gpus_by_name_are_told_how_to_be_planned(
    on: str, named: tuple[str, ...], remedy: str
) -> None:
    plan = planner.plan("Qwen3.5-4B", on=on, engine="llamacpp", options={"device": named})
    assert plan.outcome is Outcome.CANNOT_RUN
    assert remedy in plan.verdict
    assert planner.plan("Qwen3.5-4B", on=remedy[6:-1], engine="llamacpp").fits


def test_proportions_beyond_the_last_gpu_are_left_out() -> None:
    """llama.cpp copies as many as it has GPUs (src/llama-model.cpp, load_tensors)."""
    question: dict[str, Any] = {"on": "rtx-3060-12 + rtx-3090", "precision": "q4_k_m"}
    told, plain = (
        planner.plan("Qwen3.5-9B", engine="llamacpp", options={"tensor_split": split}, **question)
        for split in ((1.0, 3.0, 2.0), (1.0, 3.0))
    )
    assert told.ranks == plain.ranks
    assert "-ts has 3 proportions for 2 GPUs" in " ".join(told.warnings)
    alone = {"split_mode": "none", "main_gpu": 1, "tensor_split": (0.0, 1.0)}
    one = planner.plan("Qwen3.5-9B", engine="llamacpp", options=alone, **question)
    assert one.fits
    assert len(one.ranks) == 1


def test_tensors_by_name_go_to_the_own_gpu_beside_those_of_others() -> None:
    """GPUs behind --rpc stand before the machine's own, whose first is CUDA0 all the same."""
    plan, plain = (
        planner.plan(
            "Qwen3.5-35B-A3B",
            on="2 nodes of 1x rtx-3090",
            engine="llamacpp",
            precision="q4_k_m",
            layout=Layout(pipeline_parallel=2),
            options=options,
        )
        for options in ({"override_tensor": ("_exps=CUDA0",)}, {})
    )
    told, even = (
        {rank.name: rank.of_kind(Kind.WEIGHTS) for rank in each.ranks} for each in (plan, plain)
    )
    assert even["machine 1"] < 2 * even["machine 2"]
    assert told["machine 1"] > 10 * told["machine 2"]

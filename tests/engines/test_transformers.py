"""transformers: what its own code answered on the meta device, and what holds whatever the numbers."""

import dataclasses
import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardware_db
import planner
from planner.bisection import largest_holding
from planner.engines.transformers.activations import deltanet_bytes_per_token, mlp_bytes_per_token
from planner.engines.transformers.cache import cache_bytes
from planner.engines.transformers.loading import modules
from planner.engines.transformers.options import TransformersOptions
from planner.engines.transformers.placement import DISK, HOST, Budgets, place
from planner.errors import InputError
from planner.memory.breakdown import Kind
from planner.model.catalog import find
from planner.model.spec import ModelSpec
from planner.planning import Outcome, Plan
from planner.units import GIB

TEXT, WITH_VISION = "AutoModelForCausalLM", "AutoModelForImageTextToText"
CPU, NOWHERE = HOST, DISK

# model, class, free GiB of each GPU, free GiB of the host, device_map, (device, layers) in order,
# device of the last norm: answers of transformers 5.23.0's _get_device_map on the meta device.
PLACED = (
    ("Qwen3.5-4B", WITH_VISION, (23,) * 4, 900, "auto", ((0, 7), (1, 17), (2, 8)), 2),
    ("Qwen3.5-4B", WITH_VISION, (8,), 16, "auto", ((0, 24), (CPU, 8)), CPU),
    ("Qwen3.5-27B", WITH_VISION, (23,), 64, "auto", ((0, 21), (CPU, 43)), CPU),
    ("Qwen3.5-27B", WITH_VISION, (23,) * 4, 900, "auto", ((0, 14), (1, 22), (2, 22), (3, 6)), 3),
    (
        "Qwen3.5-27B",
        WITH_VISION,
        (44,) * 8,
        900,
        "auto",
        ((0, 5), (1, 13), (2, 13), (3, 13), (4, 13), (5, 7)),
        5,
    ),
    ("Qwen3.5-27B", WITH_VISION, (23,) * 3, 512, "sequential", ((0, 24), (1, 32), (2, 8)), 2),
    ("Qwen3.5-27B", WITH_VISION, (8,), 16, "auto", ((0, 2), (CPU, 16), (NOWHERE, 46)), NOWHERE),
    ("Qwen3.5-35B-A3B", WITH_VISION, (23,), 64, "auto", ((0, 11), (CPU, 29)), CPU),
    ("Qwen3.5-35B-A3B", WITH_VISION, (23,) * 4, 900, "auto", ((0, 9), (1, 11), (2, 11), (3, 9)), 3),
    ("Qwen3.5-35B-A3B", WITH_VISION, (8,), 16, "auto", ((0, 2), (CPU, 8), (NOWHERE, 30)), NOWHERE),
    ("Qwen3.5-35B-A3B", TEXT, (23,) * 2, 512, "auto", ((0, 13), (1, 14), (CPU, 13)), CPU),
    ("Qwen3.5-122B-A10B", WITH_VISION, (79,) * 2, 900, "auto", ((0, 15), (1, 16), (CPU, 17)), CPU),
    ("Qwen3.5-122B-A10B", WITH_VISION, (8,), 16, "auto", ((CPU, 2), (NOWHERE, 46)), NOWHERE),
)


def model(name: str) -> ModelSpec:
    found = find(name)
    assert found is not None
    return found[0].model


def ask(name: str = "Qwen3.5-35B-A3B", on: str = "h200", **question: object) -> Plan:
    return planner.plan(name, on=on, engine="transformers", **{"context": 8192, **question})  # type: ignore[arg-type]


def term(plan: Plan, words: str) -> int:
    return sum(term.nbytes for term in plan.ranks[0].terms if words in term.name)


@pytest.mark.parametrize("case", PLACED, ids=lambda case: f"{case[0]} {case[2]} {case[4]}")
def test_modules_go_where_the_engine_itself_puts_them(case: tuple[Any, ...]) -> None:
    name, auto_class, free, host, device_map, layers, norm = case
    found = modules(
        planner.load_checkpoint(name, precision="bf16"),
        TransformersOptions(auto_class=auto_class),
        hardware_db.get("h200"),  # type: ignore[arg-type]
    )
    single = len(free) == 1 and device_map == "auto"
    gpus = tuple(int(size * GIB * (0.9 if single else 1)) for size in free)
    budgets = Budgets(gpus=gpus, host=int(host * GIB * 0.9), balanced=device_map == "auto")
    placement = place(found, budgets)
    runs: list[list[int]] = []
    for module, device in zip(placement.modules, placement.devices, strict=True):
        if module.kind == "layer":
            if runs and runs[-1][0] == device:
                runs[-1][1] += 1
            else:
                runs.append([device, 1])
        if module.kind == "norm":
            assert device == norm
    assert tuple(tuple(run) for run in runs) == layers


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("Qwen3.5-27B", 27_356_728_560),
        ("Qwen3.5-35B-A3B", 35_107_181_936),
        ("Qwen3.5-122B-A10B", 122_562_817_776),
        ("Qwen3.5-397B-A17B", 396_802_360_816),
    ],
)
def test_weights_are_the_parameters_of_the_classes(name: str, parameters: int) -> None:
    """Counted on the meta device: vision included, MTP not."""
    plan = ask(name, "8x b200")
    assert plan.figures["weight_bytes"] == 2 * parameters


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("Qwen3.5-35B-A3B", 64_880_640),
        ("Qwen3.5-27B", 154_927_104),
        ("Qwen3.5-122B-A10B", 154_533_888),
        ("Qwen3.5-397B-A17B", 193_167_360),
    ],
)
def test_state_of_a_sequence(name: str, state: int) -> None:
    assert cache_bytes(model(name), batch=1, tokens=0).total == state


# Bytes alive per token in the deepest point of a forward pass over 16,384 tokens, followed tensor
# by tensor in transformers 5.23.0 on the meta device (four layers of the real widths).
@pytest.mark.parametrize(
    ("name", "deltanet", "mlp"),
    [
        ("Qwen3.5-0.8B", 117_618, 32_209),
        ("Qwen3.5-27B", 348_218, 150_359),
        ("Qwen3.5-35B-A3B", 226_774, 155_092),
        ("Qwen3.5-397B-A17B", 445_086, 373_162),
    ],
)
def test_peak_is_what_was_alive(name: str, deltanet: int, mlp: int) -> None:
    spec = model(name)
    four_layers = dataclasses.replace(spec, layers=spec.layers[:4])
    cache = cache_bytes(four_layers, batch=1, tokens=16_384).total / 16_384
    ours = deltanet_bytes_per_token(spec, flash_linear_attention=False)
    assert ours <= deltanet <= ours * 1.002 + cache
    ours = mlp_bytes_per_token(spec)
    assert ours <= mlp <= ours * 1.02 + cache


@settings(max_examples=30)
@given(
    name=st.sampled_from(("Qwen3.5-4B", "Qwen3.5-27B", "Qwen3.5-35B-A3B")),
    context=st.integers(1, 200_000),
    more=st.integers(1, 50_000),
    batch=st.integers(1, 8),
)
def test_more_work_never_leaves_more_memory(name: str, context: int, more: int, batch: int) -> None:
    small = ask(name, "2x h200", context=context, concurrency=batch)
    long = ask(name, "2x h200", context=context + more, concurrency=batch)
    many = ask(name, "2x h200", context=context, concurrency=batch + 1)
    for rank in range(2):
        tight = sorted(small.ranks, key=lambda r: r.name)[rank]
        for worse in (long, many):
            assert sorted(worse.ranks, key=lambda r: r.name)[rank].used >= tight.used


@given(free=st.lists(st.integers(0, 200 * GIB), min_size=1, max_size=5), host=st.integers(0, 2**40))
def test_every_module_is_placed_once_and_no_budget_is_broken(free: list[int], host: int) -> None:
    found = modules(
        planner.load_checkpoint("Qwen3.5-35B-A3B"),
        TransformersOptions(),
        hardware_db.get("h200"),  # type: ignore[arg-type]
    )
    placement = place(found, Budgets(gpus=tuple(free), host=host))
    assert placement.modules == found
    for device, limit in (*enumerate(free), (HOST, host)):
        assert sum(module.counted for module in placement.on(device)) <= limit
    order = [device for device in placement.devices if device >= 0]
    assert order == sorted(order)


@given(answer=st.integers(0, 5000), most=st.integers(1, 5000))
def test_the_search_finds_the_last_that_holds(answer: int, most: int) -> None:
    assert largest_holding(lambda n: n <= answer, most) == min(answer, most)


def test_capacity_is_where_the_plan_stops_holding() -> None:
    plan = ask("Qwen3.5-27B", context=16_384)
    assert plan.capacity is not None
    held = plan.capacity.sequences
    assert ask("Qwen3.5-27B", context=16_384, concurrency=held).fits
    over = ask("Qwen3.5-27B", context=16_384, concurrency=held + 1)
    assert over.outcome is Outcome.HOLDS_FEWER
    assert over.headroom is not None
    assert over.headroom < 0


def test_growth_only_without_a_static_cache() -> None:
    options = {"prefill_chunk_size": 1, "attn_implementation": "flash_attention_2"}
    peaks = {}
    for cache in ("dynamic", "static"):
        plan = ask(context=131_072, options={**options, "cache_implementation": cache})
        (peak,) = (t for t in plan.ranks[0].terms if "activation" in t.name)
        peaks[cache] = peak.values["growing the cache"]
    assert peaks["dynamic"] == 131_072 * 2 * 256 * 2
    assert peaks["static"] == 0


def test_chunks_and_kernels_lower_the_peak() -> None:
    plain = term(ask(context=65_536), "activation")
    chunked = term(ask(context=65_536, options={"prefill_chunk_size": 2048}), "activation")
    fla = term(ask(context=65_536, options={"flash_linear_attention": True}), "activation")
    assert chunked < fla < plain


def test_the_class_decides_about_vision() -> None:
    whole = ask().figures["weight_bytes"]
    text = ask(options={"auto_class": TEXT}).figures["weight_bytes"]
    assert whole - text == 2 * 446_571_248


def test_bitsandbytes_leaves_experts_alone() -> None:
    """NF4 of a 35B MoE saves next to nothing; of a dense 27B it saves two thirds."""
    moe = ask(precision="bnb-nf4-double").figures["weight_bytes"]
    dense = ask("Qwen3.5-27B", precision="bnb-nf4-double").figures["weight_bytes"]
    assert moe / GIB == pytest.approx(62.8, abs=0.1)
    assert dense / GIB == pytest.approx(16.7, abs=0.1)


def test_bitsandbytes_does_not_go_to_the_host() -> None:
    plan = ask(on="aws-g6e-xlarge", precision="bnb-nf4")
    assert plan.outcome is Outcome.DOES_NOT_FIT
    assert plan.allocation is not None
    assert "enough GPU RAM" in (plan.allocation.refusal or "")


def test_the_host_takes_what_the_gpu_cannot() -> None:
    plan = ask(on="aws-g6e-xlarge")
    assert plan.fits
    assert any(rank.name == "host" for rank in plan.ranks)
    assert any("stay in RAM" in warning for warning in plan.warnings)
    unknown = ask(on="l40s")
    assert not unknown.fits
    assert any("max_memory_cpu" in warning for warning in unknown.warnings)
    assert ask(on="l40s", options={"max_memory_gpu": 40, "max_memory_cpu": 64}).fits
    assert not ask(on="l40s", options={"max_memory_gpu": 40, "max_memory_cpu": 0}).fits


def test_fp8_becomes_16_bit_without_kernels() -> None:
    ada = ask("Qwen3.5-4B", "l40s", precision="fp8")
    ampere = ask("Qwen3.5-4B", "a40", precision="fp8")
    assert ampere.figures["weight_bytes"] > 1.5 * ada.figures["weight_bytes"]
    assert any("become bfloat16" in warning for warning in ampere.warnings)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"kv_cache_dtype": "fp8"}, "model's dtype"),
        ({"layout": planner.Layout(tensor_parallel=2), "on": "2x h200"}, "layer split"),
        ({"precision": "q4_k_m"}, "llama.cpp"),
        ({"precision": "mlx-4bit"}, "MLX"),
        ({"on": "tpu-v6e", "name": "Qwen3.5-4B"}, "not covered"),
        ({"on": "2x h200", "options": {"device_map": "cuda"}}, "first GPU only"),
    ],
)
def test_what_it_cannot_run(question: dict[str, Any], words: str) -> None:
    plan = ask(**question)
    assert plan.outcome is Outcome.CANNOT_RUN
    assert words in plan.verdict


@pytest.mark.parametrize(
    "options",
    [
        {"version": "4.57.0"},
        {"version": "abc"},
        {"device_map": "cpu"},
        {"cache_implementation": "quantized"},
        {"prefill_chunk_size": 0},
        {"prefill_chunk_size": 10**18},
        {"max_memory_gpu": float("nan")},
        {"max_memory_cpu": -1},
        {"max_memory_cpu": "abc"},
        {"attn_implementation": ""},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ask(options=options)


def test_the_command_is_python_that_says_what_was_planned() -> None:
    plan = ask(
        "Qwen3.5-27B",
        context=400_000,
        concurrency=3,
        yarn=True,
        precision="nf4",
        options={"prefill_chunk_size": 4096, "cache_implementation": "static"},
    )
    assert plan.launch is not None
    words = shlex.split(plan.launch.command)
    assert words[:2] == ["python", "-c"]
    code = words[2]
    compile(code, "command", "exec")
    for said in (
        "BitsAndBytesConfig(load_in_4bit=True",
        "'factor': 2.0",
        "max_length=400000",
        "prefill_chunk_size=4096",
        "cache_implementation='static'",
        "[1:2] * 3",
    ):
        assert said in code


NEW_KINDS = "Qwen3.8-Flash-Next"


def test_cache_of_the_newest_kinds() -> None:
    """Per token and per sequence as counted in transformers 5.24.0, the state by running it."""
    spec = model(NEW_KINDS)
    empty = cache_bytes(spec, batch=1, tokens=0).total
    assert empty == 116_379_664
    assert cache_bytes(spec, batch=1, tokens=1).total - empty == 27_672
    plan = ask(NEW_KINDS, "8x h200", precision="bf16")
    assert sum(rank.of_kind(Kind.KV_CACHE) for rank in plan.ranks) == 8192 * 27_672
    assert sum(rank.of_kind(Kind.RECURRENT_STATE) for rank in plan.ranks) == 116_379_664


def test_a_table_that_no_gpu_holds_stays_in_ram() -> None:
    held = ask(NEW_KINDS, "4x h200", precision="bf16")
    assert "cpu" not in held.figures["device_map"].values()
    left = ask(NEW_KINDS, "8x h100", precision="bf16", context=1024)
    assert left.figures["device_map"]["layers.1.table"] == "cpu"
    assert any("stays in RAM" in warning for warning in left.warnings)
    assert left.outcome is Outcome.FITS
    short = ask(NEW_KINDS, "8x h100 + 64GB RAM", precision="bf16", context=1024)
    assert short.outcome is Outcome.DOES_NOT_FIT
    assert "in RAM" in short.verdict


def test_indexers_have_no_flash_attention() -> None:
    options = {"attn_implementation": "flash_attention_2"}
    assert ask(NEW_KINDS, "8x h200", options=options).outcome is Outcome.CANNOT_RUN
    older = ask(NEW_KINDS, "8x h200", options={"version": "5.15.1"})
    assert "5.16.0 is the first release" in older.verdict

"""Two answers never contradict physics: over the whole database, or the reason is said."""

from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hardware_db
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.catalog import bundled_checkpoint
from planner.throughput import SpeedEstimate, Workload, estimate_speed
from planner.throughput.constants import device_class, table

CARDS = [card for card in hardware_db.accelerators() if card.bandwidth_gb_s and card.tflops]
SERVERS = ("vllm", "sglang", "tensorrt-llm")
SHORT = Workload(prompt_tokens=2048, depth=2048)


@cache
def ask(model: str, on: str, precision: str, engine: str, **asked: Any) -> SpeedEstimate | None:
    """An estimate, or None where a figure is not known."""
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        asked.pop("layout", Layout()),
        engine=engine,
        workload=asked.pop("workload", SHORT),
        **asked,
    )
    return found if isinstance(found, SpeedEstimate) else None


def said(found: SpeedEstimate) -> bool:
    """Whether an answer says why it is not as fast as its bytes would make it."""
    return bool(found.rough or found.slower)


@pytest.mark.parametrize("engine", ["llamacpp", "ollama", "ik-llamacpp"])
@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"])
def test_fewer_bytes_with_the_same_kernels_are_never_slower(engine: str, model: str) -> None:
    for card in CARDS:
        found = [ask(model, card.id, name, engine) for name in ("q8_0", "q6_k", "q4_k_m", "q3_k_m")]
        for more, fewer in pairwise(found):
            if more is not None and fewer is not None and not said(fewer):
                assert fewer.per_user.value >= more.per_user.value * (1 - 1e-9), card.id


@pytest.mark.parametrize("engine", SERVERS)
@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"])
def test_fp8_is_never_slower_than_bf16_unless_said(engine: str, model: str) -> None:
    for card in CARDS:
        wide, narrow = ask(model, card.id, "bf16", engine), ask(model, card.id, "fp8", engine)
        if wide is None or narrow is None or said(narrow):
            continue
        assert narrow.per_user.value >= wide.per_user.value * (1 - 1e-9), card.id


@pytest.mark.parametrize(
    ("model", "on", "tensor", "narrow", "engine"),
    [
        ("Qwen/Qwen3.5-397B-A17B", "8x h200-sxm", 8, "fp8", "vllm"),
        ("Qwen/Qwen3.5-397B-A17B", "8x h200-sxm", 8, "fp8", "sglang"),
        ("Qwen/Qwen3.5-35B-A3B", "h100-sxm", 1, "gptq-int4", "vllm"),
        ("Qwen/Qwen3.5-35B-A3B", "h100-sxm", 1, "fp8", "vllm"),
    ],
)
def test_narrow_weights_are_not_slower(
    model: str, on: str, tensor: int, narrow: str, engine: str
) -> None:
    layout = Layout(tensor_parallel=tensor)
    wide = ask(model, on, "bf16", engine, layout=layout)
    found = ask(model, on, narrow, engine, layout=layout)
    assert wide is not None
    assert found is not None
    assert found.per_user.value >= wide.per_user.value or said(found)


BUSY = Workload(prompt_tokens=8192, output_tokens=1024, concurrency=32)


@pytest.mark.parametrize("workload", [SHORT, BUSY], ids=["alone", "busy"])
@pytest.mark.parametrize("model", ["Qwen/Qwen3.5-27B", "Qwen/Qwen3.5-35B-A3B"])
@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("llamacpp", "q4_k_m"),
        ("vllm", "bf16"),
        ("vllm", "fp8"),
        ("vllm", "gptq-int4"),
        ("sglang", "fp8"),
        ("tensorrt-llm", "nvfp4"),
        ("mlx", "mlx-4bit"),
    ],
)
def test_a_faster_card_of_the_same_kind_is_never_slower(
    engine: str, precision: str, model: str, workload: Workload
) -> None:
    """Over the whole database: the same class, or a class that followed the slower card's."""
    compared = 0
    for slow, fast in FASTER:
        one = ask(model, slow.id, precision, engine, workload=workload)
        other = ask(model, fast.id, precision, engine, workload=workload)
        if one is None or other is None or one.prefill is None or other.prefill is None:
            continue
        compared += 1
        quicker = other.per_user.value >= one.per_user.value * (1 - 1e-9)
        assert quicker or other.slower, (fast.id, slow.id)
        longer, shorter = one.prefill.seconds.value, other.prefill.seconds.value
        sooner = shorter <= longer * (1 + 1e-9)
        assert sooner or other.prefill.slower, (fast.id, slow.id)
    assert compared > 50


@pytest.mark.parametrize("concurrency", [1, 32, 256])
@pytest.mark.parametrize("engine", SERVERS)
@pytest.mark.parametrize(
    ("model", "precision"),
    [
        ("Qwen/Qwen3.5-397B-A17B", "fp8"),
        ("Qwen/Qwen3.5-122B-A10B", "fp8"),
        ("Qwen/Qwen3.5-35B-A3B", "bf16"),
        ("Qwen/Qwen3.5-27B", "bf16"),
    ],
)
def test_eight_cards_of_a_newer_generation_are_never_slower(
    model: str, precision: str, engine: str, concurrency: int
) -> None:
    asked = Workload(prompt_tokens=8192, output_tokens=1024, concurrency=concurrency)
    found = [
        ask(model, on, precision, engine, layout=Layout(tensor_parallel=8), workload=asked)
        for on in ("8x h100-sxm", "8x h200-sxm", "8x b200")
    ]
    for slow, fast in pairwise(found):
        assert slow is not None
        assert fast is not None
        assert fast.per_user.value >= slow.per_user.value or fast.slower


@pytest.mark.parametrize("cache", ["auto", "fp8"])
def test_more_bandwidth_at_the_same_load_is_never_slower(cache: str) -> None:
    """9B in BF16, 16 users at 131,072 tokens: H100 and H200 differ in nothing but their memory."""
    deep = Workload(prompt_tokens=131072, concurrency=16, depth=65536)
    found = [
        ask("Qwen/Qwen3.5-9B", on, "bf16", "vllm", workload=deep, kv_cache_dtype=cache)
        for on in ("h100-pcie", "h100-sxm", "h200-sxm")
    ]
    for slow, fast in pairwise(found):
        assert slow is not None
        assert fast is not None
        assert fast.per_user.value > slow.per_user.value


def _followed(newer: str | None) -> set[str | None]:
    """A class and all that it followed."""
    rows = {row["id"]: row.get("after") for row in table("devices")["class"]}
    found = {newer}
    while newer is not None and (newer := rows[newer]) is not None:
        found.add(newer)
    return found - {None}


def _faster(fast: hardware_db.Accelerator, slow: hardware_db.Accelerator) -> bool:
    """Whether `fast` is of the same kind, run by the same software, and no figure of it is smaller."""
    if fast.id == slow.id or fast.backends != slow.backends:
        return False
    if device_class(slow) not in _followed(device_class(fast)):
        return False
    assert fast.bandwidth_gb_s is not None
    assert slow.bandwidth_gb_s is not None
    rates = all(
        name in fast.tflops and fast.tflops[name].value >= rate.value
        for name, rate in slow.tflops.items()
    )
    return rates and fast.bandwidth_gb_s.value >= slow.bandwidth_gb_s.value


FASTER = [(slow, fast) for slow in CARDS for fast in CARDS if _faster(fast, slow)]


@given(layers=st.integers(0, 39), card=st.sampled_from(CARDS), ram=st.floats(20, 800))
def test_fewer_layers_in_ram_are_never_slower(
    layers: int, card: hardware_db.Accelerator, ram: float
) -> None:
    fewer, more = (_with_layers_in_ram(card, count, ram) for count in (layers, layers + 1))
    assert _in_order(fewer, more)


@pytest.mark.parametrize("ram", [51.2, 614.4])
def test_fewer_layers_in_ram_are_never_slower_on_any_card(ram: float) -> None:
    """Every card of the database, none, some and all layers' experts in slow and fast RAM."""
    for card in CARDS:
        found = [_with_layers_in_ram(card, count, ram) for count in (0, 1, 20, 40)]
        assert all(_in_order(*pair) for pair in pairwise(found)), card.id


def _with_layers_in_ram(
    card: hardware_db.Accelerator, layers: int, ram: float
) -> SpeedEstimate | None:
    """35B with the experts of so many of its 40 layers in RAM."""
    moved = EXPERTS * layers // 40
    return ask(
        "Qwen/Qwen3.5-35B-A3B",
        card.id,
        "q4_k_m",
        "llamacpp",
        placement=Placement(
            device=EXPERTS - moved, host_computed=moved, host_computed_experts=moved
        ),
        ram_bandwidth=ram,
    )


EXPERTS = sum(
    row.nbytes
    for row in bundled_checkpoint("Qwen/Qwen3.5-35B-A3B", precision="q4_k_m").rows("text")
    if row.tensor.component == "moe.routed_experts"
)


def _in_order(fewer: SpeedEstimate | None, more: SpeedEstimate | None) -> bool:
    """Whether the one with fewer layers in RAM is no slower, or says why."""
    if fewer is None or more is None:
        return True
    fast = any("RAM is read as fast" in text for text in more.assumptions)
    # measured slower than older cards, which is said, up to where both are alike
    other = fewer.calibration.constants != more.calibration.constants and bool(fewer.slower)
    return fewer.per_user.value >= more.per_user.value * (1 - 1e-9) or fast or other


def test_prompts_follow_the_cards() -> None:
    """27B Q4_K_M, a prompt of 32k: a 3090 is not six times slower than a 4090."""
    asked = Workload(prompt_tokens=32768, depth=16384)
    seconds = {}
    for on in ("rtx-3090", "rtx-4090", "rx7900xtx", "rtx-5090"):
        found = ask("Qwen/Qwen3.5-27B", on, "q4_k_m", "llamacpp", workload=asked)
        assert found is not None
        assert found.prefill is not None
        seconds[on] = found.prefill.seconds.value
    assert seconds["rtx-5090"] < seconds["rtx-4090"] < seconds["rtx-3090"]
    assert 1.5 < seconds["rtx-3090"] / seconds["rtx-4090"] < 4


@given(depth=st.integers(0, 200_000), extra=st.integers(1, 60_000))
def test_depth_costs_speed(depth: int, extra: int) -> None:
    near, far = (
        ask(
            "Qwen/Qwen3.5-27B",
            "rtx-4090",
            "q4_k_m",
            "llamacpp",
            workload=Workload(prompt_tokens=2048, cached=cached),
        )
        for cached in (depth, depth + extra)
    )
    assert near is not None
    assert far is not None
    assert near.prefill is not None
    assert far.prefill is not None
    assert far.per_user.value < near.per_user.value
    assert far.prefill.tokens_per_second.value < near.prefill.tokens_per_second.value

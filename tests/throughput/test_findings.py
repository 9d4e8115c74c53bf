"""Wrong answers about speed that people caught us with, by their ids: W1, W24, W25."""

from itertools import pairwise
from typing import Any

import pytest

import planner
from planner.throughput import SpeedEstimate


def plan_of(model: str, on: str, words: tuple[str, ...] = (), **asked: Any) -> SpeedEstimate:
    """The speed that a plan gives."""
    found = planner.plan(model, on=on, words=words, **asked).speed
    assert isinstance(found, SpeedEstimate)
    return found


def test_w1_experts_in_ram_cost_speed() -> None:
    """110 tok/s whatever --n-cpu-moe was."""
    rates = [
        plan_of(
            "qwen3.5-122b-a10b",
            "rtx-pro-6000",
            ("--n-cpu-moe", str(count), "--host-memory-gib", "128"),
            precision="q4_k_m",
            context=8192,
        ).per_user.value
        for count in (0, 10, 20, 30, 40, 48)
    ]
    assert all(more > fewer for more, fewer in pairwise(rates))
    assert rates[0] > 4 * rates[-1]


def test_w1_whole_layers_in_ram_cost_speed() -> None:
    """33 tok/s whatever --n-gpu-layers was."""
    rates = [
        plan_of(
            "qwen3.5-27b",
            "rtx-3090",
            ("--n-gpu-layers", str(count), "--host-memory-gib", "64"),
            precision="q4_k_m",
            context=8192,
        ).per_user.value
        for count in (99, 40, 20, 5, 0)
    ]
    assert all(more > fewer for more, fewer in pairwise(rates))
    assert rates[0] > 4 * rates[-1]


def test_w1_what_crosses_the_link_bounds_the_speed() -> None:
    """22 tok/s with 20 GiB a token over PCI Express 4.0, which carries 31.5 GB/s."""
    found = plan_of(
        "qwen3.5-27b", "rtx-3090", ("--cpu-offload-gb", "20"), precision="fp8", context=8192
    )
    assert found.per_user.high <= 1.5
    assert found.binding == "weights over the link"


def test_w1_prompts_with_experts_in_ram_take_longer() -> None:
    """A 32k prompt in 19 s with 49 GiB of weights on the host, copied for each of 64 chunks."""
    found = plan_of(
        "qwen3.5-122b-a10b",
        "rtx-4090",
        ("--host-memory-gib", "128"),
        precision="q4_k_m",
        context=32768,
    )
    assert found.prefill is not None
    assert found.prefill.seconds.low > 49 * 2**30 * 64 / 31.5e9 * 0.3
    assert found.prefill.seconds.value > 60


@pytest.mark.parametrize(
    ("model", "on", "wide", "narrow"),
    [
        ("qwen3.5-397b-a17b", "8x h200", "bf16", "fp8"),
        ("qwen3.5-35b-a3b", "h100", "bf16", "gptq-int4"),
    ],
)
def test_w24_fewer_bytes_are_not_slower(model: str, on: str, wide: str, narrow: str) -> None:
    more, fewer = (
        plan_of(model, on, engine="vllm", precision=name, context=8192) for name in (wide, narrow)
    )
    assert fewer.per_user.value >= more.per_user.value or fewer.slower


def test_w25_prompts_are_comparable_between_cards() -> None:
    """27B Q4_K_M, 32k: a 3090 took 140 s, an Arc B60 41 s, a 7900 XTX 33 s, a 4090 24 s."""
    seconds = {}
    for on in ("rtx-3090", "arc-pro-b60", "rx7900xtx", "rtx-4090"):
        found = plan_of("qwen3.5-27b", on, precision="q4_k_m", context=32768, engine="llamacpp")
        assert found.prefill is not None
        seconds[on] = found.prefill.seconds.value
    assert seconds["rtx-4090"] < seconds["rtx-3090"] < 4 * seconds["rtx-4090"]
    assert seconds["rtx-3090"] < seconds["arc-pro-b60"]
    assert seconds["rtx-4090"] < seconds["rx7900xtx"]

"""Speeds that users reported lie in the band, at the depth at which they were measured."""

from typing import Any

import pytest

import hardware_db
from planner.layout import Layout
from planner.memory.placement import Placement
from planner.model.catalog import bundled_checkpoint
from planner.throughput import Speculation, SpeedEstimate, Workload, estimate_speed

QUICK = Workload(prompt_tokens=512, depth=512)


@pytest.mark.parametrize(
    ("model", "precision", "on", "engine", "tensor", "drafts", "reported"),
    [
        ("Qwen/Qwen3.5-27B", "fp8", "rtx-pro-6000-ws", "vllm", 1, 0, 39.5),
        ("Qwen/Qwen3.5-9B", "q4_k_s", "apple-m4-pro", "llamacpp", 1, 0, 34.6),
        ("Qwen/Qwen3.5-27B", "awq-int4", "2x t4", "vllm", 2, 0, 4.78),
        ("Qwen/Qwen3.5-27B", "iq4_xs", "rtx-3090", "llamacpp", 1, 0, 42.3),
        ("Qwen/Qwen3.5-27B", "iq4_xs", "rtx-3090", "llamacpp", 1, 4, 81.0),
        ("Qwen/Qwen3-Coder-Next", "fp8", "gb10", "vllm", 1, 0, 43.0),
        ("Qwen/Qwen3.5-27B", "awq-int4", "2x t4", "vllm", 2, 1, 5.85),
        ("Qwen/Qwen3.5-27B", "q4_k_m", "strix-halo-128-gtt", "llamacpp", 1, 0, 12.0),
        ("Qwen/Qwen3.5-9B", "q4_k_m", "rtx-3080-ti", "llamacpp", 1, 0, 99.9),
    ],
    ids=(
        "f08",
        "f15",
        "f21 plain",
        "f22 plain",
        "f22 MTP",
        "f33",
        "f21 MTP",
        "27B on Strix Halo",
        "9B on a 3080 Ti",
    ),
)
def test_reported_speeds_lie_in_the_band(
    model: str,
    precision: str,
    on: str,
    engine: str,
    tensor: int,
    drafts: int,
    reported: float,
) -> None:
    found = ask(
        model,
        precision,
        on,
        engine,
        layout=Layout(tensor_parallel=tensor),
        speculation=Speculation(tokens=drafts) if drafts else None,
    )
    assert found.per_user.holds(reported)


def test_all_experts_in_the_ram_of_a_small_host() -> None:
    """f24: 35B Q4_K_M with --cpu-moe on a 3060: 26.5 tok/s."""
    checkpoint = bundled_checkpoint("Qwen/Qwen3.5-35B-A3B", precision="q4_k_m")
    experts = sum(
        row.nbytes
        for row in checkpoint.rows("text")
        if row.tensor.component == "moe.routed_experts"
    )
    placement = Placement(device=2 << 30, host_computed=experts, host_computed_experts=experts)
    found = ask("Qwen/Qwen3.5-35B-A3B", "q4_k_m", "rtx-3060-12", "llamacpp", placement=placement)
    assert found.per_user.holds(26.5)


def ask(model: str, precision: str, on: str, engine: str, **asked: Any) -> SpeedEstimate:
    """An estimate of the model alone, its cache nearly empty."""
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        asked.pop("layout", Layout()),
        engine=engine,
        workload=QUICK,
        **asked,
    )
    assert isinstance(found, SpeedEstimate)
    return found

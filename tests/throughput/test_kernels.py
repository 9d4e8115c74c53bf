"""Where an engine's usual kernel for experts does not run: counted, and said."""

import pytest

import hardware_db
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.throughput import SpeedEstimate, Workload, estimate_speed

SLICES = "narrow slices of experts"


def ask(
    model: str, precision: str, on: str, engine: str, layout: Layout | None = None
) -> SpeedEstimate:
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        layout or Layout(),
        engine=engine,
        workload=Workload(prompt_tokens=1024, output_tokens=1024, concurrency=4),
    )
    assert isinstance(found, SpeedEstimate)
    return found


@pytest.mark.parametrize(
    ("on", "engine", "layout", "precision", "narrow"),
    [
        ("8x mi300x", "sglang", Layout(tensor_parallel=8), "fp8", True),
        ("8x mi300x", "sglang", Layout(tensor_parallel=8, expert_parallel=True), "fp8", False),
        ("8x mi300x", "sglang", Layout(tensor_parallel=8), "bf16", False),
        ("4x mi355x", "sglang", Layout(tensor_parallel=4), "fp8", False),
        ("8x mi355x", "atom", Layout(tensor_parallel=8), "fp8", False),
        ("8x h200-sxm", "sglang", Layout(tensor_parallel=8), "fp8", False),
    ],
)
def test_fp8_experts_in_slices_below_256_take_longer_on_amd(
    on: str, engine: str, layout: Layout, precision: str, narrow: bool
) -> None:
    found = ask("Qwen/Qwen3.5-397B-A17B", precision, on, engine, layout)
    assert (SLICES in {part.name for part in found.parts}) is narrow
    assert any("AITER" in reason for reason in found.rough) is narrow


def test_the_same_model_in_16_bits_is_said_to_be_faster() -> None:
    """397B on 8 MI300X, 4 to 64 users: FP8 takes 19 to 40 ms a token, BF16 11 to 29 (InferenceX)."""
    layout = Layout(tensor_parallel=8)
    narrow, wide = (
        ask("Qwen/Qwen3.5-397B-A17B", name, "8x mi300x", "sglang", layout)
        for name in ("fp8", "bf16")
    )
    assert wide.per_user.value > 1.3 * narrow.per_user.value
    assert any("no fast kernel" in text for text in narrow.slower)


@pytest.mark.parametrize(
    ("on", "plain"),
    [("mi100", True), ("mi300x", True), ("v100-sxm2-32", True), ("t4", False), ("h100-sxm", False)],
)
def test_four_bit_experts_without_marlin_are_unpacked_by_a_plainer_kernel(
    on: str, plain: bool
) -> None:
    found = ask("Qwen/Qwen3.5-35B-A3B", "gptq-int4", on, "vllm")
    over = {name for part in found.parts for name in part.over}
    assert ("plain_experts" in over) is plain
    assert ("experts" in over) is not plain


def test_eight_bits_take_a_plain_kernel_as_long_as_four() -> None:
    parts = [
        next(part for part in ask(MODEL, name, "mi100", "vllm").parts if "experts" in part.name)
        for name in ("gptq-int4-g32-all", "gptq-int8-all")
    ]
    assert parts[0].amount == pytest.approx(parts[1].amount, rel=0.05)


MODEL = "Qwen/Qwen3.5-35B-A3B"

"""What is said beside a speed: little or nothing measured, on the line that it belongs to."""

from typing import Any

import pytest

import hardware_db
import planner
from planner.document import plan_document
from planner.layout import Layout
from planner.model.catalog import bundled_checkpoint
from planner.speed import speed_of
from planner.throughput import SpeedEstimate, Workload, estimate_speed
from planner.throughput.constants import device_class, family, table

ASKED = Workload(prompt_tokens=8192, depth=8192)


def ask(model: str, on: str, precision: str, engine: str, **asked: Any) -> SpeedEstimate:
    found = estimate_speed(
        bundled_checkpoint(model, precision=precision),
        hardware_db.resolve(on),
        asked.pop("layout", Layout()),
        engine=engine,
        workload=asked.pop("workload", ASKED),
        **asked,
    )
    assert isinstance(found, SpeedEstimate)
    return found


@pytest.mark.parametrize("on", ["h200-sxm", "h100-sxm", "mi300x"])
@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_prompts_that_nobody_measured_are_rough(on: str, engine: str) -> None:
    found = ask("Qwen/Qwen3.5-35B-A3B", on, "fp8", engine)
    assert found.prefill is not None
    assert any("no prompt of a mixture of experts" in text for text in found.prefill.rough)
    assert "rough: no prompt" in found.prefill_words
    assert "prompt" not in found.words


def test_prompts_that_were_measured_are_not() -> None:
    found = ask("Qwen/Qwen3.5-27B", "rtx-4090", "q4_k_m", "llamacpp")
    assert found.prefill is not None
    assert not found.prefill.rough
    assert not found.thin


def test_reasons_stand_on_the_line_they_belong_to() -> None:
    compared = 0
    for card in hardware_db.accelerators():
        if not (card.bandwidth_gb_s and card.tflops):
            continue
        found = estimate_speed(
            bundled_checkpoint("Qwen/Qwen3.5-27B", precision="fp8"),
            hardware_db.resolve(card.id),
            Layout(),
            engine="vllm",
            workload=ASKED,
        )
        if not isinstance(found, SpeedEstimate) or found.prefill is None:
            continue
        compared += 1
        assert not any("prompts were" in text for text in found.slower)
        assert not any("decoding was" in text for text in found.prefill.slower)
    assert compared > 20


def test_an_m5_has_matrix_units_of_which_no_rate_is_known() -> None:
    for on, rough in (("apple-m5-max-128", True), ("apple-m4-max-128", False)):
        found = ask("Qwen/Qwen3.5-35B-A3B", on, "mlx-4bit", "mlx")
        assert found.prefill is not None
        assert any("matrix units" in text for text in found.prefill.rough) is rough
        assert not found.rough


def test_replicas_compute_one_prompt_each() -> None:
    layout = Layout(tensor_parallel=2, data_parallel=4)
    found = ask("Qwen/Qwen3.5-27B", "8x h100-sxm", "bf16", "vllm", layout=layout)
    assert "one prompt is computed by 2 of the 8 accelerators" in found.prefill_words
    whole = ask("Qwen/Qwen3.5-27B", "8x h100-sxm", "bf16", "vllm", layout=Layout(tensor_parallel=8))
    assert "one prompt is computed" not in whole.prefill_words


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("model", ["Qwen3.5-122B-A10B", "Qwen3.5-397B-A17B"])
def test_a_prompt_behind_that_of_slower_cards_in_another_layout_says_why(
    model: str, engine: str
) -> None:
    """More memory allows more replicas, of which one computes a prompt."""
    slow, fast = (
        speed_of(
            planner.plan(
                model, on=on, engine=engine, precision="fp8", concurrency=64, context=32768
            )
        )
        for on in ("8x h100", "8x h200")
    )
    assert isinstance(slow, SpeedEstimate)
    assert isinstance(fast, SpeedEstimate)
    assert slow.prefill is not None
    assert fast.prefill is not None
    behind = fast.prefill.seconds.value > slow.prefill.seconds.value
    assert not behind or "replicas share the users" in fast.prefill_words


def test_the_document_says_what_the_lines_say() -> None:
    plan = planner.plan("Qwen3.5-35B-A3B", on="h200", engine="vllm", precision="fp8", context=8192)
    speed = speed_of(plan)
    assert isinstance(speed, SpeedEstimate)
    assert speed.prefill is not None
    assert speed.prefill.rough
    assert set(speed.prefill.rough) <= set(plan_document(plan)["speed"]["rough"])


def test_measured_counts_are_of_known_classes_and_engines() -> None:
    known = {row["id"] for row in table("devices")["class"]}
    rows = table("serving")["measured"]
    for row in rows:
        assert row["device"] in {*known, "other"}
        assert family(row["engine"]) == row["engine"]
        for name in ("decode", "dense", "moe"):
            points, rigs = row[name]
            assert points >= rigs >= (1 if points else 0)
    keys = [(row["device"], row["engine"], row["width"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert device_class(hardware_db.resolve("rtx-4090").accelerator) in {one for one, *_ in keys}

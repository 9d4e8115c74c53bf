"""Separate drafters: what a pass of theirs costs, what they yield, and what is said of it."""

from typing import Any

import pytest

import hardware_db
import planner
from planner.errors import InputError
from planner.layout import Layout
from planner.memory.placement import Drafter
from planner.model.catalog import bundled_checkpoint
from planner.throughput import NoEstimate, Speculation, SpeedEstimate, Workload, estimate_speed
from planner.throughput.constants import acceptance
from planner.units import GIB

SMALL = Drafter(nbytes=GIB, tokens=4, layers=5)


def ask(drafter: Drafter | None, *, model: str = "Qwen/Qwen3.5-27B", **asked: Any) -> SpeedEstimate:
    found = estimate_speed(
        bundled_checkpoint(model, precision="q4_k_m"),
        hardware_db.resolve("rtx-4090"),
        Layout(),
        engine="llamacpp",
        workload=Workload(prompt_tokens=512, depth=512),
        speculation=None if drafter is None else Speculation(tokens=4, drafter=drafter, **asked),
    )
    assert isinstance(found, SpeedEstimate)
    return found


def test_a_drafter_that_drafts_at_once_costs_less_than_token_by_token() -> None:
    each = ask(SMALL)
    at_once = ask(Drafter(nbytes=GIB, tokens=4, layers=5, at_once=True))
    own_head = ask(Drafter(nbytes=GIB, tokens=4, layers=5, own_head=True))
    assert at_once.per_user.value > each.per_user.value
    assert own_head.per_user.value > each.per_user.value
    assert ask(Drafter(nbytes=3 * GIB, tokens=4, layers=5)).per_user.value < each.per_user.value


def test_what_a_drafter_yields_is_assumed_and_said() -> None:
    found = ask(SMALL)
    assert found.accepted == acceptance(4, separate=True) < acceptance(4)
    assert any("tokens accepted per step" in text for text in found.assumptions)
    assert any("separate drafters" in text for text in found.rough)
    assert ask(SMALL, accepted=2.0).accepted == 2.0
    assert found.gain is not None
    assert found.gain.low < 1.6 < found.gain.high, "27B with DFlash against without: 1.3 to 2.6"


def test_a_model_without_mtp_can_have_a_drafter() -> None:
    checkpoint = bundled_checkpoint("Qwen/Qwen3.5-27B", precision="mlx-4bit")

    def asked(speculation: Speculation) -> SpeedEstimate | NoEstimate:
        return estimate_speed(
            checkpoint,
            hardware_db.resolve("apple-m3-max"),
            Layout(),
            engine="mlx",
            workload=Workload(prompt_tokens=512),
            speculation=speculation,
        )

    with pytest.raises(InputError, match="MTP"):
        asked(Speculation(tokens=2))
    assert isinstance(asked(Speculation(tokens=4, drafter=SMALL)), SpeedEstimate)


DFLASH = {"num_speculative_tokens": 8, "speculative_method": "dflash"}


def test_a_plan_with_dflash_has_a_speed() -> None:
    plan = planner.plan(
        "Qwen3.5-27B", on="h100", precision="fp8", engine="vllm", context=8192, options=DFLASH
    )
    assert plan.allocation is not None
    drafter = plan.allocation.placement.drafter
    assert drafter is not None
    assert drafter.at_once
    assert drafter.tokens == 8
    assert isinstance(plan.speed, SpeedEstimate)
    assert plan.speed.gain is not None
    assert "drafting" in plan.speed.words


def test_a_drafter_of_unknown_size_has_no_speed() -> None:
    plan = planner.plan(
        "Qwen3.5-122B-A10B",
        on="4x h100",
        precision="fp8",
        engine="vllm",
        context=8192,
        options=DFLASH,
    )
    assert isinstance(plan.speed, NoEstimate)
    assert "size of the separate drafter" in plan.speed.words

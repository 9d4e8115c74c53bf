"""Unequal accelerators: each reads and multiplies what it holds at its own rate."""

from dataclasses import replace

import pytest

import hardware_db
import planner
from planner.cli.main import run
from planner.recommending import Wanted, recommend
from planner.recommending.machines import without_slower_kinds
from planner.speed import speed_of
from planner.throughput import SpeedEstimate

MODEL, FILE = "Qwen/Qwen3.5-27B", "q4_k_m"


def asked(on: str) -> tuple[planner.Plan, SpeedEstimate]:
    plan = planner.plan(MODEL, on=on, precision=FILE, engine="llamacpp", context=16384)
    speed = speed_of(plan)
    assert isinstance(speed, SpeedEstimate)
    return plan, speed


@pytest.mark.parametrize(
    "on",
    ["2x 3090 + 1x 3060 12GB", "3060 12GB + 3090", "4090 + 3060 12GB", "rx-7900-xtx + rx-7900-xt"],
)
def test_every_accelerator_reads_its_own_share_at_its_own_bandwidth(on: str) -> None:
    plan, speed = asked(on)
    assert plan.allocation is not None
    held = plan.allocation.placement.of_accelerators
    kinds = hardware_db.resolve(on).accelerators
    rates = [kind.bandwidth_gb_s.value * 1e9 for kind in kinds if kind.bandwidth_gb_s is not None]
    seconds = sum(part / rate for part, rate in zip(held, rates, strict=True))
    term = next(term for term in speed.terms if term.name == "weights")
    assert term.values["BW"] == pytest.approx(sum(held) / seconds)
    assert min(rates) < term.values["BW"] < max(rates)


@pytest.mark.parametrize(("fast", "slow"), [("3090", "3060 12GB"), ("4090", "4060 Ti 16GB")])
def test_a_mixed_pair_lies_between_its_equal_pairs(fast: str, slow: str) -> None:
    _, mixed = asked(f"{fast} + {slow}")
    _, quick = asked(f"2x {fast}")
    _, tardy = asked(f"2x {slow}")
    assert tardy.per_user.value < mixed.per_user.value < quick.per_user.value
    assert tardy.prefill is not None
    assert mixed.prefill is not None
    assert quick.prefill is not None
    assert quick.prefill.seconds.value < mixed.prefill.seconds.value < tardy.prefill.seconds.value


def test_the_order_in_which_they_are_named_hardly_matters() -> None:
    one, other = asked("3090 + 3060 12GB")[1], asked("3060 12GB + 3090")[1]
    assert one.per_user.value == pytest.approx(other.per_user.value, rel=0.05)


def test_equal_ones_written_apart_are_no_slower_than_together() -> None:
    apart, together = asked("3090 + 3090")[1], asked("2x 3090")[1]
    assert apart.per_user.value == pytest.approx(together.per_user.value)


def test_what_is_faster_without_the_slowest_says_so() -> None:
    answer = recommend(Wanted(system=hardware_db.resolve("2x 3090 + 1x 3060 12GB"), base=MODEL))
    assert answer.pick is not None
    (miss,) = answer.misses
    assert miss.change.startswith("leave the RTX 3060 12 GB out")
    assert miss.choice.plan.launch is not None  # without the variable the program takes all it sees
    assert miss.choice.plan.launch.command.startswith("CUDA_VISIBLE_DEVICES=0,1 ")
    assert miss.choice.plan.deployment.system.short_name == "2× RTX 3090"
    assert (miss.choice.per_user or 0) > (answer.pick.per_user or 0)
    assert miss.choice.word <= answer.pick.word


def test_ram_that_was_named_stays_without_the_slowest() -> None:
    system = hardware_db.resolve("3090 + 3060 12GB + 64GB RAM")
    (_, places, smaller), *more = without_slower_kinds(system)
    assert not more
    assert places == (0,)
    assert smaller.host_memory == system.host_memory
    assert replace(smaller, host_memory_gib=None).total_bytes < system.total_bytes


@pytest.mark.parametrize(
    ("on", "alone"),
    [
        ("2x 3090 + 1x 3060 12GB", "3090"),
        ("4090 + 3060 12GB", "4090"),
        ("rx-7900-xtx + rx-7900-xt", "rx-7900-xtx"),
    ],
)
def test_what_is_slower_than_one_of_them_alone_says_why(on: str, alone: str) -> None:
    mixed, single = asked(on)[1], asked(alone)[1]
    assert mixed.per_user.value < single.per_user.value
    (reason,) = mixed.slower
    assert reason in mixed.words
    assert "where the rest holds the model" in reason
    assert not single.slower


@pytest.mark.parametrize("command", ["plan", "recommend"])
def test_both_commands_print_why(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    on = "2x 3090 + 1x 3060 12GB"
    assert run([command, "Qwen3.5-27B", "--on", on, "--engine", "llamacpp"]) == 0
    printed = capsys.readouterr().out
    assert "RTX 3060 12 GB reads " in printed
    assert "faster without it where the rest holds the model" in printed


def test_nothing_is_left_out_of_equal_ones() -> None:
    assert not asked("3090 + 3090")[1].slower


def test_llama_cpps_cards_take_turns_with_all_users() -> None:
    """Eight users were promised twice the speed on eight cards: their tokens are one micro-batch,
    which passes the cards one after the other."""
    rates = []
    for count in (1, 8):
        plan = planner.plan(
            "unsloth/Qwen3.5-35B-A3B-GGUF:Q4_K_M", on=f"{count}x v100-sxm2-32", concurrency=8
        )
        speed = plan.speed
        assert isinstance(speed, SpeedEstimate)
        rates.append(speed.per_user.value)
    assert rates[1] <= rates[0] * 1.01


def test_a_program_that_takes_what_it_sees_is_told_to_see_fewer() -> None:
    """The line for one of two cards was the command for both."""
    wanted = Wanted(system=hardware_db.resolve("2x 3090"), base="Qwen/Qwen3.5-4B")
    fixed = replace(wanted.fixed, engine="llamacpp")
    answer = recommend(replace(wanted, fixed=fixed))
    fewer = next(miss for miss in answer.misses if miss.change.startswith("one of them"))
    assert fewer.choice.plan.launch is not None
    assert fewer.choice.plan.launch.command.startswith("CUDA_VISIBLE_DEVICES=0 ")

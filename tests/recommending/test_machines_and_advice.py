"""Which machine; what to change: checkpoints that exist, limits that can be raised."""

import json
import re
from typing import Any

import pytest

import hardware_db
import planner
import planner.recommending.machines as machines_room
from planner import registry
from planner.cli.main import run
from planner.errors import InputError
from planner.recommending import Wanted, best_of
from planner.recommending.advice import advise
from planner.recommending.choosing import Search
from planner.recommending.machines import machines
from planner.recommending.text import recommendation_text
from planner.search.advice import MORE
from planner.units import GIB
from planner.wanting import want

WANTED = want("Qwen3.5-9B", on="h100")


def test_common_machines_come_with_what_they_would_run() -> None:
    found = machines(WANTED)
    held = [machine for machine in found if machine.choice is not None]
    assert held
    for machine in held:
        assert machine.choice is not None
        assert machine.choice.holds
        entry = registry.find(machine.choice.entry.name)
        assert entry is not None
        assert entry.recommendable


@pytest.mark.parametrize("by", ["price", "power", "speed", "memory"])
def test_orders(by: str) -> None:
    found = machines(WANTED, by=by)
    values: list[float] = {
        "price": [m.bought.value for m in found if m.bought is not None and not m.falls_short],
        "power": [m.watts for m in found if m.watts is not None and not m.falls_short],
        "speed": [-(m.choice.per_user or 0.0) for m in found if m.choice is not None],
        "memory": [float(m.total_bytes) for m in found if not m.falls_short],
    }[by]
    assert values == sorted(values)
    short = [machine.falls_short for machine in found]
    assert short == sorted(short)
    assert any(short)


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(InputError, match="price, power, speed, memory"):
        machines(WANTED, by="beauty")


def test_the_command_lists_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fits", "Qwen3.5-9B"]) == 0
    out = capsys.readouterr().out
    assert "RTX 3090" in out
    assert "Prices: the lowest recent ones" in out
    assert run(["fits", "Qwen3.5-9B", "--by", "price", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["machines"]
    prices = [row["price"] for row in rows if row["price"] is not None]
    assert prices == sorted(prices)


def test_a_limit_that_can_be_raised_comes_first_with_its_command() -> None:
    plan = planner.plan(
        "unsloth/Qwen3.5-122B-A10B-GGUF:Q6_K", on="strix halo 128", engine="llamacpp"
    )
    assert not plan.fits
    first = advise(plan, most=3)[0]
    assert first.enough
    assert first.title.startswith("raise ")
    found = planner.recommend(on="strix halo 128")
    limit = next(miss.limit for miss in found.misses if miss.limit is not None)
    assert first.title == limit.words
    assert limit.line in first.title
    assert limit.after is not None
    assert first.title.endswith(limit.after)


@pytest.mark.parametrize(
    ("on", "model", "context"),
    [
        ("Strix Halo 128GB", None, "32k"),
        ("M5 Max 128GB", None, "128k"),
        ("AI MAX+ 395 64GB", "Qwen3-Next-80B-A3B-Instruct", "256k"),
    ],
)
def test_the_spare_of_a_raised_limit_is_that_of_its_command(
    on: str, model: str | None, context: str
) -> None:
    """The spare was that of the highest limit, the command set a smaller one."""
    found = planner.recommend(model, on=on, context=context)
    miss = next(miss for miss in found.misses if miss.limit is not None)
    assert miss.command is not None
    figures = {int(figure) for figure in re.findall(r"=(\d+)", miss.command)}
    unit = 4096 if "pages" in miss.command else 1 << 20
    plan = miss.choice.plan
    lent = plan.deployment.system.accelerator.usable_bytes
    assert {figure * unit for figure in figures} == {lent}
    assert plan.headroom is not None
    assert plan.headroom <= lent - plan.ranks[0].used
    lines = [line.strip() for line in recommendation_text(found).splitlines()]
    assert lines[lines.index(miss.command) + 1] == f"({miss.after})"


def test_advice_names_checkpoints_that_exist() -> None:
    """M2: advice was a precision of which no checkpoint was known."""
    plan = planner.plan("Qwen3.5-27B", on="rtx-3090", engine="vllm", precision="bf16")
    found = advise(plan, most=3)
    assert found[0].enough
    assert found[0].command is not None
    assert "unsloth/Qwen3.5-27B-GGUF:UD-Q4_K_XL" in found[0].command
    assert all(advice.command is not None for advice in found)
    assert all(not advice.plan.deployment.checkpoint.hypothetical for advice in found)


@pytest.mark.parametrize(
    ("command", "on"),
    [
        ("mlx_lm.server --model mlx-community/Qwen3.6-35B-A3B-4bit", "M4 Pro 24GB"),
        ("llama-server -hf unsloth/Qwen3.6-27B-GGUF:UD-Q6_K_XL -c 262144", "4090, 16GB RAM"),
        ("vllm serve Qwen/Qwen3.5-35B-A3B-FP8 --max-model-len 131072 --max-num-seqs 2", "4090"),
    ],
)
def test_of_changes_that_cost_alike_the_better_weights_come_first(command: str, on: str) -> None:
    """A large loss stood before a noticeable one."""
    found = [
        advice for advice in advise(planner.plan_command(command, on=on)) if advice.cost < MORE
    ]
    assert any(advice.word for advice in found)
    for cost in {advice.cost for advice in found}:
        words = [advice.word for advice in found if advice.cost == cost and advice.steps <= 2]
        assert words == sorted(words)


def test_a_machine_is_listed_under_a_name_that_can_be_typed() -> None:
    for on in (on for _, names in machines_room.groups() for on in names):
        system = hardware_db.resolve(on)
        typed = hardware_db.resolve(system.short_name)
        assert (typed.accelerator.id, typed.count) == (system.accelerator.id, system.count)


def test_a_machine_that_is_too_slow_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    """0.86 tok/s for each of ten users counted as running it."""
    line = "fits Qwen3.6-27B --users 10 --on"
    assert run([*line.split(), "cpu 64gb, rtx-pro-6000", "--by", "power"]) == 0
    out = capsys.readouterr().out
    assert out.index("RTX PRO 6000") < out.index("slow: ") < out.index("slow: well below 10 tok/s")
    heading = "Below 10 tok/s each, or with a large loss:"
    assert out.index("RTX PRO 6000") < out.index(heading) < out.index("slow: ")


def test_ram_that_is_said_stands_beside_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    """Machines were listed as if nobody had said --ram; what shares its memory has none beside it."""
    asked = ["fits", "Qwen3.6-35B-A3B", "--ram", "64GB", "--on", "rtx-3060-12, m4 max 64gb"]
    assert run(asked) == 0
    out = capsys.readouterr().out
    assert "RTX 3060 12 GB, 64 GB RAM" in out
    assert "M4 Max 64 GB " in out


def test_small_machines_with_a_large_memory_are_listed_with_a_price() -> None:
    priced = [system for system in machines_room.by_price() if system.accelerator.is_unified]
    vendors = {system.accelerator.vendor for system in priced if system.total_bytes > 60 * GIB}
    assert vendors == {"amd", "apple", "nvidia"}


def test_a_machine_of_one_accelerator_keeps_what_is_known_of_it() -> None:
    """`fits --on dgx-spark` told the power of its chip, `fits` that of the machine."""
    spark = hardware_db.resolve("dgx-spark")
    assert spark.power_w is not None
    (named,) = machines(WANTED, on=(spark,))
    assert named.watts == spark.power_w.value


def test_cards_that_one_machine_does_not_hold_are_said_to_be_in_several(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three cards became networked machines, and nothing said so."""
    assert hardware_db.resolve("4x b580").nodes == hardware_db.resolve("7x b580").nodes == 1
    for asked, said in (
        (
            "12x b580",
            "planned as 3 machines of 4 GPUs, since one machine is assumed to hold 4 at most",
        ),
        ("6x b580", "all 6 cards in one machine, more than most boards have slots for"),
    ):
        assert run(["recommend", "Qwen3.5-0.8B", "--on", asked, "--engine", "vllm"]) == 0
        assert said in capsys.readouterr().out


def test_a_pick_alone_is_the_first_of_all_candidates() -> None:
    """A file in RAM gives way to a faster one that comes after what held the workload before it."""
    model = "Qwen/Qwen3.5-122B-A10B"
    wanted = Wanted(system=hardware_db.resolve("a800-pcie-80 + 512 GB"), base=model)
    picked = best_of(wanted)
    every = Search(wanted).of_model(model, assume_ram=False)
    assert picked is not None
    assert picked.entry == next(choice.entry for choice in every if choice.holds)


def test_a_smaller_cache_comes_before_no_answer_beside_ram() -> None:
    """Nothing held with an f16 cache, and one of q8_0 was dropped as weights lay in RAM."""
    asked: dict[str, Any] = {"on": "rtx-3060-12 + 64GB RAM", "context": "256k", "concurrency": 4}
    answer = planner.recommend("Qwen3.5-27B", engine="llamacpp", **asked)
    assert answer.pick is not None
    assert answer.pick.plan.fits
    assert answer.pick.plan.deployment.kv_cache_dtype == "q8_0"

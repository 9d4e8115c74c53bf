"""RAM beside a GPU: what a machine holds with it and without, and what grows until RAM runs out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hardware_db
import planner
from hardware_db import Figure, left_by_system, with_system
from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.engines.llamacpp.fit import fit, fits
from planner.engines.llamacpp.options import LlamacppOptions
from planner.memory.breakdown import HOST_RANK, Rank
from planner.planning import Outcome, Plan
from planner.report.html import plan_html
from planner.report.markdown import plan_markdown
from planner.report.text import plan_text
from planner.units import GIB, format_gib

few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plan(model: str, on: str, users: int, context: int, **more: object) -> Plan:
    """Plan a file of four bits under llama.cpp."""
    question = {"precision": "q4_k_m", "engine": "llamacpp", **more}
    return planner.plan(model, on=on, concurrency=users, context=context, **question)  # type: ignore[arg-type]


def ram_of(found: Plan) -> Rank:
    """Return the RAM of a plan."""
    return next(rank for rank in found.ranks if rank.name == HOST_RANK)


def held(found: Plan) -> int:
    """Return how many of the asked requests are held."""
    asked = found.deployment.concurrency
    assert found.capacity is not None
    return asked if found.fits else min(asked, found.capacity.sequences)


@few
@given(
    model=st.sampled_from(["Qwen3.5-9B", "Qwen3.5-35B-A3B", "Qwen3.5-27B"]),
    cards=st.sampled_from(["rtx-4060", "2x rtx-3060-12", "t4", "gtx-1650", "rtx-4090"]),
    ram=st.sampled_from([16, 32, 64, 128]),
    users=st.integers(1, 120),
    context=st.sampled_from([4096, 32_768, 65_536, 262_144]),
)
def test_a_card_never_makes_a_machine_hold_less(
    model: str, cards: str, ram: int, users: int, context: int
) -> None:
    """The compute buffer of many users stopped an RTX 4060, with 64 GB of RAM that hold them all."""
    alone = plan(model, f"cpu, {ram}GB", users, context)
    beside = plan(model, f"{cards}, {ram}GB", users, context)
    assert held(beside) >= held(alone)
    if not beside.fits:
        assert beside.longest_context >= (0 if alone.fits else alone.longest_context)
    for found in (alone, beside):
        if found.fits:
            assert all(rank.headroom >= 0 for rank in found.ranks)


def test_without_room_for_a_compute_buffer_no_gpu_is_used() -> None:
    found = plan("Qwen3.5-35B-A3B", "rtx-3060-12, 128GB", 70, 65_536)
    assert found.fits
    assert found.launch is not None
    words = found.launch.command
    assert " -dev none" in words
    assert "-ngl" not in words
    assert "--n-cpu-moe" not in words
    assert [rank.name for rank in found.ranks] == [HOST_RANK]
    assert any("no GPU is used (-dev none)" in warning for warning in found.warnings)
    again = planner.plan_command(words, on="rtx-3060-12, 128GB")
    assert again.ranks == found.ranks
    assert again.fits


def test_the_smaller_batch_that_gives_the_gpu_work_is_named() -> None:
    found = plan("Qwen3.5-35B-A3B", "rtx-3060-12, 128GB", 70, 65_536)
    told = next(warning for warning in found.warnings if "-dev none" in warning)
    assert told.endswith("with -ub 128 a GPU computes the prompts")
    small = LlamacppOptions(ubatch_size=128)
    assert plan("Qwen3.5-35B-A3B", "rtx-3060-12, 128GB", 70, 65_536, options=small).fits
    many = plan("Qwen3.5-35B-A3B", "rtx-3060-12, 128GB", 78, 65_536)
    assert "-ub 128" not in next(told for told in many.warnings if "-dev none" in told)


@pytest.mark.parametrize("words", ["-ngl 0", "-ot exps=CPU", "-dev CUDA0"])
def test_what_was_said_of_the_gpu_stands(words: str) -> None:
    asked = planner.plan(
        "Qwen3.5-35B-A3B",
        on="rtx-3060-12, 128GB",
        precision="q4_k_m",
        engine="llamacpp",
        words=words.split(),
        concurrency=70,
        context=65_536,
    )
    assert not asked.fits


def test_no_gpu_can_be_asked_for_where_ram_is_known() -> None:
    none = LlamacppOptions(device=("none",))
    found = plan("Qwen3.5-9B", "rtx-4090, 64GB", 4, 32_768, options=none)
    assert found.fits
    assert ram_of(found).used == ram_of(plan("Qwen3.5-9B", "cpu, 64GB", 4, 32_768)).used
    unknown = plan("Qwen3.5-9B", "rtx-4090", 4, 32_768, options=none)
    assert unknown.outcome is Outcome.CANNOT_RUN
    assert "--on 'rtx-4090, 64GB'" in unknown.verdict


def test_ram_is_counted_alike_with_a_card_and_without() -> None:
    """64.0 GiB were usable beside a card, 60.0 without."""
    beside = plan("Qwen3.5-9B", "rtx-4060, 64GB", 8, 32_768)
    assert ram_of(beside).usable == ram_of(plan("Qwen3.5-9B", "cpu, 64GB", 8, 32_768)).usable
    assert any("left to the system: an assumption" in note for note in beside.notes)
    moved = plan(
        "Qwen3.5-35B-A3B", "4x rtx-4090, 512GB", 1, 32_768, precision=None, engine="ktransformers"
    )
    assert ram_of(moved).usable == left_by_system(512 * GIB)


@given(needed=st.integers(0, 2**42))
def test_the_ram_that_is_asked_for_leaves_what_is_needed(needed: int) -> None:
    assert left_by_system(with_system(needed)) >= needed


def test_copies_of_the_state_fit_into_ram_or_are_fewer() -> None:
    """147 GiB were to lie in 128, and the command set nothing."""
    found = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 128GB", 40, 65_536)
    assert found.outcome is Outcome.FITS
    assert found.settings["ctx_checkpoints"] == 3
    assert ram_of(found).headroom >= 0
    assert found.ram <= ram_of(found).usable
    assert any("is computed anew" in warning for warning in found.warnings)
    roomy = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 512GB", 40, 65_536)
    assert roomy.settings["ctx_checkpoints"] == 32


def test_no_room_for_one_copy_keeps_none() -> None:
    found = plan("Qwen3.5-35B-A3B", "cpu, 128GB", 78, 65_536)
    assert found.fits
    assert found.settings["ctx_checkpoints"] == 0
    assert found.launch is not None
    assert "--ctx-checkpoints 0" in found.launch.command


def test_more_copies_than_fit_are_said_with_what_to_set() -> None:
    asked = LlamacppOptions(ctx_checkpoints=32)
    found = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 128GB", 40, 65_536, options=asked)
    assert found.outcome is Outcome.TIGHT
    assert found.verdict.endswith("set --ctx-checkpoints 3.")
    fewer = LlamacppOptions(ctx_checkpoints=3)
    fixed = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 128GB", 40, 65_536, options=fewer)
    assert all(rank.headroom >= 0 for rank in fixed.ranks)


def test_what_is_shown_of_a_plan_that_holds_fewer_is_for_those() -> None:
    """The table was that of all who were asked, the command that of the held, and nothing said so."""
    found = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 64GB", 40, 65_536)
    assert found.outcome is Outcome.HOLDS_FEWER
    assert found.capacity is not None
    served = plan("Qwen3.5-122B-A10B", "7x rtx-3060-12, 64GB", found.capacity.sequences, 65_536)
    text = plan_text(found)
    users = found.capacity.sequences
    assert (
        f"40 requests of 65,536 tokens (prompt and output together); what follows is for {users}"
        in text
    )
    assert found.launch is not None
    assert served.launch is not None
    assert found.launch.command == served.launch.command
    assert found.longest_context == served.longest_context
    for rank in served.ranks:
        assert f"{rank.label}: {format_gib(rank.used)} of" in text or len(served.ranks) > 2
    assert " over " not in text
    assert f"what follows is for {users}" in plan_markdown(found)
    assert f"what follows is for {users}" in plan_html(found)


def test_what_is_held_as_asked_says_nothing_of_a_part() -> None:
    found = plan("Qwen3.5-9B", "rtx-4060, 64GB", 4, 32_768)
    assert "what follows" not in plan_text(found)
    none = plan("Qwen3.5-122B-A10B", "rtx-4060, 16GB", 4, 32_768)
    assert "what follows" not in plan_text(none)


@settings(few, max_examples=6)
@given(
    model=st.sampled_from(("Qwen3.5-9B", "Qwen3.5-27B", "Qwen3.5-35B-A3B")),
    on=st.sampled_from(("rtx-3060-12", "2x rtx-3090", "2 nodes of 1x l4")),
    ram=st.sampled_from((8, 24, 48, 96)),
    users=st.sampled_from((2, 9, 41)),
    context=st.sampled_from((4_096, 100_000)),
    fewer=st.integers(1, 40),
)
def test_whether_a_placement_fits_is_told_as_its_search_finds(
    model: str, on: str, ram: int, users: int, context: int, fewer: int
) -> None:
    known = Figure(value=ram, source="test", grade="D")
    system = replace(hardware_db.resolve(on), host_memory_gib=known)
    found = planner.plan(
        model, on=system, precision="q4_k_m", engine="llamacpp", concurrency=users, context=context
    ).allocation
    assert isinstance(found, LlamacppAnswer)
    server = replace(found.server, slots=min(fewer, users))
    assert fits(server, found.room, found.usage.computing) == fit(server, found.room).fits


@pytest.mark.parametrize("users", [1, 250, 256])
def test_more_slots_may_take_less_and_are_found_whatever_was_asked(users: int) -> None:
    # a micro-batch of 512 tokens is 3 of each of 252 slots, 756, and 2 of each of 256
    asked = {"precision": "q8_0", "options": {"kv_unified": True}}
    found = plan("Qwen3.5-4B", "m4-max-128gb", users, 10_241, **asked)
    assert held(plan("Qwen3.5-4B", "m4-max-128gb", 252, 10_241, **asked)) == 251
    assert found.fits
    assert found.capacity is not None
    assert found.capacity.sequences == 256

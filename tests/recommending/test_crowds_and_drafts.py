"""Many users, several machines, drafts, caches of half the size, flags for agents."""

import json
from dataclasses import replace
from functools import cache

import pytest

import planner
from planner import registry
from planner.cli.main import run
from planner.engines.choice import FOR_MANY, SMALLER_CACHE, engines_for
from planner.engines.tool_calls import tool_flags
from planner.errors import InputError
from planner.model.catalog import catalog
from planner.planning import Outcome
from planner.recommending import Recommendation, Wish
from planner.recommending.choice import cache_word
from planner.recommending.choosing import best_of
from planner.recommending.reasons import chosen
from planner.recommending.text import recommendation_text
from planner.registry import Word
from planner.throughput import SpeedEstimate
from planner.throughput.answer import to_two_digits
from tests.present import some


@cache
def answer(
    on: str, model: str | None = None, *, users: int = 1, context: str = "32k"
) -> Recommendation:
    return planner.recommend(model, on=on, concurrency=users, context=context)


def test_the_better_model_for_fewer_is_held_with_estimates_to_spare() -> None:
    """As many as it just holds are tight, always: no better model was offered at all."""
    users = 62
    found = answer("6x rtx-4060", users=users)
    pick = some(found.pick)
    fewer = next(miss.choice for miss in found.misses if "the others wait" in miss.change)
    assert fewer.plan.outcome is Outcome.FITS
    assert fewer.tier < pick.tier
    assert users / 4 <= fewer.plan.deployment.concurrency < users


def test_a_crowd_gets_the_server_for_many_with_the_settings_that_hold_it() -> None:
    """llama.cpp with 64 slots came before vLLM, whose defaults alone do not hold so many."""
    found = answer("h100", users=64, context="16k")
    pick = some(found.pick)
    assert pick.plan.engine in FOR_MANY
    assert pick.savings
    command = some(pick.plan.launch).command
    told = chosen(found, pick)[-1]
    for economy in pick.savings:
        assert economy.flags in command
        assert f"{economy.flags} ({economy.loses})" in told
    assert pick.plan.outcome is Outcome.FITS
    assert all(other.plan.engine in FOR_MANY for other in found.front)


def test_a_file_too_large_by_little_does_not_use_up_the_tries_of_its_class() -> None:
    """Three files of one size came before the one that fits: an RTX 4090 was given a large loss."""
    for on in ("rtx-3090", "rtx-4090"):
        pick = some(planner.recommend("Qwen3.5-27B", on=on, concurrency=8, context="32k").pick)
        assert pick.word <= Word.NOTICEABLE, on
        assert pick.plan.outcome is Outcome.FITS, on


def test_settings_are_not_looked_for_where_somebody_said_some_or_wants_pictures() -> None:
    told = planner.plan("Qwen3.8-27B", on="h100", concurrency=64, context="16k", engine="vllm")
    assert "--language-model-only" in some(told.launch).command
    said = planner.plan(
        "Qwen3.8-27B", on="h100", concurrency=64, context="16k", words="--max-num-seqs 100"
    )
    assert "--max-num-seqs 100" in some(said.launch).command
    seen = planner.recommend(on="h100", concurrency=64, context="16k", images=True)
    for choice in seen:
        assert not any(economy.without_pictures for economy in choice.savings)


@pytest.mark.parametrize("cache_format", sorted(set(SMALLER_CACHE.values())))
def test_caches_of_half_the_size_are_one_class(cache_format: str) -> None:
    """fp8 was as the original and q8_0 a small loss: by two protocols, which do not compare."""
    assert cache_word(cache_format) is Word.NEAR_LOSSLESS


def test_other_caches_keep_what_was_measured_of_them() -> None:
    assert cache_word("q4_0") is Word.SMALL
    assert cache_word("auto") is cache_word("bfloat16") is Word.ORIGINAL


def test_over_several_machines_what_is_made_for_them_comes_first() -> None:
    """RPC came before what is made for several machines and holds as safely."""
    found = answer("2x dgx spark", "Qwen3.5-122B-A10B")
    pick = some(found.pick)
    assert pick.plan.engine in FOR_MANY
    assert any(other.plan.engine not in FOR_MANY for other in found.front)


def test_over_several_machines_what_fits_safely_comes_before_what_may_not() -> None:
    """Of what lacked memory on one of two machines, files were sought that one holds, and lose more."""
    found = answer("2x dgx spark", "Qwen3.5-397B-A17B")
    pick = some(found.pick)
    assert pick.is_joined
    assert pick.plan.outcome is Outcome.FITS
    assert pick.word < Word.NOTICEABLE
    faster = next(other for other in found.front if other.plan.engine in FOR_MANY)
    assert faster.entry.base == pick.entry.base
    assert faster.plan.outcome is Outcome.TIGHT


def test_so_many_as_are_enough_are_named_with_every_command() -> None:
    """Four machines were taken for a model that two hold as well."""
    found = answer("4x dgx spark", users=20)
    miss = next(miss for miss in found.misses if "of them are enough" in miss.change)
    plan = miss.choice.plan
    assert plan.deployment.system.count == 2
    assert plan.outcome is Outcome.FITS
    text = recommendation_text(found)
    assert "With fewer of them:\n    - 2 of them are enough, slower: " in text
    assert " tok/s each\n" in text.partition("With fewer of them")[2]
    launch = some(plan.launch)
    assert launch.further_commands
    assert all(command in text for command in (launch.command, *launch.further_commands))


@pytest.mark.parametrize("on", ["dgx spark", "rtx-pro-6000", "rtx-4070 laptop", "h100"])
def test_no_engine_is_said_to_hold_nothing_that_holds_something(on: str) -> None:
    """What stood beside the pick was all that was looked through."""
    found = answer(on)
    pick = some(found.pick)
    first, _ = engines_for(found.wanted.system)[0]
    said = any("no known" in line and "fits here" in line for line in chosen(found, pick))
    if first == pick.plan.engine:
        assert not said
        return
    fixed = replace(found.wanted.fixed, engine=first)
    held = best_of(replace(found.wanted, base=pick.entry.base, fixed=fixed))
    assert said is (held is None)


def test_drafts_are_told_where_they_are_sure_to_gain() -> None:
    found = answer("h100", "Qwen3.8-27B")
    pick = some(found.pick)
    miss = next(miss for miss in found.misses if miss.choice.plan.deployment.options.draft_tokens)
    speed = miss.choice.speed
    assert isinstance(speed, SpeedEstimate)
    assert some(speed.gain).low >= 1
    assert (miss.choice.per_user or 0) > (pick.per_user or 0)
    assert miss.choice.plan.fits
    assert "speculative" in some(miss.choice.plan.launch).command
    text = recommendation_text(found)
    assert (
        "Faster with drafts (speculative decoding):\n    - draft with its own MTP module, " in text
    )


def test_drafts_take_a_file_with_the_blocks_and_never_weights_in_ram() -> None:
    drafted = answer("rtx-3090", "Qwen3.6-27B")
    miss = next(m for m in drafted.misses if m.choice.plan.deployment.options.draft_tokens)
    assert miss.choice.entry.mtp
    assert miss.choice.loss.word <= Word.SMALL
    assert registry.find(miss.choice.entry.name) is not None
    spilt = answer("rtx 3060 12gb + 32gb ram", "Qwen3.6-35B-A3B")
    assert some(spilt.pick).in_ram
    assert not any(m.choice.plan.deployment.options.draft_tokens for m in spilt.misses)


@pytest.mark.parametrize("base", [entry.id for entry in catalog()])
@pytest.mark.parametrize("engine", FOR_MANY)
def test_agents_hear_which_flags_every_model_needs(engine: str, base: str) -> None:
    flags = some(tool_flags(engine, base))
    assert "--tool-call-parser " in flags
    assert ("--enable-auto-tool-choice" in flags) is (engine == "vllm")


def test_documents_carry_the_flags_for_agents(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recommend", "Qwen3.8-27B", "--on", "h100", "--for", "agents", "--json"]) == 0
    pick = json.loads(capsys.readouterr().out)["pick"]
    assert "qwen3_coder" in pick["tool_flags"]


def test_a_text_model_has_no_note_on_a_vision_tower() -> None:
    plan = planner.plan("mlx-community/Qwen3-Coder-Next-4bit", on="m4 max 64gb")
    assert not any("vision" in note for note in plan.deployment.checkpoint.remarks)
    assert all(not entry.vision for entry in registry.entries_of("Qwen/Qwen3-Coder-Next"))


def test_a_limit_is_raised_for_weights_that_lose_less() -> None:
    """No file of 6 or 8 bits was known, so that nobody heard of the limit."""
    found = answer("strix halo 128gb", "Qwen3-Coder-Next")
    miss = next(miss for miss in found.misses if miss.limit is not None)
    assert miss.choice.word < some(found.pick).word


def test_a_table_that_stays_on_the_ssd_is_told_on_the_first_screen() -> None:
    found = answer("m3 ultra 512gb", "Qwen3.8-Flash-Next")
    assert "stays in the file" in recommendation_text(found)


def test_a_row_that_is_tuned_says_how() -> None:
    found = answer("l40s", users=30, context="8k")
    text = recommendation_text(found)
    tuned = [(place, choice) for place, choice in enumerate(found.front, 1) if choice.savings]
    assert tuned
    for place, choice in tuned:
        assert choice.entry.name in text
        flags = " ".join(economy.flags for economy in choice.savings)
        assert f"\n  {place}  tuned: {flags}\n" in text


def test_beside_a_model_that_is_too_slow_stands_one_that_is_not() -> None:
    """27B at 2 tok/s stood alone, though 35B-A3B gives five times as much there."""
    found = answer("cpu 64gb", "Qwen3.8-27B")
    pick = some(found.pick)
    assert (pick.per_user or 0) < found.wanted.wish.enough
    quick = [other for other in found.front if other.entry.base != pick.entry.base]
    assert any((other.per_user or 0) >= found.wanted.wish.enough for other in quick)


def test_where_no_engine_runs_the_machine_is_told_so() -> None:
    """No checkpoint held it, it was said of a machine for which no engine has a backend."""
    with pytest.raises(InputError, match="has no backend for Google TPU"):
        planner.recommend(on="tpu v6e-8")


def test_speeds_that_read_the_same_are_none_the_slower() -> None:
    """A server's 21 tok/s came before the first choice's 19.8, which reads 20, with an untrue reason."""
    pick = some(answer("dgx spark", users=5).pick)
    assert pick.plan.engine == engines_for(pick.plan.deployment.system)[0][0]
    assert pick.is_slow(Wish()) is (to_two_digits(pick.per_user or 0) < Wish().comfortable)


def test_no_machine_is_advised_that_may_not_hold_it() -> None:
    """Two machines were to be bought for a spare of 0.1 GiB within the estimate's band."""
    found = answer("rtx-4090", "Qwen3.5-397B-A17B")
    bought = [miss for miss in found.misses if "of the common machines" in miss.change]
    assert all(miss.choice.plan.outcome is Outcome.FITS for miss in bought)
    assert bought


def test_what_is_tight_is_told_in_words() -> None:
    text = recommendation_text(answer("rtx-3090"))
    assert "\n  ≈  close: its estimate may be off by more than it leaves free\n" in text


def test_ram_that_would_do_it_leaves_something_to_spare() -> None:
    """It fits with 65 GiB of RAM, it was said, with -0.47 GiB to spare."""
    found = answer("rtx-3060-12", "Qwen3.5-122B-A10B")
    miss = next(miss for miss in found.misses if miss.choice.needs_ram is not None)
    assert (miss.choice.plan.headroom or 0) >= 0
    assert all((miss.choice.plan.headroom or 0) >= 0 for miss in found.misses)


def test_a_share_that_was_seen_to_run_out_is_lowered(capsys: pytest.CaptureFixture[str]) -> None:
    """The command left it open, and a warning below said that the default ran out elsewhere."""
    line = "recommend Qwen3.8-Flash-Next --on 4x-dgx-spark --engine sglang"
    assert run(line.split()) == 0
    out = capsys.readouterr().out
    assert "--mem-fraction-static 0.7 --nnodes 4" in out
    assert "was seen to run out" not in out
    assert "11.9 GiB of the memory that CPU and GPU share on each machine" in out


def test_in_brief_nothing_is_said_of_how_a_cache_was_measured() -> None:
    found = answer("rtx-3090", "Qwen3.5-27B", context="128k")
    pick = some(found.pick)
    assert "; measured: " in " ".join(chosen(found, pick))
    brief = " ".join(chosen(found, pick, brief=True))
    assert "(8-bit caches count as near-lossless)" in brief

"""Classes of models: consistent with every published table, ties where tables say so, floors sourced."""

from itertools import combinations

import pytest

from planner.errors import InputError
from planner.model import catalog
from planner.registry import classes, floor_of, get_use, rank_of, scores_of, tier_of, uses
from planner.registry.capability import TIE, scores

BUNDLED = {entry.id for entry in catalog.catalog()}
TEXT_ONLY = {entry.id for entry in catalog.catalog() if entry.model.vision is None}


@pytest.mark.parametrize("use", list(uses()))
def test_every_bundled_model_has_one_place(use: str) -> None:
    places = [base for group in classes(use) for base in group]
    assert len(places) == len(set(places))
    expected = BUNDLED - TEXT_ONLY if use == "vision" else BUNDLED
    assert set(places) == expected


@pytest.mark.parametrize("use", list(uses()))
def test_order_and_ties_agree_with_every_table_of_one_harness(use: str) -> None:
    tests = get_use(use).benchmarks
    tables: dict[tuple[str, str], dict[str, float]] = {}
    for row in scores():
        if row.table is not None and row.kind == "official card" and row.benchmark in tests:
            tables.setdefault((row.table, row.base), {})[row.benchmark] = row.value
    compared = 0
    for (one, a), (other, b) in combinations(tables.items(), 2):
        shared = a.keys() & b.keys()
        first, second = rank_of(one[1], use), rank_of(other[1], use)
        if one[0] != other[0] or not shared or first is None or second is None:
            continue
        compared += 1
        more = sum(a[test] - b[test] for test in shared) / len(shared)
        if first == second:
            assert abs(more) < TIE, (one, other, more)
        else:
            assert (more > 0) == (first < second), (one, other, more)
    assert compared >= 5


@pytest.mark.parametrize("use", list(uses()))
def test_places_without_a_table_say_what_put_them_there(use: str) -> None:
    placed = get_use(use).placed
    for group in get_use(use).groups:
        for base in group:
            own = [row for row in scores_of(base, use) if row.kind == "official card"]
            assert own or base in placed, base


@pytest.mark.parametrize("use", list(uses()))
def test_every_group_is_in_one_tier(use: str) -> None:
    wanted = get_use(use)
    assert sum(wanted.tiers) == len(wanted.groups)
    tiers = [tier_of(base, use) for group in wanted.groups for base in group]
    assert tiers == sorted(tiers)
    assert set(tiers) == set(range(len(wanted.tiers)))


def test_a_generation_counts_more_than_a_size_for_coding() -> None:
    assert rank_of("Qwen/Qwen3.6-27B", "coding") < rank_of("Qwen/Qwen3.5-397B-A17B", "coding")  # type: ignore[operator]
    assert rank_of("Qwen/Qwen3.8-27B", "agents") < rank_of("Qwen/Qwen3.6-27B", "agents")  # type: ignore[operator]


def test_27b_and_122b_are_a_tie_and_9b_is_below() -> None:
    general = {
        base: rank_of(f"Qwen/Qwen3.5-{base}", "general") for base in ("27B", "122B-A10B", "9B")
    }
    assert general["27B"] == general["122B-A10B"]
    assert general["9B"] > general["27B"]  # type: ignore[operator]


def test_models_without_vision_are_for_no_pictures() -> None:
    assert rank_of("Qwen/Qwen3-Coder-Next", "vision") is None
    assert rank_of("Qwen/Qwen3-Coder-Next", "coding") is not None


def test_unknown_uses_are_named() -> None:
    with pytest.raises(InputError, match="known: general, coding"):
        classes("poetry")


def test_scores_carry_their_source() -> None:
    found = scores_of("Qwen/Qwen3.5-27B", "general")
    assert {row.benchmark for row in found} == {"MMLU-Pro", "SuperGPQA", "GPQA Diamond"}
    assert all(row.source.startswith("https://huggingface.co/Qwen/") for row in found)


def test_every_bundled_model_has_a_floor_of_bits() -> None:
    for base in BUNDLED:
        floor = floor_of(base)
        assert floor is not None, base
        assert 2 < floor.bits < 4
        assert floor.measured or "assumed" in floor.why
    assert floor_of("Qwen/Qwen3-32B") is None

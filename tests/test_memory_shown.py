"""The memory of every accelerator and of the RAM is shown, whichever door is asked."""

import pytest

import planner
from planner.memory.breakdown import HOST_RANK, Rank
from planner.recommending.text import recommendation_text
from planner.report.beside import beside
from planner.report.text import plan_text
from planner.units import format_gib
from planner.web.views.run import describe

ON = "2x 3090 + 64GB RAM"


def held(rank: Rank) -> str:
    """Return what a rank holds, as it is said."""
    return f"{format_gib(rank.used)} of {format_gib(rank.usable)} usable"


@pytest.fixture(scope="module")
def plan() -> planner.Plan:
    return planner.plan("unsloth/Qwen3.5-122B-A10B-GGUF:Q4_K_M", on=ON)


def test_a_plan_shows_all_memory_at_every_door(plan: planner.Plan) -> None:
    """One GPU of two was shown, though the experts of 20 layers lay in RAM."""
    names = {rank.name for rank in plan.ranks}
    assert names == {"GPU 0", "GPU 1", HOST_RANK}
    for text in (plan_text(plan), plan._repr_html_(), describe(plan, plan.outcome)):
        for rank in plan.ranks[1:]:
            name = "RAM" if rank.name == HOST_RANK else rank.name
            assert f"{name}: {held(rank)}" in text
    assert plan_text(plan, explain=True).count("RAM: ") == 1  # there it comes term by term


def test_a_recommendation_shows_all_memory() -> None:
    found = planner.recommend("Qwen3.5-122B-A10B", on=ON)
    assert found.pick is not None
    ranks = found.pick.plan.ranks
    (ram,) = (rank for rank in ranks if rank.name == HOST_RANK)
    (other,) = (rank for rank in ranks[1:] if rank.name != HOST_RANK)
    text = recommendation_text(found)
    assert f"{other.name}: {held(other)}" in text
    assert f"RAM       {format_gib(ram.used).removesuffix(' GiB')} of" in text
    for rank in (other, ram):
        assert held(rank) in found._repr_html_()


def test_what_reads_the_same_shares_a_line() -> None:
    def rank(name: str, usable: int) -> Rank:
        return Rank(name=name, count=1, total=usable, usable=usable, terms=())

    ranks = [rank("GPU 2", 1 << 34), rank(HOST_RANK, 1 << 36)]
    ranks += [rank("GPU 1", 1 << 35), rank("GPU 0", 1 << 35)]
    assert beside(ranks) == (
        "GPU 0, GPU 1: 0.00 GiB of 32.0 GiB usable",
        "RAM: 0.00 GiB of 64.0 GiB usable",
    )
    assert beside(ranks[:1]) == ()

"""What is said of a layout before it is allocated is never less than what is said after."""

from itertools import permutations

from planner.asking import ask
from planner.ranking import TIE, best, cannot_win
from planner.speed import rates_of
from planner.throughput import SpeedEstimate
from planner.throughput.ceiling import most_per_user

CASES = (
    ("Qwen3.5-9B", "2x rtx-3090", 1),
    ("Qwen3.5-27B", "4x l4", 1),
    ("Qwen3.5-27B", "8x h100", 64),
    ("Qwen3.5-35B-A3B", "8x mi300x", 4),
    ("Qwen3.5-122B-A10B", "4x rtx-pro-6000", 2),
)


def test_no_layout_is_faster_than_its_ceiling_and_what_cannot_win_does_not() -> None:
    behind = 0
    for model, machine, users in CASES:
        question = ask(model, on=machine, engine="vllm", precision="fp8", concurrency=users)
        plans = [plan for plan in question.plans() if plan.fits]
        first = best(plans, "latency")
        for plan, other in permutations(plans, 2):
            known, speed = rates_of(plan), rates_of(other)
            assert isinstance(known, SpeedEstimate)
            assert isinstance(speed, SpeedEstimate)
            asked, layout = plan.deployment, other.deployment.layout
            most = most_per_user(known, asked.checkpoint, asked.layout, layout)
            assert speed.per_user.low <= most
            if cannot_win(plan, layout, "latency"):
                assert speed.per_user.low < TIE * known.per_user.low
                assert other is not first
                behind += 1
    assert behind > len(CASES)

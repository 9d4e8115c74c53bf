"""Lessons as they are kept, without a log behind them."""

from planner.learning import Lesson


def lesson(number: int) -> Lesson:
    """One of a device of its own."""
    return Lesson(
        engine="vllm",
        release="0.33.0",
        device=f"device-{number}",
        model="m",
        scheme="fp8",
        layout="TP 1",
        difference=number,
        cache_gib=float(number),
        learned="2026-11-27T00:00:00+00:00",
    )

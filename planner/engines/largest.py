"""Inverse questions by asking the forward one: the largest number that still holds."""

from __future__ import annotations

from collections.abc import Callable


def largest_holding(holds: Callable[[int], bool], most: int) -> int:
    """The largest n from 1 to `most` for which `holds(n)`; 0 if not even 1 does.

    `holds` must not turn true again once it is false.
    """
    if most < 1 or not holds(1):
        return 0
    good, bad = 1, 2
    while bad <= most and holds(bad):
        good, bad = bad, bad * 2
    bad = min(bad, most + 1)
    while bad - good > 1:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good

"""Find the last number that holds by asking about few: the one bisection of the project.

The precondition of everything here: what is asked is monotone, so that once a number does not
hold, no larger one does. Where that is not so (experts in RAM: too few overfill the GPU, too many
the host), the caller scans.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planner.columns import choose, larger, smaller


def last_holding(
    holds: Callable[[int], bool], low: int, high: int, *, guess: int | None = None
) -> int | None:
    """Return the largest n from `low` to `high` for which `holds(n)`; None if not even `low` does.

    Steps that double, from `guess` (else from `low`) up or down to the other side of the boundary,
    then halves. `holds` must not turn true again once it is false.

    Args:
        holds: asked about 2 log2(distance from the guess) numbers, never twice about one.
        low: the smallest number.
        high: the largest number.
        guess: where the boundary is expected.
    """
    if high < low:
        return None
    start = min(max(low if guess is None else guess, low), high)
    good, bad = low - 1, high + 1
    if holds(start):
        good = start
    elif start == low or not holds(low):
        return None
    else:
        good, bad = low, start
    step = 1
    while bad == high + 1 and good < high:  # upwards to the first that does not hold
        place = min(good + step, high)
        if holds(place):
            good = place
        else:
            bad = place
        step *= 2
    step, known = 1, good
    while good == known == low and bad - good > 1 and start > low:  # downwards from the guess
        place = max(bad - step, low + 1)
        if holds(place):
            good = place
        else:
            bad = place
        step *= 2
    while bad - good > 1:
        middle = (good + bad) // 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def largest_holding(holds: Callable[[int], bool], most: int) -> int:
    """Return the largest n from 1 to `most` for which `holds(n)`; 0 if not even 1 does."""
    return last_holding(holds, 1, most) or 0


def largest_of_each(holds: Callable[[Any], Any], most: int, like: Any) -> Any:
    """Return what `largest_holding` does, for a number or for every place of a column at once.

    Args:
        holds: asked about a number, or about a column of them.
        most: the largest number.
        like: a number or a column, as `holds` is to be asked.
    """
    if isinstance(like, int):
        return largest_holding(holds, most)
    low, high, step = like * 0, like * 0 + most, 1
    growing = low < high
    while growing.any():  # no further beyond the boundary than a column's numbers may grow
        place = smaller(choose(growing, low + step, larger(low, 1)), high)
        good = holds(place) & (place > 0)
        low = choose(growing & good, place, low)
        high = choose(growing & ~good, place - 1, high)
        growing, step = growing & good & (low < high), 2 * step
    while (low < high).any():
        middle = (low + high + 1) // 2
        good = holds(larger(middle, 1)) & (middle > 0)
        low, high = choose(good, middle, low), choose(good, high, middle - 1)
    return low

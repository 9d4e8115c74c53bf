"""The largest whole number that still leaves something to spare, in few questions."""

from __future__ import annotations

from collections.abc import Callable


def largest(slack: Callable[[int], int], low: int, high: int, *, step: int = 1) -> int | None:
    """The largest multiple of `step` from `low` to `high` (or `high` itself) with slack >= 0.

    `slack` must fall as its argument grows; it is asked as seldom as interpolation allows. The
    answer is exact to `step`. None if not even `low` holds.
    """
    lack = slack(high)
    if lack >= 0:
        return high
    have = slack(low)
    if have < 0:
        return None
    turn = 0
    while high - low > step:
        # Every third question halves the interval, in case slack is far from straight.
        guess = (low + high) // 2 if turn % 3 == 2 else low + (high - low) * have // (have - lack)
        guess = min(max(guess // step * step, low // step * step + step), (high - 1) // step * step)
        if guess <= low:
            break
        left = slack(guess)
        if left >= 0:
            low, have = guess, left
        else:
            high, lack = guess, left
        turn += 1
    return low

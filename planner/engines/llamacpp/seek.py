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
    points = [(low, have), (high, lack)]
    while high - low > step:
        guess = _guess(points, (low, have), (high, lack))
        guess = min(max(guess // step * step, low // step * step + step), (high - 1) // step * step)
        if guess <= low:
            break
        left = slack(guess)
        points.append((guess, left))
        if left >= 0:
            low, have = guess, left
        else:
            high, lack = guess, left
    return low


def _guess(points: list[tuple[int, int]], below: tuple[int, int], above: tuple[int, int]) -> int:
    """Where the slack may end.

    The line through the last two points, which is right on every straight stretch; where that
    leads outside, the line between the bounds; every fourth time the middle, in case the slack is
    far from straight.
    """
    (low, have), (high, lack) = below, above
    if len(points) % 4 == 1:
        return (low + high) // 2
    (x0, y0), (x1, y1) = points[-2:]
    if y0 != y1:
        ahead = x1 - y1 * (x1 - x0) // (y1 - y0)
        if low < ahead < high:
            return ahead
    return low + (high - low) * have // (have - lack)

"""The one bisection finds the boundary, wherever it is guessed to be, and asks about few numbers."""

from hypothesis import given
from hypothesis import strategies as st

from planner.bisection import largest_holding, last_holding


@given(st.integers(-5, 3000), st.integers(-5, 3000), st.integers(0, 3000), st.integers(-9, 4000))
def test_the_last_that_holds_is_found(limit: int, low: int, width: int, guess: int) -> None:
    asked: list[int] = []

    def holds(n: int) -> bool:
        asked.append(n)
        return n <= limit

    found = last_holding(holds, low, low + width, guess=guess)
    assert found == (min(limit, low + width) if limit >= low else None)
    assert len(asked) == len(set(asked))
    assert all(low <= n <= low + width for n in asked)
    assert len(asked) <= 2 * max(1, width).bit_length() + 4


@given(st.integers(0, 500), st.integers(0, 500))
def test_from_one_on(limit: int, most: int) -> None:
    assert largest_holding(lambda n: n <= limit, most) == min(limit, most)

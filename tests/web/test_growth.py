"""The server's own process stays small, whatever is asked of it."""

from planner.memo import Key, remembered
from planner.web.growth import Growth


def test_a_server_that_has_grown_forgets_and_counts_from_there() -> None:
    def key(number: int) -> Key:
        return (), number

    @remembered(key)
    def squared(number: int) -> int:
        return number * number

    there = iter([100, 150, 110, 211, 160, 90, 191, 90])
    growth = Growth(most=100, count=lambda: next(there))
    found = []
    for number in range(5):
        squared(number)
        found.append((growth.look(), len(squared)))
    # 100 is where it began; 211 is too many, 160 were left; 90 is less than that, 191 too many
    assert found == [(False, 1), (False, 2), (False, 3), (True, 0), (False, 1)]
    squared(9)
    assert growth.look()
    assert len(squared) == 0

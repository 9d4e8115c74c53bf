"""Answers that come piece by piece: in the items' order, whoever is ready first."""

from __future__ import annotations

import threading

import pytest

from planner.web import pieces
from planner.web.pieces import in_pieces


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_answers_come_in_the_order_of_the_items(count: int) -> None:
    assert in_pieces(range(count), str, lambda _: None) == [str(item) for item in range(count)]


def test_what_is_there_is_shown_in_order_from_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "STEP", 0.0)
    shown: list[list[int]] = []
    together = threading.Barrier(2)

    def answer(item: int) -> int:
        together.wait(timeout=60)  # the two ends are asked at the same time
        return item

    assert in_pieces(range(6), answer, lambda found: shown.append(list(found))) == [*range(6)]
    assert all(found == sorted(found) for found in shown)
    assert {5} & {item for found in shown[:2] for item in found}


def test_what_goes_wrong_with_an_item_goes_wrong_here() -> None:
    def answer(item: int) -> int:
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        in_pieces(range(3), answer, lambda _: None)

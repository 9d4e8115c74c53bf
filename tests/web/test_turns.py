"""What a browser sends again from a page that is gone takes nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st

from planner.web import choices, session
from planner.web.asked import Asked
from planner.web.views import run_front, run_ladder


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A session's state, with a question in it."""
    kept: dict[str, Any] = {"asked": Asked(**choices.defaults())}
    monkeypatch.setattr(st, "session_state", kept)
    return kept


def test_a_ladder_of_an_earlier_question_takes_nothing(
    state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(run_ladder, "take_choice", taken.append)
    state["ladder"] = SimpleNamespace(selection=SimpleNamespace(cells=[(0, "verdict")]))
    drawn: list[Any] = ["the largest", "the smallest"]
    turn = session.turn()
    run_ladder._take("ladder", drawn, turn)
    assert taken == ["the largest"]
    session.change(context="8k")
    run_ladder._take("ladder", drawn, turn)
    assert taken == ["the largest"]


def test_an_alternative_of_an_earlier_question_takes_nothing(state: dict[str, Any]) -> None:
    taken: list[Any] = []
    drawn: list[Any] = ["the fast one", "the good one"]
    state["front-take"] = 1
    turn = session.turn()
    run_front._taken(drawn, taken.append, turn)
    assert taken == ["the good one"]
    session.change(users="2")
    run_front._taken(drawn, taken.append, turn)
    assert taken == ["the good one"]


def test_a_change_that_changes_nothing_is_no_turn(state: dict[str, Any]) -> None:
    turn = session.turn()
    session.change(users=state["asked"].users)
    assert session.turn() == turn
    session.change(users="7")
    session.undo()
    assert session.turn() == turn + 2

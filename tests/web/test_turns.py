"""What a browser sends again from a page that is gone takes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st

from planner.web import choices, fields, layout_fields, pickers, session
from planner.web.asked import Asked
from planner.web.engine_options import option_in_field
from planner.web.views import run_front, run_ladder

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

_UTILIZATION = option_in_field("vllm", "gpu_memory_utilization")


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
    state["typed"] = 1
    run_ladder._take("typed", drawn, turn)
    assert taken.pop() == "the smallest"
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


@pytest.mark.parametrize(
    ("told", "field"),
    [
        (partial(pickers._picked, "on"), "on"),
        (partial(pickers._picked, "engine"), "engine"),
        (partial(pickers._counted, "users"), "users"),
        (partial(pickers._taken, "kv"), "kv"),
        (partial(pickers._switched, "yarn"), "yarn"),
        (pickers._set_ram, "ram"),
        (layout_fields._set_layout, "ep"),
        (partial(pickers._set_option, "vllm", "gpu_memory_utilization"), _UTILIZATION),
    ],
)
def test_a_field_that_is_gone_changes_nothing(
    state: dict[str, Any], told: Callable[[Any], None], field: str
) -> None:
    """The options were closed before all of them were drawn; one of them was told of even so."""
    before = state["asked"]
    state["tp"] = state["pp"] = state["dp"] = 0
    fields.hear(field, field, told)
    assert state["asked"] is before


def test_an_option_that_shows_its_default_fixes_no_engine(state: dict[str, Any]) -> None:
    before = state["asked"]
    state[_UTILIZATION] = None
    told = partial(pickers._set_option, "vllm", "gpu_memory_utilization")
    fields.hear(_UTILIZATION, _UTILIZATION, told)
    assert state["asked"] is before


@pytest.mark.parametrize(
    ("told", "field", "old", "new"),
    [
        (partial(pickers._picked, "on"), "on", "rtx-5090", "rtx-3090"),
        (partial(pickers._counted, "count"), "count", 1, 2),
        (partial(pickers._taken, "kv"), "kv", "auto", "fp8"),
        (partial(pickers._switched, "images"), "images", False, True),
        (pickers._set_ram, "ram", None, 64),
        (layout_fields._set_layout, "tp", 0, 2),
    ],
)
def test_what_a_field_showed_before_changes_nothing(
    state: dict[str, Any], told: Callable[[Any], None], field: str, old: Any, new: Any
) -> None:
    """Back, or a row: the browser sends with it what its fields showed on the page before."""
    before = state["asked"]
    key = fields.key_for(field, old)
    state[key] = old  # drawn by Streamlit
    assert fields.key_for(field, old) == key
    later = fields.key_for(field, new)
    assert later != key
    state[later] = new
    fields.hear(field, key, told)
    assert state["asked"] is before
    assert fields.value_of(field) == new


def test_what_a_field_shows_is_its_default(open_app: Callable[..., AppTest]) -> None:
    """A browser that did not hear what a field shows reports its default with the next click."""
    asked = {"on": "rtx-4090", "context": "32k", "users": "3", "ram": "64", "model": "Qwen3.5-9B",
             "with": "vllm", "layout": "tp2", "count": "2", "kv": "fp8", "yarn": "yes"}  # fmt: skip
    app = open_app(v="2", **asked)
    app.session_state["more"] = True
    app.run()
    for box in app.selectbox:
        if "-" not in str(box.key):
            assert box.options[box.proto.default] == box.format_func(box.value), box.key
    for field in (*app.number_input, *app.toggle):
        if "-" not in str(field.key):
            assert field.proto.default == field.value, field.key
    assert app.number_input(key="tp").value == 2


def test_while_an_answer_is_computed_the_question_is_told(
    open_app: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine before stood there with its answer until the next one's was known."""
    told: list[str] = []

    def spin(text: str = "") -> AbstractContextManager[None]:
        told.append(text)
        return nullcontext()

    monkeypatch.setattr(st, "spinner", spin)
    app = open_app(v="2", on="rtx-4090", model="Qwen3.5-9B", **{"with": "vllm"})
    app.number_input(key="users").set_value(7).run()
    assert [text.rpartition(" · ")[2] for text in told] == ["1 user", "7 users"]
    assert told[1].startswith("Computing for RTX 4090")

"""What a browser may send: each thing that no field of a page holds is left out, and nothing else."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import WStates
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from planner.web import guard
from planner.web.bounds import LOG_FIELD, LONGEST_VALUE
from planner.web.guard import (
    LONGEST_CHOICE,
    LONGEST_NAME,
    LONGEST_QUERY,
    MOST_FIELDS,
    MOST_FILES,
    bounded,
)
from planner.web.kinds import read_by_kind

CHOICE = json.dumps({"selection": {"rows": [3], "columns": ["x"], "cells": [[0, "x"]]}})


def told(name: str = "$$ID-0-model", **value: Any) -> list[Any]:
    """The fields that are left of a message in which one holds this."""
    message = BackMsg()
    widget = message.rerun_script.widget_states.widgets.add(id=name)
    (kind,) = value
    if kind.endswith("array_value"):
        getattr(widget, kind).data.extend(value[kind])
    else:
        setattr(widget, kind, value[kind])
    held = bounded(message.SerializeToString())
    assert held is not None
    return list(BackMsg.FromString(held).rerun_script.widget_states.widgets)


def said(kind: str) -> bytes:
    """A message that says this and nothing else."""
    message = BackMsg()
    setattr(message, kind, True)
    whole: bytes = message.SerializeToString()
    return whole


@pytest.mark.parametrize(
    "value",
    [
        {"string_value": "Qwen3.5-27B"},
        {"string_value": '{"rope_type": "yarn"}'},
        {"string_value": CHOICE},
        {"double_value": 1e300},
        {"int_value": 2},
        {"bool_value": True},
        {"trigger_value": True},
        {"string_array_value": ["NVIDIA", "AMD"]},
        {"double_array_value": [30.0]},
    ],
)
def test_what_fields_hold_is_passed_on(value: dict[str, Any]) -> None:
    ((kind, said),) = value.items()
    (widget,) = told(**value)
    held = getattr(widget, kind)
    assert list(getattr(held, "data", [held])) == (said if isinstance(said, list) else [said])


@pytest.mark.parametrize(
    "value",
    [
        {"double_value": float("nan")},
        {"double_value": float("-inf")},
        {"double_array_value": [1.0, float("inf")]},
        {"string_array_value": ["x" * LONGEST_CHOICE]},
        {"json_value": "[" * LONGEST_CHOICE},
        {"bytes_value": bytes(LONGEST_CHOICE)},
        {"string_value": '{"selection": ["x"]}'},
        {"string_value": ' { "selection":{"rows":["a"]}}'},
        {"string_value": '{"selection":{"rows":[-1],"columns":[],"cells":[]}}'},
        {"string_value": '{"selection":{"rows":[true]}}'},
        {"json_value": "{}"},
        {"json_trigger_value": "{}"},
        {"string_value": '{"selection": {"rows": ["x"]}}'},
        {"string_value": '{"selection": {"cells": [[1, 2, 3]]}}'},
        {"string_value": '{"selection": ' + "[" * 9_000},
        {"string_value": '{"selection": {"rows": [' + "1," * LONGEST_CHOICE + "1]}}"},
    ],
)
def test_what_no_field_holds_is_left_out(value: dict[str, Any]) -> None:
    assert told(**value) == []


def test_an_emptied_field_is_passed_on() -> None:
    message = BackMsg()
    message.rerun_script.widget_states.widgets.add(id="$$ID-0-ram")
    held = bounded(message.SerializeToString())
    assert held is not None
    assert len(BackMsg.FromString(held).rerun_script.widget_states.widgets) == 1


def test_a_text_that_nobody_means_is_cut_and_a_log_is_not() -> None:
    text = "q " * LONGEST_VALUE
    (widget,) = told(string_value=text)
    assert widget.string_value == f"{text[:80]}…"
    (widget,) = told(f"$$ID-0-{LOG_FIELD}", string_value=text)
    assert widget.string_value == text
    assert told(f"$$ID-0-{LOG_FIELD}", bytes_value=b"x") == []


def test_a_message_that_no_page_sends_is_not_passed_on() -> None:
    many = BackMsg()
    for number in range(MOST_FIELDS + 1):
        many.rerun_script.widget_states.widgets.add(id=str(number), bool_value=True)
    assert bounded(many.SerializeToString()) is None
    files = BackMsg()
    files.file_urls_request.file_names.extend(["x"] * (MOST_FILES + 1))
    assert bounded(files.SerializeToString()) is None
    del files.file_urls_request.file_names[1:]
    assert bounded(files.SerializeToString()) == files.SerializeToString()
    for kind in ("clear_cache", "load_git_info", "set_run_on_save", "debug_shutdown_runtime"):
        assert bounded(said(kind)) is None
    for kind in ("stop_script", "app_heartbeat"):
        assert bounded(said(kind)) == said(kind)
    for name in ("page_name", "page_script_hash", "fragment_id"):
        long = BackMsg()
        setattr(long.rerun_script, name, "y" * (LONGEST_NAME + 1))
        assert bounded(long.SerializeToString()) is None
    hashes = BackMsg()
    hashes.rerun_script.cached_message_hashes.extend(f"{number:032x}" for number in range(2_000))
    held = bounded(hashes.SerializeToString())
    assert held is not None
    assert len(BackMsg.FromString(held).rerun_script.cached_message_hashes) == 2_000
    hashes.rerun_script.cached_message_hashes.extend(f"{number:032x}" for number in range(2_000))
    assert bounded(hashes.SerializeToString()) is None
    assert bounded(b"\xff") is None, "Streamlit would write a traceback each time"


@pytest.mark.parametrize(
    ("query", "held"),
    [
        ("?v=2&model=a%2Fb&fits-price=100", "?v=2&model=a%2Fb&fits-price=100"),
        ("v=2&model=a%2Fb&fits-price=1e999", "v=2&model=a%2Fb"),
        ("?fits-price=" + "9" * 400 + "&users=nan", "users=nan"),
        ("model=inf&compare-kwh=nan", "model=inf"),
        ("x=" + "1" * LONGEST_QUERY, ""),
    ],
)
def test_an_address_holds_no_number_without_end(query: str, held: str) -> None:
    message = BackMsg()
    message.rerun_script.query_string = query
    data = bounded(message.SerializeToString())
    assert data is not None
    assert BackMsg.FromString(data).rerun_script.query_string == held


def test_a_session_keeps_its_last_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr(guard, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=kept))
    for number in range(MOST_FILES + 4):
        file = UploadedFileRec(file_id=str(number), name="x.log", type="text/plain", data=b"x")
        kept.add_file("one", file)
        guard.keep_the_last("one")
    assert list(kept.file_storage["one"]) == [str(4 + number) for number in range(MOST_FILES)]
    guard.keep_the_last("nobody")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"double_value": 7.0}, 7),
        ({"int_value": 7}, 7),
        ({"double_value": 1e999}, 1),  # of the kind, and no number of users
        ({"string_value": "7"}, 1),
        ({"bool_value": True}, 1),
        ({}, 1),
    ],
)
def test_a_value_of_another_kind_is_an_emptied_field(value: dict[str, Any], read: int) -> None:
    read_by_kind()
    states = WStates()
    field = WidgetMetadata(
        id="users",
        deserializer=lambda said: 1 if said is None else int(said),
        serializer=lambda shown: shown,
        value_type="double_value",
    )
    states.set_widget_metadata(field)
    states.set_widget_from_proto(WidgetState(id="users", **value))
    assert states["users"] == read


def test_one_visitor_too_many_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_VISITORS", 1)
    said: list[Any] = []
    scope: Any = {"type": "websocket", "headers": []}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        await page(scope, receive, send)  # while the first one is there
        said.append("the first")

    page = guard.Guard(app)
    asyncio.run(page(scope, receive, send))
    asyncio.run(page(scope, receive, send))
    assert said == ["websocket.close", "the first"] * 2

"""A visitor of the page without a browser: Streamlit's own messages over a websocket.

One visitor costs the machine about as little as a message does, so a hundred of them measure the
server and not a hundred browsers.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.util import calc_hash
from websockets.sync.client import ClientConnection, connect

LONGEST_WAIT = 120.0
"""Seconds after which an answer is given up."""

_KINDS = {
    "text_input": "string_value",
    "selectbox": "string_value",
    "number_input": "double_value",
}
_LARGEST_MESSAGE = 64 << 20


@dataclass(slots=True, kw_only=True)
class Visitor:
    """One session.

    Attributes:
        address: "http://127.0.0.1:8501".
        page: name of the page in the address; empty for the first.
        texts: what the page shows, by the element's place on it.
        answered: seconds until the page's first verdict stood there, in the run that was waited for.
        faults: exceptions that the page shows instead of an answer.
        widgets: id and kind of each field, by its key.
        choices: what each selection offers, by its key.
    """

    address: str
    page: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    texts: dict[tuple[int, ...], str] = field(default_factory=dict)
    answered: float = math.inf
    faults: list[str] = field(default_factory=list)
    widgets: dict[str, tuple[str, str]] = field(default_factory=dict)
    choices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _states: dict[str, WidgetState] = field(default_factory=dict)
    _query: str = ""
    _socket: ClientConnection | None = None
    _left: ExitStack = field(default_factory=ExitStack)

    def open(self, **query: str | int) -> float:
        """Load the page as one who follows a link; return the seconds until it was complete."""
        self._query = urlencode(query)
        opened = connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit"],  # type: ignore[list-item]
            additional_headers=self.headers,
            max_size=_LARGEST_MESSAGE,
            open_timeout=LONGEST_WAIT,
            proxy=None,
        )
        self._socket = self._left.enter_context(opened)
        return self._run()

    def set(self, key: str, value: str | float) -> float:
        """Change one field; return the seconds until the page was complete.

        Raises:
            KeyError: the page shows no such field.
        """
        self.put(key, value)
        return self.wait()

    def put(self, key: str, value: str | float) -> None:
        """Change one field without waiting for the answer.

        Raises:
            KeyError: the page shows no such field.
        """
        number, kind = self.widgets[key]
        state = WidgetState(id=number)
        setattr(state, kind, value)
        self._states[number] = state
        self._send()

    def wait(self) -> float:
        """Read until the page is complete; return the seconds that took.

        Raises:
            TimeoutError: it was not within `LONGEST_WAIT`.
        """
        assert self._socket is not None
        start, self.answered = time.monotonic(), math.inf
        while True:
            left = LONGEST_WAIT - (time.monotonic() - start)
            message = ForwardMsg.FromString(self._bytes(self._socket.recv(timeout=max(left, 0.01))))
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.texts.clear()
            elif kind == "delta":
                said = self._take(tuple(message.metadata.delta_path), message.delta)
                if said.startswith("**") and ":material/" in said:
                    self.answered = min(self.answered, time.monotonic() - start)
            elif kind == "page_info_changed":
                self._query = message.page_info_changed.query_string
            elif kind == "script_finished" and message.script_finished == (
                ForwardMsg.FINISHED_SUCCESSFULLY
            ):
                return time.monotonic() - start

    @property
    def text(self) -> str:
        """Everything that the page says, line by line."""
        return "\n".join(self.texts.values())

    @property
    def question(self) -> str:
        """The question as the address has it."""
        return self._query

    def close(self) -> None:
        """Leave."""
        self._left.close()

    def _run(self) -> float:
        self._send()
        return self.wait()

    def _send(self) -> None:
        assert self._socket is not None
        state = ClientState(
            query_string=self._query,
            page_script_hash=calc_hash(self.page) if self.page else "",
            page_name=self.page,
        )
        state.widget_states.widgets.extend(self._states.values())
        self._socket.send(BackMsg(rerun_script=state).SerializeToString())

    @staticmethod
    def _bytes(received: str | bytes) -> bytes:
        return received.encode() if isinstance(received, str) else received

    def _take(self, place: tuple[int, ...], delta: Any) -> str:
        """Keep what an element says, and return it."""
        if delta.WhichOneof("type") != "new_element":
            return ""
        element = delta.new_element
        kind = element.WhichOneof("type")
        found = getattr(element, kind)
        if kind == "exception":
            self.faults.append(f"{found.type}: {found.message}")
        if kind in _KINDS:
            key = found.id.rpartition("-")[2]
            self.widgets[key] = (found.id, _KINDS[kind])
            self.choices[key] = tuple(getattr(found, "options", ()))
        words = [getattr(found, name, "") for name in ("label", "body", "title")]
        self.texts[place] = " ".join(word for word in words if isinstance(word, str) and word)
        return self.texts[place]

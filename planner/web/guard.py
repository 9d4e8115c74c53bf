"""What a browser may send: looked at before Streamlit takes it.

A page's own fields send nothing that is held back here. Who speaks to the server without a browser
can send anything: what no field holds is left out, so that nothing grows with what strangers send and
no page ends over it.

Source: Streamlit 1.67 web/server/starlette/starlette_websocket.py (what becomes of a message),
starlette_routes.py (uploads, metrics), proto/BackMsg.proto.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from google.protobuf.message import DecodeError
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from streamlit import cli_util, config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime import get_instance
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.web.server import server_util

from hardware_db.last_good import keep_last_good
from planner.web.access import is_public
from planner.web.bounds import LOG_FIELD, cut
from planner.web.peers import HEADER, PEERS, REQUEST, heard
from planner.web.unfinished import given_up

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send
    from streamlit import App
    from streamlit.proto.ClientState_pb2 import ClientState
    from streamlit.proto.WidgetStates_pb2 import WidgetState

MOST_HEADERS = 100
"""Headers of a request: a browser sends some 20, proxies a dozen more."""

MOST_FIELDS = 1_000
"""Fields of one message: a page has some 150."""

LONGEST_QUERY = 20_000
"""Characters of an address: four questions of all their options."""

LONGEST_CHOICE = 20_000
"""Characters or bytes of what is chosen in a list, a table or a chart."""

LONGEST_NAME = 100
"""Characters of what Streamlit calls a page or a part of one."""

LONGEST_REST = 100_000
"""Bytes of a message beside its fields: the messages that a browser has kept are named in it."""

MOST_FILES = 3
"""Uploaded files of one session: a page has one field for them."""

A_SECOND, BYTES_A_SECOND = 100, 2_000_000
"""Messages and bytes that one connection is heard at: a held key sends 30, a pasted log comes whole."""

AT_ONCE = 2.0
"""Seconds of that which may come at once."""

MOST_VISITORS = 1_000
"""Websockets that are open at once: ten times as many visitors as two cores answer."""

_KINDS = frozenset(
    (
        None,  # a field that was emptied
        "string_value",
        "double_value",
        "int_value",
        "bool_value",
        "trigger_value",
        "string_array_value",
        "double_array_value",
        "file_uploader_state_value",
    )
)
"""What the parts of these pages hold."""

_CHOICE = re.compile(r'\s*\{\s*"selection"')
_TEXT_FRAME = 1003  # RFC 6455: data of a kind that is not taken
_REFUSED = 1008  # RFC 6455: against the rules of this end
_UPLOAD, _METRICS = "/_stcore/upload_file/", "/_stcore/metrics"


class Guard:
    """Stands between the server and Streamlit.

    Args:
        app: what comes behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._visitors = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be passed on."""
        too_many = len(scope.get("headers", ())) > MOST_HEADERS
        if scope["type"] == "websocket":
            origin = Headers(scope=scope).get("Origin", "")
            if too_many or not _is_address(origin) or self._visitors >= MOST_VISITORS:
                await receive()
                await send({"type": "websocket.close", "code": _REFUSED})
                return
            self._visitors += 1
            try:
                await self._app(scope, _heard(receive, send), send)
            finally:
                self._visitors -= 1
            return
        if scope["type"] == "http":
            peer = PEERS.of(scope["client"][0] if scope["client"] else None)
            if peer is not None:
                peer.heard.spend(REQUEST + HEADER * len(scope["headers"]))
            refused = _refusal(scope, too_many=too_many)
            if refused is not None:
                await refused(scope, receive, send)
                return
        await self._app(scope, receive, send)
        if scope["type"] == "http" and scope["method"] == "PUT":
            _, _, of_whom = scope["path"].partition(_UPLOAD)
            keep_the_last(of_whom.partition("/")[0])


def _refusal(scope: Scope, *, too_many: bool) -> PlainTextResponse | None:
    """Return the answer to a request that nobody is to be answered."""
    if too_many:
        return PlainTextResponse("too many headers", 431, {"Connection": "close"})
    if scope["path"].endswith(_METRICS) and is_public():
        return PlainTextResponse("not found", 404)
    return None


def keep_the_last(session: str) -> None:
    """Let go of a session's uploads but the last ones."""
    kept = get_instance().uploaded_file_mgr
    if isinstance(kept, MemoryUploadedFileManager):
        files = list(kept.file_storage.get(session, {}))
        for file in files[:-MOST_FILES]:
            kept.remove_file(session, file)


def _is_address(origin: str) -> bool:
    try:
        urlsplit(origin)
    except ValueError:  # "http://[::1"
        return False
    return True


def _heard(receive: Receive, send: Send) -> Receive:
    """Return how a websocket is read from now on: no faster than a browser speaks."""
    due = 0.0

    async def next_one() -> Message:
        nonlocal due
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return message
            data = message.get("bytes")
            if data is None:
                await send({"type": "websocket.close", "code": _TEXT_FRAME})
                return {"type": "websocket.disconnect", "code": _TEXT_FRAME}
            now = time.monotonic()
            due = max(due, now - AT_ONCE) + 1 / A_SECOND + len(data) / BYTES_A_SECOND
            if due > now:
                await asyncio.sleep(due - now)
            held = bounded(data)
            if held is not None:
                return {**message, "bytes": held}

    return next_one


def bounded(data: bytes) -> bytes | None:
    """Return a browser's message with what fields of a page can hold; None where it is no page's.

    Args:
        data: a BackMsg. Of what cannot be read as one, Streamlit would write a traceback each time.
    """
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    match message.WhichOneof("type"):
        case "rerun_script" if _is_pages(message.rerun_script):
            whole: bytes = message.SerializeToString()
            return whole
        case "file_urls_request" if len(message.file_urls_request.file_names) > MOST_FILES:
            return None
        case "file_urls_request" | "stop_script" | "app_heartbeat" | "backend_operation_request":
            return data if len(data) <= LONGEST_REST else None
    return None


def _is_pages(state: ClientState) -> bool:
    """Say whether a page can be in such a state; what no field can hold is left out of it."""
    fields = state.widget_states.widgets
    if len(fields) > MOST_FIELDS:
        return False
    if any(
        len(name) > LONGEST_NAME
        for name in (state.page_script_hash, state.page_name, state.fragment_id)
    ):
        return False
    _bound_query(state)
    kept = [field for field in fields if _is_held(field)]
    del fields[:]
    rest: int = state.ByteSize()
    fields.extend(kept)
    return rest <= LONGEST_REST


def _bound_query(state: ClientState) -> None:
    """Leave out of an address what no field can show: numbers without end, and what is far too long."""
    if len(state.query_string) > LONGEST_QUERY:
        state.query_string = ""
        return
    pairs = parse_qsl(state.query_string.removeprefix("?"), keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not _is_endless(name, value)]
    if len(kept) < len(pairs):
        state.query_string = urlencode(kept)


def _is_endless(name: str, value: str) -> bool:
    """Say whether a field that is bound to the address would be set to a number without end."""
    with suppress(ValueError):
        if not math.isfinite(float(value)):
            from planner.web.address import is_question  # the server starts without it

            return not is_question(name)
    return False


def _is_held(field: WidgetState) -> bool:
    """Say whether a field can hold what it is said to hold; text that is too long is cut."""
    kind = field.WhichOneof("value")
    if field.id.endswith(f"-{LOG_FIELD}"):
        return kind == "string_value"
    if kind not in _KINDS:
        return False
    match kind:
        case "string_value" if _CHOICE.match(field.string_value):
            return _is_choice(field.string_value)
        case "string_value":
            field.string_value = cut(field.string_value)
        case "double_value":
            return math.isfinite(field.double_value)
        case "double_array_value":
            return all(map(math.isfinite, field.double_array_value.data))
    size: int = field.ByteSize()
    return size <= LONGEST_CHOICE


def _is_choice(text: str) -> bool:
    """Say whether a text is what is chosen in a table or a chart: lists by name, rows by number."""
    if len(text) > LONGEST_CHOICE:
        return False
    try:
        chosen = json.loads(text)["selection"]
        rows, cells = chosen.get("rows", []), chosen.get("cells", [])
        return all(type(row) is int and row >= 0 for row in [*rows, *(row for row, _ in cells)])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def _allow_connections() -> None:
    """Take as many open files as this process may: a session has four, and three until it is cleared."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@asynccontextmanager
async def opened(_app: App) -> AsyncIterator[None]:
    """Open a browser's window unless the server runs headless, and keep in order what comes in.

    Unfinished requests are given up, each address is heard for its share, what the hardware file said before
    a mistake goes on. The window is as Streamlit opens it for a bare script.
    """
    _allow_connections()
    keep_last_good(is_server=True)
    if not config.get_option("server.headless"):
        address = server_util.get_display_address(config.get_option("server.address"))
        cli_util.open_browser(server_util.get_url(address))
    from uvicorn.protocols.http.auto import AutoHTTPProtocol
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    with heard(AutoHTTPProtocol, WebSocketsSansIOProtocol):
        async with given_up():
            yield


GUARDED = [Middleware(Guard)]

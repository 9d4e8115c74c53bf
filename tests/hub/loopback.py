"""A Hub on the loopback address: repositories, a file store on a second port, and faults on order.

It answers what the real Hub answers (error codes, redirects of weight files to another origin, byte
ranges) and keeps count of every request, so that a test can say what was sent and to whom.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.model.builders import Stub

WEIGHTS = (".safetensors", ".gguf", ".bin")
_BLOCK = 1 << 20


@dataclass
class Repo:
    """One repository and who may see it."""

    id: str
    files: dict[str, Stub]
    gated: bool = False
    private: bool = False
    disabled: bool = False
    base_model: str | list[str] | None = None
    tells_sizes: bool = True

    @property
    def commit(self) -> str:
        return hashlib.sha1(self.id.encode()).hexdigest()


@dataclass(frozen=True)
class Request:
    """One request as it was answered."""

    server: str
    path: str
    range: str | None
    token: str | None
    status: int
    sent: int


Reply = Callable[["_Handler"], None]


@dataclass
class _Fault:
    path: re.Pattern[str]
    reply: Reply
    left: int


@dataclass
class LoopbackHub:
    """Use as a context manager; `url` is the endpoint, `store` where weight files lie."""

    repos: dict[str, Repo] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    token: str = "hf_loopback"
    requests: list[Request] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _links: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> LoopbackHub:
        self._servers = [self._serve(kind) for kind in (_Hub, _Store)]
        self.url, self.store = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _serve(self, kind: type[_Handler]) -> ThreadingHTTPServer:
        handler = type(kind.__name__, (kind,), {"hub": self})
        server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def add(self, id: str, files: Mapping[str, Stub | bytes | dict[str, Any]], **more: Any) -> Repo:
        """A repository; dictionaries become JSON files."""
        stubs: dict[str, Stub] = {}
        for name, content in files.items():
            if isinstance(content, dict):
                content = json.dumps(content).encode()
            stubs[name] = content if isinstance(content, Stub) else Stub(content, len(content))
        self.repos[id] = Repo(id, stubs, **more)
        return self.repos[id]

    def fault(self, path: str, reply: Reply, times: int = 1) -> None:
        """Answer the next `times` requests whose path matches in another way."""
        self._faults.append(_Fault(re.compile(path), reply, times))

    def take_fault(self, path: str) -> Reply | None:
        with self._lock:
            for fault in self._faults:
                if fault.left and fault.path.search(path):
                    fault.left -= 1
                    return fault.reply
        return None

    def expire_links(self) -> None:
        """Links to the store that were given out no longer work."""
        self._links += 1

    @property
    def signature(self) -> str:
        return f"link-{self._links}"

    def sent(self, path: str = "") -> int:
        """Body bytes sent for all requests whose path contains `path`."""
        return sum(request.sent for request in self.requests if path in request.path)

    def asked(self, path: str = "") -> list[Request]:
        """Requests whose path contains `path`."""
        return [request for request in self.requests if path in request.path]


# ---------------------------------------------------------------- faults


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Reply:
    """An answer with that status."""
    return lambda handler: handler.answer(code, dict(headers or {}), body)


def redirect(location: str, code: int = 302) -> Reply:
    """A redirect; ``{url}`` in it is the Hub's own address, ``{store}`` the file store's."""
    return lambda handler: handler.answer(
        code, {"Location": location.replace("{url}", handler.hub.url)}, b""
    )


def cut(after: int) -> Reply:
    """The connection ends `after` bytes into the body."""
    return lambda handler: handler.file(cut=after)


def drip(handler: _Handler) -> None:
    """One byte comes, then nothing more until the client has had enough."""
    handler.file(cut=1, wait=True)


def drip_headers(handler: _Handler) -> None:
    """One byte of a header comes now and then until the client has had enough."""
    handler.note(0, 0)
    handler.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    handler.connection.settimeout(0.05)
    for _ in range(100):
        handler.connection.sendall(b"a")
        with suppress(TimeoutError):
            handler.connection.recv(1)
            break
    handler.close_connection = True


def hang(handler: _Handler) -> None:
    """Nothing comes at all until the client has had enough."""
    handler.note(0, 0)
    handler.wait_for_client()


def whole(handler: _Handler) -> None:
    """The server knows no ranges."""
    handler.file(ranges=False)


def other_range(handler: _Handler) -> None:
    """Another range than was asked for."""
    handler.file(shift=8)


def other_size(handler: _Handler) -> None:
    """The file has become longer than the listing said."""
    handler.file(more=64)


# ---------------------------------------------------------------- servers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the usual 5, many connections at once wait a second each


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: no 40 ms between them
    server_name = ""

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest reads what tests print."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that has had enough is part of many tests
            super().handle()

    def do_GET(self) -> None:
        try:
            fault = self.hub.take_fault(self.path)
            if fault is not None:
                fault(self)
            else:
                self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def route(self) -> None:
        raise NotImplementedError

    def find(self) -> tuple[Stub, Repo, str] | None:
        """The file that the path names; None if it was answered otherwise."""
        raise NotImplementedError

    def note(self, code: int, sent: int) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        self.hub.requests.append(
            Request(self.server_name, self.path, self.headers.get("Range"), token, code, sent)
        )

    def answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.note(code, len(body))
        self.send_response_only(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, code: int, name: str, message: str) -> None:
        headers = {"X-Error-Message": message} | ({"X-Error-Code": name} if name else {})
        self.answer(code, headers, json.dumps({"error": message}).encode())

    def json(self, document: object) -> None:
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def wait_for_client(self) -> None:
        self.connection.settimeout(30)
        with suppress(OSError):
            self.connection.recv(1)
        self.close_connection = True

    def file(
        self,
        *,
        cut: int | None = None,
        wait: bool = False,
        ranges: bool = True,
        shift: int = 0,
        more: int = 0,
    ) -> None:
        found = self.find()
        if found is None:
            return None
        stub, repo, name = found
        size, begin, end, code = stub.size + more, 0, stub.size + more, 200
        headers = {"ETag": f'"{hashlib.sha1(name.encode()).hexdigest()}"'}
        headers["X-Repo-Commit"] = repo.commit
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and ranges:
            begin = int(asked[1]) + shift
            end = min(int(asked[2]) + 1 + shift if asked[2] else size, size)
            if begin >= size:
                return self.answer(416, {"Content-Range": f"bytes */{size}"}, b"")
            code = 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        stop = end if cut is None else min(end, begin + cut)
        # Counted first: the client may have its answer, and a test its turn, before this goes on.
        self.note(code, stop - begin if self.command != "HEAD" else 0)
        self.send_response_only(code)
        for key, value in {**headers, "Content-Length": str(end - begin)}.items():
            self.send_header(key, value)
        self.end_headers()
        while self.command != "HEAD" and begin < stop:
            block = stub.slice(begin, min(begin + _BLOCK, stop))
            self.wfile.write(block.ljust(min(_BLOCK, stop - begin), b"\0"))
            begin += _BLOCK
        if wait:
            self.wfile.flush()
            self.wait_for_client()
        if cut is not None:
            self.close_connection = True
        return None


class _Hub(_Handler):
    server_name = "hub"

    def route(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/api/models":
            wanted = parse_qs(parts.query).get("search", [""])[0].lower()
            return self.json([{"id": id} for id in self.hub.repos if wanted in id.lower()])
        if match := re.fullmatch(r"/api/models/(?P<id>[^/]+/[^/]+)/tree/(?P<rev>.+)", parts.path):
            repo = self.allowed(unquote(match["id"]))
            entries = repo.files.items() if repo is not None else ()
            listing = [{"type": "file", "path": n, "size": stub.size} for n, stub in entries]
            return self.json(listing) if repo is not None else None
        if match := re.fullmatch(
            r"/api/models/(?P<id>[^/]+(?:/[^/]+)?)(?:/revision/(?P<rev>[^/]+))?", parts.path
        ):
            return self.model(match)
        if re.search(r"/(?:resolve|raw)/", parts.path):
            return self.resolve()
        return self.error(404, "", "no such page")

    def model(self, match: re.Match[str]) -> None:
        id, revision = unquote(match["id"]), match["rev"] and unquote(match["rev"])
        if id in self.hub.renamed:
            new = quote(self.hub.renamed[id])
            return self.answer(307, {"Location": self.path.replace(match["id"], new)}, b"")
        repo = self.allowed(id)
        if repo is None:
            return None
        if revision not in (None, "main", repo.commit):
            return self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.json(
            {
                "id": repo.id,
                "sha": repo.commit,
                "gated": "manual" if repo.gated else False,
                "cardData": {"base_model": repo.base_model},
                "siblings": [
                    {"rfilename": name, "size": stub.size if repo.tells_sizes else None}
                    for name, stub in repo.files.items()
                ],
            }
        )

    def allowed(self, id: str) -> Repo | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token != self.hub.token:
            self.error(401, "", "Invalid credentials in Authorization header")
            return None
        repo = self.hub.repos.get(id)
        if repo is None or (repo.private and not token):
            self.error(404 if token else 401, "RepoNotFound", "Invalid username or password.")
            return None
        if repo.disabled:
            self.error(403, "", "Access to this resource is disabled.")
            return None
        return repo

    def find(self) -> tuple[Stub, Repo, str] | None:
        match = re.fullmatch(
            r"/(?P<id>[^/]+(?:/[^/]+)?)/(?:resolve|raw)/(?P<rev>[^/]+)/(?P<name>.+)",
            urlsplit(self.path).path,
        )
        repo = self.allowed(unquote(match["id"])) if match else None
        if match is None or repo is None:
            return None
        if repo.gated and not self.headers.get("Authorization"):
            self.error(401, "GatedRepo", f"Access to model {repo.id} is restricted.")
            return None
        name = unquote(match["name"])
        if unquote(match["rev"]) not in ("main", repo.commit):
            self.error(404, "RevisionNotFound", "Invalid rev id")
        elif name not in repo.files:
            self.error(404, "EntryNotFound", f"Entry not found: {name}")
        else:
            return repo.files[name], repo, name
        return None

    def resolve(self) -> None:
        found = self.find()
        if found is None:
            return None
        stub, repo, name = found
        if not name.endswith(WEIGHTS):
            return self.file()
        headers = {
            "Location": f"{self.hub.store}/{quote(repo.id)}/{quote(name)}?sig={self.hub.signature}",
            "X-Repo-Commit": repo.commit,
            "X-Linked-Size": str(stub.size),
            "X-Linked-Etag": f'"{hashlib.sha256(name.encode()).hexdigest()}"',
        }
        return self.answer(302, headers, b"")


class _Store(_Handler):
    server_name = "store"

    def route(self) -> None:
        if parse_qs(urlsplit(self.path).query).get("sig") != [self.hub.signature]:
            return self.error(403, "", "Request has expired")
        return self.file()

    def find(self) -> tuple[Stub, Repo, str] | None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        for repo in self.hub.repos.values():
            name = path.removeprefix(repo.id + "/")
            if path.startswith(repo.id + "/") and name in repo.files:
                return repo.files[name], repo, name
        self.error(404, "", "no such object")
        return None

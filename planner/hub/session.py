"""One bounded way of asking the Hub: time, size, retries, redirects, and what a refusal means.

Settings are huggingface_hub's: endpoint, token, offline switch, time-out, proxies and the client a
program may have put in place (`huggingface_hub.set_client_factory`). Its own retry loop sleeps as
long as a server asks, and its header reader fetches 100 kB of every file; so requests are made
here, on its client. The token is sent to the endpoint's own origin only.

What bounds an answer: connecting and each silence `timeout`; headers, body, waits and all attempts
together `deadline`; its length `most` or the range asked for, counted after decompression; the
client refuses headers above 100 kB.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any
from urllib.parse import urljoin, urlsplit

from hardware_db.records import frozen
from planner.errors import InputError, OfflineError, PlannerError, SourceError, clip
from planner.hub.wire import (
    asked_pause,
    is_of_hub,
    origin,
    place,
    plain,
    transport_errors,
    whole_size,
)

MAX_REDIRECTS = 5
"""From the Hub to where a file lies is one; a renamed repository adds one."""

RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers that another attempt may better (huggingface_hub 2.4.0 retries the same, but 425)."""

MOST_HANGING = 16
"""Requests that were given up while the server still held them; more are not begun."""

_hanging = threading.BoundedSemaphore(MOST_HANGING)
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_UNRANGED = 2**26


class StatusError(SourceError):
    """The server answered with an error status.

    Attributes:
        status: HTTP status.
        code: the Hub's own name of it (header X-Error-Code), or "".
        reason: what the server says about it, one line, or "".
    """

    def __init__(self, message: str, status: int, code: str, reason: str) -> None:
        """Keep the status and the server's words beside the message."""
        super().__init__(message)
        self.status, self.code, self.reason = status, code, reason


class RefusedError(SourceError):
    """The Hub answers, and the answer is no: gated, private, disabled, a token it does not know."""


class _FaultError(Exception):
    """An attempt failed in a way that another may not.

    Attributes:
        failure: what is raised when no attempt is left.
        attempts: how many such attempts are worth while.
    """

    def __init__(self, failure: SourceError, attempts: int = 99) -> None:
        """Keep the failure for later."""
        super().__init__(str(failure))
        self.failure, self.attempts = failure, attempts


@frozen
class Answer:
    """What came back: status, headers (lower case), body, and the URL that answered at last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@frozen
class HubSession:
    """How to ask the Hub, and for how long.

    Attributes:
        endpoint: where it is, without a slash at the end.
        token: sent to the endpoint's origin; None asks as anybody.
        anonymous: ask as anybody and leave this machine's cache alone, which may hold what only
            its owner may see.
        timeout: seconds without a byte until an attempt is given up.
        deadline: seconds that one question may take, all attempts and waits together.
        attempts: how often one question is asked at most.
        longest_wait: longest pause a server may ask for, in seconds.
        sleep: waits so many seconds.
        clock: seconds of a steady clock.
    """

    endpoint: str
    token: str | None = field(default=None, repr=False)
    anonymous: bool = False
    timeout: float = 10.0
    deadline: float = 60.0
    attempts: int = 4
    longest_wait: float = 20.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names of the endpoint."""
        return (urlsplit(self.endpoint).hostname or "",)

    @property
    def name(self) -> str:
        """What a reader knows it by: where a mirror is, is no business of whoever asks as anybody."""
        return self.endpoint if is_of_hub(self.hosts[0]) or not self.anonymous else "the Hub"

    def get(self, url: str, *, most: int) -> Answer:
        """Fetch a small document whole.

        Args:
            url: an address of the endpoint.
            most: its longest length in bytes.

        Raises:
            StatusError: the server answers with an error status.
            OfflineError: the server cannot be reached.
            SourceError: it is too slow, or the document too long.
        """
        answer = self._ask(url, {}, most + 1, 0)
        if len(answer.body) > most:
            raise SourceError(f"{place(url)} is longer than {most:,} bytes")
        return answer

    def read_range(self, url: str, offset: int, length: int) -> tuple[bytes, int | None, str]:
        """Fetch `length` bytes from `offset` on.

        Returns:
            the bytes, the file's whole size if the server tells it, and the URL they came from.

        Raises:
            StatusError: the server answers with an error status.
            OfflineError: the server cannot be reached.
            SourceError: it is too slow, or does not serve ranges.
        """
        asked = {"Range": f"bytes={offset}-{offset + length - 1}"}
        answer = self._ask(url, asked, length, offset)
        return answer.body, whole_size(answer.status, answer.headers), answer.url

    def _ask(self, url: str, headers: dict[str, str], want: int, offset: int) -> Answer:
        start = self.clock()
        attempt = 0
        while True:
            attempt, most = attempt + 1, self.attempts
            pause = min(0.5 * 2 ** (attempt - 1), 8.0)
            try:
                answer = self._in_time(url, headers, want, offset, start)
                if answer.status < 400:
                    return answer
                failure: PlannerError = _status_error(answer)
                if answer.status not in RETRIED:
                    raise failure
                pause = asked_pause(answer.headers) or pause
                if pause > self.longest_wait:
                    raise SourceError(
                        f"{failure}; it asks for a pause of {pause:.0f} s: try again then"
                        + ("" if self.token else ", or set HF_TOKEN for a higher limit")
                    )
            except _FaultError as fault:
                failure, most = fault.failure, min(fault.attempts, self.attempts)
            if attempt >= most or self.clock() - start + pause > self.deadline:
                tried = f" (tried {attempt} times)" if attempt > 1 else ""
                failure.args = (f"{failure}{tried}",)
                raise failure
            self.sleep(pause)

    def _in_time(
        self, url: str, headers: dict[str, str], want: int, offset: int, start: float
    ) -> Answer:
        """One attempt, given up at the deadline wherever it stands.

        A server that sends its headers byte by byte is silent for no longer than `timeout`, and the
        client looks at no other clock meanwhile: so another thread waits for it.
        """
        found: list[Answer | BaseException] = []

        def attempt() -> None:
            try:
                found.append(self._attempt(url, headers, want, offset, start))
            except BaseException as error:
                found.append(error)
            finally:
                _hanging.release()

        left = self.deadline - (self.clock() - start)
        if not _hanging.acquire(timeout=max(left, 0.0)):
            raise SourceError(f"{place(url)}: {MOST_HANGING} requests hang already; try later")
        worker = threading.Thread(target=attempt, name="qwenplan-hub", daemon=True)
        worker.start()
        worker.join(max(left, 0.0))
        if not found:
            raise self._too_slow(url)
        if isinstance(found[0], BaseException):
            raise found[0]
        return found[0]

    def _too_slow(self, url: str) -> SourceError:
        return SourceError(f"{place(url)}: too slow, given up after {self.deadline:.0f} s")

    def _attempt(
        self, url: str, headers: dict[str, str], want: int, offset: int, start: float
    ) -> Answer:
        from huggingface_hub import get_session

        client, faults = get_session(), transport_errors()
        for _ in range(MAX_REDIRECTS + 1):
            # Compressed answers have other lengths than were asked for, and may be bombs.
            sent = {**self._identity(url), **headers, "Accept-Encoding": "identity"}
            try:
                with client.stream(
                    "GET", url, headers=sent, follow_redirects=False, timeout=self.timeout
                ) as response:
                    found = {name.lower(): value for name, value in response.headers.items()}
                    status = response.status_code
                    body = self._body(response, url, found, want, offset, start)
                    if status in _REDIRECTS and "location" in found:
                        url = self._redirected(url, found["location"])
                        continue
                    return Answer(status=status, headers=found, body=body, url=url)
            except faults as error:
                raise _fault(url, error) from None
        raise SourceError(f"{place(url)}: more than {MAX_REDIRECTS} redirects")

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
        except ValueError:
            target = ""
        scheme, host, _ = origin(target)
        if scheme not in ("http", "https") or not host:
            raise SourceError(f"{place(url)}: redirected to {clip(repr(location))}")
        if scheme == "http" and origin(url)[0] == "https":
            raise SourceError(f"{place(url)}: redirected from https to plain http; not followed")
        if not self._leads_to(host):
            raise SourceError(f"{place(url)}: redirected to {clip(host)}; not followed")
        return target

    def _leads_to(self, host: str) -> bool:
        """A mirror's owner knows where its files lie; the Hub's lie with the Hub."""
        if host in self.hosts or is_of_hub(host):
            return True
        return not self.anonymous and not is_of_hub(self.hosts[0])

    def _identity(self, url: str) -> dict[str, str]:
        headers = {"User-Agent": "qwenplan"}
        if self.token and not self.anonymous and origin(url) == origin(self.endpoint):
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def _body(
        self,
        response: Any,
        url: str,
        headers: Mapping[str, str],
        want: int,
        offset: int,
        start: float,
    ) -> bytes:
        """The bytes wanted; the rest of an answer that is longer stays with the server."""
        skip, status = 0, response.status_code
        if status >= 300:
            want = 4096
        elif status == 206:
            span = re.fullmatch(r"bytes (\d+)-(\d+)/(?:\d+|\*)", headers.get("content-range", ""))
            if span is None or int(span[1]) != offset:
                raise _FaultError(
                    SourceError(f"{place(url)}: another range came than was asked for")
                )
        elif offset:
            skip = offset
            if offset + want > _MAX_UNRANGED:
                raise SourceError(f"{place(url)}: the server serves no ranges")
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding and status == 206:
            raise SourceError(f"{place(url)}: a range came compressed, which was not asked for")
        # A body that ends where it should is read to its end: then the connection is kept.
        declared = headers.get("content-length", "")
        ends = not encoding and re.fullmatch(r"\d{1,18}", declared) and int(declared) <= skip + want
        parts, have = [], -skip
        for chunk in plain(response.iter_raw(), encoding, url):
            parts.append(chunk)
            have += len(chunk)
            if self.clock() - start > self.deadline:
                raise self._too_slow(url)
            if have >= want and not ends:
                break
        body = b"".join(parts)[skip : skip + want]
        if len(body) < want and (status == 206 or skip):
            raise _FaultError(SourceError(f"{place(url)}: {len(body):,} of {want:,} bytes came"))
        return body


def open_session(token: str | None = None, *, anonymous: bool = False, **limits: Any) -> HubSession:
    """A session with huggingface_hub's settings.

    Args:
        token: instead of HF_TOKEN or the one that `hf auth login` stored.
        anonymous: send no token at all, whatever is configured.
        limits: fields of `HubSession` to set otherwise.

    Raises:
        InputError: the endpoint or token cannot be one; a `SourceError` where anybody asks.
    """
    from huggingface_hub import constants, get_token

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).strip().rstrip("/")
    scheme, host, _ = origin(endpoint)
    if scheme not in ("http", "https") or not host:
        kind = SourceError if anonymous else InputError  # no fault of whoever asks as anybody
        raise kind(f"HF_ENDPOINT is {clip(repr(endpoint))}; it must be an http(s) address")
    if anonymous:
        token = None
    elif token is None and not constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        token = get_token()
    if token is not None and not re.fullmatch(r"[\x21-\x7e]{1,1000}", token):
        raise InputError("the Hub token (HF_TOKEN) has spaces or characters that no token has")
    limits.setdefault("timeout", float(constants.HF_HUB_DOWNLOAD_TIMEOUT))
    return HubSession(endpoint=endpoint, token=token, anonymous=anonymous, **limits)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network."""
    from huggingface_hub import constants

    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return bool(constants.HF_HUB_OFFLINE) or value.strip().upper() in {"1", "ON", "YES", "TRUE"}


def _fault(url: str, error: Exception) -> _FaultError:
    name, words = type(error).__name__, clip(str(error), 120)
    host = clip(urlsplit(url).netloc)
    if "Timeout" in name:
        return _FaultError(OfflineError(f"{host} does not answer (time-out)"))
    if "Connect" in name or "Proxy" in name or isinstance(error, OSError):
        # Nobody there: one more try, not the patience that a busy server deserves.
        return _FaultError(OfflineError(f"{host} cannot be reached: {words or name}"), attempts=2)
    return _FaultError(SourceError(f"{place(url)}: the connection broke ({words or name})"))


def _status_error(answer: Answer) -> StatusError:
    reason = clip(answer.headers.get("x-error-message", "").strip(), 200)
    code = clip(answer.headers.get("x-error-code", ""))
    message = f"{place(answer.url)}: the server answers {answer.status}"
    if answer.status == 429:
        message += " (too many requests)"
    if reason:
        message += f": {reason}"
    return StatusError(message, answer.status, code, reason)

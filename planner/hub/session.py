"""One bounded way of asking the Hub: retries, deadlines, redirects, and what a refusal means.

Settings are huggingface_hub's: endpoint, token, offline switch, time-out, proxies and the client a
program may have put in place (`huggingface_hub.set_client_factory`). Its own retry loop sleeps as
long as a server asks, and its header reader fetches 100 kB of every file; so requests are made
here, on its client. The token is sent to the endpoint's own origin only.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

from planner.errors import InputError, OfflineError, PlannerError, SourceError
from planner.model.headers import clip

MAX_REDIRECTS = 5
"""From the Hub to where a file lies is one; a renamed repository adds one."""

RETRIED = (408, 425, 429, 500, 502, 503, 504)
"""Answers that another attempt may better (huggingface_hub 2.4.0 retries the same, but 425)."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_UNRANGED = 2**26
_RATE_LIMIT = re.compile(r'"\w+"\s*;\s*r=0\s*;\s*t=(\d+)')


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: status, headers (lower case), body, and the URL that answered at last."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
            raise SourceError(f"{_place(url)} is longer than {most:,} bytes")
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
        return answer.body, _whole_size(answer), answer.url

    def _ask(self, url: str, headers: dict[str, str], want: int, offset: int) -> Answer:
        start = self.clock()
        attempt = 0
        while True:
            attempt, most = attempt + 1, self.attempts
            pause = min(0.5 * 2 ** (attempt - 1), 8.0)
            try:
                answer = self._attempt(url, headers, want, offset, start)
                if answer.status < 400:
                    return answer
                failure: PlannerError = _status_error(answer)
                if answer.status not in RETRIED:
                    raise failure
                pause = _asked_pause(answer) or pause
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

    def _attempt(
        self, url: str, headers: dict[str, str], want: int, offset: int, start: float
    ) -> Answer:
        from huggingface_hub import get_session

        client, faults = get_session(), _transport_errors()
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
                        url = _redirected(url, found["location"])
                        continue
                    return Answer(status=status, headers=found, body=body, url=url)
            except faults as error:
                raise _fault(url, error) from None
        raise SourceError(f"{_place(url)}: more than {MAX_REDIRECTS} redirects")

    def _identity(self, url: str) -> dict[str, str]:
        headers = {"User-Agent": "qwenplan"}
        if self.token and not self.anonymous and _origin(url) == _origin(self.endpoint):
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
                    SourceError(f"{_place(url)}: another range came than was asked for")
                )
        elif offset:
            skip = offset
            if offset + want > _MAX_UNRANGED:
                raise SourceError(f"{_place(url)}: the server serves no ranges")
        # A body that ends where it should is read to its end: then the connection is kept.
        declared = headers.get("content-length", "")
        ends = re.fullmatch(r"\d{1,18}", declared) and int(declared) <= skip + want
        parts, have = [], -skip
        for chunk in response.iter_bytes():
            parts.append(chunk)
            have += len(chunk)
            if self.clock() - start > self.deadline:
                raise SourceError(f"{_place(url)}: too slow, given up after {self.deadline:.0f} s")
            if have >= want and not ends:
                break
        body = b"".join(parts)[skip : skip + want]
        if len(body) < want and (status == 206 or skip):
            raise _FaultError(SourceError(f"{_place(url)}: {len(body):,} of {want:,} bytes came"))
        return body


def open_session(token: str | None = None, *, anonymous: bool = False, **limits: Any) -> HubSession:
    """A session with huggingface_hub's settings.

    Args:
        token: instead of HF_TOKEN or the one that `hf auth login` stored.
        anonymous: send no token at all, whatever is configured.
        limits: fields of `HubSession` to set otherwise.

    Raises:
        InputError: the endpoint or token cannot be one.
    """
    from huggingface_hub import constants, get_token

    endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).strip().rstrip("/")
    scheme, host, _ = _origin(endpoint)
    if scheme not in ("http", "https") or not host:
        raise InputError(f"HF_ENDPOINT is {clip(repr(endpoint))}; it must be an http(s) address")
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


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client under huggingface_hub (httpx, httpx2) raises when a request fails."""
    from huggingface_hub.errors import HfHubHTTPError

    # HfHubHTTPError derives from the client's HTTPError, the base of its time-outs and cuts.
    base = HfHubHTTPError.__bases__[0]
    client = sys.modules[base.__module__.partition(".")[0]]
    return (base, client.InvalidURL, OSError)


def _fault(url: str, error: Exception) -> _FaultError:
    name, words = type(error).__name__, clip(str(error), 120)
    host = clip(urlsplit(url).netloc)
    if "Timeout" in name:
        return _FaultError(OfflineError(f"{host} does not answer (time-out)"))
    if "Connect" in name or "Proxy" in name or isinstance(error, OSError):
        # Nobody there: one more try, not the patience that a busy server deserves.
        return _FaultError(OfflineError(f"{host} cannot be reached: {words or name}"), attempts=2)
    return _FaultError(SourceError(f"{_place(url)}: the connection broke ({words or name})"))


def _status_error(answer: Answer) -> StatusError:
    reason = clip(answer.headers.get("x-error-message", "").strip(), 200)
    code = clip(answer.headers.get("x-error-code", ""))
    message = f"{_place(answer.url)}: the server answers {answer.status}"
    if answer.status == 429:
        message += " (too many requests)"
    if reason:
        message += f": {reason}"
    return StatusError(message, answer.status, code, reason)


def _asked_pause(answer: Answer) -> float | None:
    """Seconds that the server asks to wait, by Retry-After or the Hub's rate-limit header."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    if value:
        try:
            until = parsedate_to_datetime(value)
            now = parsedate_to_datetime(answer.headers.get("date", ""))
            return max((until - now).total_seconds(), 0.0)
        except (ValueError, TypeError):
            return None
    match = _RATE_LIMIT.search(answer.headers.get("ratelimit", ""))
    return float(match[1]) if match else None


def _whole_size(answer: Answer) -> int | None:
    if answer.status == 206:
        match = re.search(r"/(\d{1,18})$", answer.headers.get("content-range", ""))
        return int(match[1]) if match else None
    length = answer.headers.get("content-length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length) else None


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    scheme, host, _ = _origin(target)
    if scheme not in ("http", "https") or not host:
        raise SourceError(f"{_place(url)}: redirected to {clip(repr(location))}")
    if scheme == "http" and _origin(url)[0] == "https":
        raise SourceError(f"{_place(url)}: redirected from https to plain http; not followed")
    return target


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), port
    except ValueError:
        return "", "", None


def _place(url: str) -> str:
    """Host and path for an error line; a signed URL's query is nobody's business."""
    parts = urlsplit(url)
    return clip(f"{parts.netloc}{parts.path}", 160)

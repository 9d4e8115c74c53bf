"""What HTTP answers say: sizes, pauses, compression, and where an address leads."""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from planner.errors import SourceError, clip

HUB_DOMAINS = ("huggingface.co", "hf.co")
"""The Hub's pages and stores lie under these; it leads nobody elsewhere."""

_BLOCK = 2**16
_RATE_LIMIT = re.compile(r'"\w+"\s*;\s*r=0\s*;\s*t=(\d+)')


def plain(chunks: Iterable[bytes], encoding: str, url: str) -> Iterator[bytes]:
    """Yield the body in small pieces, however much of it a few compressed bytes stand for.

    Raises:
        SourceError: it is compressed in a way that is not read.
    """
    if encoding in ("", "identity"):
        yield from chunks
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise SourceError(
            f"{place(url)}: the answer is compressed ({clip(encoding)}); none is read"
        )
    inflate = zlib.decompressobj(wbits=47)  # zlib's and gzip's header alike
    for chunk in chunks:
        while chunk:
            yield inflate.decompress(chunk, _BLOCK)
            chunk = inflate.unconsumed_tail


def is_of_hub(host: str) -> bool:
    """Return whether a host is one of the Hub's own."""
    return any(host == domain or host.endswith(f".{domain}") for domain in HUB_DOMAINS)


def transport_errors() -> tuple[type[Exception], ...]:
    """Return what the HTTP client under huggingface_hub (httpx, httpx2) raises when a request fails."""
    from huggingface_hub.errors import HfHubHTTPError

    # HfHubHTTPError derives from the client's HTTPError, the base of its time-outs and cuts.
    base = HfHubHTTPError.__bases__[0]
    client = sys.modules[base.__module__.partition(".")[0]]
    return (base, client.InvalidURL, OSError, zlib.error)


def asked_pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, by Retry-After or the Hub's rate-limit header."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    if value:
        try:
            until = parsedate_to_datetime(value)
            now = parsedate_to_datetime(headers.get("date", ""))
            return max((until - now).total_seconds(), 0.0)
        except (ValueError, TypeError):
            return None
    match = _RATE_LIMIT.search(headers.get("ratelimit", ""))
    return float(match[1]) if match else None


def whole_size(status: int, headers: Mapping[str, str]) -> int | None:
    """Return the whole file's size where the answer tells it."""
    if status == 206:
        match = re.search(r"/(\d{1,18})$", headers.get("content-range", ""))
        return int(match[1]) if match else None
    length = headers.get("content-length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length) else None


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port; empty where the address is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), port
    except ValueError:
        return "", "", None


def place(url: str) -> str:
    """Return host and path for an error line; a signed URL's query is nobody's business."""
    parts = urlsplit(url)
    return clip(f"{parts.netloc}{parts.path}", 160)

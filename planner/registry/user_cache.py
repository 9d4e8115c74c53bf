"""Documents in the user's own cache: written whole or not at all, never trusted, never needed.

The folder is ``QWENPLAN_CACHE``, else ``qwenplan`` in ``XDG_CACHE_HOME`` or in what the system calls
the user's caches. No library is needed for a rule of six lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import get_ident
from typing import Any

LARGEST = 2**24
"""Bytes of a document that are read; nothing that is written here comes near."""


def cache_folder() -> Path | None:
    """Where documents are kept; None where the user has no home."""
    if named := os.environ.get("QWENPLAN_CACHE"):
        return Path(named)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "qwenplan"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "qwenplan"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "qwenplan"


def read_document(name: str) -> dict[str, Any]:
    """Return a document of the cache; an empty one where there is none or it is damaged."""
    folder = cache_folder()
    if folder is None:
        return {}
    try:
        with (folder / name).open("rb") as file:
            content = file.read(LARGEST + 1)
        found = json.loads(content) if len(content) <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_document(name: str, document: Mapping[str, Any]) -> bool:
    """Write a document so that readers see the old one or the new one, never a part.

    Returns:
        Whether it is kept; a cache that cannot be written is no error.
    """
    folder = cache_folder()
    if folder is None:
        return False
    target = folder / name
    # One writer per process and thread: what they write they rename, the last one stays.
    written = target.with_name(f".{target.name}.{os.getpid()}-{get_ident()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        written.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            written.unlink()
        return False
    return True

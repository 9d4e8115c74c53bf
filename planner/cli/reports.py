"""Write what somebody asks to be kept, and nothing over a file of theirs."""

from __future__ import annotations

import json
from pathlib import Path

from planner.errors import InputError


def place_for(path: str, *, cases: bool = True) -> Path | None:
    """Return where a file is to be written; None where none is asked for.

    Args:
        path: the file, as it is typed; empty: none.
        cases: it holds cases, and lies over no other file than one of cases.

    Raises:
        InputError: its folder is not there, it is a folder, or another file lies there.
    """
    if not path:
        return None
    try:
        place = Path(path).expanduser()
        if place.is_dir():
            raise InputError(f"{path}: it is a folder; name a file in it")
        if not place.parent.is_dir():
            raise InputError(f"{path}: there is no folder {place.parent}; make it, or name another")
        if cases and place.exists() and not _holds_cases(place):
            raise InputError(f"{path}: it exists and is no report; name another file")
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: {_reason(error)}") from None
    return place


def write(place: Path, text: str) -> None:
    """Write `text` to `place`.

    Raises:
        InputError: it cannot be written.
    """
    try:
        place.write_text(text, "utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{place}: cannot be written ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _holds_cases(place: Path) -> bool:
    """Say whether what lies there is empty, holds cases as they are reported, or is no file at all."""
    if not place.is_file():
        return True  # /dev/stdout
    try:
        text = place.read_text("utf-8")
        document = json.loads(text) if text.strip() else {"cases": []}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "cases" in document

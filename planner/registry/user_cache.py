"""Documents in the user's own cache: written whole or not at all, never trusted, never needed.

The folder is ``QWENPLAN_CACHE``, else ``qwenplan`` in ``XDG_CACHE_HOME`` or in what the system calls
the user's caches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from planner.user_files import alone, user_folder, write_whole

LARGEST = 2**24
"""Bytes of a document that are read; nothing that is written here comes near."""


def cache_folder() -> Path | None:
    """Where documents are kept; None where the user has no home."""
    return user_folder(
        "QWENPLAN_CACHE",
        "XDG_CACHE_HOME",
        windows="Local",
        macos="Library/Caches",
        elsewhere=".cache",
    )


def read_document(name: str) -> dict[str, Any]:
    """Return a document of the cache; an empty one where there is none or it is damaged."""
    folder = cache_folder()
    if folder is None:
        return {}
    try:
        with (folder / name).open("rb") as file:
            content = file.read(LARGEST + 1)
        import json

        found = json.loads(content) if len(content) <= LARGEST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_document(name: str, document: Mapping[str, Any]) -> bool:
    """Write a document so that readers see the old one or the new one, never a part.

    Returns:
        Whether it is kept; a cache that cannot be written is no error.
    """
    return _kept(name, lambda path: _write(path, document))


def change_document(name: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> bool:
    """Write what becomes of a document; of two programs at once the second changes what the first wrote.

    Args:
        name: which document.
        change: takes what is kept, an empty document where there is none, and returns the new one.

    Returns:
        Whether it is kept; a cache that cannot be written is no error.
    """

    def changed(path: Path) -> None:
        with alone(path):
            _write(path, change(read_document(name)))

    return _kept(name, changed)


def _kept(name: str, write: Callable[[Path], None]) -> bool:
    """Say whether a document could be written to where it is kept."""
    folder = cache_folder()
    if folder is None:
        return False
    try:
        write(folder / name)
    except OSError:
        return False
    return True


def _write(path: Path, document: Mapping[str, Any]) -> None:
    import json

    write_whole(path, json.dumps(document).encode())

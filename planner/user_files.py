"""The user's own folders, and files that are written whole or not at all.

No library is needed for a rule of six lines, nor for a lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

ABANDONED = 60
"""Seconds after which a file that is half written is nobody's."""

_APP_DATA = {"Local": "LOCALAPPDATA", "Roaming": "APPDATA"}


def user_folder(
    named: str, shared: str, *, windows: str, macos: str, elsewhere: str
) -> Path | None:
    """Return a folder of this program; None where the user has no home.

    Args:
        named: variable that names the folder itself.
        shared: variable of the folder that programs share (XDG).
        windows: the shared folder there, under AppData: "Local" or "Roaming".
        macos: the shared folder there, under the home.
        elsewhere: the shared folder everywhere else, under the home.
    """
    if own := os.environ.get(named):
        return Path(own)
    if among := os.environ.get(shared):
        return Path(among) / "qwenplan"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get(_APP_DATA[windows]) or home / "AppData" / windows) / "qwenplan"
    return home / (macos if sys.platform == "darwin" else elsewhere) / "qwenplan"


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, never a part.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    # One writer per process and thread: what they write they rename, the last one stays.
    written = target.with_name(f".{target.name}.{os.getpid()}-{get_ident()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        written.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            written.unlink()
        raise


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Let one process at a time read a file, change it and write it; whoever is killed lets go.

    Raises:
        OSError: there is no folder in which the lock could lie.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("ab") as lock:
        if sys.platform == "win32":
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def abandoned(folder: Path) -> Iterator[Path]:
    """Yield what writers left in a folder that were killed before a file was whole."""
    for file in folder.glob(".*.*-*"):
        if time.time() - file.stat().st_mtime > ABANDONED:
            yield file

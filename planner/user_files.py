"""The user's own folders, and files that are written whole or not at all.

No library is needed for a rule of six lines.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from threading import get_ident

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

"""The database as it stands: the bundled data and the user's own file, each read once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hardware_db import compiled, last_good
from hardware_db.accelerator import Accelerator
from hardware_db.electricity import Electricity
from hardware_db.errors import HardwareError
from hardware_db.figures import Cited
from hardware_db.memory import HostMemory
from hardware_db.processors import Processor
from hardware_db.records import frozen
from hardware_db.system import System

__all__ = ["Database", "Entry", "bundled", "database", "user_file"]

Entry = Accelerator | System


@frozen
class Database:
    """All entries, in the order of the files, and what each name means; each is one of its own."""

    accelerators: Sequence[Accelerator]
    systems: Sequence[System]
    by_name: Mapping[str, Entry]
    by_driver_name: Mapping[str, tuple[Accelerator, ...]]
    by_stem: Mapping[str, tuple[Accelerator, ...]]
    memories: Sequence[HostMemory]
    electricity: Sequence[Electricity]
    processors: Sequence[Processor]
    words: Mapping[str, tuple[str, ...]]
    prices_as_of: str
    families: Mapping[str, Any]
    cited: Cited

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def user_file() -> Path | None:
    """The user's own hardware file: $QWENPLAN_HARDWARE, else hardware.toml in the config folder.

    The folder is $XDG_CONFIG_HOME/qwenplan; without that variable ~/.config/qwenplan, on macOS
    ~/Library/Application Support/qwenplan, on Windows the same under %APPDATA%. None if there is no
    such file. Errors: HardwareError if QWENPLAN_HARDWARE names a file that is not there.
    """
    named = os.environ.get("QWENPLAN_HARDWARE", "").strip()
    if named:
        path = Path(named).expanduser()
        if not path.is_file():
            raise HardwareError(f"QWENPLAN_HARDWARE names no file: {named}")
        return path
    try:
        said = tuple(map(os.environ.get, ("XDG_CONFIG_HOME", "APPDATA", "HOME", "USERPROFILE")))
        path = _usual_file(sys.platform, said)
        return path if path.is_file() else None
    except (OSError, RuntimeError):  # a folder that may not be read, or no home at all
        return None


@lru_cache(maxsize=8)
def _usual_file(platform: str, said: tuple[str | None, ...]) -> Path:
    """Return the file's usual place, worked out again where what it depends on changes."""
    del platform, said  # only the cache's key: every look at the database asks for it
    return _config_folder() / "qwenplan" / "hardware.toml"


def _config_folder() -> Path:
    xdg = os.environ.get("XDG_CONFIG_HOME", "")
    if xdg and Path(xdg).is_absolute():
        return Path(xdg)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".config"


def database() -> Database:
    """The database with the user's file, read anew only when that file changes.

    Errors: HardwareError where it has a mistake; a process that serves goes on (`last_good`).
    """
    try:
        path = user_file()
        found = bundled() if path is None else _as_it_stands(path)
    except HardwareError as error:
        return last_good.instead(error)
    last_good.note(found, path)
    return found


def _as_it_stands(path: Path) -> Database:
    try:
        stands = path.stat()
    except OSError as problem:
        raise HardwareError(f"{path}: {problem.strerror}") from None
    found = _with_user_file(path, stands.st_mtime_ns, stands.st_ctime_ns)
    if isinstance(found, str):
        raise HardwareError(found)
    return found


@cache
def bundled() -> Database:
    """The data that come with the package, without the user's file."""
    found = compiled.read()
    if found is None:
        from hardware_db.building import from_sources

        found = from_sources()
    return found


@lru_cache(maxsize=256)
def _with_user_file(path: Path, written: int, changed: int) -> Database | str:
    """Return what the file says, or what is wrong with it: not read again at every look, either."""
    del written, changed  # only parts of the cache's key
    from hardware_db.building import load_file

    try:
        return load_file(path)
    except HardwareError as error:
        return str(error)

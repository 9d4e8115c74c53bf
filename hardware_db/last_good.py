"""The user's hardware file in a process that serves: while it has a mistake, what it said before holds.

Whoever asks once is told of a mistake and gets nothing. A page that is open for days must not end for
everybody because its owner is in the middle of an edit.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hardware_db.errors import HardwareError

if TYPE_CHECKING:
    from hardware_db.database import Database

__all__ = ["LastGood", "instead", "keep_last_good", "mistake_now", "note"]

BEFORE = "QWENPLAN_HARDWARE_BEFORE"
"""Environment variable: what the file said last without a mistake, for a process that begins later."""


class LastGood:
    """What the file said when it was read last without a mistake.

    Args:
        is_server: a new mistake is one line of the log, and a copy of the file is kept for processes
            that begin later; else this is one of those.

    Attributes:
        mistake: what is wrong with the file now; empty where nothing is.
    """

    def __init__(self, *, is_server: bool) -> None:
        self.mistake = ""
        self._is_server = is_server
        self._lock = threading.Lock()
        self._found: Database | None = None
        self._copy: Path | None = None

    def note(self, found: Database, file: Path | None) -> None:
        """Note what was read without a mistake; `file` is None where there is none."""
        if found is self._found and not self.mistake:
            return
        with self._lock:
            if found is not self._found:
                self._found = found
                if self._is_server:
                    self._keep(file)
            self.mistake = ""

    def instead(self, error: HardwareError) -> Database:
        """Return what holds in place of a file with a mistake: the bundled data if nothing was read."""
        said = str(error)
        with self._lock:
            if said != self.mistake and self._is_server:
                told = f"Hardware file: {said}. What it said before is used until this is mended."
                sys.stderr.write(f"{told}\n")
                sys.stderr.flush()
            self.mistake = said
            if self._found is None:
                self._found = self._of_the_server()
            return self._found

    def close(self) -> None:
        """Remove the copy."""
        if self._copy is not None:
            with suppress(OSError):
                self._copy.unlink()
            self._copy = None
            os.environ.pop(BEFORE, None)

    def _keep(self, file: Path | None) -> None:
        import tempfile  # a question on the command line has no use for it

        self.close()
        if file is None:
            return
        with suppress(OSError):  # nowhere to write: such a process knows the bundled data
            number, name = tempfile.mkstemp(prefix="qwenplan-", suffix=".toml")
            self._copy = Path(name)
            with os.fdopen(number, "wb") as out:
                out.write(file.read_bytes())
            os.environ[BEFORE] = name

    def _of_the_server(self) -> Database:
        from hardware_db.building import load_file
        from hardware_db.database import bundled

        name = os.environ.get(BEFORE)
        if name and not self._is_server:
            with suppress(HardwareError):
                return load_file(Path(name))
        return bundled()


_SERVES: list[LastGood] = []
"""Empty, or the one of this process."""


def keep_last_good(*, is_server: bool) -> None:
    """From now on, what the user's file said before a mistake holds in this process."""
    if not _SERVES:
        _SERVES.append(LastGood(is_server=is_server))
        atexit.register(_SERVES[0].close)


def mistake_now() -> str:
    """Return what is wrong with the user's file while this process serves what it said before."""
    return _SERVES[0].mistake if _SERVES else ""


def note(found: Database, file: Path | None) -> None:
    """Note what was read without a mistake, in a process that serves."""
    if _SERVES:
        _SERVES[0].note(found, file)


def instead(error: HardwareError) -> Database:
    """Return what holds in place of a file with a mistake.

    Errors: `error` itself in a process that does not serve.
    """
    if not _SERVES:
        raise error
    return _SERVES[0].instead(error)

"""Keep what starts of a server on real machines took beyond the estimates, in the user's data folder.

Every lesson is a file of its own, written under another name and renamed: two programs at once write
two files, and whoever is killed between two writes has lost nothing that was kept before. The folder
is ``QWENPLAN_DATA``, else ``qwenplan`` in ``XDG_DATA_HOME`` or in what the system calls the user's
data.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, astuple, fields, replace
from functools import cache
from pathlib import Path

from hardware_db.records import frozen
from planner.errors import InputError
from planner.units import GIB
from planner.user_files import abandoned, user_folder, write_whole

LARGEST = 2**16
"""Bytes of a lesson that are read."""

MOST = 2**50
"""No lesson is of more bytes: what says so is none."""


@frozen
class Kind:
    """What a start must be of for a lesson to hold; see `Lesson`."""

    engine: str
    release: str
    device: str
    model: str
    scheme: str
    layout: str


@frozen
class Lesson:
    """What one start took beyond the estimates.

    Attributes:
        engine: who served.
        release: whose rules the plan followed.
        device: the accelerator's id.
        model: the architecture's name.
        scheme: how weights were stored.
        layout: how it was spread.
        difference: bytes per accelerator that everything but the cache took beyond the plan;
            negative where it took less.
        cache_gib: what was left for the cache (llama.cpp: free at start), as the log printed it.
        learned: ISO date and time.
        loading: the part of `difference` that loading took, where the log tells it apart.
        wsl2: it ran under the Windows Subsystem for Linux, which no command says.
    """

    engine: str
    release: str
    device: str
    model: str
    scheme: str
    layout: str
    difference: int
    cache_gib: float
    learned: str
    loading: int = 0
    wsl2: bool = False

    @property
    def kind(self) -> Kind:
        """What a plan must be of for the lesson to hold."""
        return Kind(**{field.name: getattr(self, field.name) for field in fields(Kind)})

    @property
    def words(self) -> str:
        """What a plan that uses it says."""
        more = "more" if self.difference >= 0 else "less"
        return (
            f"learned on {self.learned[:10]} from a log for {self.device}: that start took"
            f" {abs(self.difference) / GIB:.2f} GiB {more} than estimated, and the plan counts it"
            " (`qwenplan check --forget` drops it)"
        )


def data_folder() -> Path | None:
    """Return where lessons are kept; None where the user has no home."""
    return user_folder(
        "QWENPLAN_DATA",
        "XDG_DATA_HOME",
        windows="Roaming",
        macos="Library/Application Support",
        elsewhere=".local/share",
    )


def keep(lesson: Lesson) -> Path:
    """Write a lesson and return its file; the same start learned twice is one file.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = _folder()
    import json

    content = json.dumps(asdict(lesson), indent=1).encode()
    import hashlib

    measured = (lesson.difference, lesson.loading, lesson.cache_gib, lesson.wsl2)
    same = repr((astuple(lesson.kind), *measured)).encode()
    target = folder / f"{hashlib.sha256(same).hexdigest()[:16]}.json"
    try:
        write_whole(target, content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    return target


def lessons() -> tuple[Lesson, ...]:
    """Return what is kept, one lesson per kind of start: the one learned last."""
    latest: dict[Kind, Lesson] = {}
    for lesson in sorted(_kept(), key=lambda each: each.learned):
        latest[lesson.kind] = lesson
    return tuple(latest.values())


def lesson_for(known: Iterable[Lesson], kind: Kind) -> Lesson | None:
    """Return the lesson that holds for such a start; None if none does."""
    return next((lesson for lesson in known if lesson.kind == kind), None)


def unused(known: Iterable[Lesson], kind: Kind) -> str:
    """Return what to say where such a start was learned under another release; else nothing."""
    others = [
        lesson.release
        for lesson in known
        if lesson.release != kind.release and replace(lesson.kind, release=kind.release) == kind
    ]
    if not others:
        return ""
    return f"what was learned under {', '.join(sorted(others))} is not used for {kind.release}"


def forget() -> int:
    """Drop everything that was learned, and return how many files that were.

    Raises:
        InputError: a file cannot be removed.
    """
    files = list(_files())
    try:
        for file in (*files, *_left_behind()):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be removed ({error.strerror})") from None
    return len(files)


def _folder() -> Path:
    folder = data_folder()
    if folder is None:
        raise InputError("there is no home to keep it in; name a folder with QWENPLAN_DATA")
    return folder / "learned"


def _files() -> Iterator[Path]:
    folder = data_folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        yield from (folder / "learned").glob("*.json")


def _left_behind() -> Iterator[Path]:
    folder = data_folder()
    if folder is not None:
        yield from abandoned(folder / "learned")


@cache
def _needed() -> Mapping[str, bool]:
    """Return the fields of a lesson, and whether each must be in its file."""
    return {field.name: field.default is MISSING for field in fields(Lesson)}


def _kept() -> Iterator[Lesson]:
    """Yield what is whole; a damaged file is passed over."""
    for file in _files():
        import json

        try:
            with file.open("rb") as opened:
                row = json.loads(opened.read(LARGEST))
            lesson = Lesson(
                **{name: row[name] for name, needed in _needed().items() if needed or name in row}
            )
            sound = all(isinstance(part, str) for part in (*astuple(lesson.kind), lesson.learned))
            for size in (lesson.difference, lesson.loading):
                sound = sound and type(size) is int and abs(size) < MOST
            sound = sound and isinstance(lesson.cache_gib, int | float)
            sound = sound and isinstance(lesson.wsl2, bool)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            continue
        if sound:
            yield lesson

"""What matters of a start-up log: the last start of one engine, line by line and up to a bound."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from hardware_db.records import frozen_with_cache
from planner.engines import get_engine, log_readers
from planner.engines.command import Command
from planner.engines.log_figure import (
    Basis,
    LogReader,
    Reading,
    Stage,
    Suggestion,
    read_figures,
)
from planner.engines.log_readers import engine_of, version_of
from planner.engines.logged_launch import LaunchFinder, completed
from planner.engines.out_of_memory import OUT_OF_MEMORY, asked_in_vain, lacked_in
from planner.engines.reasons import cues as cues_of_reasons
from planner.engines.reasons import reason_in
from planner.engines.unserved import cues as cues_of_unserved
from planner.engines.unserved import first_releases, unserved_in
from planner.errors import InputError
from planner.secrets import without_secrets
from planner.unbroken import unbroken
from planner.units import GIB, MIB

MOST = 64 * 2**20
"""Characters of a log that are read; start-up is at its beginning."""

LONGEST_LINE = 2**18
"""Characters of a line that are kept; arguments may be long."""

UNTOLD_SHORT = GIB
"""Bytes that a start is taken to have lacked where its log does not tell how many. Assumed."""

MOST_QUOTED = 160
"""Characters of a line that are told where the log tells little else."""

TRACEBACK = "Traceback (most recent call last)"

MOST_LINES = 100_000
"""Lines with a figure or a mark that are kept."""

_FREE = re.compile(
    r"(?P<size>\d{1,7}(?:\.\d{1,3})?)(?:/\d{1,4}\.\d{1,3})? (?P<unit>[MG]iB)\)? (?:free|on startup)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SNIFFED = 8192


@frozen_with_cache
class Log:
    """What of a log matters: the last start of one engine.

    Attributes:
        engine: name of the engine that printed it.
        version: release that it names, if any.
        lines: lines with figures or arguments.
        cut: it was longer than is read.
        restarts: starts before the one that is looked at.
        assumed: its lines are PyTorch's, which several engines print, and none was named.
        typed: what the launch command above it says, if there is one.
        unread: one line per flag of that command that cannot be read.
    """

    engine: str
    version: str | None
    lines: tuple[str, ...]
    cut: bool = False
    restarts: int = 0
    assumed: bool = False
    typed: Command | None = None
    unread: tuple[str, ...] = ()

    @cached_property
    def reader(self) -> LogReader:
        """How this engine's logs are read."""
        return log_readers.readers()[self.engine]

    @property
    def hardware(self) -> str | None:
        """The accelerators that the log names: ``2x NVIDIA GeForce RTX 3090``; None if it does not."""
        for pattern in self.reader.devices:
            found = (match for line in self.lines for match in re.finditer(pattern, line))
            names = list({match.group(): match["name"].strip() for match in found}.values())
            if names:
                return f"{len(names)}x {names[0]}" if len(set(names)) == 1 else None
        return None

    @property
    def free(self) -> int | None:
        """Bytes of an accelerator that the log says were free, the most; None if it does not say."""
        found = [
            float(match["size"]) * {"MiB": MIB, "GiB": GIB}[match["unit"]]
            for line in self.lines
            for match in _FREE.finditer(line)
        ]
        return int(max(found)) if found else None

    @cached_property
    def figures(self) -> Mapping[str, Reading]:
        """Every figure that it prints, by name."""
        return read_figures(self.lines, self.reader.figures)

    def _refusals(self) -> Iterator[str]:
        """The lines with which a start failed for want of memory, the last first."""
        cues = (*self.reader.refusals, *self.reader.shared_refusals)
        return (line for line in reversed(self.lines) if any(cue in line for cue in cues))

    @cached_property
    def refusal(self) -> str | None:
        """The last line with which a start failed for want of memory; None if none did."""
        line = next(self._refusals(), None)
        return None if line is None else without_secrets(line)

    @property
    def tells_nothing(self) -> bool:
        """No line of it is a figure, nor says how the start failed."""
        return not self.figures and self.refusal is None and self.objection is None

    @property
    def is_pytorchs(self) -> bool:
        """PyTorch found no memory: the words are not the server's own."""
        return any(cue in (self.refusal or "") for cue in OUT_OF_MEMORY)

    @cached_property
    def stage(self) -> Stage | None:
        """What the server did when PyTorch found no memory, as the last traceback tells; None: it does not.

        It is the first of those that it names: what a start does calls what requests do.
        """
        if not self.is_pytorchs:
            return None
        stages, named = self.reader.stages, set[int]()
        for line in reversed(self.lines):
            named |= {n for n, stage in enumerate(stages) if any(cue in line for cue in stage.cues)}
            if named and TRACEBACK in line:
                break
        return stages[min(named)] if named else None

    @cached_property
    def lacked(self) -> tuple[int, int | None] | None:
        """Bytes that were asked for in vain, and how many were free if that is told; None: it is not."""
        found = (lacked_in(line, self.reader.lacks) for line in self._refusals())
        return next((lacked for lacked in found if lacked is not None), None)

    @property
    def wants_ram(self) -> bool:
        """RAM ran out, not the GPU's memory."""
        cues = self.reader.host_refusals
        return any(cue in line for line in self._refusals() for cue in cues)

    @property
    def missing(self) -> int:
        """Bytes by which memory fell short; where nothing tells it, `UNTOLD_SHORT` at most."""
        wanted, free = self.lacked or (UNTOLD_SHORT, None)
        return min(wanted, UNTOLD_SHORT) if free is None else max(0, wanted - free)

    @property
    def was_loading(self) -> bool:
        """Memory ran out while weights were loaded: so the traceback tells, or no figure comes after."""
        if self.stage is not None:
            return self.stage.loads
        later = {reading.figure.name for reading in self.figures.values()} - {*self.reader.begun}
        starts = self.reader.starts
        begun = bool(self.figures) or (bool(starts) and any(starts in line for line in self.lines))
        return begun and not later

    @cached_property
    def objection(self) -> str | None:
        """The last line with which a start failed for another reason than memory; None if none did."""
        line = None if self.refusal is not None else next(self._objections(), None)
        return None if line is None else without_secrets(line)

    def _objections(self) -> Iterator[str]:
        """The lines with which a start failed for another reason than memory, the last first.

        A start that prints figures after such a line has overcome it; words that are nobody's own may
        end a server that had started.
        """
        for place in range(len(self.lines) - 1, -1, -1):
            line = self.lines[place]
            own = any(cue in line for cue in self.reader.objections)
            if own or any(True for _ in unserved_in((line,))):
                if read_figures(self.lines[place:], self.reader.figures):
                    break
                yield line
        rules = (reading.figure.basis is not Basis.ESTIMATE for reading in self.figures.values())
        reason = None if any(rules) else reason_in(self.lines)
        if reason is not None:
            yield reason.line

    @cached_property
    def suggestion(self) -> Suggestion | None:
        """What to change, as the last line of a failed start tells it; None if no line does."""
        asked = asked_in_vain(self.refusal or "")
        if self.assumed and self.is_pytorchs:
            anybody = log_readers.of_any_server()
            return Suggestion(words=f"{asked}; {anybody}" if asked else anybody)
        if self.stage is not None:
            ended = f"it ended while {self.stage.words}{asked and f' ({asked})'}"
            return Suggestion(words=f"{ended}: {self.stage.helps}")
        for line in chain(self._refusals(), self._objections()):
            for pattern, helps in self.reader.suggests.items():
                match = re.search(pattern, line)
                if match is None:
                    continue
                groups = match.groupdict()
                if isinstance(helps, str):
                    return Suggestion(words=helps.format(**groups, asked=asked_in_vain(line)))
                return helps(groups)
            for found in unserved_in((line,)):
                engine = None if self.assumed else self.engine
                return Suggestion(words=first_releases(found, engine))
            reason = reason_in((line,))
            if reason is not None:
                return Suggestion(words=reason.helps)
        return None

    @property
    def command(self) -> Command | None:
        """What the engine was told, as far as the log says; without a model if it names none.

        Raises:
            InputError: it was told something that is not planned.
        """
        return completed(self.reader.command(self.lines), self.typed)


def open_log(path: str, engine: str | None = None, *, likely: str | None = None) -> Log:
    """The log in a file; ``-`` is standard input.

    Args:
        path: the file.
        engine: see `read_log`.
        likely: see `read_log`.

    Raises:
        InputError: no such file, not text, or no engine's log.
    """
    import sys

    if path == "-":
        return read_log(text_lines(sys.stdin.buffer, "standard input"), engine, likely=likely)
    try:
        with Path(path).expanduser().open("rb") as file:
            return read_log(text_lines(file, path), engine, likely=likely)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason})") from None


def text_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """Lines of a text file in UTF-8, or in UTF-16 with its mark."""
    start = file.read(_SNIFFED)
    encoding = "utf-8-sig"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\x00" in start or start[:2] == b"\x1f\x8b":
        raise InputError(f"{name}: not a text file; give the log that the server printed")
    rest = _Chained(start, file)
    text = io.TextIOWrapper(io.BufferedReader(rest), encoding=encoding, errors="replace")
    try:
        while line := text.readline(LONGEST_LINE):
            yield line
    finally:
        text.detach()


class _Chained(io.RawIOBase):
    """Bytes already read, then the rest of a file."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self._start, self._file = start, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._start[: len(buffer)] or self._file.read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _titles() -> tuple[str, ...]:
    """Names of the engines whose logs are read, as people write them."""
    return tuple(get_engine(name).title for name in log_readers.readers())


def read_log(
    text: str | Iterable[str], engine: str | None = None, *, likely: str | None = None
) -> Log:
    """What matters of a log, read line by line and up to a bound.

    Args:
        text: the whole log, or its lines.
        engine: who printed it; None recognises it by its lines, and takes what only PyTorch prints for
            vLLM's.
        likely: who printed it where its lines tell no engine: the one that a command starts.

    Raises:
        InputError: it is empty, no engine is recognised in it, or none of that name prints one.
    """
    if engine is not None:
        engine = get_engine(engine).name
        if engine not in log_readers.readers():
            raise InputError(f"engine: {get_engine(engine).title} prints no log that is read")
    cues = frozenset(cue for reader in log_readers.readers().values() for cue in reader.cues)
    cues |= cues_of_unserved() | cues_of_reasons() | {TRACEBACK}
    lines = io.StringIO(text) if isinstance(text, str) else text
    kept: list[str] = []
    length, cut, empty = 0, False, True
    launch = LaunchFinder()
    ends = [cue for reader in log_readers.readers().values() for cue in reader.refusals]
    for line in unbroken(lines, cues, ends):
        length += len(line)
        empty = empty and not line.strip()
        if length > MOST or len(kept) >= MOST_LINES:
            cut = True
            break
        launch.see(line)
        if any(cue in line for cue in cues):
            kept.append(_COLOUR.sub("", line[:LONGEST_LINE]).strip())
    if empty:
        raise InputError("log: it is empty; give what the server printed when it started")
    engine = engine or engine_of(kept)
    typed = launch.found()
    if typed is not None and _may_be(engine, typed.engine):
        engine = typed.engine
    assumed = engine is None and _is_anybodys(kept)
    if engine is None and likely in log_readers.readers():
        engine, assumed = likely, False
    if assumed:
        engine = next(
            name for name, reader in log_readers.readers().items() if reader.shared_refusals
        )
    if engine is None:
        for found in unserved_in(kept):
            raise InputError(f"log: {found.line[:MOST_QUOTED]}: {first_releases(found, likely)}")
        reason = reason_in(kept)
        if reason is not None:
            raise InputError(f"log: {reason.line[:MOST_QUOTED]}: {reason.helps}")
        raise InputError(
            f"log: no engine is recognised; start-up logs of {', '.join(_titles())} are read"
        )
    if typed is not None and typed.engine != engine:
        typed = None
    reader = log_readers.readers()[engine]
    chosen, restarts = _last_start(kept, reader)
    return Log(
        engine=engine,
        version=version_of(chosen, reader) or version_of(kept, reader),
        lines=tuple(chosen),
        cut=cut,
        restarts=restarts,
        assumed=assumed,
        typed=typed.command if typed is not None else None,
        unread=typed.unread if typed is not None else (),
    )


def _may_be(engine: str | None, started: str) -> bool:
    """Say whether a log in which `engine` is recognised may be of the one that a command starts."""
    known = log_readers.readers()
    if started not in known:
        return False
    return engine is None or set(known[engine].marks) <= set(known[started].marks)


def _is_anybodys(lines: list[str]) -> bool:
    """Say whether a start ended in words that several engines print."""
    memory = any(cue in line for line in lines for cue in OUT_OF_MEMORY)
    return memory or any(not found.of_library for found in unserved_in(lines))


def _last_start(lines: list[str], reader: LogReader) -> tuple[list[str], int]:
    """Lines of the last start that printed figures, and how many came before it."""
    if not reader.starts:
        return lines, 0
    places = [index for index, line in enumerate(lines) if reader.starts in line]
    for number in range(len(places) - 1, 0, -1):
        end = places[number + 1] if number + 1 < len(places) else len(lines)
        part = lines[places[number] : end]
        if read_figures(part, reader.figures):
            return part, number
    return (lines[: places[1]] if len(places) > 1 else lines), 0

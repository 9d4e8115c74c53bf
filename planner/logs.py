"""An engine's start-up log against a plan, figure by figure.

Plan and log are read by the same patterns: what the engine would print, and what it printed.
Figures that follow from the engine's rules must agree to the last printed digit; those that follow
from memory are worked out again from the memory that the log states; the rest are estimates, which
must lie within their band where the plan gives one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from planner.engines import get_engine, log_readers
from planner.engines.command import Command
from planner.engines.log_figure import (
    OUT_OF_MEMORY,
    Basis,
    LogReader,
    Measured,
    Reading,
    read_figures,
)
from planner.engines.log_readers import engine_of, version_of
from planner.engines.log_row import IN_ALL, LogRow, rows_of
from planner.errors import InputError, without_secrets
from planner.memory.breakdown import Kind
from planner.planning import Outcome, Plan

MOST = 64 * 2**20
"""Characters of a log that are read; start-up is at its beginning."""

LONGEST_LINE = 2**18
"""Characters of a line that are kept; arguments may be long."""

MOST_LINES = 100_000
"""Lines with a figure or a mark that are kept."""

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_SNIFFED = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheck:
    """A log against a plan.

    Attributes:
        engine: name of the engine.
        version: release that the log names, if any.
        plan: what it was compared with.
        rows: figures that the plan has a word on.
        unplanned: figures of the log that it has none on.
        refusal: with what the start ends, where it fails for want of memory.
        notes: what to know, one sentence each.
        measured: what the start took beyond the estimates, where the log tells it.
        untold: how the weights are stored is not known: nothing that depends on it is compared.
        log: what was compared.
        told: what the log and who asked said of the start; None where the plan itself says it.
    """

    engine: str
    version: str | None
    plan: Plan
    log: Log
    rows: tuple[LogRow, ...]
    unplanned: tuple[LogRow, ...]
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    untold: bool = False
    told: Command | None = None

    @property
    def refused_as_planned(self) -> bool | None:
        """Whether the plan fails as well; None where the log ends with no refusal."""
        return None if self.refusal is None else self.plan.outcome is not Outcome.FITS

    @property
    def refused_alike(self) -> bool:
        """Whether the plan fails for the reason that the log gives, as far as both give one."""
        ours = self.plan.allocation.refusal if self.plan.allocation is not None else None
        cues = self.log.reader.refusals
        theirs = [cue for cue in cues if cue in (self.refusal or "")]
        planned = [cue for cue in cues if cue in (ours or "")]
        return not theirs or not planned or theirs == planned

    @property
    def agrees(self) -> bool:
        """No figure contradicts the plan, and no start fails that it calls safe."""
        figures = all(row.agrees is not False for row in self.rows)
        return figures and self.refused_as_planned is not False

    @property
    def rules_agree(self) -> bool:
        """No figure that is not an estimate contradicts the plan."""
        rules = (row for row in self.rows if row.basis is not Basis.ESTIMATE)
        return all(row.agrees is not False for row in rules)

    def to_dict(self) -> dict[str, Any]:
        """The check as plain data."""
        return {
            "engine": self.engine,
            "version": self.version,
            "planned_version": self.plan.engine_version,
            "agrees": self.agrees,
            "refusal": self.refusal,
            "refused_as_planned": self.refused_as_planned,
            "refused_alike": None if self.refusal is None else self.refused_alike,
            "rows": [row.to_dict() for row in self.rows],
            "unplanned": [row.to_dict() for row in self.unplanned],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What of a log matters: the last start of one engine.

    Attributes:
        engine: name of the engine that printed it.
        version: release that it names, if any.
        lines: lines with figures or arguments.
        cut: it was longer than is read.
        restarts: starts before the one that is looked at.
        assumed: its lines are PyTorch's, which several engines print, and none was named.
    """

    engine: str
    version: str | None
    lines: tuple[str, ...]
    cut: bool = False
    restarts: int = 0
    assumed: bool = False

    @property
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
    def refusal(self) -> str | None:
        """The last line with which a start failed for want of memory; None if none did."""
        cues = (*self.reader.refusals, *self.reader.shared_refusals)
        found = (line for line in reversed(self.lines) if any(cue in line for cue in cues))
        line = next(found, None)
        return None if line is None else without_secrets(line)

    @property
    def command(self) -> Command | None:
        """What the engine was told, as far as the log says; without a model if it names none.

        Raises:
            InputError: it was told something that is not planned.
        """
        return self.reader.command(self.lines)


def open_log(path: str, engine: str | None = None) -> Log:
    """The log in a file; ``-`` is standard input.

    Args:
        path: the file.
        engine: see `read_log`.

    Raises:
        InputError: no such file, not text, or no engine's log.
    """
    import sys

    if path == "-":
        return read_log(_text_lines(sys.stdin.buffer, "standard input"), engine)
    try:
        with Path(path).expanduser().open("rb") as file:
            return read_log(_text_lines(file, path), engine)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason})") from None


def _text_lines(file: BinaryIO, name: str) -> Iterator[str]:
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


def read_log(text: str | Iterable[str], engine: str | None = None) -> Log:
    """What matters of a log, read line by line and up to a bound.

    Args:
        text: the whole log, or its lines.
        engine: who printed it; None recognises it by its lines, and takes what only PyTorch prints for
            vLLM's.

    Raises:
        InputError: no engine is recognised in it, or none of that name prints one.
    """
    if engine is not None:
        engine = get_engine(engine).name
        if engine not in log_readers.readers():
            raise InputError(f"engine: {get_engine(engine).title} prints no log that is read")
    cues = frozenset(cue for reader in log_readers.readers().values() for cue in reader.cues)
    lines = io.StringIO(text) if isinstance(text, str) else text
    kept: list[str] = []
    length, cut = 0, False
    for line in lines:
        length += len(line)
        if length > MOST or len(kept) >= MOST_LINES:
            cut = True
            break
        if any(cue in line for cue in cues):
            kept.append(_COLOUR.sub("", line[:LONGEST_LINE]).strip())
    engine = engine or engine_of(kept)
    assumed = engine is None and any(cue in line for line in kept for cue in OUT_OF_MEMORY)
    if assumed:
        engine = next(
            name for name, reader in log_readers.readers().items() if reader.shared_refusals
        )
    if engine is None:
        raise InputError(
            f"log: no engine is recognised; start-up logs of {', '.join(log_readers.readers())} are read"
        )
    reader = log_readers.readers()[engine]
    chosen, restarts = _last_start(kept, reader)
    return Log(
        engine=engine,
        version=version_of(chosen, reader) or version_of(kept, reader),
        lines=tuple(chosen),
        cut=cut,
        restarts=restarts,
        assumed=assumed,
    )


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


UNTOLD = "the log does not tell how the weights are stored (name it with --precision)"


def check_log(plan: Plan, log: str | Iterable[str] | Log, *, untold: bool = False) -> LogCheck:
    """The log of an engine's start against the plan of it.

    Args:
        plan: what was started, as planned.
        log: the log's text, its lines, or what `read_log` made of it.
        untold: how the weights are stored is not known: what depends on it is not compared.

    Raises:
        InputError: no engine or another engine is recognised, the log prints no figure, or the plan
            cannot run.
    """
    found = log if isinstance(log, Log) else read_log(log)
    if found.engine != plan.engine:
        raise InputError(f"the log is {found.engine}'s, the plan is for {plan.engine}")
    if plan.allocation is None:
        raise InputError(f"there is nothing to compare the log with: {plan.verdict}")
    reader, deployment = found.reader, plan.deployment
    logged = read_figures(found.lines, reader.figures)
    if not logged and found.refusal is None:
        raise InputError("log: it prints no figure on memory; give the log of a whole start-up")
    refusal = (plan.allocation.refusal,) if plan.allocation.refusal else ()
    also = reader.also(deployment, plan.allocation)
    planned = read_figures((*plan.expected_log, *refusal, *also), reader.figures)
    bounds = reader.given_memory(deployment, logged)
    ends: tuple[Mapping[str, Reading], Mapping[str, Reading]] | None = None
    if bounds is not None:
        ends = read_figures(bounds.low, reader.figures), read_figures(bounds.high, reader.figures)
    soft = reader.soft(deployment) | (bounds.taken if bounds is not None else frozenset())
    order = {figure.name: place for place, figure in enumerate(reader.figures)}
    names = sorted(
        {*planned, *logged},
        key=lambda name: (order[(logged.get(name) or planned[name]).figure.name], name),
    )
    rows = rows_of(names, planned, logged, ends, plan.allocation, soft)
    if untold:
        of_weights = {figure.name for figure in reader.figures if figure.kinds == (Kind.WEIGHTS,)}
        rows = [
            replace(row, planned=None, agrees=None)
            if row.figure.partition(",")[0] in of_weights
            else row
            for row in rows
            if not row.figure.endswith(IN_ALL)
        ]
    printed = read_figures(plan.expected_log, reader.figures)
    missing = [name for name in names if name in printed and name not in logged]
    return LogCheck(
        engine=found.engine,
        version=found.version,
        plan=plan,
        log=found,
        rows=tuple(row for row in rows if row.planned is not None or row.agrees is False),
        unplanned=tuple(row for row in rows if row.planned is None and row.agrees is not False),
        refusal=found.refusal,
        notes=(
            *((f"{UNTOLD}: nothing that depends on it is compared",) if untold else ()),
            *_notes(found, plan, rows, missing),
        ),
        measured=None if untold else reader.beyond(deployment, plan.allocation, logged),
        untold=untold,
    )


def _explained(explains: Mapping[str, tuple[float, str]], rows: Iterable[LogRow]) -> Iterator[str]:
    """Yield what is behind the first figure that lies off the plan: the others follow from it."""
    for row in rows:
        name = row.figure.partition(",")[0]
        if name not in explains or row.planned is None:
            continue
        least, text = explains[name]
        less = row.planned[1] - row.logged
        signed = "{less" in text  # more than planned is nobody's doing
        if (less if signed else abs(less)) >= least:
            yield text.format(logged=row.logged, planned=row.planned[1], less=less)
            return


def _notes(log: Log, plan: Plan, rows: list[LogRow], missing: list[str]) -> Iterator[str]:
    if log.assumed:
        yield (
            f"the line is PyTorch's own, which several engines print: taken for {plan.engine_title}'s;"
            " --engine names another"
        )
    if log.restarts:
        yield f"the log holds {log.restarts + 1} starts; the last one with figures is compared"
    if log.cut:
        yield f"the log is longer than {MOST // 2**20} MiB; what comes after is not read"
    if log.version is None and hasattr(plan.deployment.options, "version"):
        yield f"the log names no release: the plan follows {plan.engine_version} (option version)"
    elif log.version is not None and not log.version.startswith(plan.engine_version):
        yield f"the log is of release {log.version}, the plan follows {plan.engine_version}"
    yield from _explained(log.reader.explains, rows)
    if missing:
        yield f"not in the log: {', '.join(missing)}"
    if all(row.agrees is None for row in rows) and log.refusal is None:
        yield "no figure of this log follows from rules alone: nothing could be contradicted"

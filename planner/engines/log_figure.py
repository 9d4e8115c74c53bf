"""Figures of an engine's start-up log: how each is printed, and what decides it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from types import MappingProxyType
from typing import Any

from hardware_db.records import frozen
from planner.engines.command import Command
from planner.engines.engine import Allocation, Deployment
from planner.engines.out_of_memory import OUT_OF_MEMORY_LACKS, SIZES
from planner.memory.breakdown import Kind
from planner.units import GIB, MIB


class Basis(Enum):
    """What a figure follows from; the value is the word that users read."""

    RULE = "engine rule"
    MEMORY = "given the logged memory"
    ESTIMATE = "estimate"
    ASKED = "what was asked"


OF_NOBODY = "17179869184.00 GiB memory in use"
"""What PyTorch says a process holds where the driver does not tell it: 2**64 bytes."""


class Merge(Enum):
    """Which of several lines counts."""

    FIRST = "first"
    LAST = "last"
    LEAST = "least"
    MOST = "most"
    SUM = "sum"


@frozen
class LogFigure:
    """One figure.

    Attributes:
        name: what it is, in words.
        cue: characters that a line must hold; spares most lines the pattern.
        patterns: regular expressions with a group "value" and perhaps a group "part" (a device),
            one per wording that releases have used; a group "unit" where the line chooses it.
        unit: of the value, as printed.
        basis: what it follows from.
        step: the value's last printed digit; finer where more digits are printed.
        merge: which of several lines counts.
        parts: makes a device's name as logged comparable; the identity by default.
        kinds: of an estimate: the terms of the plan whose bands bound it; None judges it never.
        slack: share of an estimate that lies beyond any term: what an allocator rounds up.
        whole: what lies on which device is free; the sum over them is judged.
        ranges: name of a part, as printed, whose value is a range that may hold other parts' bytes, too.
    """

    name: str
    cue: str
    patterns: tuple[str, ...]
    unit: str
    basis: Basis
    step: float = 1.0
    merge: Merge = Merge.LAST
    parts: Callable[[str], str] = str
    kinds: tuple[Kind, ...] | None = None
    slack: float = 0.0
    whole: bool = False
    ranges: str = ""


@frozen
class Reading:
    """A figure as one log prints it.

    Attributes:
        figure: which one.
        part: of which device, if it is printed per device.
        value: the number.
        step: its last printed digit.
        at_most: no more than that lies there: it is a range that may hold other parts' bytes, too.
    """

    figure: LogFigure
    value: float
    step: float
    part: str = ""
    at_most: bool = False

    @property
    def name(self) -> str:
        """The figure's name, with its device."""
        return f"{self.figure.name}, {self.part}" if self.part else self.figure.name


@frozen
class Bounds:
    """What an engine would print if memory were at either end of what a log's digits allow.

    Attributes:
        low: lines for the least memory.
        high: lines for the most.
        taken: figures that were taken from the log itself, so that they prove nothing.
    """

    low: tuple[str, ...]
    high: tuple[str, ...]
    taken: frozenset[str] = frozenset()


@frozen
class Measured:
    """What a start took beyond the estimates.

    Attributes:
        difference: bytes per accelerator that everything but the cache took beyond the plan.
        cache_gib: what was left for the cache, as printed.
        fixed_by: words that give the next start the same cache without measuring it again.
        loading: the part of `difference` that loading took, where the log tells it apart.
    """

    difference: int
    cache_gib: float
    fixed_by: tuple[str, ...] = ()
    loading: int = 0


@frozen
class Suggestion:
    """What to change after a start has failed, as its last line tells it.

    Attributes:
        words: in words.
        within: options with which the engine asks for no more than the line says was free; empty where
            the line does not complain of what others hold.
        tries: options with which it should start, to be planned before they are told.
    """

    words: str
    within: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tries: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@frozen
class Stage:
    """A part of a start in which memory may run out, as the traceback tells it.

    Attributes:
        cues: characters of the lines that name it.
        words: what the server did, as a clause.
        helps: what asks for less there.
        loads: it puts weights into memory: no share of the GPU helps.
        fills: it reserves the cache: all of it, and not what the line names, is what lacks room.
    """

    cues: tuple[str, ...]
    words: str
    helps: str
    loads: bool = False
    fills: bool = False


Suggests = Mapping[str, str | Callable[[Mapping[str, str]], Suggestion]]
"""Pattern of a line -> what to change: text with the pattern's groups, or a function of them."""


@frozen
class LoggedWeights:
    """What a log tells of how the weights are stored.

    Attributes:
        file: name of the file, if it is told.
        scheme: what the file says it is of (``Q4_K_S``), if it is told.
        nbytes: the least and the most that its tensors take, as the printed digits allow.
    """

    file: str | None = None
    scheme: str | None = None
    nbytes: tuple[int, int] | None = None


@frozen
class LogReader:
    """How one engine's start-up log is read.

    Attributes:
        marks: characters that only this engine prints.
        starts: characters of a line that begins a new start; empty where none is known.
        devices: patterns with a group "name" that match once per accelerator in use; the first that
            matches at all counts.
        version: patterns with a group "version".
        figures: what is read.
        command: what the engine was told, from the arguments that it prints, else as far as other
            lines tell (its model is None then); None if nothing does.
        also: further lines that tell a plan's figures, beyond those that a start prints.
        given_memory: the lines for the memory that the log states, for figures that follow from
            it; None where the log states none.
        soft: names of figures that are estimates for this deployment, whatever their basis.
        refusals: characters of lines with which a start ends that fails for want of memory.
        shared_refusals: likewise, in words that other programs have as well: they tell no engine.
        host_refusals: those of `refusals` that complain of RAM.
        begun: names of figures that are printed before weights are loaded.
        kept: characters of further lines worth keeping, which other programs may print, too.
        weights: how the weights are stored, where a log tells it apart from the model's name.
        objections: characters of lines with which a start ends for another reason than memory.
        suggests: what to change after such a line or a refusal, as the line tells it.
        stages: parts of a start that a traceback names.
        lacks: patterns with groups "wanted" and "unit" that tell what was asked for in vain; "free", and
            "left", its unit, where the line says how much there was.
        share: the option that bounds what the server takes of a GPU; empty where none does.
        running: options that hold for every server that somebody starts by a command of his own: it
            is judged as it is, and nothing is chosen for it.
        beyond: what the start took beyond the estimates of a plan, where the log tells it and the
            engine's plans can be corrected by it.
        fields: names of a reference case -> the figures whose sum they hold; a name that ends with
            a comma takes the figure of every device, by device. What has no name keeps its own.
        releases: the first release of every set of rules that is known, the newest first.
        explains: figure -> by how much, in its unit, it must lie off the plan for what is behind it to
            be told; as text with {logged}, {planned} and {less} (planned less logged).
    """

    marks: tuple[str, ...]
    version: tuple[str, ...]
    figures: tuple[LogFigure, ...]
    starts: str = ""
    devices: tuple[str, ...] = ()
    command: Callable[[Sequence[str]], Command | None]
    also: Callable[[Deployment, Allocation], Iterable[str]]
    given_memory: Callable[[Deployment, Mapping[str, Reading]], Bounds | None]
    soft: Callable[[Deployment], frozenset[str]] = field(default=lambda _: frozenset())
    refusals: tuple[str, ...] = ()
    shared_refusals: tuple[str, ...] = ()
    host_refusals: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    weights: Callable[[Sequence[str]], LoggedWeights] | None = None
    objections: tuple[str, ...] = ()
    suggests: Suggests = field(default_factory=lambda: MappingProxyType({}))
    stages: tuple[Stage, ...] = ()
    lacks: tuple[str, ...] = OUT_OF_MEMORY_LACKS
    share: str = ""
    running: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    beyond: Callable[[Deployment, Allocation, Mapping[str, Reading]], Measured | None] = field(
        default=lambda *_: None
    )
    releases: Callable[[], tuple[str, ...]] = field(default=tuple)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    explains: Mapping[str, tuple[float, str]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def cues(self) -> frozenset[str]:
        """Characters of lines worth keeping."""
        figures = (figure.cue for figure in self.figures)
        words = {*self.marks, *self.refusals, *self.shared_refusals, *self.kept, *figures}
        words.update(self.objections)
        words.update(cue for stage in self.stages for cue in stage.cues)
        return frozenset(words | ({self.starts} if self.starts else set()))


_DECIMALS = re.compile(r"\.(\d+)")

LONGEST_LINE = 8192
"""Characters of a line in which figures are looked for."""

LARGEST = 10.0**13
"""No figure of a real log is larger: what is, was no number of this kind."""


def read_figures(lines: Iterable[str], figures: Sequence[LogFigure]) -> dict[str, Reading]:
    """Every figure that `lines` print, by name."""
    compiled = [
        (figure, [re.compile(pattern) for pattern in figure.patterns]) for figure in figures
    ]
    found: dict[str, Reading] = {}
    seen: set[tuple[str, str]] = set()
    for whole in lines:
        line = whole[:LONGEST_LINE]
        for figure, patterns in compiled:
            if figure.cue not in line:
                continue
            for pattern in patterns:
                for match in pattern.finditer(line):
                    reading = _reading(figure, match)
                    if reading is None:
                        continue
                    if figure.merge is Merge.SUM:
                        # several processes print the same line
                        key = (reading.name, match.group())
                        if key in seen:
                            continue
                        seen.add(key)
                    before = found.get(reading.name)
                    found[reading.name] = reading if before is None else _merged(before, reading)
    return found


def _reading(figure: LogFigure, match: re.Match[str]) -> Reading | None:
    """The number that was matched; None if it is none."""
    groups = match.groupdict()
    text = groups["value"].replace(",", "")
    try:
        value = float(text)
    except ValueError:
        return None
    if not abs(value) < LARGEST:
        return None
    decimals = _DECIMALS.search(text)
    printed = 10.0 ** -len(decimals[1]) if decimals else 1.0
    step = min(figure.step, printed) if decimals else figure.step
    if unit := groups.get("unit"):
        scale = SIZES[unit] / SIZES[figure.unit]
        value, step = value * scale, printed * scale
    return Reading(
        figure=figure,
        value=value,
        step=step,
        part=figure.parts(groups.get("part") or "") if groups.get("part") else "",
        at_most=bool(figure.ranges) and groups.get("part") == figure.ranges,
    )


def _merged(before: Reading, now: Reading) -> Reading:
    merge = now.figure.merge
    if merge is Merge.FIRST:
        return before
    if merge is Merge.LEAST:
        return min(before, now, key=lambda reading: reading.value)
    if merge is Merge.MOST:
        return max(before, now, key=lambda reading: reading.value)
    if merge is Merge.SUM:
        return Reading(
            figure=now.figure,
            value=before.value + now.value,
            step=before.step + now.step,
            part=now.part,
            at_most=before.at_most or now.at_most,
        )
    return now


def estimate_band(
    figure: LogFigure, planned: float, allocation: Allocation
) -> tuple[float, float] | None:
    """Return how far below and above what was planned an estimate may lie, in the figure's unit.

    None: it is not judged.

    Of several ranks the widest counts: a log does not say which of them printed a line.
    """
    if figure.kinds is None:
        return None
    unit = {"GiB": GIB, "MiB": MIB}[figure.unit]
    rounded = abs(planned) * figure.slack
    bands = [
        [term.band for term in rank.terms if term.band and term.kind in figure.kinds]
        for rank in allocation.ranks
    ]
    return (
        rounded + max(sum(band.below for band in rank) for rank in bands) / unit,
        rounded + max(sum(band.above for band in rank) for rank in bands) / unit,
    )

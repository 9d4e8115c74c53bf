"""An engine's start-up log against a plan, figure by figure.

Plan and log are read by the same patterns: what the engine would print, and what it printed.
Figures that follow from the engine's rules must agree to the last printed digit; those that follow
from memory are worked out again from the memory that the log states; the rest are estimates, which
must lie within their band where the plan gives one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hardware_db.records import frozen
from planner.engines import get_engine
from planner.engines.command import Command
from planner.engines.log_figure import (
    OF_NOBODY,
    Basis,
    Measured,
    Reading,
    read_figures,
)
from planner.engines.log_row import IN_ALL, RANGE, LogRow, rows_of
from planner.errors import InputError
from planner.log_text import MOST, MOST_LINES, MOST_QUOTED
from planner.log_text import Log as Log
from planner.log_text import open_log as open_log
from planner.log_text import read_log as read_log
from planner.memory.breakdown import Kind, Rank
from planner.planning import Outcome, Plan, device_rank
from planner.units import GIB, MIB, format_gib, format_tokens

FAR_OFF = 2.0
"""Times an estimate without a band from which on a log is said to be far off."""

FAR_BYTES = 256 * MIB
"""Bytes that it must be off as well."""


@frozen
class LogCheck:
    """A log against a plan.

    Attributes:
        engine: name of the engine.
        version: release that the log names, if any.
        plan: what it was compared with.
        rows: figures that the plan has a word on.
        unplanned: figures of the log that it has none on.
        refusal: with what the start ends, where it fails for want of memory.
        objection: likewise, where it fails for another reason.
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
    objection: str | None = None
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    untold: bool = False
    told: Command | None = None

    @property
    def refused_as_planned(self) -> bool | None:
        """Whether the plan fails as well; None where the log ends with no refusal.

        What asks for more than was free is refused on any plan. A plan whose server starts, and holds
        shorter requests alone, does not fail.
        """
        if self.refusal is None:
            return None
        return bool(self.within) or (
            self.plan.outcome is not Outcome.FITS and not self.starts_shorter
        )

    @property
    def within(self) -> Mapping[str, Any]:
        """Options with which the server asks for no more than was free; empty where that is not why."""
        said = self.log.suggestion if self.refusal is not None else None
        return said.within if said is not None else {}

    @property
    def starts_shorter(self) -> bool:
        """The planned server starts, and holds shorter requests than are asked for."""
        allocation = self.plan.allocation
        return allocation is not None and allocation.starts_shorter

    @property
    def planned_words(self) -> str:
        """What the plan says of a start that fails, as a clause."""
        if self.within:
            return "as any does that asks for more than is free"
        if self.starts_shorter:
            longest = format_tokens(self.plan.longest_context)
            return f"the plan starts and holds requests of up to {longest} tokens"
        return {
            Outcome.FITS: "the plan starts",
            Outcome.TIGHT: "the plan calls it tight",
            Outcome.HOLDS_FEWER: "the plan holds fewer requests",
        }.get(self.plan.outcome, "so does the plan")

    @property
    def refused_alike(self) -> bool:
        """Whether the plan fails for the reason that the log gives, as far as both give one."""
        ours = self.plan.allocation.refusal if self.plan.allocation is not None else None
        cues = self.log.reader.refusals
        theirs = [cue for cue in cues if cue in (self.refusal or "")]
        planned = [cue for cue in cues if cue in (ours or "")]
        return bool(self.within) or not theirs or not planned or not set(theirs).isdisjoint(planned)

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
        return _document(
            self.log,
            engine=self.engine,
            planned_version=self.plan.engine_version,
            agrees=self.agrees,
            refused_as_planned=self.refused_as_planned,
            refused_alike=None if self.refusal is None else self.refused_alike,
            rows=[row.to_dict() for row in self.rows],
            unplanned=[row.to_dict() for row in self.unplanned],
            notes=list(self.notes),
        )


def unchecked(log: Log | None, error: str) -> dict[str, Any]:
    """Return a log that was not compared as plain data, in the form of `LogCheck.to_dict`.

    Args:
        log: what was read; None where nothing was.
        error: why it was not compared.
    """
    figures = () if log is None else log.figures.items()
    logged = (
        LogRow(
            figure=name,
            unit=reading.figure.unit,
            planned=None,
            logged=reading.value,
            basis=reading.figure.basis,
            agrees=None,
        )
        for name, reading in figures
    )
    return _document(
        log,
        engine=None if log is None or log.assumed else log.engine,
        unplanned=[row.to_dict() for row in logged],
        error=error,
    )


def _document(log: Log | None, **told: Any) -> dict[str, Any]:
    """What a log says by itself as plain data, and what was told of its plan; the rest is empty."""
    return {
        "engine": None,
        "version": None if log is None else log.version,
        "planned_version": None,
        "agrees": None,
        "refusal": None if log is None else log.refusal,
        "objection": None if log is None else log.objection,
        "suggestion": None if log is None else _suggested(log),
        "refused_as_planned": None,
        "refused_alike": None,
        "rows": [],
        "unplanned": [],
        "notes": [],
        "error": None,
    } | told


def _suggested(log: Log) -> str | None:
    return None if log.suggestion is None else log.suggestion.words


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
        raise InputError(
            f"the log is {get_engine(found.engine).title}'s, the plan is for {plan.engine_title}"
        )
    if plan.allocation is None:
        ended = found.refusal or found.objection
        said = f" (it ends with: {ended[:MOST_QUOTED]})" if ended is not None else ""
        raise InputError(f"there is nothing to compare the log with{said}: {plan.verdict}")
    reader, deployment = found.reader, plan.deployment
    logged = found.figures
    if found.tells_nothing:
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
        objection=found.objection,
        notes=(
            *((f"{UNTOLD}: nothing that depends on it is compared",) if untold else ()),
            *_past_loading(plan, logged),
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


def _far_off(rows: Iterable[LogRow]) -> Iterator[str]:
    """Yield estimates of what takes memory, or follows from it, that are far off and have no band."""
    for row in rows:
        if row.basis is not Basis.ESTIMATE or row.planned is None or row.agrees is not None:
            continue
        if row.note == RANGE:
            continue
        least, most = row.planned
        counted = row.unit in ("tokens", "blocks", "slots", "x")
        least_bytes = {"MiB": FAR_BYTES / MIB, "GiB": FAR_BYTES / GIB}.get(row.unit, 0.0)
        more = (row.unit in ("MiB", "GiB") or counted) and row.logged - most >= least_bytes
        if (more and row.logged >= FAR_OFF * most > 0) or (
            counted and 0 < FAR_OFF * row.logged <= least
        ):
            yield (
                f"{row.figure}: {row.logged / most:.3g} times what was planned; no band is known for"
                " this estimate, so that it is not judged (another model or machine looks like that)"
            )


def placed_otherwise(log: Log, plan: Plan) -> bool:
    """Say whether more was asked for in one piece than any part of the plan takes; a log rounds."""
    largest = max(max(_pieces(rank)) for rank in plan.ranks) + MIB
    return not log.is_pytorchs and log.lacked is not None and log.lacked[0] > largest


def _pieces(rank: Rank) -> tuple[int, ...]:
    """Return the most that may be asked for in one piece; weights are one, whatever they are of."""
    terms = [(term, term.nbytes + (term.band.above if term.band else 0)) for term in rank.terms]
    return sum(n for term, n in terms if term.kind is Kind.WEIGHTS), *(n for _, n in terms)


def _unforeseen(log: Log, plan: Plan, rows: Iterable[LogRow]) -> str:
    """Return how a plan that fits and a start that fails differ, and what may be behind it."""
    wanted = log.lacked[0] if log.lacked is not None else 0
    if log.wants_ram:
        ram = f"; the plan needs {format_gib(plan.ram)} of RAM" if plan.ram else ""
        return f"RAM ran out, not the GPU{ram}: --ram SIZE plans with what is there"
    if placed_otherwise(log, plan):
        return (
            f"plan and log differ: the start asked for {format_gib(wanted)} in one piece, and the plan puts"
            " no such piece on a GPU: it was told to place the model otherwise"
        )
    spare = format_gib(max(0, device_rank(plan).headroom))
    for row in rows:
        if row.figure == "weights" and row.agrees is False and row.unit == "GiB":
            most = row.planned[1] if row.planned is not None else row.logged
            if row.logged > most:
                return (
                    f"plan and log differ: the weights took {row.logged - most:.1f} GiB more than planned,"
                    f" and the plan has {spare} to spare: other weights were loaded, or more of them onto the"
                    " GPU, than are planned here"
                )
    told = log.lacked is not None and log.lacked[1] is not None and log.missing
    short = f", {format_gib(log.missing)} short" if told else ""
    causes = ["other programs on the GPU", "flags or weights that the log does not tell"]
    if any(OF_NOBODY in line for line in log.lines):
        causes[0] += " (the driver does not tell whose memory it is, as under WSL2)"
    if not log.was_loading and (log.stage is None or not log.stage.fills):
        causes.append("requests that were longer or more than planned")
    return (
        f"plan and log differ: the plan has {spare} to spare, and the start failed{short}."
        f" What may be behind it: {', '.join(causes[:-1])} or {causes[-1]}"
    )


def _past_loading(plan: Plan, logged: Mapping[str, Reading]) -> Iterator[str]:
    """Yield that weights were loaded for which the plan has no room, where the log goes on to the cache."""
    rank = plan.ranks[0]
    weights = rank.of_kind(Kind.WEIGHTS)
    figures = {reading.figure for reading in logged.values()}
    at_cache = any(
        figure.basis is not Basis.ESTIMATE and figure.kinds != (Kind.WEIGHTS,) for figure in figures
    )
    if weights > rank.total and at_cache:
        yield (
            f"the log goes on to the cache: the weights were loaded, and those planned"
            f" ({weights / GIB:.1f} GiB) are more than the GPU has: name those that were started, by"
            " their repository, with --precision, or with the flags that keep some in RAM"
        )


def _notes(log: Log, plan: Plan, rows: list[LogRow], missing: list[str]) -> Iterator[str]:
    yield from log.unread
    yield from _far_off(rows)
    if log.assumed:
        yield (
            f"the line is PyTorch's own, which several engines print: taken for {plan.engine_title}'s;"
            " --engine names another"
        )
    if log.restarts:
        yield f"the log holds {log.restarts + 1} starts; the last one with figures is compared"
    if log.cut:
        yield (
            f"the log is longer than is read ({MOST // 2**20} MiB, or {MOST_LINES:,} lines that tell"
            " something): what comes after is not read"
        )
    if log.version is None and hasattr(plan.deployment.options, "version"):
        yield f"the log names no release: the plan follows {plan.release} (option version)"
    elif log.version is not None and not log.version.startswith(plan.engine_version):
        yield f"the log is of release {log.version}, the plan follows {plan.release}"
    explained = tuple(_explained(log.reader.explains, rows))
    yield from explained
    said = log.suggestion
    named = said is not None and (said.within or said.tries)
    if log.refusal is not None and plan.fits and not named and not explained:
        yield _unforeseen(log, plan, rows)
        if any(row.agrees is False for row in rows):
            yield "figures of this log contradict the plan: a change that it calls enough may not be"
    if log.refusal is not None and said is not None and said.within:
        yield said.words
    if missing and log.objection is None:
        yield f"not in the log: {', '.join(missing)}"
    if all(row.agrees is None for row in rows) and log.refusal is None is log.objection:
        yield "no figure of this log follows from rules alone: nothing could be contradicted"

"""A start-up log that a visitor pastes: read without secrets, compared without disk or Hub.

Worker processes import this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterator

from hardware_db import System
from hardware_db.records import frozen
from planner.engines import get_engine
from planner.engines.log_figure import Basis
from planner.engines.log_readers import readers
from planner.engines.log_row import LogRow
from planner.errors import InputError, PlannerError
from planner.logged_weights import logged_checkpoint
from planner.logs import Log, LogCheck, read_log
from planner.model.checkpoint import Checkpoint
from planner.model.path_names import named_by_path
from planner.observed import check_log
from planner.registry import checkpoint_of, find
from planner.registry.bundled import bundled_checkpoint
from planner.secrets import without_secrets
from planner.systems import system_of_drivers
from planner.units import capital, counted

LONGEST = 2_000_000
"""Characters of a pasted log."""


@frozen
class Checked:
    """A pasted log with what it was compared with.

    Attributes:
        check: figure by figure.
        notes: what was assumed because the log does not say it.
    """

    check: LogCheck
    notes: tuple[str, ...]


@frozen
class Ended:
    """A start that failed, where the log and the page do not tell what was started.

    Attributes:
        title: the engine, in words.
        line: with what it ended.
        helps: what would help, as a clause; empty where it is not known.
        memory: it was for want of GPU memory.
    """

    title: str
    line: str
    helps: str
    memory: bool


def checked(
    text: str, *, system: System | None, checkpoint: Checkpoint | None, engine: str | None = None
) -> Checked | Ended:
    """Return a pasted log against the plan of its start, or how the start ended.

    The engine of the log counts, whatever the page's is: weights that it does not load were not what
    it was started with.

    Args:
        text: the log.
        system: the machine of the page, where the log names none.
        checkpoint: the page's weights, where the log names none that are known.
        engine: the page's engine, where the log has only lines that several print.

    Raises:
        PlannerError: one line that says what is missing.
    """
    plain = without_secrets(text[:LONGEST])
    log = read_log(plain)
    if log.assumed and engine is not None and engine != log.engine:
        known = readers()
        several = [
            get_engine(name).title for name, reader in known.items() if reader.shared_refusals
        ]
        if engine not in known or not known[engine].shared_refusals:
            raise InputError(
                f"these lines are PyTorch's, as {', '.join(several[:-1])} and {several[-1]} print them, and the answer"
                f" above is for {get_engine(engine).title}: choose the engine that was started under"
                " With, and the model; or paste its log from the first line on, which names both"
            )
        log = read_log(plain, engine)
    notes: list[str] = []
    on = _system(log, system, notes)
    if on is None:
        raise InputError("the log does not name the machine: choose one above")
    weights = _checkpoint(log, checkpoint, notes)
    try:
        return Checked(check=check_log(None, log, on=on, model=weights), notes=tuple(notes))
    except PlannerError as error:
        ended = _ended(log)
        if ended is not None:
            return ended
        if log.command is None or log.command.model is None:
            raise InputError(
                "the log names no model: choose above what was started, with its engine. What is chosen"
                f" now does not go with the log: {error}"
            ) from error
        raise


def _ended(log: Log) -> Ended | None:
    """How a start failed that names no model; None where it did not, or names one."""
    line = log.refusal or log.objection
    if line is None or (log.command is not None and log.command.model is not None):
        return None
    helps = log.suggestion.words if log.suggestion is not None else ""
    title = get_engine(log.engine).title
    return Ended(title=title, line=line, helps=helps, memory=log.refusal is not None)


def _system(log: Log, system: System | None, notes: list[str]) -> System | None:
    """The machine that the log names; else the page's."""
    if log.hardware is not None:
        try:
            return system_of_drivers(log.hardware, log.free)
        except PlannerError as error:
            notes.append(f"The machine of the log, {log.hardware}, is not clear: {error}.")
    if system is not None:
        notes.append(f"Compared on the page's machine, {system.short_name}.")
    return system


def _checkpoint(log: Log, checkpoint: Checkpoint | None, notes: list[str]) -> Checkpoint | None:
    """The weights that the log names; else the page's."""
    told = log.command
    name = told.model if told is not None else None
    if name is None:
        if checkpoint is not None:
            notes.append(f"The log names no model: compared with the page's, {checkpoint.id}.")
        return checkpoint
    stored = logged_checkpoint(log, name)
    if stored is not None and stored.checkpoint is not None:
        return stored.checkpoint
    if stored is not None and checkpoint is not None:
        notes.append(
            f"The log does not tell how the weights are stored: compared with the page's, {checkpoint.id}."
        )
        return checkpoint
    for candidate, precision in _names(name, told.precision if told is not None else None):
        entry = find(candidate)
        try:
            if entry is not None and precision is None:
                return checkpoint_of(entry)
            return bundled_checkpoint(candidate, precision=precision)
        except PlannerError:
            continue
    if checkpoint is not None:
        notes.append(f"{name} is not known here: compared with the page's model, {checkpoint.id}.")
    return checkpoint


def _names(name: str, precision: str | None) -> Iterator[tuple[str, str | None]]:
    """What the model of a log may be called: as it stands, its file, its folder, its Hub cache."""
    plain = name.replace("\\", "/").rstrip("/")
    yield name, precision
    yield plain.rpartition("/")[2], precision
    told = named_by_path(plain)
    if told is not None:
        yield told[0], precision or told[1]


def verdict(check: LogCheck) -> tuple[bool, str]:
    """Return whether the log agrees with the plan, and the answer in one sentence."""
    rules = [row for row in check.rows if row.basis is not Basis.ESTIMATE]
    wrong = sum(row.agrees is False for row in rules)
    right = sum(row.agrees is True for row in rules)
    outside = sum(row.agrees is False for row in check.rows) - wrong
    if wrong:
        text = f"{wrong} of {counted(wrong + right, 'figure')} contradict{'s' * (wrong == 1)} the plan."
    elif right:
        text = (
            f"All {right} figures that follow from the engine's rules agree."
            if right > 1
            else "The figure that follows from the engine's rules agrees."
        )
    else:
        text = "Nothing in this log could contradict the plan: paste its lines on memory, too."
    if outside:
        text += f" {outside} estimate{'s lie' if outside > 1 else ' lies'} outside the plan's band."
    if check.refusal is not None or check.objection is not None:
        text = "" if text.startswith("Nothing") else f"{text} "
    if check.refusal is not None:
        same = check.planned_words if check.refused_alike else "the plan, too, for another reason"
        text += f"The start fails; {same if check.refused_as_planned else 'the plan starts'}."
        if check.log.suggestion is not None:
            text += f" {capital(check.log.suggestion.words)}."
    if check.objection is not None:
        said = check.log.suggestion
        text += "The start fails, not for want of GPU memory"
        text += f": {said.words}." if said is not None else "."
    return check.agrees, text


def table(rows: tuple[LogRow, ...]) -> list[dict[str, str]]:
    """Return figures as lines of a table, what contradicts the plan first."""
    order = {False: 0, True: 1, None: 2}
    marks = {True: "✔", False: "✘", None: ""}
    return [
        {
            "": marks[row.agrees],
            "Figure": row.figure,
            "Planned": _planned(row),
            "In the log": _number(row.logged, row.unit),
            "Difference": _difference(row),
            "Follows from": row.basis.value + (f": {row.note}" if row.note else ""),
        }
        for row in sorted(rows, key=lambda row: order[row.agrees])
    ]


def _planned(row: LogRow) -> str:
    if row.planned is None:
        return ""
    least, most = row.planned
    if least == most:
        return _number(most, row.unit)
    return f"{_number(least, '')}–{_number(most, row.unit)}"


def _difference(row: LogRow) -> str:
    if not row.difference:
        return "" if row.difference is None else "0"
    return f"{'+' if row.difference > 0 else '−'}{_number(abs(row.difference), row.unit)}"


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
    return f"{text} {unit}".strip()

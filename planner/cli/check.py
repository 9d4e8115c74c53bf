"""`qwenplan check`: an engine's start-up log against the plan, figure by figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import reports, terminal
from planner.cli.asking import Typed, asks
from planner.errors import InputError, PlannerError
from planner.units import capital

if TYPE_CHECKING:
    from planner.engines.log_row import LogRow
    from planner.logs import Log, LogCheck

WIDEST = 34
SIGNS = {True: "✔", False: "✘", None: " "}


@asks(
    on=False,
    model=False,
    hardware="Hardware, where the log does not name it.",
    leave_out=("revision", "concurrency", "dcp"),
)
def check(
    asked: Typed,
    log: Annotated[str, typer.Argument(metavar="LOG", help="The log's file; - reads stdin.")] = "",
    command: Annotated[
        str | None,
        typer.Option("--command", metavar="TEXT", help="What was typed to start the server."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    learn: Annotated[
        bool, typer.Option("--learn", help="Keep what this start took: later plans use it.")
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Drop what was learned.")] = False,
    report: Annotated[
        str, typer.Option(metavar="FILE", help="Write an anonymous case to attach to an issue.")
    ] = "",
) -> int:
    """LOG of a server's start against the plan of it, figure by figure, and what to change.

    Read are vLLM, SGLang, llama.cpp (Ollama and LM Studio with it), KTransformers and MLX, whole
    logs or a few lines.

    What the server was told is read from the log where it prints it; MODEL and flags, spelled as
    for `plan`, come before that. Exit status 3: a figure contradicts the plan.
    """
    if forget:
        from planner import learning

        count = learning.forget()
        _say(f"Forgot {count} start{'' if count == 1 else 's'}.", as_json)
        if not log:
            return 0
    from planner import observed

    place = reports.place_for(report)
    answer = _compared(asked, log, command, as_json)
    if as_json:
        changes = [
            {"change": change.words, "enough": change.enough, "command": change.command}
            for change in observed.remedies(answer)
        ]
        typer.echo(json.dumps(answer.to_dict() | {"remedies": changes}, indent=2, default=str))
    else:
        terminal.show("\n".join([*_table(answer), *_remedies(answer)]))
    if place is not None:
        from planner.anonymous import case_of, cases_document

        reports.write(place, cases_document([case_of(answer)]))
        _say(f"Wrote {report}: read it, then attach it to an issue.", as_json)
    if learn:
        lesson = observed.learn(answer)
        if lesson is None:
            _say("Nothing needs to be learned: every figure lies within what was planned.", as_json)
        else:
            _say(f"{capital(lesson.words)}.", as_json)
            title = answer.plan.engine_title
            _say(f"It counts for plans under {title} {lesson.release} alone.", as_json)
        started = answer.refusal is None
        if started and answer.measured is not None and answer.measured.fixed_by:
            words = " ".join(answer.measured.fixed_by)
            _say(f"The same cache again, without measuring it: {words}", as_json)
    return 0 if answer.agrees else 3


def _compared(asked: Typed, log: str, command: str | None, as_json: bool) -> LogCheck:
    """Return the log against its plan; one that cannot be compared is printed as a document, too.

    Raises:
        PlannerError: why it cannot be compared.
    """
    from planner import logs

    found: Log | None = None
    try:
        found = _read(asked, log, command)
        return _against_plan(asked, found, command)
    except PlannerError as error:
        if as_json:
            document = logs.unchecked(found, str(error)) | {"remedies": []}
            typer.echo(json.dumps(document, indent=2, default=str))
        raise


def _read(asked: Typed, log: str, command: str | None) -> Log:
    from planner import logs
    from planner.engines import commands

    if not log:
        raise InputError("no LOG: name the log's file, or - for standard input")
    likely = None if command is None else commands.read_command(command)[0]
    return logs.open_log(log, asked.said["engine"], likely=likely)


def _against_plan(asked: Typed, found: Log, command: str | None) -> LogCheck:
    from planner import observed
    from planner.engines import commands

    told = commands.read_words(found.engine, asked.words)
    if told.kept:
        raise InputError(f"{told.kept[0]}: {found.engine} has no such option")
    with terminal.progress() as progress:
        return observed.check_log(
            None,
            found,
            on=asked.on,
            command=command,
            model=asked.model or told.model,
            precision=asked.said["precision"],
            context=asked.said["context"] or told.context,
            kv_cache_dtype=asked.said["kv_cache_dtype"] or told.kv_cache_dtype,
            layout=asked.layout or told.layout,
            options=told.options,
            yarn=asked.said["yarn"] or told.yarn,
            free=asked.said["free"],
            progress=progress,
        )


def _say(line: str, as_json: bool) -> None:
    """Print a line; beside a JSON document it goes to standard error."""
    typer.echo(line, err=as_json)


def _table(answer: LogCheck) -> Iterator[str]:
    from planner.engines.log_figure import Basis
    from planner.planning import Outcome

    plan = answer.plan
    rules = [row for row in answer.rows if row.basis is not Basis.ESTIMATE]
    wrong = sum(row.agrees is False for row in rules)
    right = sum(row.agrees is True for row in rules)
    outside = sum(row.agrees is False for row in answer.rows) - wrong
    title = plan.server
    if wrong and wrong + right == 1:
        yield f"✘ The one figure that follows from the engine's rules contradicts the plan ({title})"
    elif wrong:
        yield f"✘ {wrong} of {wrong + right} figures contradict the plan ({title})"
    elif right:
        agree = f"All {right} figures that follow" if right > 1 else "The one figure that follows"
        agree += " from the engine's rules " + ("agree" if right > 1 else "agrees")
        yield f"✔ {agree} ({title})"
    elif not outside and answer.refusal is None is answer.objection:
        yield f"Nothing in this log could contradict the plan ({title})"
    if outside:
        yield f"✘ {outside} estimate{'s lie' if outside > 1 else ' lies'} outside the plan's band"
    if answer.refusal is not None and answer.refused_as_planned and not answer.refused_alike:
        yield f"! The start fails: {answer.refusal}"
        yield f"  The plan fails, too, but for another reason: {plan.verdict}"
    elif answer.refusal is not None:
        warned = plan.outcome is Outcome.TIGHT or answer.within
        sign = "!" if warned else SIGNS[answer.refused_as_planned]
        yield f"{sign} The start fails, {answer.planned_words}: {answer.refusal}"
        empty = "On an empty machine: " if answer.within else ""
        yield f"  {empty}{plan.verdict}"
        yield from _suggested(answer)
    if answer.objection is not None:
        yield f"! The start fails, not for want of GPU memory: {answer.objection}"
        yield from _suggested(answer)
        yield f"  As for memory: {plan.verdict}"
    yield ""
    deployment = plan.deployment
    scheme = "not told how stored" if answer.untold else deployment.checkpoint.scheme.title
    yield f"Model     {deployment.checkpoint.id} ({scheme})"
    yield f"Hardware  {deployment.system.name}, {deployment.layout}"
    yield f"Context   {deployment.context:,} tokens, KV cache {deployment.kv_cache_dtype}"
    if plan.written is not None and not answer.untold:
        yield f"Command   {plan.written.command}"
    if answer.rows:
        yield ""
        yield f"  {'figure':{WIDEST}} {'planned':>22} {'logged':>14} {'difference':>12}  follows from"
    for row in answer.rows:
        yield row_line(row)
    if answer.unplanned:
        yield ""
        yield "Also in the log, without a word from the plan:"
        for row in answer.unplanned:
            yield f"  {row.figure:{WIDEST}} {'':22} {number(row.logged, row.unit):>14}"
    of_weights = plan.deployment.checkpoint.remarks if answer.untold else ()
    notes = (*answer.notes, *(note for note in plan.warnings if note not in of_weights))
    if notes:
        yield ""
        yield from (f"! {note}" for note in notes)


def _suggested(answer: LogCheck) -> Iterator[str]:
    """Yield what the line with which the start fails says would help."""
    if answer.log.suggestion is not None:
        yield f"  {capital(answer.log.suggestion.words)}."


def _remedies(answer: LogCheck) -> Iterator[str]:
    """Yield what to change where the start fails or holds too little, each planned anew."""
    from planner import observed
    from planner.report.advice import advice_lines

    lines = list(advice_lines(observed.remedies(answer)))
    if lines:
        yield ""
        yield from lines


def row_line(row: LogRow) -> str:
    """Return a figure as a line of the table: planned, what the log says, the difference."""
    planned, difference = "", ""
    if row.planned is not None and row.difference is not None:
        least, most = row.planned
        planned = number(most, row.unit)
        if least != most:
            planned = f"{_plain(least, row.unit)} .. {planned}"
        difference = f"{row.difference:+,.{_digits(row.unit)}f}" if row.difference else "0"
    why = row.basis.value + (f": {row.note}" if row.note else "")
    return (
        f"{SIGNS[row.agrees]} {row.figure:{WIDEST}} {planned:>22}"
        f" {number(row.logged, row.unit):>14} {difference:>12}  {why}"
    )


def _digits(unit: str) -> int:
    return {"GiB": 2, "MiB": 2, "tok/s": 1, "GB": 2, "%": 2, "x": 2, "share": 3}.get(unit, 0)


def _plain(value: float, unit: str) -> str:
    return f"{value:,.{_digits(unit)}f}"


def number(value: float, unit: str) -> str:
    """Return a figure with its unit, as tables show it."""
    text = _plain(value, unit)
    return f"{text}{unit}" if unit in ("%", "x") else f"{text} {unit}"

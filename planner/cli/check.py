"""`qwenplan check`: an engine's start-up log against the plan, figure by figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import terminal
from planner.cli.extra import engine_options
from planner.cli.plan import ModelOrNone, layout_of

if TYPE_CHECKING:
    from planner.logs import LogCheck, LogRow

WIDEST = 34
SIGNS = {True: "✔", False: "✘", None: " "}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "check",
        short_help="An engine's start-up log against the plan.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(check)


def check(
    context: typer.Context,
    log: Annotated[str, typer.Argument(metavar="LOG", help="The log's file; - reads stdin.")],
    model: ModelOrNone = None,
    on: Annotated[
        str | None, typer.Option("--on", help="Hardware, where the log does not name it.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="How weights are stored, such as fp8.")
    ] = None,
    kv_cache_dtype: Annotated[
        str | None, typer.Option("--kv-cache-dtype", "--kv-cache", help="KV cache format.")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--context", help="Tokens of the longest sequence.")
    ] = None,
    tp: Annotated[str | None, typer.Option("--tp", help="Tensor parallel size.")] = None,
    pp: Annotated[str | None, typer.Option("--pp", help="Pipeline parallel size.")] = None,
    dp: Annotated[str | None, typer.Option("--dp", help="Data parallel size.")] = None,
    ep: Annotated[bool, typer.Option("--ep", help="Share experts out over ranks.")] = False,
    yarn: Annotated[
        bool, typer.Option("--yarn", help="Allow more than the native context.")
    ] = False,
    free: Annotated[
        bool, typer.Option("--free", help="With --on local: plan with the memory free now.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """LOG, of vLLM, SGLang or llama.cpp, against the plan of that start, figure by figure.

    What the server was told is read from the log where it prints it; MODEL and flags, spelled as
    for `plan`, come before that. Exit status 3: a figure contradicts the plan.
    """
    from planner import logs, observed

    found = logs.open_log(log)
    words = list(context.args)
    if model is not None and model.startswith("--"):
        words.insert(0, model)
        model = None
    with terminal.progress() as progress:
        answer = observed.check_log(
            None,
            found,
            on=on,
            model=model,
            precision=precision,
            context=tokens,
            kv_cache_dtype=kv_cache_dtype,
            layout=layout_of(tp, pp, dp, ep=ep),
            options=engine_options(found.engine, words),
            yarn=yarn,
            free=free,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), indent=2))
    else:
        terminal.show("\n".join(_table(answer)))
    return 0 if answer.agrees else 3


def _table(answer: LogCheck) -> Iterator[str]:
    plan = answer.plan
    wrong = sum(row.agrees is False for row in answer.rows)
    right = sum(row.agrees is True for row in answer.rows)
    title = f"{plan.engine_title} {plan.engine_version}"
    if wrong:
        yield f"✘ {wrong} of {wrong + right} figures contradict the plan ({title})"
    elif right:
        yield f"✔ All {right} figures that follow from the engine's rules agree ({title})"
    else:
        yield f"Nothing in this log could contradict the plan ({title})"
    yield ""
    deployment = plan.deployment
    yield f"Model     {deployment.checkpoint.id} ({deployment.checkpoint.scheme.title})"
    yield f"Hardware  {deployment.system.name}, {deployment.layout}"
    yield f"Context   {deployment.context:,} tokens, KV cache {deployment.kv_cache_dtype}"
    if plan.launch is not None:
        yield f"Command   {plan.launch.command}"
    yield ""
    yield f"  {'figure':{WIDEST}} {'planned':>22} {'logged':>14} {'difference':>12}  follows from"
    for row in answer.rows:
        yield _line(row)
    if answer.unplanned:
        yield ""
        yield "Also in the log, without a word from the plan:"
        for row in answer.unplanned:
            yield f"  {row.figure:{WIDEST}} {'':22} {_number(row.logged, row.unit):>14}"
    notes = (*answer.notes, *plan.warnings)
    if notes:
        yield ""
        yield from (f"! {note}" for note in notes)


def _line(row: LogRow) -> str:
    planned, difference = "", ""
    if row.planned is not None and row.difference is not None:
        least, most = row.planned
        planned = _number(most, row.unit)
        if least != most:
            planned = f"{_plain(least, row.unit)} .. {planned}"
        difference = f"{row.difference:+,.{_digits(row.unit)}f}" if row.difference else "0"
    why = row.basis.value + (f": {row.note}" if row.note else "")
    return (
        f"{SIGNS[row.agrees]} {row.figure:{WIDEST}} {planned:>22}"
        f" {_number(row.logged, row.unit):>14} {difference:>12}  {why}"
    )


def _digits(unit: str) -> int:
    return 2 if unit in ("GiB", "MiB", "%", "x") else 0


def _plain(value: float, unit: str) -> str:
    return f"{value:,.{_digits(unit)}f}"


def _number(value: float, unit: str) -> str:
    text = _plain(value, unit)
    return f"{text}{unit}" if unit in ("%", "x") else f"{text} {unit}"

"""`qwenplan measure`: run a bench that is installed here, and compare speed and memory with the plan."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli import reports, terminal
from planner.cli.asking import Typed, asks
from planner.engines.shell_words import shell_line
from planner.errors import InputError
from planner.units import parse_tokens

if TYPE_CHECKING:
    from planner.engines.bench import Task
    from planner.measuring import Measured, Prepared

THIS_MACHINE = "local"


@asks(
    on=False,
    hardware="This machine, where the probe does not name it; without it: local.",
    leave_out=("context", "free", "yarn"),
)
def measure(
    asked: Typed,
    prompt: Annotated[str, typer.Option(metavar="TOKENS", help="Tokens of the prompt.")] = "512",
    generate: Annotated[str, typer.Option(metavar="TOKENS", help="Tokens of the answer.")] = "128",
    depth: Annotated[
        str, typer.Option(metavar="TOKENS", help="Tokens in the cache before the prompt.")
    ] = "0",
    repeat: Annotated[int, typer.Option(metavar="N", help="Runs that a rate is the mean of.")] = 3,
    limit: Annotated[
        int, typer.Option(metavar="SECONDS", help="Time that one program may take.")
    ] = 3600,
    download: Annotated[
        bool, typer.Option("--download", help="Let the bench fetch the model.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be run.")
    ] = False,
    log: Annotated[
        str, typer.Option(metavar="FILE", help="Keep the bench's log, for `check --learn`.")
    ] = "",
    report: Annotated[
        str, typer.Option(metavar="FILE", help="Write an anonymous case to attach to an issue.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """How fast MODEL runs on this machine, and what it takes: measured, beside the plan.

    llama-bench, `vllm bench latency`, mlx_lm.benchmark or PyTorch with random weights is run,
    whichever is installed and suits; the command is shown first. Further flags are the engine's
    own. Ctrl-C ends the bench; what it printed before is compared. Exit status 3: a figure
    contradicts the plan, or the bench ran on other hardware.
    """
    from planner.engines.bench import NotHereError
    from planner.measuring import Ended, compare, is_installed, prepare, run_steps

    task = _task(asked, prompt, generate, depth, repeat)
    if not 1 <= limit <= MOST_SECONDS:
        raise InputError(f"--limit: {limit} is out of range (1 to {MOST_SECONDS:,} seconds)")
    place, kept = reports.place_for(report), reports.place_for(log, cases=False)
    question = _here(asked).question().with_(lessons=())  # judged against the estimates themselves
    with tempfile.TemporaryDirectory(prefix="qwenplan-measure-") as folder:
        anyhow = {"installed": lambda _: True} if dry_run else {}
        missing = ""
        try:
            prepared = prepare(question, task, Path(folder), download=download, **anyhow)
        except NotHereError as error:
            if not dry_run:
                raise
            prepared, missing = (
                prepare(question, task, Path(folder), download=True, **anyhow),
                f"{error}",
            )
        for line in _commands(prepared):
            typer.echo(line, err=not dry_run)
        if dry_run:
            if not is_installed(prepared.bench):
                typer.echo(f"not installed here: {prepared.bench.words}", err=True)
            if missing:
                typer.echo(missing, err=True)
            return 0
        ran = run_steps(
            prepared.steps, Path(folder), limit=limit, say=lambda line: typer.echo(line, err=True)
        )
    if kept is not None:
        text = "".join(f"{output.stderr}\n{output.stdout}\n" for output in ran.outputs)
        reports.write(kept, text)
    found = compare(prepared, ran)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        terminal.show("\n".join(_table(found)))
    if place is not None and found.elsewhere:
        typer.echo(f"{report} is not written: it would be a case of the wrong hardware.", err=True)
    elif place is not None:
        from planner.anonymous import cases_document

        reports.write(place, cases_document([found.case()]))
        typer.echo(f"Wrote {report}: read it, then attach it to an issue.", err=as_json)
    if ran.ended is Ended.STOPPED:
        return STOPPED
    return 0 if found.agrees else 3


MOST_SECONDS = 7 * 24 * 3600
STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


def _task(asked: Typed, prompt: str, generate: str, depth: str, repeat: int) -> Task:
    from planner.engines.bench import Task

    def tokens(text: str, what: str) -> int:
        return 0 if text.strip() == "0" else parse_tokens(text, what=what)

    return Task(
        prompt=tokens(prompt, "--prompt"),
        generate=tokens(generate, "--generate"),
        depth=tokens(depth, "--depth"),
        batch=asked.concurrency or 1,
        repeat=repeat,
    )


def _here(asked: Typed) -> Typed:
    """Return the question on this machine, unless its hardware is named.

    Raises:
        InputError: there is no GPU here.
    """
    from dataclasses import replace

    from planner.systems import resolve_hardware

    if asked.on is not None:
        return asked
    try:
        resolve_hardware(THIS_MACHINE)
    except InputError as error:
        found = str(error).partition(";")[0]
        raise InputError(
            f'no GPU to measure: {found}; --on "cpu, 64GB" measures the processor, --on HARDWARE'
            " names what the probe does not see"
        ) from None
    return replace(asked, on=THIS_MACHINE)


def _commands(prepared: Prepared) -> Iterator[str]:
    for step in prepared.steps:
        yield shell_line(step.environment, step.argv)


def _table(found: Measured) -> Iterator[str]:
    from planner.cli.check import WIDEST, number, row_line

    plan = found.prepared.plan
    wrong = [row for row in found.rows if row.agrees is False]
    title = f"{plan.engine_title} {found.printed.version or plan.release}"
    if found.elsewhere:
        yield f"✘ Nothing is compared: {found.elsewhere}"
    elif found.check is not None and found.check.refusal is not None:
        yield f"The start failed ({title}): {found.check.refusal}"
        yield found.check.plan.verdict
    elif wrong:
        yield f"✘ {len(wrong)} of {len(found.rows)} figures lie outside the plan ({title})"
    else:
        yield f"✔ All {len(found.rows)} figures lie within the plan ({title})"
    deployment = plan.deployment
    yield ""
    yield f"Model     {deployment.checkpoint.id} ({deployment.checkpoint.scheme.title})"
    ran_on = f"; the bench ran on {found.printed.device}" if found.printed.device else ""
    yield f"Hardware  {deployment.system.name}, {deployment.layout}{ran_on}"
    yield ""
    if found.elsewhere:
        yield from (
            f"  {row.figure:{WIDEST}} {number(row.logged, row.unit):>14}" for row in found.rows
        )
        return
    yield f"  {'figure':{WIDEST}} {'planned':>22} {'measured':>14} {'difference':>12}  follows from"
    yield from (row_line(row) for row in found.rows)
    if found.notes:
        yield ""
        yield from (f"! {note}" for note in found.notes)

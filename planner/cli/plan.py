"""`qwenplan plan`: one deployment, one answer.

Annotations are values here: each that is text is compiled whenever a plan starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner import planning
from planner.answer import Plan
from planner.asking import left_open, of_pick
from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.cli.parameters import OutputTokens
from planner.errors import InputError, printable
from planner.planning import Outcome
from planner.units import parse_tokens

if TYPE_CHECKING:
    from planner.recommending import Recommendation

SAID_BY_COMMAND = ("engine", "revision", "kv_cache_dtype", "tp", "pp", "dp", "dcp", "ep", "yarn")
"""Parameters that a launch command answers itself."""


HOLDS_FEWER = 5
"""Exit status of a server that starts and holds fewer requests at once than asked for."""


@asks(model=False)
def plan(
    asked: Typed,
    command: Annotated[
        str | None,
        typer.Option(
            "--command", metavar="TEXT", help='A launch command to plan: "vllm serve ...".'
        ),
    ] = None,
    output_tokens: OutputTokens = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Formula, numbers, source and confidence per term.")
    ] = False,
    expect_log: Annotated[
        bool, typer.Option("--expect-log", help="Only the lines that the engine would print.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A Markdown document.")] = False,
    emit_as: Annotated[
        str | None,
        typer.Option(
            "--emit",
            metavar="FORM",
            help="Only what to type: shell, compose, kubernetes, ray, ollama.",
        ),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Rent, own machine, power; money per million tokens.")
    ] = False,
    help_engine: Annotated[
        str | None,
        typer.Option(
            "--help-engine",
            metavar="ENGINE",
            is_eager=True,
            callback=lambda name: _show_options(name),
            help="List an engine's own options.",
        ),
    ] = None,
) -> int:
    """Does MODEL run on this hardware, and what does it take?

    Further flags are the engine's own options, spelled as the engine spells them, such as
    --gpu-memory-utilization 0.9 or --max-num-seqs 64.

    Exit status: 0 it fits, 5 it starts but holds fewer requests at once, 3 it does not fit, 2 the
    question is wrong or cannot run, 4 a source could not be reached.
    """
    _one_form(
        {
            "--json": as_json,
            "--markdown": as_markdown,
            "--emit": emit_as is not None,
            "--expect-log": expect_log,
        }
    )
    recommended = None
    if command is None and _is_command(asked.model):
        command, asked = asked.model, replace(asked, model=None)
    if command is None:
        recommended = _chosen(asked)
    # whoever names degrees of parallelism looks for the memory of every stage
    whole = asked.layout is not None or explain
    forms = (as_json, as_markdown, whole, expect_log, emit_as is not None)
    tokens_out = (
        None if output_tokens is None else parse_tokens(output_tokens, what="--output-tokens")
    )
    if recommended is not None and not any(forms) and output_tokens is None:
        pick = recommended.pick
        more = _cost(pick.plan, tokens_out) if cost and pick is not None else ()
        terminal.show(_chosen_text(recommended, asked, more))
        return 0 if recommended.pick is not None else 3
    if recommended is not None and recommended.pick is not None:
        answer = Plan.of(of_pick(recommended.pick, recommended.wanted).plan())
    elif command is not None:
        answer = Plan.of(_of_command(asked, command))
    else:
        answer = Plan.of(asked.as_held().plan(), unheld=recommended)
    from planner.speed import speed_of

    speed = speed_of(answer, output_tokens=tokens_out)
    if as_json:
        import json

        from planner.costing import cost_of
        from planner.document import plan_document

        document = plan_document(
            answer,
            speed,
            advice=answer.first_advice,
            cost=cost_of(answer, output_tokens=tokens_out) if cost else None,
            alternatives=recommended.to_dict()["front"] if recommended is not None else (),
        )
        typer.echo(json.dumps(document, indent=2, default=str))
    elif as_markdown:
        from planner.report.markdown import plan_markdown

        terminal.write(plan_markdown(answer))
    elif emit_as is not None and answer.outcome is not Outcome.DOES_NOT_FIT:
        from planner.emitting import emit

        terminal.write(emit(answer, emit_as))
    elif expect_log:
        if answer.held.expected_log:
            terminal.write("\n".join(answer.held.expected_log) + "\n")
    elif answer.outcome is not Outcome.CANNOT_RUN:
        from planner.report.text import plan_text

        text = plan_text(answer, explain=explain, advice=answer.first_advice, speed=speed)
        if cost:
            text = "\n".join([text, "", *_cost(answer, tokens_out)])
        if emit_as is None:
            terminal.show(text)
        else:  # nothing to write for a server that would not start
            typer.echo(printable(text), err=True)
    return status(answer)


def _chosen(asked: Typed) -> "Recommendation | None":
    """Return the recommendation that a plan's question asks for; None where it is settled.

    None, too, where no checkpoint that is known holds it and a part was said: it is planned as it
    was asked, with what to change.
    """
    if asked.model is None:
        return None
    wanted = left_open(**asked.words_said)
    if wanted is None:
        return None
    from planner.recommending import recommend as choose

    answer = choose(wanted)
    return answer if answer.answers_plan else None


def _chosen_text(answer: "Recommendation", asked: Typed, more: Sequence[str] = ()) -> str:
    """Return the first screen of a plan that was chosen, with further lines such as its cost."""
    from planner.recommending.text import recommendation_text

    return recommendation_text(answer, command=asked.where, more=more)


def _cost(answer: planning.Plan, output_tokens: int | None) -> tuple[str, ...]:
    """Return what a plan costs, in lines."""
    from planner.costing import cost_lines, cost_of

    return tuple(cost_lines(cost_of(answer, output_tokens=output_tokens)))


def _is_command(name: str | None) -> bool:
    """Say whether what stands where MODEL is expected is a launch command."""
    if name is None or " " not in name:
        return False
    from planner.engines import commands

    return commands.is_command(name)


def _of_command(asked: Typed, command: str) -> planning.Plan:
    """Return the plan of what `command` starts; further words are options that it does not say.

    Raises:
        InputError: a flag says again what the command says, or the command cannot be read.
    """
    from planner import observed

    if asked.model is not None:
        raise InputError("MODEL and --command: the command names its model; give one of them")
    for flag in asked.given(*SAID_BY_COMMAND):
        raise InputError(f"{flag}: the command says it already; change it there")
    engine, told = observed.read_command(command)
    concurrency = asked.concurrency
    with terminal.progress() as progress:
        return observed.plan_command(
            (engine, told),
            on=asked.on or "",
            precision=asked.said["precision"],
            context=asked.said["context"],
            concurrency=concurrency,
            options=_beside(engine, asked.words),
            free=asked.said["free"],
            progress=progress,
        )


def _beside(engine: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the options that are typed beside a launch command, such as the engine's release.

    Raises:
        InputError: a word that belongs into the command itself.
    """
    from planner.engines import commands

    told = commands.read_words(engine, words)
    if told.kept:
        raise InputError(f"{told.kept[0]} belongs into the command itself")
    return dict(told.options)


def _one_form(asked: Mapping[str, bool]) -> None:
    """Refuse two forms of one answer.

    Raises:
        InputError: more than one is asked for.
    """
    names = [name for name, given in asked.items() if given]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: an answer has one form; leave all but one out")


def status(answer: planning.Plan) -> int:
    """Exit status of a plan; a layout or format that cannot run is a wrong question.

    Raises:
        InputError: it cannot run.
    """
    if answer.outcome is Outcome.CANNOT_RUN:
        from planner.recommending.advice import advise

        instead = () if answer.refusals[0].remedy else advise(answer, most=1)
        raise InputError(" ".join([answer.verdict, *(f"{entry.words}." for entry in instead)]))
    return HOLDS_FEWER if answer.outcome is Outcome.HOLDS_FEWER else 0 if answer.fits else 3


def _show_options(name: str | None) -> None:
    if name is not None:
        from planner.engines import get_engine
        from planner.report.options import options_text

        typer.echo(options_text(get_engine(name).name))
        raise typer.Exit

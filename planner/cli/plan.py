"""`qwenplan plan`: one deployment, one answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from planner import api
from planner.cli import terminal
from planner.cli.command import plan_of_command
from planner.cli.extra import engine_options, options_help
from planner.engines import ENGINES
from planner.errors import InputError
from planner.layout import Layout
from planner.plan import Outcome, Plan
from planner.units import parse_tokens

ENGINE_HELP = f"Who serves: {', '.join(ENGINES)}."
PRECISION_HELP = "How weights are stored: bf16, fp8, nvfp4, gptq-int4, q4_k_m, ..."

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="Bundled id, repository, folder or file.")
]
ModelOrNone = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="Bundled id, repository, folder or file; or give --command."
    ),
]
On = Annotated[
    str,
    typer.Option(
        "--on", metavar="HARDWARE", help='"2x rtx-4090", "dgx-spark", "custom:48GiB", "local".'
    ),
]
EngineName = Annotated[str, typer.Option("--engine", metavar="ENGINE", help=ENGINE_HELP)]
Precision = Annotated[str | None, typer.Option("--precision", metavar="NAME", help=PRECISION_HELP)]
CacheDtype = Annotated[
    str,
    typer.Option(
        "--kv-cache-dtype", "--kv-cache", metavar="NAME", help="KV cache: auto, fp8, q8_0, ..."
    ),
]
Context = Annotated[
    str,
    typer.Option(
        "--context", metavar="TOKENS", help="Prompt and output of one sequence: 32768, 128k, 1M."
    ),
]
Concurrency = Annotated[
    str,
    typer.Option("--concurrency", metavar="N", help="Sequences resident at full context."),
]
Tensor = Annotated[str | None, typer.Option("--tp", metavar="N", help="Tensor parallel size.")]
Pipeline = Annotated[str | None, typer.Option("--pp", metavar="N", help="Pipeline parallel size.")]
Data = Annotated[str | None, typer.Option("--dp", metavar="N", help="Data parallel size.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "plan",
        short_help="Does MODEL run on this hardware, and what does it take?",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(plan)


def whole(text: str, what: str) -> int:
    """A whole number that a user wrote.

    Raises:
        InputError: it is none.
    """
    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise InputError(f"{what}: a whole number is wanted, not {text!r}") from None


def layout_of(tp: str | None, pp: str | None, dp: str | None, *, ep: bool) -> Layout | None:
    """The layout that the flags ask for; None if they ask for none."""
    if tp is None and pp is None and dp is None and not ep:
        return None
    return Layout(
        tensor_parallel=whole("1" if tp is None else tp, "--tp"),
        pipeline_parallel=whole("1" if pp is None else pp, "--pp"),
        data_parallel=whole("1" if dp is None else dp, "--dp"),
        expert_parallel=ep,
    )


def plan(
    context: typer.Context,
    on: On,
    model: ModelOrNone = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--command", metavar="TEXT", help='A launch command to plan: "vllm serve ...".'
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help=f"{ENGINE_HELP} Default: vLLM, or what suits the hardware.",
        ),
    ] = None,
    precision: Precision = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="NAME", help="Branch, tag or commit on the Hub."),
    ] = None,
    kv_cache_dtype: CacheDtype = "auto",
    tokens: Context = "32k",
    concurrency: Concurrency = "1",
    tp: Tensor = None,
    pp: Pipeline = None,
    dp: Data = None,
    ep: Annotated[bool, typer.Option("--ep", help="Share experts out over ranks.")] = False,
    yarn: Annotated[
        bool, typer.Option("--yarn", help="Allow more than the native context.")
    ] = False,
    free: Annotated[
        bool, typer.Option("--free", help="With --on local: plan with the memory free now.")
    ] = False,
    output_tokens: Annotated[
        str | None,
        typer.Option(
            "--output-tokens",
            metavar="TOKENS",
            help="Answer length: a rate under load depends on it.",
        ),
    ] = None,
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

    Exit status: 0 it fits, 3 it does not, 2 the question is wrong or cannot run, 4 a source could
    not be reached.
    """
    sequences = whole(concurrency, "--concurrency")
    _one_form(
        {
            "--json": as_json,
            "--markdown": as_markdown,
            "--emit": emit_as is not None,
            "--expect-log": expect_log,
        }
    )
    if command is not None:
        answer = plan_of_command(
            context,
            command,
            [model, *context.args] if model else [],
            on=on,
            precision=precision,
            tokens=tokens,
            concurrency=sequences,
            free=free,
        )
    elif model is not None and not model.startswith("--"):
        with terminal.progress() as progress:
            checkpoint = api.load_checkpoint(
                model, precision=precision, revision=revision, progress=progress
            )
        system = api.resolve_hardware(on, free=free)
        name, _ = api.choose_engine(engine, checkpoint, system)
        answer = api.plan(
            checkpoint,
            on=system,
            engine=engine,
            kv_cache_dtype=kv_cache_dtype,
            context=tokens,
            concurrency=sequences,
            layout=layout_of(tp, pp, dp, ep=ep),
            options=engine_options(name, context.args),
            yarn=yarn,
        )
    elif model is not None:
        raise InputError(f"write MODEL first, then {model} and other options of the engine")
    else:
        raise InputError("name a MODEL, or a launch command with --command")
    from planner.speed import speed_of

    tokens_out = None if output_tokens is None else parse_tokens(output_tokens, what="answer")
    speed = speed_of(answer, output_tokens=tokens_out)
    if as_json:
        from planner.document import plan_document

        typer.echo(json.dumps(plan_document(answer, speed), indent=2, default=str))
    elif as_markdown:
        from planner.report.markdown import plan_markdown

        typer.echo(plan_markdown(answer), nl=False)
    elif emit_as is not None:
        from planner.emit import emit

        typer.echo(emit(answer, emit_as), nl=False)
    elif expect_log:
        if answer.expected_log:
            typer.echo("\n".join(answer.expected_log))
    elif answer.outcome is not Outcome.CANNOT_RUN:
        from planner.report.text import plan_text
        from planner.search import advise

        terminal.show(
            plan_text(answer, explain=explain, advice=advise(answer, most=3), speed=speed)
        )
    return status(answer)


def _one_form(asked: Mapping[str, bool]) -> None:
    """Refuse two forms of one answer.

    Raises:
        InputError: more than one is asked for.
    """
    names = [name for name, given in asked.items() if given]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: an answer has one form; leave all but one out")


def status(answer: Plan) -> int:
    """Exit status of a plan; a layout or format that cannot run is a wrong question.

    Raises:
        InputError: it cannot run.
    """
    if answer.outcome is Outcome.CANNOT_RUN:
        from planner.search import advise

        instead = () if answer.refusals[0].remedy else advise(answer, most=1)
        raise InputError(" ".join([answer.verdict, *(f"{entry.words}." for entry in instead)]))
    return 0 if answer.fits else 3


def _show_options(name: str | None) -> None:
    if name is not None:
        typer.echo(options_help(name))
        raise typer.Exit

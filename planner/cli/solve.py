"""`qwenplan solve`: how far a deployment goes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from planner import inverse
from planner.cli import terminal
from planner.cli.extra import engine_options
from planner.cli.plan import (
    CacheDtype,
    Concurrency,
    Context,
    Data,
    EngineName,
    Model,
    On,
    Pipeline,
    Precision,
    Tensor,
    layout_of,
    whole,
)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "solve",
        short_help="How far it goes: context, sequences, precision.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(solve)


def solve(
    context: typer.Context,
    model: Model,
    on: On,
    engine: EngineName = "vllm",
    precision: Precision = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Longest context, most sequences, best precision and the engine's own limits for MODEL.

    Each is looked for while the rest of the question is held. Further flags are the engine's own
    options.
    """
    limits = inverse.solve(
        model,
        on=on,
        engine=engine,
        precision=precision,
        kv_cache_dtype=kv_cache_dtype,
        context=tokens,
        concurrency=whole(concurrency, "--concurrency"),
        layout=layout_of(tp, pp, dp, ep=ep),
        options=engine_options(engine, context.args),
        yarn=yarn,
        free=free,
    )
    if as_json:
        from planner.report.answers import limits_document

        typer.echo(json.dumps(limits_document(limits), indent=2, default=str))
    else:
        from planner.report.tables import limits_text

        terminal.show(limits_text(limits))
    return 0 if limits.sequences.value is not None else 3

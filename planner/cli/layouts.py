"""`qwenplan layouts`: every layout of a model on a system, legal or why not, ranked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from planner import inverse
from planner.cli import terminal
from planner.cli.extra import engine_options
from planner.cli.plan import CacheDtype, Concurrency, Context, EngineName, Model, On, Precision
from planner.cli.plan import whole as whole_number

if TYPE_CHECKING:
    from planner.search import Objective

ObjectiveName = Annotated[
    str,
    typer.Option("--objective", help="What ranks: latency, throughput, cost or memory."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "layouts",
        short_help="Every layout of MODEL on this hardware, ranked.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(layouts)


def layouts(
    context: typer.Context,
    model: Model,
    on: On,
    engine: EngineName = "vllm",
    precision: Precision = None,
    kv_cache_dtype: CacheDtype = "auto",
    tokens: Context = "32k",
    concurrency: Concurrency = "1",
    objective: ObjectiveName = "latency",
    yarn: Annotated[
        bool, typer.Option("--yarn", help="Allow more than the native context.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Notes on every layout, and all that cannot run.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Every layout of MODEL on this hardware: legal or why not, memory, speed, the best first.

    Further flags are the engine's own options.
    """
    found = inverse.suggest(
        model,
        on=on,
        objective=as_objective(objective),
        engine=engine,
        precision=precision,
        kv_cache_dtype=kv_cache_dtype,
        context=tokens,
        concurrency=whole_number(concurrency, "--concurrency"),
        options=engine_options(engine, context.args),
        yarn=yarn,
    )
    if as_json:
        from planner.report.answers import suggestion_document

        document = {"layouts": [suggestion_document(entry) for entry in found]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import layouts_text

        terminal.show(layouts_text(found, every=every))
    return 0 if found[0].plan.fits else 3


def as_objective(text: str) -> Objective:
    """The objective that a user named; an unknown one is refused by `suggest`."""
    name: Objective = text.lower()  # type: ignore[assignment]
    return name

"""`qwenplan fits`: which hardware holds a workload, in which precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from planner import inverse
from planner.cli import terminal
from planner.cli.extra import engine_options
from planner.cli.layouts import as_objective
from planner.cli.plan import CacheDtype, Concurrency, Context, EngineName, Model, whole
from planner.errors import InputError

if TYPE_CHECKING:
    from planner.search import Suggestion


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "fits",
        short_help="Which hardware holds MODEL, in which precision.",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(fits)


def fits(
    context: typer.Context,
    model: Model,
    on: Annotated[
        str | None,
        typer.Option("--on", help="Accelerators to try, with commas; none tries all."),
    ] = None,
    engine: EngineName = "vllm",
    precision: Annotated[
        str | None, typer.Option("--precision", help="Precisions to try, with commas.")
    ] = None,
    kv_cache_dtype: CacheDtype = "auto",
    tokens: Context = "32k",
    concurrency: Concurrency = "1",
    by: Annotated[
        str | None,
        typer.Option(
            "--by", help="Rank whole systems: cost (to buy), memory, latency or throughput."
        ),
    ] = None,
    yarn: Annotated[
        bool, typer.Option("--yarn", help="Allow more than the native context.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """Which hardware holds MODEL with this workload, how many of it, and in which precision.

    Further flags are the engine's own options.
    """
    options = engine_options(engine, context.args)
    if by is not None:
        if on is not None:
            raise InputError("--by looks through the whole database: leave --on out")
        systems = inverse.suggest(
            model,
            objective=as_objective(by),
            engine=engine,
            precision=precision,
            kv_cache_dtype=kv_cache_dtype,
            context=tokens,
            concurrency=whole(concurrency, "--concurrency"),
            options=options,
            yarn=yarn,
        )
        return _ranked(systems, as_json=as_json)
    found = inverse.fits(
        model,
        on=_names(on),
        precisions=_names(precision),
        engine=engine,
        kv_cache_dtype=kv_cache_dtype,
        context=tokens,
        concurrency=whole(concurrency, "--concurrency"),
        options=options,
        yarn=yarn,
    )
    if as_json:
        from planner.report.answers import fit_document

        document = {"fits": [fit_document(fit) for fit in found]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import fits_text

        terminal.show(fits_text(found))
    return 0 if any(fit.plan.fits for fit in found) else 3


def _ranked(systems: Sequence[Suggestion], *, as_json: bool) -> int:
    """Print ranked systems; the exit status says whether there is one."""
    if as_json:
        from planner.report.answers import suggestion_document

        document = {"systems": [suggestion_document(entry) for entry in systems]}
        typer.echo(json.dumps(document, indent=2, default=str))
    else:
        from planner.report.tables import systems_text

        terminal.show(systems_text(systems))
    return 0 if systems else 3


def _names(text: str | None) -> tuple[str, ...] | None:
    """Names between commas; None where nothing was given.

    Raises:
        InputError: commas without names.
    """
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise InputError(f"{text!r} names nothing; write names with commas between")
    return names

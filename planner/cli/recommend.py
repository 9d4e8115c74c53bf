"""`qwenplan recommend`: what to run on a machine, checkpoint and engine chosen."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any

import typer

from planner.cli import terminal
from planner.cli.asking import Typed, asks
from planner.cli.parameters import OutputTokens
from planner.errors import InputError, UnknownModelError
from planner.units import parse_tokens, shown

SETTLED = ("revision", "tp", "pp", "dp", "dcp", "ep")
"""Parameters of one deployment: `plan` takes them."""


@asks(model=False, leave_out=SETTLED)
def recommend(
    asked: Typed,
    best: Annotated[
        str | None, typer.Option("--best", metavar="WISH", help="quality, speed or context first.")
    ] = None,
    use: Annotated[
        str | None,
        typer.Option(
            "--for",
            "--use",
            metavar="USE",
            help="Compare models for general, coding, agents, vision, long-context, instruction.",
        ),
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Pictures must be taken.")] = False,
    official: Annotated[
        bool, typer.Option("--official", help="Only checkpoints of the model's maker.")
    ] = False,
    least_speed: Annotated[
        str | None,
        typer.Option(
            "--least-speed",
            metavar="N",
            help="tok/s that each user must get, twice of it to be comfortable. Without it: 10.",
        ),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Rent, own machine, power; money per million tokens.")
    ] = False,
    output_tokens: OutputTokens = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> int:
    """What to run on this hardware: checkpoints that exist, the engine, the command.

    Without MODEL, every bundled model comes into question. Every line is a plan that was made.

    Exit status: 0 something holds the workload, 3 nothing does, 2 the question is wrong.
    """
    from planner.costing import cost_lines, cost_of
    from planner.recommending.text import recommendation_text
    from planner.wanting import answered, want

    if asked.words:
        raise InputError(f"{asked.words[0]}: unknown here; flags of an engine belong to `plan`")
    try:
        wanted = want(
            asked.model,
            **_said(asked),
            best=best.lower() if best is not None else "quality",  # type: ignore[arg-type]
            use=use if use is not None else "general",
            images=images,
            official=official,
            least_speed=_rate(least_speed),
        )
    except UnknownModelError:
        _check_quotes(asked)
        raise
    answer = answered(wanted)
    money = None
    if cost and answer.pick is not None:
        length = (
            None if output_tokens is None else parse_tokens(output_tokens, what="--output-tokens")
        )
        money = cost_of(answer.pick.plan, output_tokens=length)
    if as_json:
        typer.echo(json.dumps(answer.to_dict(cost=money), indent=2, default=str))
    else:
        more = tuple(cost_lines(money)) if money is not None else ()
        terminal.show(recommendation_text(answer, command=asked.where, more=more))
    return 0 if answer.pick is not None else 3


def _check_quotes(asked: Typed) -> None:
    """Say so where a word that is no model belongs to the hardware before it: ``--on m4 pro``."""
    import hardware_db
    from hardware_db import HardwareError

    whole = f"{asked.on} {asked.model}"
    with suppress(HardwareError):
        hardware_db.resolve(whole)
        raise InputError(
            f"unknown model {shown(asked.model or '')}; a name of several words stands in quotes:"
            f" --on '{whole}'"
        )


def _said(asked: Typed) -> dict[str, Any]:
    """The parts of a question that a recommendation keeps."""
    names = ("engine", "precision", "kv_cache_dtype", "context", "yarn", "free", "ram")
    return {
        "on": asked.on or "",
        "concurrency": asked.concurrency,
        "ram_bandwidth": asked.bandwidth,
        **{name: asked.said[name] for name in names},
    }


def _rate(text: str | None) -> float | None:
    """Tokens per second that somebody wrote.

    Raises:
        InputError: it is no number.
    """
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--least-speed must be a number, got {text!r}") from None

"""`qwenplan plan --command`: a launch command in place of MODEL and its flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typer.core import TyperOption

from planner import api
from planner.cli import terminal
from planner.cli.extra import engine_options
from planner.errors import InputError
from planner.plan import Plan

if TYPE_CHECKING:
    import typer

SAID = ("engine", "revision", "kv_cache_dtype", "tp", "pp", "dp", "ep", "yarn")
"""Parameters that the command itself answers."""


def is_given(context: typer.Context, name: str) -> bool:
    """The user typed the parameter called `name`; its default does not count."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def plan_of_command(
    context: typer.Context,
    command: str,
    words: Sequence[str],
    *,
    on: str,
    precision: str | None,
    tokens: str,
    concurrency: int,
    free: bool,
) -> Plan:
    """The plan of what `command` starts; `words` are engine options that it does not say.

    Raises:
        InputError: a flag says again what the command says, or the command cannot be read.
    """
    if words and not words[0].startswith("-"):
        raise InputError("MODEL and --command: the command names its model; give one of them")
    for name in SAID:
        if is_given(context, name):
            flag = next(
                parameter.opts[0]
                for parameter in context.command.params
                if isinstance(parameter, TyperOption) and parameter.name == name
            )
            raise InputError(f"{flag}: --command says it already; change it in the command")
    engine, read = api.read_command(command)
    with terminal.progress() as progress:
        from planner import observed

        return observed.plan_command(
            (engine, read),
            on=on,
            precision=precision,
            context=tokens if is_given(context, "tokens") else None,
            concurrency=concurrency,
            options=engine_options(engine, words),
            free=free,
            progress=progress,
        )

"""Parameters of several commands, and all of them without the cost of checking that text is text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from planner.errors import InputError

OutputTokens = Annotated[
    str | None,
    typer.Option(
        "--output-tokens", metavar="TOKENS", help="Answer length: a rate under load depends on it."
    ),
]


class _AsTyped:
    """Takes a value as it was typed."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """`value` itself."""
        return value


class PlainGroup(TyperGroup):
    """Sub-commands whose text parameters and switches are taken as they are typed.

    typer checks every value with pydantic, which takes longer to load than most plans take to
    make; our text parameters are read by the planner itself. A typer without this inner part
    keeps its own way.
    """

    def get_params(self, ctx: Any) -> Any:
        """The group's own parameters, ``--help`` included."""
        return _as_typed(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The sub-command called `cmd_name`, if there is one."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _as_typed(command.get_params(ctx))
            _refuses_twice(command)
        return command


def _refuses_twice(command: Any) -> None:
    """Make a command refuse an option with one value that is given twice: the last would win, unsaid."""
    make_parser = command.make_parser

    def refusing(ctx: Any) -> Any:
        parser = make_parser(ctx)
        parse_args = parser.parse_args

        def parsed(args: list[str]) -> Any:
            options, rest, order = parse_args(args=args)
            for parameter, times in Counter(order).items():
                one = not (parameter.multiple if hasattr(parameter, "multiple") else True)
                if times > 1 and one and not getattr(parameter, "is_flag", False):
                    raise InputError(
                        f"{parameter.opts[0]} is given {times} times; leave all but one out"
                    )
            return options, rest, order

        parser.parse_args = parsed
        return parser

    command.make_parser = refusing


def _as_typed(parameters: Iterable[Any]) -> list[Any]:
    found = list(parameters)
    for parameter in found:
        kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        plain = kind is str or (kind is bool and getattr(parameter, "is_flag", False))
        if plain and getattr(parameter, "_runtime_param", found) is None:
            parameter._runtime_param = _AsTyped()
    return found

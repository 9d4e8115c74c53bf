"""The `qwenplan` command: its sub-commands and its exit statuses.

0 fits; 5 starts but holds fewer; 3 does not fit; 2 the input is wrong; 4 a source could not be reached or refused; 1 a bug.

Annotations are values here: typer would compile each of them five times if they were text.
"""

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from planner.cli import terminal
from planner.cli.commands import COMMANDS
from planner.cli.parameters import PlainGroup
from planner.errors import PlannerError, SourceError
from planner.secrets import without_secrets

WRONG_INPUT, DOES_NOT_FIT, NO_SOURCE = 2, 3, 4
NOBODY_READS = 128 + 13
"""As shells report a writer whose reader went away: never 0, which would say that it fits."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)
"""What a full or missing place for the answer raises."""


def _version(value: bool) -> None:
    if value:
        from planner.version import package_version

        typer.echo(f"qwenplan {package_version()}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Memory planner for the Qwen3.5 family."""


def app_for(argv: Sequence[str]) -> typer.Typer:
    """Return the command line with the sub-command that `argv` calls; all of them where it calls none.

    typer looks at the signature of each, whether it is called or not.
    """
    app = typer.Typer(
        name="qwenplan",
        cls=PlainGroup,
        help="Does this Qwen model run on that hardware, under which engine, and how far can it go?",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        epilog="Exit status: 0 fits, 5 starts but holds fewer, 3 does not fit, 2 the input is wrong, 4 a source could not be"
        " reached or refused, 1 a bug of ours.",
    )
    app.callback()(_root)
    called = next((word for word in argv if not word.startswith("-")), None)
    one = [command for command in COMMANDS if command.name == called]
    for command in one or COMMANDS:
        app.command(
            command.name, short_help=command.summary, context_settings=command.settings or None
        )(command.load() if one else _not_called)
    return app


def _not_called() -> None:
    """Stand in the list for a command that is not called."""


def run(argv: Sequence[str]) -> int:
    """Run the command line; expected errors become one line on stderr and a status."""
    try:
        status = app_for(argv)(args=list(argv) or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except SourceError as error:
        return _say(error, NO_SOURCE)
    except PlannerError as error:
        return _say(error, WRONG_INPUT)
    except typer.exceptions.TyperException as error:
        said = error.format_message()
        if "No such command" in said:
            known = ", ".join(command.name for command in COMMANDS)
            said = f"{said.rstrip('.')}; commands are {known}, such as: qwenplan plan MODEL --on rtx-4090"
        several = "; a name of several words stands in quotes, and models are asked one at a time"
        return _say(said + several * ("extra argument" in said), WRONG_INPUT)
    except (typer.Abort, KeyboardInterrupt):
        return _say("stopped", 130)
    except (BrokenPipeError, SystemExit):  # the latter is what typer makes of the former
        terminal.silence_stdout()
        return NOBODY_READS
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        terminal.silence_stdout()
        return _say(f"cannot write the answer: {error.strerror}", WRONG_INPUT)
    if not argv:
        return WRONG_INPUT
    return status if isinstance(status, int) else 0


def _say(error: object, status: int) -> int:
    line = without_secrets(" ".join(str(error).split()))
    with suppress(OSError):
        typer.echo(f"qwenplan: {line}", err=True)
    return status

"""The command line: `qwenplan`."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["main"]

NEW_OBJECTS = 200_000
"""New objects after which Python looks for garbage: a plan makes fewer, and next to no garbage."""


def collect_rarely() -> None:
    """Let Python look for garbage after `NEW_OBJECTS` new ones only."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        argv: the words; None takes those that this process was started with, which then ends as soon
            as they are answered: see `_leave`.
    """
    collect_rarely()
    from planner.cli import terminal
    from planner.cli.main import run

    terminal.prepare_streams()
    if argv is not None:
        sys.exit(run(argv))
    ended: list[int] = []
    atexit.register(_leave, ended)  # before anybody else's, so that it is called after them
    ended.append(run(sys.argv[1:]))
    sys.exit(ended[0])


def _leave(ended: Sequence[int]) -> None:
    """End the process with the status of an answer that was given, without taking its objects apart.

    Python searches and frees them all one by one, which took a tenth of a plan, before the system
    takes back the memory as a whole.
    """
    if not ended:
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(ended[0])

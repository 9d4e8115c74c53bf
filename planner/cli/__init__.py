"""The command line: `qwenplan`."""

import atexit
import gc
import sys
from collections.abc import Sequence

__all__ = ["main"]

NEW_OBJECTS = 200_000
"""New objects after which Python looks for garbage: a plan makes fewer, and next to no garbage."""


def collect_rarely() -> None:
    """Let Python look for garbage after `NEW_OBJECTS` new ones only."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Python searches all objects for garbage while it ends, which took a fifth of a plan: what is
    left then is put aside.
    """
    collect_rarely()
    atexit.register(gc.freeze)
    from planner.cli import terminal
    from planner.cli.main import run

    terminal.prepare_streams()
    sys.exit(run(sys.argv[1:] if argv is None else argv))

"""What only a terminal gets: the first line in bold, and a line of progress."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import typer

from planner.errors import printable


def is_colourful() -> bool:
    """Standard output is a terminal, and nobody asked for no colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def prepare_streams() -> None:
    """Make standard output and error take every character, and stand in for streams that are closed.

    What the terminal's encoding cannot write becomes "?"; of a closed input nothing is read.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (to the end)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def silence_stdout() -> None:
    """Nothing more can be written: what is still buffered goes nowhere, and raises nothing."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(text: str) -> None:
    """Print `text`; on a terminal its first line is bold.

    A plan quotes what strangers wrote (names, formats, notes): none of it steers the terminal.
    """
    text = printable(text)
    if is_colourful():
        first, _, rest = text.partition("\n")
        text = typer.style(first, bold=True) + ("\n" + rest if rest else "")
    typer.echo(text)


def write(text: str) -> None:
    """Print a document: to the byte into a file, and onto a terminal without what would steer it."""
    typer.echo(printable(text) if sys.stdout.isatty() else text, nl=False)


PATIENCE = 1.0
"""Seconds without an answer after which progress is shown."""


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A callback that shows (done, total, what) on one line of stderr, once it takes a while."""
    start, shown = time.monotonic(), False
    width = 0

    def show_step(done: int, total: int, what: str) -> None:
        nonlocal shown, width
        if not sys.stderr.isatty() or time.monotonic() - start < PATIENCE:
            return
        line = f"reading headers: {done} of {total} ({what})"[:78]
        sys.stderr.write("\r" + line.ljust(width))
        sys.stderr.flush()
        shown, width = True, len(line)

    try:
        yield show_step
    finally:
        if shown:
            sys.stderr.write("\r" + " " * width + "\r")
            sys.stderr.flush()

"""What only a terminal gets: the first line in bold."""

from __future__ import annotations

import os
import sys

import typer


def is_colourful() -> bool:
    """Standard output is a terminal, and nobody asked for no colour."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def show(text: str) -> None:
    """Print `text`; on a terminal its first line is bold."""
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    if is_colourful():
        first, _, rest = text.partition("\n")
        text = typer.style(first, bold=True) + ("\n" + rest if rest else "")
    typer.echo(text)

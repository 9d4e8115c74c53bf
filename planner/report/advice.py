"""What to change, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.search import Advice

WIDTH = 100
"""Columns of the widest line."""


def advice_lines(advice: Iterable[Advice], *, most: int = 3) -> Iterator[str]:
    """The best pieces of advice, each with its commands, headed by whether they are enough."""
    chosen = list(advice)[:most]
    if not chosen:
        return
    yield "It fits with:" if chosen[0].enough else "Nothing alone is enough; these help most:"
    for entry in chosen:
        yield from wrap(entry.words, WIDTH, initial_indent="  - ", subsequent_indent="    ")
        yield from (f"      {line}" for line in entry.commands)

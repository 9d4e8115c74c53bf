"""Say why a start ended where the words are nobody's own: data/reasons.toml has them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from hardware_db.records import frozen
from planner.shipped import read_toml


@frozen
class Reason:
    """A line that says why a start ended, and what would help.

    Attributes:
        line: the line.
        helps: what would help, in words.
        vague: it only says that something failed.
    """

    line: str
    helps: str
    vague: bool = False


@frozen
class _Row:
    cue: str
    pattern: str
    helps: str
    vague: bool = False


@cache
def _rows() -> tuple[_Row, ...]:
    return tuple(_Row(**row) for row in read_toml("engines", "data", "reasons.toml")["reason"])


def cues() -> frozenset[str]:
    """Return characters of which every such line holds some."""
    return frozenset(row.cue for row in _rows())


def reason_in(lines: Iterable[str]) -> Reason | None:
    """Return the last reason that lines give, one that says more than that it failed first; None: none."""
    found: Reason | None = None
    for line in lines:
        for row in _rows():
            match = re.search(row.pattern, line) if row.cue in line else None
            if match is not None and (found is None or found.vague or not row.vague):
                helps = row.helps.format(**match.groupdict())
                found = Reason(line=line, helps=helps, vague=row.vague)
    return found

"""Machines without an entry: what they are read as, or why they are not planned and what to type.

The table is read only where nothing of the database is called so.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from hardware_db.errors import HardwareError
from hardware_db.records import frozen

__all__ = ["StandIn", "stand_in"]


@frozen
class StandIn:
    """One kind of machine; see stand_ins.toml.

    Attributes:
        name: pattern of what people type.
        said: what it is.
        source: where that was read.
        read_as: what is planned instead; None: nothing is.
        example: what can be typed instead.
        gb_each: GB of RAM for each that the name counts.
    """

    name: re.Pattern[str]
    said: str
    source: str
    read_as: str | None
    example: str | None
    gb_each: int | None


@cache
def stand_ins() -> tuple[StandIn, ...]:
    """Return the table."""
    import tomllib

    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    return tuple(
        StandIn(
            name=re.compile(row["name"], re.IGNORECASE),
            said=row["said"],
            source=row["source"],
            read_as=row.get("read_as"),
            example=row.get("example"),
            gb_each=row.get("gb_each"),
        )
        for row in tomllib.loads(text)["stand_in"]
    )


def stand_in(text: str) -> tuple[str, str] | None:
    """Return what a name without an entry is planned as, and the sentence that says so; None: unknown.

    Errors: HardwareError for what is known and not planned, with what to type.
    """
    for row in stand_ins():
        match = row.name.fullmatch(text)
        if match is None:
            continue
        if row.read_as is None:
            raise HardwareError(
                f"{text!r} is not planned: {row.said}; type for example {row.example!r}"
            )
        number = int(match.groupdict().get("n") or 1)
        expression = row.read_as.format(gb=(row.gb_each or 0) * number)
        return expression, f"{text} is read as {expression}: {row.said}"
    return None

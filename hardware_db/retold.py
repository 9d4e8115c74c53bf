"""Say the words of a machine in another way, where the first reading found nothing.

Knows what people type around the names: "I have a 3090", "16GB macbook air", "pc with an rtx 3060".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from hardware_db.database import Database
from hardware_db.errors import HardwareError, UnknownHardware
from hardware_db.expression import size_last
from hardware_db.lookup import is_a_laptop, is_a_machine
from hardware_db.names import without_around
from hardware_db.regex import pattern
from hardware_db.stand_ins import stand_in
from hardware_db.system import System

__all__ = ["otherwise"]

_CASE = pattern(
    r"(.+?)(?:\s*[:,]\s+|\s+(?:with|w/|has|having|and)\s+)(?:an?\s+)?(.+)",
    re.IGNORECASE | re.DOTALL,
)


def otherwise(
    text: str, known: Database, error: HardwareError, read: Callable[[str], System]
) -> System:
    """Return what the first other way of saying `text`, or the machine that stands in for it, is.

    Args:
        text: what was typed.
        known: what is listed.
        error: why it was not read as it stands.
        read: reads one way of saying it.

    Errors: `error`, or what says more: which chip, or how much RAM.
    """
    said_more: HardwareError | None = None
    for said in _retold(text, known):
        try:
            return read(said)
        except UnknownHardware:
            continue
        except HardwareError as other:
            said_more = said_more or other
    if not isinstance(error, UnknownHardware):
        raise error
    if (other_name := stand_in(text)) is None:
        raise said_more or error
    expression, told = other_name
    system = read(expression)
    return replace(system, assumptions=(told, *system.assumptions))


def _retold(text: str, known: Database) -> Iterator[str]:
    plain = without_around(text)
    if plain != text.strip():
        yield plain
    turned = size_last(plain)
    if turned is not None:
        yield turned
    case = _CASE.fullmatch(plain)
    if case is not None and is_a_machine(case[1], known):
        laptop = is_a_laptop(case[1], known)
        yield f"{'laptop' if laptop else case[1]} {case[2]}"
        yield case[2]

"""Checks of what people give: amounts of money, shares, powers, currencies."""

from __future__ import annotations

import re

from planner.errors import InputError
from planner.units import shown

MOST = 1e12
"""No price, power or rate of a deployment is larger; larger input is a slip of the hand."""

_CURRENCY = re.compile(r"[A-Z]{3}")


def check_amount(value: object, *, what: str, most: float = MOST, positive: bool = False) -> float:
    """A finite number from 0 on (above 0 where `positive`).

    Raises:
        InputError: not a number, NaN, negative, or absurdly large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} must be a number, got {shown(value)}")
    if not 0 <= value <= most or (positive and value == 0):  # NaN fails every comparison
        bounds = f"above 0 and up to {most:,.0f}" if positive else f"0 to {most:,.0f}"
        raise InputError(f"{what}: {shown(value)} is out of range ({bounds})")
    return float(value)


def check_currency(code: object) -> str:
    """A three-letter currency code such as "USD".

    Raises:
        InputError: anything else.
    """
    if not isinstance(code, str) or not _CURRENCY.fullmatch(code):
        raise InputError(f"currency must be three capital letters such as USD, got {shown(code)}")
    return code


def same_currency(one: str, other: str) -> str:
    """The currency of both.

    Raises:
        InputError: they differ; exchange rates are not guessed.
    """
    if one != other:
        raise InputError(f"prices are in {one} and {other}; give both in one currency")
    return one

"""Do integer arithmetic on one number or on a column of them, written once for both.

A column is a numpy array of 64-bit integers. numpy is loaded by whoever makes a column, never here:
one number takes Python's own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def smaller(one: Any, other: Any) -> Any:
    """Return the smaller of two numbers, place by place where one is a column."""
    return choose(one < other, one, other)


def larger(one: Any, other: Any) -> Any:
    """Return the larger of two numbers, place by place where one is a column."""
    return choose(one > other, one, other)


def is_zero(number: Any) -> bool:
    """Say whether a number is zero; of a column, whether all of it is."""
    return not number if isinstance(number, int | float) else not number.any()


def choose(condition: Any, one: Any, other: Any) -> Any:
    """Return `one` where the condition holds, else `other`; place by place in columns."""
    if isinstance(condition, bool):
        return one if condition else other
    import numpy

    return numpy.where(condition, one, other)


def alike(column: Any) -> Iterator[tuple[int, Any]]:
    """Yield every value of a column with the places that have it."""
    import numpy

    order = numpy.argsort(column, kind="stable")
    values, starts = numpy.unique(column[order], return_index=True)
    for value, places in zip(values, numpy.split(order, starts[1:]), strict=True):
        yield int(value), places


def whole(number: Any) -> Any:
    """Return a number, or every number of a column, without its fraction."""
    return int(number) if isinstance(number, int | float) else number.astype("int64")

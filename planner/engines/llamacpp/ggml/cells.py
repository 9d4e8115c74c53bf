"""Count cells of the KV cache in a way that remembers how sizes grow with them.

A graph is built for one number of cells; every size in it is an affine function of that number.
`Cells` is that number, and whatever is worked out from it: whole numbers
that carry their growth per further step of cells, so that one graph tells the sizes at all lengths.
"""

from __future__ import annotations

STEP = 256
"""Cells by which lengths differ: caches are padded to them. Growth is counted per step."""


class Cells(int):
    """A whole number that grows by `growth` per further step of cells (`STEP`).

    Attributes:
        growth: how much more it is a step further on.
    """

    growth: int

    def __new__(cls, value: int, growth: int = 1) -> Cells:
        """Return the number `value` that grows by `growth`."""
        made = super().__new__(cls, value)
        made.growth = growth
        return made

    def __add__(self, other: int) -> Cells:
        return Cells(int(self) + int(other), self.growth + growth_of(other))

    __radd__ = __add__

    def __sub__(self, other: int) -> Cells:
        return Cells(int(self) - int(other), self.growth - growth_of(other))

    def __rsub__(self, other: int) -> Cells:
        return Cells(int(other) - int(self), growth_of(other) - self.growth)

    def __mul__(self, other: int) -> Cells:
        if growth_of(other):
            raise ValueError("a product of two lengths is not affine")
        return Cells(int(self) * int(other), self.growth * int(other))

    __rmul__ = __mul__

    def __floordiv__(self, other: int) -> Cells:
        if int(self) % int(other) or self.growth % int(other):
            raise ValueError("a length that is cut is not affine")
        return Cells(int(self) // int(other), self.growth // int(other))

    def __neg__(self) -> Cells:
        return Cells(-int(self), -self.growth)


def growth_of(value: int) -> int:
    """Return how much `value` grows per further step; zero for a plain number."""
    return value.growth if isinstance(value, Cells) else 0

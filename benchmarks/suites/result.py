"""What one case of a suite came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXACT = 1e-9
"""Two floats are equal within this relative difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case: what was expected, what the planner answered.

    Attributes:
        name: which case, in words.
        expected: field -> reference value.
        answered: field -> the planner's value; a missing field is a failure.
        failure: why the case could not be asked at all; it then counts as failed.
        error: the case's own error measure where it is not a relative one (GiB, say).
        tolerance: relative error up to which the case counts as exact.
        within_band: whether the stated band held the truth, where the planner states one.
        group: a sub-heading (preset, class of machine) reported by its own.
    """

    name: str
    expected: Mapping[str, Any] = field(default_factory=dict)
    answered: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    error: float | None = None
    tolerance: float = EXACT
    within_band: bool | None = None
    group: str | None = None

    @property
    def errors(self) -> dict[str, float]:
        """Field -> relative error; 1.0 where values cannot be compared as numbers and differ."""
        return {
            name: _difference(value, self.answered.get(name, _MISSING))
            for name, value in self.expected.items()
        }

    @property
    def size_of_error(self) -> float:
        """The case's error: its own measure, or the largest relative error of its fields."""
        if self.failure is not None:
            return 1.0
        if self.error is not None:
            return self.error
        return max(self.errors.values(), default=0.0)

    @property
    def exact(self) -> bool:
        """Every compared field is equal (within `tolerance`)."""
        return self.failure is None and self.size_of_error <= self.tolerance


_MISSING = object()


def _difference(expected: Any, answered: Any) -> float:
    if expected == answered:
        return 0.0
    numbers = (int, float)
    if isinstance(expected, bool) or isinstance(answered, bool):
        return 1.0
    if isinstance(expected, numbers) and isinstance(answered, numbers):
        relative = abs(answered - expected) / max(abs(expected), 1e-300)
        whole = isinstance(expected, int) and isinstance(answered, int)
        # Integers are equal or they are not: never within the tolerance for floats.
        return max(relative, 2 * EXACT) if whole else relative
    if isinstance(expected, list | tuple) and isinstance(answered, list | tuple):
        if len(expected) != len(answered):
            return 1.0
        pairs = zip(expected, answered, strict=True)
        return max((_difference(a, b) for a, b in pairs), default=0.0)
    return 1.0

"""What one case of a suite came to: asked, expected, answered, and what is allowed to differ, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

SECONDS = "seconds"
"""The field of a speed: of a step, a token or a prompt."""
SAME_FLOAT = 1e-9
"""Two computed floats are the same number within this relative difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """How far one field may be off before it counts as wrong.

    Attributes:
        reason: why the reference itself is no more precise; printed with the result.
        relative: largest relative difference.
        absolute: largest difference in the field's own unit.
    """

    reason: str
    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case: what was expected, what the planner answered.

    Attributes:
        name: which case, in words.
        expected: field -> reference value.
        answered: field -> the planner's value; a missing field is an error.
        allowed: field -> how far it may be off, and why.
        left_out: what of the case is not compared, and why; one line each.
        assumed: what had to be assumed to ask the question; one line each.
        failure: why the planner gave no answer although the case could be asked.
        unasked: what the case does not tell, or the planner has no word for; it is never exact.
        error: the case's own error measure where it is not a relative one (GiB, say).
        within_band: whether the band that the plan states held the truth, where it states one.
        group: a sub-heading (preset, class of machine) reported by its own.
    """

    name: str
    expected: Mapping[str, Any] = field(default_factory=dict)
    answered: Mapping[str, Any] = field(default_factory=dict)
    allowed: Mapping[str, Allowed] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    failure: str | None = None
    unasked: str | None = None
    error: float | None = None
    within_band: bool | None = None
    group: str | None = None

    @property
    def problem(self) -> str | None:
        """Why there is nothing to compare; None if there is."""
        if self.failure is not None or self.unasked is not None:
            return self.failure or f"cannot be asked: {self.unasked}"
        return None if self.expected else "nothing was compared"

    @property
    def errors(self) -> dict[str, float]:
        """Field -> relative error; 1.0 where values cannot be compared as numbers and differ."""
        return {
            name: _difference(value, self.answered.get(name, _MISSING))
            for name, value in self.expected.items()
        }

    @property
    def wrong(self) -> tuple[str, ...]:
        """Fields that are off by more than is allowed."""
        return tuple(name for name, error in self.errors.items() if error and not self._may(name))

    @property
    def size_of_error(self) -> float:
        """The case's error: its own measure, or the largest relative error of its fields."""
        if self.problem is not None:
            return 1.0
        if self.error is not None:
            return self.error
        return max(self.errors.values())

    @property
    def factor(self) -> float:
        """How many times too slow or too fast an answer in seconds is, whichever it is; 1 of others.

        The relative error of an answer that is too fast is below 100 %, however far off it is.
        """
        if self.problem is not None:
            return 1.0
        true, planned = self.expected.get(SECONDS), self.answered.get(SECONDS)
        if not (_is_number(true) and _is_number(planned) and true > 0 and planned > 0):
            return 1.0
        return max(true / planned, planned / true)

    @property
    def too_fast(self) -> bool:
        """The truth took longer than the band of the answer allows."""
        if self.problem is not None or self.within_band is not False:
            return False
        return SECONDS in self.expected and self.answered[SECONDS] < self.expected[SECONDS]

    @property
    def exact(self) -> bool:
        """Every compared field is equal, with nothing allowed."""
        return self.problem is None and not any(self.errors.values()) and not self.error

    @property
    def agrees(self) -> bool:
        """Every compared field is equal or off by no more than is allowed."""
        return self.exact or (self.problem is None and not self.wrong)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why something was allowed, left out or assumed, as far as it mattered to this case."""
        used = [
            f"allowed: {rule.reason}"
            for name, rule in self.allowed.items()
            if self.errors.get(name) and self._may(name)
        ]
        left = [f"left out: {reason}" for reason in self.left_out]
        return (*dict.fromkeys((*used, *left, *(f"assumed: {note}" for note in self.assumed))),)

    def _may(self, name: str) -> bool:
        """The field's difference is allowed."""
        rule = self.allowed.get(name)
        if rule is None:
            return False
        expected, answered = self.expected[name], self.answered.get(name)
        if _is_number(expected) and _is_number(answered):
            limit = max(rule.absolute, rule.relative * abs(expected))
            return bool(abs(answered - expected) <= limit * (1 + SAME_FLOAT))
        return self.errors[name] <= rule.relative


_MISSING = object()


def _is_number(value: object) -> TypeGuard[float]:
    """It is an int or a float (a bool is neither)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _difference(expected: Any, answered: Any) -> float:
    if isinstance(expected, bool) is not isinstance(answered, bool):
        return 1.0
    if expected == answered:
        return 0.0
    if _is_number(expected) and _is_number(answered):
        relative = float(abs(answered - expected) / max(abs(expected), 1e-300))
        whole = isinstance(expected, int) and isinstance(answered, int)
        # Integers are equal or they are not; floats that only rounding tells apart are the same.
        return relative if whole or relative > SAME_FLOAT else 0.0
    if isinstance(expected, list | tuple) and isinstance(answered, list | tuple):
        if len(expected) != len(answered):
            return 1.0
        pairs = zip(expected, answered, strict=True)
        return max((_difference(a, b) for a, b in pairs), default=0.0)
    return 1.0

"""How far a deployment goes: the last value that fits, by planning alone.

Every answer is a boundary: the plan at the value fits, and the plan one step beyond does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hardware_db.records import frozen
from planner.bisection import last_holding
from planner.engines.economies import Knob
from planner.engines.options import declared
from planner.engines.yarn import LONGEST
from planner.errors import InputError
from planner.planning import Outcome, Plan
from planner.question import Question
from planner.search.precision import as_published, best_that_fits, runnable
from planner.units import MAX_COUNT, format_tokens


@frozen
class Solution:
    """One answer.

    Attributes:
        asked: what was looked for, in words: "longest context".
        value: the last value that fits; None if none does.
        plan: the plan at that value; where none fits, the plan that comes nearest.
        beyond: the plan one step further, which does not fit; None where the range ends.
        words: the answer in one sentence.
    """

    asked: str
    value: int | float | str | None
    plan: Plan
    beyond: Plan | None
    words: str

    def __repr__(self) -> str:
        """Return what was asked and the answer; the plans are long."""
        return f"<Solution: {self.asked}: {self.words}>"


@frozen
class Limits:
    """How far a deployment goes in each direction, the others held.

    Attributes:
        context: the longest context at the asked concurrency.
        sequences: the most sequences at the asked context.
        precision: the best precision that fits.
        knobs: the engine's own settings, such as the smallest utilization.
    """

    context: Solution
    sequences: Solution
    precision: Solution
    knobs: tuple[Solution, ...]

    @property
    def solutions(self) -> tuple[Solution, ...]:
        """All of them."""
        return (self.context, self.sequences, self.precision, *self.knobs)


def solve_limits(question: Question) -> Limits:
    """How far the question goes in each direction.

    Raises:
        InputError: the question itself makes no sense.
    """
    question = question.settled()
    return Limits(
        context=longest_context(question),
        sequences=most_sequences(question),
        precision=best_precision(question),
        knobs=tuple(turn(question, knob) for knob in _knobs(question)),
    )


def last_that_fits(
    asked_at: Callable[[int], Question], low: int, high: int, *, guess: int | None = None
) -> tuple[Plan, Plan | None]:
    """Return the plan at the last value from `low` to `high` that fits, and that of the next value.

    What fits at a value is taken to fit at every smaller one; the boundary that is found is one in
    any case. If nothing fits at `low`, both are the plan at `low`.
    """
    value = last_holding(lambda n: asked_at(n).fits(), low, high, guess=guess)
    if value is None:
        nearest = asked_at(low).plan()
        return nearest, nearest
    return asked_at(value).plan(), asked_at(value + 1).plan() if value < high else None


def longest_context(question: Question) -> Solution:
    """Tokens per sequence up to which the asked number of sequences is held."""
    native = question.checkpoint.model.max_position_embeddings
    most = max(native, LONGEST) if question.yarn else native
    found, beyond = last_that_fits(
        lambda tokens: question.with_(context=tokens),
        1,
        most,
        guess=_expected(question),
    )
    value = found.deployment.context if found.fits else None
    many = _sequences(question.concurrency)
    if value is None:
        words = f"Does not fit at any context length. {found.verdict}"
    elif beyond is None:
        words = f"{format_tokens(value)} tokens for {many}, the longest that the model takes."
    else:
        laid = _with_layout(found, question)
        words = f"{format_tokens(value)} tokens for {many}{laid}; one token more does not fit."
    return Solution(asked="longest context", value=value, plan=found, beyond=beyond, words=words)


def _expected(question: Question) -> int:
    """Return about how many tokens per sequence are held, as the plan of what is asked tells."""
    asked, many = question.plan(), question.concurrency
    if many == 1:
        return asked.longest_context or question.context
    if asked.outcome is Outcome.HOLDS_FEWER and asked.capacity is not None:
        return asked.capacity.tokens // many
    return question.context


def most_sequences(question: Question) -> Solution:
    """Requests of the asked context that are held at once."""
    asked = question.plan()
    told = asked if asked.outcome is Outcome.HOLDS_FEWER else question.plan(concurrency=1)
    capacity = told.capacity
    found, beyond = last_that_fits(
        lambda many: question.with_(concurrency=many),
        1,
        MAX_COUNT,
        guess=capacity.sequences if capacity is not None else None,
    )
    value = found.deployment.concurrency if found.fits else None
    tokens = format_tokens(question.context)
    if value is None:
        words = f"Not even one request of {tokens} tokens fits. {found.verdict}"
    else:
        words = f"{_sequences(value)} of {tokens} tokens at once{_with_layout(found, question)}"
        capacity = beyond.capacity if beyond is not None else None
        words += f", limited by {capacity.limited_by}." if capacity is not None else "."
    return Solution(asked="most requests", value=value, plan=found, beyond=beyond, words=words)


def _with_layout(found: Plan, question: Question) -> str:
    """Name the layout of an answer where it is another than that of the question's own plan."""
    layout = found.deployment.layout
    return "" if layout == question.plan().deployment.layout else f" with {layout}"


def best_precision(question: Question) -> Solution:
    """The best precision that holds the workload; see `planner.search.precision` for the order.

    One of which no checkpoint is known is named only where no other holds it.
    """
    asked, every = "best precision", runnable(question)
    known = tuple(candidate for candidate in every if not candidate.hypothetical)
    plan, better = best_that_fits(question, known)
    if plan is None and len(known) < len(every):
        plan, better = best_that_fits(question, every)
    if plan is None:
        nearest = better or question.plan()
        words = f"No precision fits. {nearest.verdict}"
        return Solution(asked=asked, value=None, plan=nearest, beyond=better, words=words)
    checkpoint = plan.deployment.checkpoint
    words = f"{checkpoint.scheme.name} ({checkpoint.scheme.title})"
    published, name = as_published(checkpoint)
    if published is not checkpoint and question.fits(checkpoint=published):
        plan = question.plan(checkpoint=published)
        words += f", such as {name}"
    words += "; no checkpoint of it is known." if checkpoint.hypothetical else "."
    return Solution(
        asked=asked, value=checkpoint.scheme.name, plan=plan, beyond=better, words=words
    )


def turn(question: Question, knob: Knob) -> Solution:
    """The first of the knob's values at which the question fits."""
    values = knob.values

    def asked_at(index: int) -> Question:
        return question.with_options(**{knob.option: values[index]})

    try:
        index, found, before = _first_that_fits(asked_at, values)
    except InputError as error:
        raise InputError(f"{knob.option}: {error}") from None
    if index is None:
        words = f"No value of {knob.option} helps. {found.verdict}"
        return Solution(asked=knob.question, value=None, plan=found, beyond=None, words=words)
    unit = f" ({knob.unit})" if knob.unit else ""
    option = declared(question.settled_engine.options_type)[knob.option]
    words = " ".join(option.words(values[index])) or f"{option.label} {values[index]:g}"
    words += unit
    if before is not None:
        fails = "is not enough" if values[index - 1] < values[index] else "is more than fits"
        words += f"; {values[index - 1]:g} {fails}"
    words += "."
    return Solution(
        asked=knob.question, value=values[index], plan=found, beyond=before, words=words
    )


def _first_that_fits(
    asked_at: Callable[[int], Question], values: Sequence[Any]
) -> tuple[int | None, Plan, Plan | None]:
    """Index of the first value that fits, its plan, and the plan of the value before it.

    Bisection where the last value fits; else one by one: what helps one memory may overfill
    another (the host's), so that the values that fit may lie between some that do not.
    """
    end = len(values) - 1

    @lru_cache(maxsize=1024)
    def fits(index: int) -> bool:
        return asked_at(index).fits()

    def found(index: int) -> tuple[int, Plan, Plan | None]:
        return index, asked_at(index).plan(), asked_at(index - 1).plan() if index else None

    if fits(end):
        before = last_holding(lambda index: not fits(index), 0, end)
        return found(0 if before is None else before + 1)
    for index in range(end):
        if fits(index):
            return found(index)
    return None, asked_at(end).plan(), None


def _knobs(question: Question) -> tuple[Knob, ...]:
    asked = question.settled()
    return asked.settled_engine.knobs(asked.deployment())


def _sequences(count: int) -> str:
    return f"{count:,} request{'s' if count != 1 else ''}"

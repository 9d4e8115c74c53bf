"""Alternatives to the pick: at most six, each better in something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.model import catalog
from planner.model.parameters import count_parameters
from planner.recommending.choice import Choice
from planner.recommending.wish import Wish
from planner.throughput.answer import two_digits

MOST = 6
CLEARLY = 1.2
"""What is faster, or reaches further, by less than this is no reason to take something else."""


def front(pick: Choice, others: Sequence[Choice], wish: Wish) -> tuple[Choice, ...]:
    """Return the alternatives, each with what it is better in.

    Args:
        pick: what is recommended.
        others: every candidate that was planned, the best first.
        wish: what decides between equals.
    """
    held = [
        choice
        for choice in others
        if choice.plan.fits and choice is not pick and (choice.plan.headroom or 0) >= 0
    ]
    chosen: dict[tuple[str, str, str], Choice] = {}
    for choice in _better(pick, held, wish):
        chosen.setdefault(_identity(choice), choice)
    chosen.pop(_identity(pick), None)
    return tuple(chosen.values())[:MOST]


def _better(pick: Choice, held: Sequence[Choice], wish: Wish) -> Iterator[Choice]:
    """Candidates with what they are better in; one may come twice."""
    own = [choice for choice in held if choice.entry.base == pick.entry.base]
    ready = [choice for choice in own if choice.needs_ram is None]
    finer = [choice for choice in ready if choice.word < pick.word]
    if finer:
        finest = min(finer, key=lambda choice: (choice.holding(wish), int(choice.word)))
        slow = _is_slower(finest, pick)
        yield replace(finest, better="better quality, slower" if slow else "better quality")
    sound = [choice for choice in ready if choice.is_above_floor]
    if pick.per_user is not None:
        fast = [choice for choice in sound if (choice.per_user or 0) >= CLEARLY * pick.per_user]
        if fast:
            yield _faster(max(fast, key=lambda choice: choice.per_user or 0.0), pick)
    far = [choice for choice in sound if choice.longest >= CLEARLY * max(1, pick.longest)]
    if far:
        farther = min(far, key=lambda choice: (int(choice.word), -choice.longest))
        yield replace(farther, better="longer context")
    for engine in dict.fromkeys(choice.plan.engine for choice in ready):
        if engine != pick.plan.engine:
            other = next(choice for choice in ready if choice.plan.engine == engine)
            more = other.users >= CLEARLY * max(1, pick.users)
            yield replace(other, better="serves more at once" if more else "another server")
    yield from _of_other_models(pick, held)
    many = [choice for choice in sound if choice.users >= 2 * max(1, pick.users)]
    if many:
        most = max(many, key=lambda choice: choice.users)
        yield replace(most, better=f"{most.users:,} at once instead of {pick.users:,}")


def _of_other_models(pick: Choice, held: Sequence[Choice]) -> Iterator[Choice]:
    """The best candidate of each other model, where it has something to offer."""
    shapes = {shape_of(pick.entry.base)}
    for base in dict.fromkeys(choice.entry.base for choice in held):
        other = next(choice for choice in held if choice.entry.base == base)
        if shape_of(base) in shapes and other.place >= pick.place:
            continue  # an older release of a model that is listed
        if not other.is_above_floor:
            continue
        shapes.add(shape_of(base))
        if other.needs_ram is not None:
            yield replace(other, better=f"with {other.needs_ram} GiB of RAM")
        elif other.place < pick.place:
            better = "better scores, slower" if _is_slower(other, pick) else "better scores"
            yield replace(other, better=better)
        elif pick.per_user and other.per_user and other.per_user >= CLEARLY * pick.per_user:
            yield _faster(other, pick)
        elif other.place == pick.place and other.word < pick.word:
            yield replace(other, better="less loss, slower")
        elif other.longest >= CLEARLY * max(1, pick.longest):
            yield replace(other, better="longer context")


def shape_of(base: str) -> tuple[int, int]:
    """Return the size of a model: releases of one size take each other's place."""
    known = catalog.find(base)
    counts = count_parameters(known[0].model) if known is not None else None
    return (counts.text, counts.active_body) if counts is not None else (0, 0)


def _faster(choice: Choice, pick: Choice) -> Choice:
    times = (choice.per_user or 0.0) / (pick.per_user or 1.0)
    return replace(choice, better=f"{two_digits(times)} times as fast")


def _is_slower(choice: Choice, pick: Choice) -> bool:
    if choice.per_user is None or pick.per_user is None:
        return choice.in_ram and not pick.in_ram
    return choice.per_user * CLEARLY < pick.per_user


def _identity(choice: Choice) -> tuple[str, str, str]:
    return choice.entry.name, choice.plan.engine, choice.plan.deployment.kv_cache_dtype

"""Which machines hold a workload, row by row, so that a page can show what it has so far.

The pick of a machine is the library's, of a named model and of any; nothing is chosen here.
Worker processes import this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from functools import cache, lru_cache

import hardware_db
from hardware_db import System
from hardware_db.records import frozen
from planner.cost import cheapest, power_of
from planner.errors import PlannerError
from planner.planning import Outcome, Plan
from planner.question import Question
from planner.recommending import Wanted, best_of
from planner.recommending.choice import Choice
from planner.recommending.machines import groups
from planner.recommending.strangers import stranger
from planner.recommending.words import short_word
from planner.registry import Word, entries_of
from planner.search.hardware import candidates
from planner.speed import speed_of
from planner.throughput import SpeedEstimate
from planner.web.stored import bytes_of, short_name

OTHERS = "Every other card"
"""Heading of what the database has beside the machines that people own first."""

YOURS = "Yours"
"""Heading of the machine that the question is about."""


class Verdict(Enum):
    """What a row says; `value` is what people read where no number belongs to it."""

    FITS = "Fits"
    TIGHT = "Tight"
    SLOW = "Slow"
    LOSSY = "Low quality"
    MORE = "Needs more"
    NO = "Too small"
    NOT_SERVED = "Not served"
    LATE = "Took too long"


@frozen
class Spot:
    """A machine to look at.

    Attributes:
        group: heading that it stands under.
        on: as it is typed, or the machine itself.
    """

    group: str
    on: str | System

    @property
    def system(self) -> System:
        """The machine."""
        return hardware_db.resolve(self.on) if isinstance(self.on, str) else self.on


@frozen
class Row:
    """One machine with what it would run.

    Attributes:
        group: heading that it stands under.
        name: the machine as people say it.
        card: id of the accelerator, where the machine is one of it and no more; else the machine's.
        answer: whether it holds the workload.
        count: the smallest number of accelerators that does; None if no number tried does.
        on: the machine as it is typed; empty for the question's own.
        runs: the checkpoint in few words.
        engine: title of the engine.
        quality: class of quality in few words.
        per_user: tokens per second for one user.
        longest: tokens of the longest single request.
        spare: bytes to spare on the fullest accelerator.
        price: the lowest recent price to buy, in US dollars.
        rent: the lowest recent price per hour, in US dollars.
        watts: what it draws under load.
        slow: below the least speed for each user.
    """

    group: str
    name: str
    card: str
    answer: Verdict
    count: int | None
    on: str
    runs: str = ""
    engine: str = ""
    quality: str = ""
    per_user: float | None = None
    longest: int | None = None
    spare: int | None = None
    price: float | None = None
    rent: float | None = None
    watts: float | None = None
    slow: bool = False


HELD = (Verdict.FITS, Verdict.TIGHT, Verdict.SLOW, Verdict.LOSSY)
"""What rows say whose machine holds the workload as it is."""

_LAST = (Verdict.MORE, Verdict.LATE, Verdict.NO, Verdict.NOT_SERVED)
"""What stands below the machines that hold the workload, in this order."""


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows as they are read: the visitor's own, what holds the workload, what does with more."""

    def place(row: Row) -> int:
        if row.group == YOURS:
            return -1
        return 1 + _LAST.index(row.answer) if row.answer in _LAST else 0

    return sorted(rows, key=place)


@cache
def listed() -> tuple[Spot, ...]:
    """Return the machines that people own first, in their order."""
    return tuple(Spot(group=group, on=on) for group, names in groups() for on in names)


@cache
def others() -> tuple[Spot, ...]:
    """Return one of each accelerator that no listed machine is made of, by vendor and memory."""
    known = {spot.system.accelerator.id for spot in listed()}
    rest = [entry for entry in hardware_db.accelerators() if entry.id not in known]
    vendors = list(dict.fromkeys(entry.vendor for entry in hardware_db.accelerators()))
    rest.sort(key=lambda entry: (vendors.index(entry.vendor), entry.total_bytes, entry.id))
    return tuple(Spot(group=OTHERS, on=entry.id) for entry in rest)


@cache
def nowhere() -> System:
    """Return the system of a question whose system is looked for."""
    return hardware_db.resolve("custom:1GiB")


def row_of(asked: Wanted | Question, spot: Spot) -> Row:
    """Return one row.

    Args:
        asked: what is to run; its system and layout are not used. A `Question` keeps its own
            checkpoint, engine and options; a `Wanted` names a model, and what is not fixed is picked.
        spot: the machine.
    """
    asked = replace(asked, system=nowhere(), layout=None)
    here = spot.system
    row = _on(asked, spot, here)
    if row.answer is not Verdict.NO or here.count != 1 or here.is_cpu_only:
        return row
    for larger in candidates(here.accelerator, hardware_db.systems())[1:]:
        if _may_hold(asked, larger) if isinstance(asked, Wanted) else _holds(asked, larger):
            more = _on(asked, spot, larger)
            if more.count is not None:
                return replace(more, answer=Verdict.MORE, name=row.name, card=row.card)
    return row


def _may_hold(wanted: Wanted, system: System) -> bool:
    """Whether memory and RAM are as much as the smallest weights of the model; no plan is made."""
    beside = system.host_memory
    room = 3 * system.total_bytes if beside is None else system.total_bytes + beside
    return room >= _least(wanted.base or "")


@lru_cache(maxsize=64)
def _least(base: str) -> int:
    return min((bytes_of(row) for row in entries_of(base) if row.recommendable), default=0)


def _holds(question: Question, system: System) -> bool:
    try:
        return question.fits(system=system)
    except PlannerError:
        return False


def _on(asked: Wanted | Question, spot: Spot, system: System) -> Row:
    empty = _empty(spot, system)
    if isinstance(asked, Wanted):
        return _picked(empty, asked, system)
    try:
        plan = asked.plan(system=system)
    except PlannerError:
        return replace(empty, answer=Verdict.NOT_SERVED)
    if plan.outcome is Outcome.CANNOT_RUN:
        return replace(empty, answer=Verdict.NOT_SERVED)
    return _planned(empty, plan, None) if plan.fits else empty


def _empty(spot: Spot, system: System) -> Row:
    """The row of a machine that holds nothing."""
    bought, rented = cheapest(system, "purchase"), cheapest(system, "hourly")
    power = power_of(system, price_per_kwh=0.0)
    return Row(
        group=spot.group,
        on=spot.on if isinstance(spot.on, str) else "",
        name=system.short_name,
        card=system.accelerator.id if system.is_card else system.id,
        answer=Verdict.NO,
        count=None,
        price=bought.value if bought is not None else None,
        rent=rented.value if rented is not None else None,
        watts=power.busy_w if power is not None else None,
    )


def _picked(empty: Row, wanted: Wanted, system: System) -> Row:
    """The row with the library's pick: what Run it answers there."""
    wanted = replace(wanted, system=system)
    choice = best_of(wanted)
    if choice is not None:
        row = _planned(empty, choice.plan, choice)
        if choice.is_below(wanted.wish):
            return replace(row, answer=Verdict.SLOW, slow=True)
        return replace(row, answer=Verdict.LOSSY) if choice.word >= Word.LARGE else row
    engine = wanted.fixed.engine
    strange = engine is not None and stranger(engine, system, wanted.base) is not None
    return replace(empty, answer=Verdict.NOT_SERVED) if strange else empty


def _planned(empty: Row, plan: Plan, choice: Choice | None) -> Row:
    asked, speed = plan.deployment, choice.speed if choice is not None else speed_of(plan)
    return replace(
        empty,
        answer=Verdict.FITS if plan.outcome is Outcome.FITS else Verdict.TIGHT,
        count=asked.system.count,
        runs=runs(plan, choice),
        engine=plan.engine_title,
        quality=short_word(choice.said) if choice is not None else "",
        per_user=speed.per_user.value if isinstance(speed, SpeedEstimate) else None,
        longest=plan.longest_context,
        spare=plan.headroom,
    )


def runs(plan: Plan, choice: Choice | None) -> str:
    """Return the checkpoint in few words."""
    return (
        short_name(choice.entry) if choice is not None else plan.deployment.checkpoint.scheme.title
    )

"""What is to be chosen: the machine, the workload, and what somebody said already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from hardware_db import System
from hardware_db.records import frozen
from planner.engines.choice import FOR_PICTURES
from planner.engines.options import Options
from planner.layout import Layout
from planner.learning import Lesson
from planner.model import catalog
from planner.planning import Plan
from planner.question import DEFAULT_CONTEXT
from planner.recommending.candidate import Fixed
from planner.recommending.wish import Wish
from planner.registry import classes, rank_of


@frozen
class Wanted:
    """What is asked for: where, how much, and what somebody said already.

    Attributes:
        system: the machine.
        base: bundled id of the model; None asks for models, too.
        context: tokens per sequence.
        concurrency: sequences at once.
        kv_cache_dtype: "auto" is chosen.
        layout: None is chosen.
        yarn: contexts beyond the native length are allowed.
        fixed: engine or precision that was said.
        wish: what decides.
        options: options of the engine that was said; None: its defaults.
        kept: words of the user's own command that change nothing in memory.
        notes: what to tell with the answer.
        lessons: what starts on this machine took beyond the estimates.
        front: the program that runs the engine inside, where one was named as the engine.
    """

    system: System
    base: str | None = None
    context: int = DEFAULT_CONTEXT
    concurrency: int = 1
    kv_cache_dtype: str = "auto"
    layout: Layout | None = None
    yarn: bool = False
    fixed: Fixed = field(default_factory=Fixed)
    wish: Wish = field(default_factory=Wish)
    options: Options | None = None
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    front: str | None = None

    def options_of(self, engine: str) -> Options | Mapping[str, Any] | None:
        """Return what an engine is told: what was said of it, and what pictures need."""
        needed = FOR_PICTURES[engine] if self.wish.pictures else {}
        if self.options is None:
            return needed or None
        return replace(self.options, **needed)

    @property
    def tells_options(self) -> bool:
        """Whether somebody said an option of the engine."""
        return self.options is not None and self.options != type(self.options)()

    def place_of(self, base: str) -> int:
        """Return the class of a model for the use, 0 the best; what has no place comes last."""
        place = rank_of(base, self.wish.use)
        return len(classes(self.wish.use)) if place is None else place


def wanted_by(plan: Plan) -> Wanted | None:
    """Return a plan's model, machine and workload with all else open; None if it is not bundled."""
    asked = plan.deployment
    known = catalog.entry_for(asked.checkpoint)
    if known is None:
        return None
    return Wanted(
        system=asked.system,
        base=known.id,
        context=asked.context,
        concurrency=asked.concurrency,
        yarn=asked.yarn,
    )

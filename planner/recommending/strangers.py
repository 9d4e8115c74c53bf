"""Engines that run nothing on a machine, whatever its memory."""

from __future__ import annotations

from itertools import islice

from hardware_db import System
from planner.engines import get_engine
from planner.engines.choice import LOADS
from planner.question import Question
from planner.registry import checkpoint_of, entries, entries_of

TRIED = 3
"""Checkpoints by which it is found out whether an engine runs on a machine at all."""


def stranger(engine: str, system: System, base: str | None = None) -> str | None:
    """Return why an engine runs nothing on a machine, memory aside; None where it runs something.

    Args:
        engine: name of an engine that is proposed.
        system: the machine.
        base: bundled id of the model that it must run; None: of any.
    """
    refused = f"no checkpoint that {get_engine(engine).title} loads is known"
    loaded = (
        row
        for row in (entries() if base is None else entries_of(base))
        if row.recommendable and engine in LOADS.get(row.container, ())
    )
    for place, row in enumerate(islice(loaded, TRIED)):
        question = Question(checkpoint=checkpoint_of(row), system=system, engine=get_engine(engine))
        if question.can_run():
            return None
        refused = refused if place else question.plan().verdict
    return refused

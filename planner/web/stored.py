"""Rows of the registry as the page lists them: which an engine loads, how large, as a candidate."""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.choice import LOADS
from planner.errors import PlannerError
from planner.planning import Plan
from planner.recommending import Choice, Wanted
from planner.registry import Entry, download_bytes, entries_of, loss_of

_UNKNOWN = 1 << 60
"""Bytes of what no recipe describes."""


def as_choice(entry: Entry, plan: Plan, wanted: Wanted) -> Choice:
    """Return a plan of a checkpoint as a candidate."""
    return Choice(
        entry=entry,
        plan=plan,
        loss=loss_of(entry),
        place=wanted.place_of(entry.base),
        turn=0,
        why="",
    )


def reached(choice: Choice) -> Choice:
    """Return a candidate whose reach is worked out: what is known of it travels with it."""
    _ = choice.longest
    return choice


def short_name(entry: Entry) -> str:
    """Return a checkpoint in few words: its label, or what its repository adds to the model's name."""
    name, model = entry.repo.rpartition("/")[2], entry.base.rpartition("/")[2]
    added = name[len(model) :].strip("-_") if name.startswith(model) else name
    return entry.label or added or entry.recipe.upper()


def bytes_of(entry: Entry) -> int:
    """Return the bytes to download; more than anything for what no recipe describes."""
    try:
        return download_bytes(entry)
    except PlannerError:
        return _UNKNOWN


def loaded(wanted: Wanted, engine: str) -> Iterator[Entry]:
    """Yield the checkpoints of the wanted model that can be downloaded and that `engine` loads."""
    assert wanted.base is not None
    for row in entries_of(wanted.base):
        if not row.recommendable or row.ollama or row.docker:
            continue
        if wanted.wish.official and row.maker != "official":
            continue
        if engine in LOADS.get(row.container, ()) and bytes_of(row) < _UNKNOWN:
            yield row

"""The ladder: checkpoints of one model for one engine by size, what fits and what does not.

A list, not a choice: every rung is planned as asked, and the pick stands among them. Worker
processes run this (`working.py`), so it knows nothing of Streamlit.
"""

from __future__ import annotations

from dataclasses import replace

from planner.planning import Plan
from planner.recommending import Choice, Wanted
from planner.recommending.choosing import Search
from planner.registry import Entry, loss_of
from planner.web.stored import as_choice, bytes_of, loaded, reached

STEP = 1.09
"""Files within this ratio of sizes share a rung: of them the one with the least loss, best measured."""

MOST = 10
"""Rungs that are shown."""

TOO_LARGE = 3
"""Rungs that do not fit and are shown above those that do."""


def ladder(wanted: Wanted, engine: str, present: Choice | None) -> tuple[Choice, ...]:
    """Return the rungs, the largest first.

    Args:
        wanted: the question; its model must be named.
        engine: who serves.
        present: what is shown now; it has a rung of its own. Where a smaller KV cache was picked for
            it, the others are planned with that cache, too: a smaller file cannot fit worse then.
    """
    assert wanted.base is not None
    own = present if present is not None and present.plan.engine == engine else None
    if own is not None and wanted.kv_cache_dtype == "auto":
        wanted = replace(wanted, kv_cache_dtype=own.plan.deployment.kv_cache_dtype)
    rows = _one_per_step(
        [row for row in loaded(wanted, engine) if own is None or row.name != own.entry.name]
    )
    search, fitting, over = Search(wanted), list[Choice](), list[Choice]()
    for row in reversed(rows):  # the smallest first: three that do not fit are enough
        if len(over) == TOO_LARGE:
            break
        plan = _plan(search, row, engine)
        if plan is None:
            continue
        choice = as_choice(row, plan, wanted)
        (fitting if plan.fits else over).append(choice)
    found = _best_of(fitting, MOST - len(over) - 1) + over + ([own] if own is not None else [])
    return tuple(map(reached, sorted(found, key=lambda choice: -bytes_of(choice.entry))))


def _one_per_step(rows: list[Entry]) -> list[Entry]:
    """One checkpoint per step of sizes; none that a smaller one matches in quality."""
    rows.sort(key=lambda row: (-bytes_of(row), row.name))
    steps: list[list[Entry]] = []
    for row in rows:
        if not steps or bytes_of(row) * STEP < bytes_of(steps[-1][0]):
            steps.append([])
        steps[-1].append(row)
    chosen = [min(step, key=_order) for step in steps]
    return [
        row
        for place, row in enumerate(chosen)
        if not any(loss_of(row).word > loss_of(other).word for other in chosen[place + 1 :])
    ]


def _order(row: Entry) -> tuple[object, ...]:
    loss = loss_of(row)
    return (
        loss.word,
        row.maker != "official",
        loss.basis != "file",
        -(row.downloads or 0),
        bytes_of(row),
        row.name,
    )


def _best_of(fitting: list[Choice], most: int) -> list[Choice]:
    """The largest ones: what is far below them loses more and gains little."""
    return fitting[-most:] if most > 0 else []


def _plan(search: Search, row: Entry, engine: str) -> Plan | None:
    plan = search.plan(row, engine)
    return plan if plan is not None and plan.ranks else None

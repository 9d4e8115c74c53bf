"""Who made a checkpoint's files, and how much of the family they store."""

from __future__ import annotations

from planner.registry import Entry, models_stored

REGULAR = 3
"""Models of the family that somebody stores who does so regularly: their files are what people run."""


def standing(entry: Entry) -> int:
    """Return who made a checkpoint's files: 0 the model's maker, 1 who stores the family regularly, 2 others."""
    if entry.maker == "official":
        return 0
    return 1 if renown(entry) >= REGULAR else 2


def renown(entry: Entry) -> int:
    """Return how many models of the family are stored by who made these files."""
    return models_stored().get(entry.repo.partition("/")[0], 0)

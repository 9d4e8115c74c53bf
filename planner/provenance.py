"""Where a number comes from and how sure it is. Every term of a plan carries both."""

from __future__ import annotations

from enum import Enum

from hardware_db.records import frozen


class Confidence(Enum):
    """How sure a number is, best first; the value is the word that users read."""

    EXACT = "exact"
    """Follows from the architecture or from file headers alone."""

    ENGINE_RULE = "engine rule"
    """Computed by the rule read from, and checked against, the engine's own code."""

    PUBLISHED = "published size"
    """Bytes that a checkpoint's publisher or a list of files states, spread by the nearest recipe;
    carries a band."""

    CALIBRATED = "calibrated"
    """First-order rule with constants fitted to measurements; carries a band."""

    ASSUMED = "assumed"
    """Not verified; shown as an assumption."""


@frozen
class Source:
    """Where a rule or figure was read.

    Attributes:
        where: engine version and file, paper, data sheet or log.
        when: ISO date (or year and month) of reading or measuring, if known.
    """

    where: str
    when: str | None = None


@frozen
class Band:
    """How far the truth may lie from an estimate, in bytes.

    Attributes:
        below: how much less it may be (zero or more).
        above: how much more it may be (zero or more).
    """

    below: int
    above: int

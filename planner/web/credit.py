"""Seconds of processor time that somebody may take: a share on average, and some saved up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Credit:
    """What is left to somebody.

    Attributes:
        share: of one core, on average.
        saved: seconds that can be saved up.
        seconds: that are left; below zero one has to wait.
        since: when that was, by a steady clock.
    """

    share: float
    saved: float
    seconds: float = field(default=0.0)
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Begin with all that can be saved up."""
        self.seconds = self.saved

    def wait(self, now: float) -> float:
        """Return the seconds until one may go on."""
        self.seconds = min(self.saved, self.seconds + self.share * (now - self.since))
        self.since = now
        return max(0.0, -self.seconds / self.share)

    def spend(self, seconds: float) -> None:
        """Count processor time."""
        self.seconds -= seconds

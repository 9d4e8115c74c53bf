"""What somebody wants of an answer: quality, speed or context first, and for what use."""

from __future__ import annotations

from math import inf
from typing import Literal

from hardware_db.records import frozen
from planner.errors import InputError
from planner.registry import get_use
from planner.units import check_text, plain, shown

Best = Literal["quality", "speed", "context"]
BESTS: tuple[Best, ...] = ("quality", "speed", "context")

AGENTS = "agents"
"""The use that asks for tool calls; models are compared as for coding."""

PICTURES = "vision"
"""The use that asks for pictures."""

LEAST_SPEED = 10.0
"""Tokens per second for one user below which people stop to read along."""

ALMOST = 0.9
"""Share of the least speed from which on it counts as reached: no estimate is good to a tenth, and a
much better model must not lose to a small one by less than that."""

COMFORT = 2.0
"""Times the least speed from which on waiting is no reason to take something else."""


@frozen
class Wish:
    """What decides between candidates that hold the workload.

    Attributes:
        best: what comes first.
        use: what models are compared by: "general", "coding", "vision", "long-context", ...
        images: pictures must be taken; the use "vision" says so, too.
        official: only checkpoints of the model's maker.
        least_speed: tokens per second that each user must get.
        tools: tools are called; the use "agents" says so.

    Raises:
        InputError: an unknown wish or use.
    """

    best: Best = "quality"
    use: str = "general"
    images: bool = False
    official: bool = False
    least_speed: float = LEAST_SPEED
    tools: bool = False

    @property
    def enough(self) -> float:
        """Tokens per second from which on the least speed counts as reached."""
        return ALMOST * self.least_speed

    @property
    def comfortable(self) -> float:
        """Tokens per second that each user should get: these models think before they answer."""
        return COMFORT * self.least_speed

    def __post_init__(self) -> None:
        """Check the words."""
        if self.best not in BESTS:
            raise InputError(f"unknown wish {shown(self.best)}; known: {', '.join(BESTS)}")
        check_text(self.use, what="use")
        object.__setattr__(self, "tools", self.tools or self.use.lower() == AGENTS)
        object.__setattr__(self, "use", get_use(self.use).name)
        speed = plain(self.least_speed)
        if not isinstance(speed, int | float) or not 0 <= speed < inf:
            raise InputError(f"least speed must be a number of 0 or more, got {shown(speed)}")

    @property
    def pictures(self) -> bool:
        """Whether pictures must be taken."""
        return self.images or self.use == PICTURES

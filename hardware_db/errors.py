"""Errors of the hardware database: everything here is something the caller can mend.

HardwareError (a ValueError)   a name, count, size or data file that cannot be used; one line
└── UnknownHardware            no entry has that name; `candidates` holds the nearest ids
"""

from __future__ import annotations

import re

__all__ = ["HardwareError", "UnknownHardware", "UnnamedChip"]


class HardwareError(ValueError):
    """The hardware asked for, or a hardware file, is not usable; the message is one line.

    What is quoted in it may be anybody's, and as long as they like: of a long line its ends are said.
    """

    def __str__(self) -> str:
        """Return the line."""
        text = super().__str__()
        return (
            text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        )


_LONGEST = 1200
"""Letters of a message."""


class UnknownHardware(HardwareError):  # noqa: N818 - a name of the public API
    """No accelerator or system of the database has this name."""

    candidates: tuple[str, ...]

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        self.name = name
        self.candidates = candidates
        near = f"nearest: {', '.join(candidates)}" if candidates else "list all: qwenplan hardware"
        said = re.findall(r"\b([1-9][0-9]{0,3})\s?(?:gb?|gig)\b(?!/)", name, re.IGNORECASE)
        sizes = (said[-1], said[-1]) if said else ("16", "24")
        super().__init__(
            f"unknown hardware {name!r}; {near}; or say what it has: 'cpu, {sizes[0]}GB' without a GPU,"
            f" '{sizes[1]}GB' for a GPU with that memory{_WITH_SPEED if '/s' in name else ''}"
        )

    def __reduce__(self) -> tuple[type[UnknownHardware], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.candidates)


_WITH_SPEED = (
    "; a bandwidth is said in a file of your own (docs/hardware.md), or on the app's page Hardware"
)


class UnnamedChip(HardwareError):  # noqa: N818 - as the other one
    """A Mac by the name of its case: which chip is in it is not said."""

    chips: tuple[str, ...]

    def __init__(self, name: str, chips: tuple[str, ...]) -> None:
        self.name = name
        self.chips = chips
        super().__init__(
            f"{name!r} does not name its chip: only {chips[0]} has such a memory"
            if len(chips) == 1
            else f"{name!r} is sold with several chips: name it, such as {', '.join(chips[:_CHIPS])}"
        )

    def __reduce__(self) -> tuple[type[UnnamedChip], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.chips)


_CHIPS = 6
"""Chips that a message names."""

"""Errors of the hardware database: everything here is something the caller can mend.

HardwareError (a ValueError)   a name, count, size or data file that cannot be used; one line
└── UnknownHardware            no entry has that name; `candidates` holds the nearest ids
"""

from __future__ import annotations

__all__ = ["HardwareError", "UnknownHardware"]


class HardwareError(ValueError):
    """The hardware asked for, or a hardware file, is not usable; the message is one line."""


class UnknownHardware(HardwareError):  # noqa: N818 - a name of the public API
    """No accelerator or system of the database has this name."""

    candidates: tuple[str, ...]

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        self.name = name
        self.candidates = candidates
        near = f"nearest: {', '.join(candidates)}" if candidates else "list all: qwenplan hardware"
        super().__init__(
            f"unknown hardware {name!r}; {near}; or say what it has: 'cpu, 16GB' without a GPU,"
            " '24GB' for a GPU with that memory"
        )

    def __reduce__(self) -> tuple[type[UnknownHardware], tuple[str, tuple[str, ...]]]:
        return type(self), (self.name, self.candidates)

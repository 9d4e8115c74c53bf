"""Two answers never contradict each other: which constants hold, and what to say where they differ.

A newer card runs the kernels of the class that it followed, and narrow weights can be kept in 16
bits. So nothing is slower than with those, unless that was measured, which is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from hardware_db.records import frozen
from planner.throughput.constants import Calibration, Constants
from planner.throughput.part import Part, seconds_of

NOISE = 1.05
"""Constants that differ by less are the same: the better ones are taken."""


@frozen
class Settled:
    """What a time is computed with.

    Attributes:
        constants: the constants.
        seconds: what the parts take with them.
        notes: why it is slower than older cards suggest, where it is.
    """

    constants: Constants
    seconds: float
    notes: tuple[str, ...] = ()


def settled(parts: Sequence[Part], found: Calibration, *, what: str) -> Settled:
    """Return the constants that hold for `parts`.

    The better of its own and of the classes that it followed, where nobody measured this (decoding,
    prompts of such a model) of the class under the engine or both are alike; else its own, with a
    note.

    Args:
        parts: what the time is made of.
        found: the constants of the device's class.
        what: whose time it is, as the note says it: "decoding was", "prompts were".
    """
    constants, seconds, notes = found.constants, seconds_of(parts, found.constants), list[str]()
    for _, older in found.older:
        other = seconds_of(parts, older)
        if other >= seconds:
            continue
        if found.basis != "fitted" or seconds <= NOISE * other:
            constants, seconds = older, other
        else:
            share = f"x{other / seconds:.2f}"
            notes = [f"{what} measured at {share} of what older cards of its kind suggest"]
    return Settled(constants=constants, seconds=seconds, notes=tuple(notes))

"""One meaning, one colour: the parts of memory, on pages and in notebooks.

Fills keep 3:1 against light and dark backgrounds and stay apart under the usual kinds of colour
blindness; `ink` is the text colour that keeps 4.5:1 on the fill.
"""

from __future__ import annotations

from hardware_db.records import frozen
from planner.memory.breakdown import Kind

DARK, LIGHT = "#0d1420", "#ffffff"


@frozen
class Part:
    """What a segment of a bar means.

    Attributes:
        label: what users read.
        kinds: the terms it adds up.
        fill: colour of the area.
        ink: colour of text on it.
    """

    label: str
    kinds: tuple[Kind, ...]
    fill: str
    ink: str


PARTS = (
    Part(label="weights", kinds=(Kind.WEIGHTS,), fill="#668fff", ink=DARK),
    Part(label="KV cache", kinds=(Kind.KV_CACHE,), fill="#cc850a", ink=DARK),
    Part(label="recurrent state", kinds=(Kind.RECURRENT_STATE,), fill="#067352", ink=LIGHT),
    Part(label="activations", kinds=(Kind.ACTIVATIONS,), fill="#973eb2", ink=LIGHT),
    Part(label="overhead", kinds=(Kind.CUDA_GRAPHS, Kind.RUNTIME), fill="#8a9199", ink=DARK),
)
"""In stacking order."""

OVER = "#c62f3b"
"""What lies beyond the usable memory; always hatched and named as well."""

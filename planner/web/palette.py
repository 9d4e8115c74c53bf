"""One meaning, one colour: the parts of memory and the verdicts, in pictures and words.

Fills keep 3:1 against both backgrounds of the theme and stay apart under the usual kinds of colour
blindness; `ink` is the text colour that keeps 4.5:1 on the fill.
"""

from __future__ import annotations

from typing import Literal

from hardware_db.records import frozen
from planner.planning import Outcome
from planner.report.palette import DARK as DARK
from planner.report.palette import LIGHT as LIGHT
from planner.report.palette import OVER as OVER
from planner.report.palette import PARTS as PARTS
from planner.report.palette import Part as Part

LIGHT_THEME_TEXT, DARK_THEME_TEXT = "#0d1420", "#e8edf4"
"""Text in figures; as in `config.toml`."""

LIGHT_THEME_GROUND, DARK_THEME_GROUND = "#ffffff", "#12161c"
LIGHT_THEME_EDGE, DARK_THEME_EDGE = "#d5dce6", "#323c4a"
"""Ground and borders of the page; as in `config.toml`."""

ALL_MEMORY = "all memory"
"""What the memory in all is called, where no more is known of it."""

NEUTRAL = "#7f8894"
"""Lines in figures that must be seen on both backgrounds."""


ACCENT = "#3d7fe0"
"""What is chosen, in figures; 3:1 on both backgrounds."""


GOOD, FAIR, NONE = "good", "fair", "none"
"""Tones of cells, by name."""


@frozen
class Look:
    """How a verdict appears: never by colour alone.

    Attributes:
        word: the verdict, as a heading says it.
        short: the same within a sentence.
        mark: its mark in a table, where no icon can stand.
        tone: of its cell in a table.
        icon: its icon.
        colour: of icon and word, as Streamlit's Markdown calls it.
    """

    word: str
    short: str
    mark: str
    tone: str
    icon: str
    colour: Literal["green", "orange", "red"]


LOOKS = {
    Outcome.FITS: Look(
        word="Fits",
        short="fits",
        mark="✔",
        tone=GOOD,
        icon=":material/check_circle:",
        colour="green",
    ),
    Outcome.TIGHT: Look(
        word="Tight",
        short="tight",
        mark="▲",
        tone=FAIR,
        icon=":material/warning:",
        colour="orange",
    ),
    Outcome.HOLDS_FEWER: Look(
        word="Holds fewer",
        short="starts",
        mark="◐",
        tone=FAIR,
        icon=":material/hourglass_bottom:",
        colour="orange",
    ),
    Outcome.DOES_NOT_FIT: Look(
        word="Does not fit",
        short="does not fit",
        mark="✘",
        tone=NONE,
        icon=":material/cancel:",
        colour="red",
    ),
    Outcome.CANNOT_RUN: Look(
        word="Cannot run",
        short="cannot run",
        mark="–",
        tone=NONE,
        icon=":material/block:",
        colour="red",
    ),
}


@frozen
class Tone:
    """Fill and ink of a cell; the ink keeps 4.5:1 on the fill, whatever the page's theme."""

    fill: str
    ink: str


TONES = {
    False: {
        GOOD: Tone(fill="#d5f0dd", ink="#0c3f22"),
        FAIR: Tone(fill="#fdebc4", ink="#553600"),
        NONE: Tone(fill="#e7ebf0", ink="#3d4754"),
    },
    True: {
        GOOD: Tone(fill="#17452b", ink="#cdf3da"),
        FAIR: Tone(fill="#513a08", ink="#fdebc4"),
        NONE: Tone(fill="#2a323d", ink="#c9d2dd"),
    },
}
"""Green, amber and grey for cells, by whether the page is dark; an icon and a word stand beside."""

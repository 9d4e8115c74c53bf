"""What the pages' tables share: tones behind cells with icon and word, heights, numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from planner.web.palette import TONES
from planner.web.theme import is_dark

HEADER, LINE = 38, 35
"""Heights of a table's parts in pixels, so that its place is kept while its rows come."""


def rounded(value: float | None) -> float | None:
    """Return an estimate with two significant digits, as people read it."""
    if not value or value < 0:
        return value
    return round(value, 1 - math.floor(math.log10(value)))


def height_of(rows: int) -> int:
    """Return the pixels of a table of so many rows."""
    return HEADER + LINE * max(1, rows)


def room_for_toolbar() -> None:
    """Keep a strip free above a table: its toolbar lies there, on a phone always."""
    st.space("xsmall")


def vendor_name(vendor: str) -> str:
    """Return a maker's name as it writes it."""
    return vendor.upper() if vendor in ("amd", "nvidia") else vendor.capitalize()


def tinted(frame: pd.DataFrame, column: str, tones: Sequence[str]) -> Any:
    """Return the table with a tone behind each cell of one column.

    Args:
        frame: the table.
        column: where icon and word stand.
        tones: names of `palette.TONES`, one per row.
    """
    known = TONES[is_dark()]
    colours = pd.DataFrame("", index=frame.index, columns=frame.columns)
    for number, name in enumerate(tones):
        tone = known[name]
        colours.loc[number, column] = f"background-color: {tone.fill}; color: {tone.ink}"
    return frame.style.apply(lambda _: colours, axis=None)

"""What the pages' tables and tabs share: tones behind cells with icon and word, heights, numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import streamlit as st

from planner.throughput.answer import to_two_digits
from planner.web import session
from planner.web.palette import FAIR, TONES
from planner.web.tables import escape
from planner.web.theme import is_dark

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

HEADER, LINE = 38, 35
"""Heights of a table's parts in pixels, so that its place is kept while its rows come."""


def rounded(value: float | None) -> float | None:
    """Return an estimate as people read it, where there is one."""
    return value if value is None else to_two_digits(value)


def clipped(name: str, letters: int) -> str:
    """Return a name as a cell of so many letters shows it: of a longer one the middle is left out.

    Names of one family begin alike: what tells them apart stands at their end.
    """
    end = letters // 2 - 1
    return name if len(name) <= letters else f"{name[: letters - 1 - end]}…{name[-end:]}"


def height_of(rows: int) -> int:
    """Return the pixels of a table of so many rows."""
    return HEADER + LINE * max(1, rows)


def room_for_toolbar() -> None:
    """Keep a strip free above a table: its toolbar lies there, on a phone always."""
    st.space("xsmall")


def by_keyboard(label: str, names: Sequence[str], *, key: str, take: Callable[[], None]) -> None:
    """Draw the field with which a keyboard takes a row of the table below; it is seen in use only.

    A cell of Streamlit's tables is chosen by any key that moves to it, so Tab goes past the table.

    Args:
        label: what is taken, for a screen reader.
        names: of the rows, as one types them.
        key: the field's; `chosen_row` reads it.
        take: the callback.
    """
    with st.container(key="by-keyboard"):
        st.selectbox(
            label,
            range(len(names)),
            index=None,
            format_func=names.__getitem__,
            key=key,
            on_change=take,
            placeholder=label,
            label_visibility="collapsed",
        )


def chosen_row(key: str, rows: Sequence[T]) -> T | None:
    """Return which of the rows was chosen in a table or in the field above it."""
    chosen = st.session_state.get(key)
    if chosen is not None and not isinstance(chosen, int | str):
        cells = chosen.selection.cells
        chosen = cells[0][0] if cells else None
    # a field has a text where what was said is none of its rows
    return rows[chosen] if isinstance(chosen, int) and 0 <= chosen < len(rows) else None


def kept_tabs(titles: Sequence[str], *, key: str) -> Sequence[Any]:
    """Draw tabs, of which the one that was open last is open: the address loses it between pages.

    Args:
        titles: of the tabs.
        key: the widget's, and its name in the address.
    """
    kept = f"{key}-kept"
    here = st.session_state.get(kept)
    come = session.has_just_come() and key not in st.query_params
    tabs = st.tabs(
        titles, key=key, on_change="rerun", bind="query-params", default=here if come else None
    )
    for title, tab in zip(titles, tabs, strict=True):
        if tab.open:
            st.session_state[kept] = title
    return tabs


def chosen_of(
    entries: Sequence[T],
    frame: Any,
    columns: dict[str, Any],
    *,
    key: str,
    alt: str,
    names: Sequence[str],
    height: int | Literal["auto"] = "auto",
) -> T | None:
    """Draw a table of which one row can be chosen; return the row's entry, None without a choice.

    The choice is in the address, under the table's key: a link carries it and Back undoes it.

    Args:
        entries: what the rows stand for, in the table's order.
        frame: the table, plain or tinted.
        columns: how each column is shown.
        key: the widget's, and its name in the address.
        alt: what the table is, for those who cannot see it.
        names: what the address calls each entry.
        height: pixels; "auto" lets the rows decide.
    """
    said = st.query_params.get(key, "")
    written, turn = st.session_state.get(f"{key}-written", ("", 0))
    if said != written:  # a link was followed, or Back: what the table remembers is no choice of it
        turn += 1
        if said and said not in names:
            st.markdown(f":material/help: {escape(said)} is not in this list.")
    room_for_toolbar()
    rows = [names.index(said)] if said in names else []
    picked = st.dataframe(
        frame,
        key=f"{key}-{turn}-{hash(tuple(names))}",
        hide_index=True,
        height=height,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": rows}},
        column_config=columns,
        placeholder="",
        alt=alt,
    )
    chosen = next((row for row in picked.selection.rows if 0 <= row < len(entries)), None)
    name = names[chosen] if chosen is not None else ""
    st.session_state[f"{key}-written"] = (name, turn)
    if name and name != said:
        st.query_params[key] = name
    elif said and not name:
        del st.query_params[key]
    return entries[chosen] if chosen is not None else None


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
    looks = [f"background-color: {known[tone].fill}; color: {known[tone].ink}" for tone in tones]
    return frame.style.apply(lambda _: looks, subset=[column])


def flagged(style: Any, column: str, flags: Sequence[bool]) -> Any:
    """Return a tinted table with the tone of what is only fair behind some cells of one more column.

    Args:
        style: what `tinted` returned.
        column: the column.
        flags: which of its cells, one per row.
    """
    fair = TONES[is_dark()][FAIR]
    look = f"background-color: {fair.fill}; color: {fair.ink}"
    return style.apply(lambda _: [look if flag else "" for flag in flags], subset=[column])

"""What fits: which machines hold the workload, what each would run, and how many it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from hardware_db import System
from hardware_db.records import frozen
from planner.engines import title_of
from planner.engines.choice import PROPOSED
from planner.errors import PlannerError
from planner.question import Question, question_of
from planner.recommending import Wanted
from planner.recommending.machines import groups
from planner.recommending.wish import LEAST_SPEED
from planner.recommending.words import short_word
from planner.registry import Word
from planner.units import GIB, counted
from planner.web import address, session, working
from planner.web.asked import BEST, Asked
from planner.web.choices import tokens_label
from planner.web.fitting import OTHERS, YOURS, Row, Spot, Verdict, in_order, listed, others, row_of
from planner.web.frames import (
    by_keyboard,
    chosen_row,
    clipped,
    flagged,
    height_of,
    room_for_toolbar,
    rounded,
    tinted,
    vendor_name,
)
from planner.web.line import reach
from planner.web.palette import FAIR, GOOD, NONE
from planner.web.pieces import in_pieces
from planner.web.places import label_of_entry
from planner.web.solving import Answer
from planner.web.views.fits_summary import summary as summary

_ROWS, _TURN, _MODEL, _NAMED = "fits-rows", "fits-turn", "fits-model", "-named"

MARKS = {
    Verdict.FITS: ("✔", GOOD),
    Verdict.TIGHT: ("▲", FAIR),
    Verdict.SLOW: ("▲", FAIR),
    Verdict.LOSSY: ("▲", FAIR),
    Verdict.MORE: ("✚", FAIR),
    Verdict.NO: ("✘", NONE),
    Verdict.NOT_SERVED: ("–", NONE),
    Verdict.LATE: ("…", NONE),
}

COLUMNS = {
    "machine": st.column_config.TextColumn("Machine", pinned=True, width=208),
    "verdict": st.column_config.TextColumn(
        "Verdict",
        width=96,
        help="✚: the smallest number of it that holds the workload. Too small: by its own memory;"
        " with RAM beside it a GPU may still run it. Slow: well below"
        f" {LEAST_SPEED:g} tok/s for each user. Low quality: only weights stored in so few bits fit"
        " that answers suffer. ★ is yours.",
    ),
    "tok/s": st.column_config.NumberColumn(
        "tok/s",
        format="localized",
        width=52,
        help="For one user, about, mid-way to the full context.",
    ),
    "runs": st.column_config.TextColumn(
        "Runs", width=118, help="The checkpoint that qwenplan picks."
    ),
    "with": st.column_config.TextColumn("With", width=74),
    "quality": st.column_config.TextColumn(
        "Quality", width=98, help="What storing it in fewer bits loses."
    ),
    "longest": st.column_config.TextColumn(
        "Up to", alignment="right", width=56, help="The longest single request, in tokens."
    ),
    "spare": st.column_config.NumberColumn(
        "Spare (GiB)", format="%.1f", width=88, help="On the fullest GPU."
    ),
    "buy": st.column_config.NumberColumn(
        "Buy (USD)",
        format="localized",
        width=82,
        help="The lowest recent price; cards without a PC.",
    ),
    "rent": st.column_config.NumberColumn("Rent (USD/h)", format="%.2f", width=96),
    "power": st.column_config.NumberColumn(
        "Power (W)", format="localized", width=82, help="Under load."
    ),
}


@frozen
class Filters:
    """Which machines are shown.

    Attributes:
        groups: headings.
        vendors: makers; empty for all.
        least_gib: memory of the machine.
        most_price: US dollars to buy; 0 shows all, priced or not.
    """

    groups: tuple[str, ...]
    vendors: tuple[str, ...]
    least_gib: float
    most_price: float

    def takes(self, spot: Spot) -> bool:
        """Whether a machine is looked at."""
        if spot.group == YOURS:
            return True
        system = spot.system
        return (
            spot.group in self.groups
            and (not self.vendors or system.accelerator.vendor in self.vendors)
            and system.total_bytes >= self.least_gib * GIB
        )

    def shows(self, row: Row) -> bool:
        """Whether its row is shown."""
        cheap = row.price is not None and row.price <= self.most_price
        return not self.most_price or cheap or row.group == YOURS


def show(asked: Asked, found: Answer) -> None:
    """Draw the page."""
    question, mine = asks(asked, found), _machine_of(found)
    if question is None or mine is None:
        st.info(
            "Choose a model that fits somewhere first: the table lists what runs it.",
            icon=":material/devices:",
        )
        return
    filters = _filters()
    spots = [spot for spot in spots_of(mine) if filters.takes(spot)]
    head = st.empty()
    room_for_toolbar()
    body = st.empty()
    height = height_of(len(spots))

    def so_far(rows: list[Row]) -> None:
        head.markdown(f":material/hourglass_top: {len(rows)} of {len(spots)} machines")
        _draw(body, in_order(filter(filters.shows, rows)), height)

    every = in_pieces(spots, lambda spot: _row(question, spot), so_far)
    rows = in_order(filter(filters.shows, every))
    head.markdown(summary(rows, what_of(question)))
    st.session_state[_ROWS] = rows
    if isinstance(question, Wanted):
        st.session_state[_MODEL] = question.base
    if not rows:
        body.info("No machine is left by these filters.", icon=":material/filter_alt_off:")
        return
    named = _table_key() + _NAMED
    with body.container():
        by_keyboard(
            "Take a machine of the table",
            [row.name for row in rows],
            key=named,
            take=partial(_take, named),
        )
        st.dataframe(
            styled(rows),
            key=_table_key(),
            hide_index=True,
            height=height_of(len(rows)),
            on_select=partial(_take, _table_key()),
            selection_mode="single-cell",
            column_config=COLUMNS,
            placeholder="",
            alt="Machines with what each would run",
        )


def what_of(question: Wanted | Question) -> str:
    """Return what machines are asked to hold: model, users, context of each, an engine that is named."""
    engine = question.fixed.engine if isinstance(question, Wanted) else question.engine
    served = (
        f" with {title_of(engine if isinstance(engine, str) else engine.name)}" if engine else ""
    )
    base = question.base if isinstance(question, Wanted) else question.checkpoint.id
    assert base is not None  # `asks` names one
    users = counted(question.concurrency, "user")
    return f"{base.rpartition('/')[2]} for {users} at {tokens_label(question.context)}{served}"


def asks(asked: Asked, found: Answer) -> Wanted | Question | None:
    """Return what is put to every machine; None where there is nothing to ask.

    What the visitor fixed stays: a checkpoint or options of an engine make one question, all else
    is picked machine by machine. Where no model is named it is asked of the one that is picked on
    the visitor's machine: a table of one model compares machines, and a click keeps it.
    """
    wanted, plan = found.wanted, found.plan
    if wanted is None or asked.options or asked.names_checkpoint:
        if plan is None:
            return None
        question = question_of(plan)
        return question if asked.options else question.with_(engine=asked.policy, options=None)
    engine = wanted.fixed.engine
    settled = wanted.fixed.settles or (engine is not None and engine not in PROPOSED)
    if wanted.base is not None and plan is not None and settled:
        return question_of(plan)  # as the first page plans it: there is no pick of such an engine
    base = wanted.base or (found.choice.entry.base if found.choice is not None else None)
    return None if base is None else replace(wanted, base=base)


def _table_key() -> str:
    """A new table after each click: a browser that comes back would choose the row again."""
    return f"fits-table-{st.session_state.get(_TURN, 0)}"


def _machine_of(found: Answer) -> System | None:
    if found.wanted is not None:
        return found.wanted.system
    return found.plan.deployment.system if found.plan is not None else None


def _row(question: Wanted | Question, spot: Spot) -> Row:
    """One row; one that takes too long says so."""
    try:
        return working.run_piece(row_of, question, spot)
    except PlannerError:
        on = spot.on if isinstance(spot.on, str) else ""
        return Row(
            group=spot.group,
            name=spot.system.short_name,
            card="",
            answer=Verdict.LATE,
            count=None,
            on=on,
        )


def _take(table: str) -> None:
    """Take the machine of the chosen row, and go to its answer.

    A table that is gone chooses nothing: a browser that comes back sends its choice again.
    """
    if table.removesuffix(_NAMED) != _table_key():
        return
    rows: list[Row] = st.session_state.get(_ROWS, [])
    row = chosen_row(table, rows)
    if row is None:
        return
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1
    asked = session.now()
    if row.on:
        count = str(row.count) if row.answer is Verdict.MORE else "1"
        model = asked.model if asked.model != BEST else st.session_state.get(_MODEL, BEST)
        asked = replace(asked, on=row.on, count=count, ram="", layout=BEST, model=model)
        asked = address.spelled(asked)
    session.put(asked, page="")


def _draw(slot: Any, rows: Sequence[Row], height: int) -> None:
    slot.dataframe(
        styled(rows),
        hide_index=True,
        height=height,
        column_config=COLUMNS,
        placeholder="",
        alt="Machines so far",
    )


def spots_of(mine: System) -> tuple[Spot, ...]:
    """Return every machine, the visitor's own first and once."""
    own = Spot(group=YOURS, on=mine)
    rest = (spot for spot in (*listed(), *others()) if spot.system.id != mine.id)
    return (own, *rest)


def _named(row: Row) -> str:
    """The machine as the list of machines has it, in few words if need be; ★ is the visitor's own."""
    label = label_of_entry(row.card)
    name = label if label and len(label) <= _WIDEST else row.name
    return f"★ {name}" if row.group == YOURS else name


_WIDEST, _RUNS = 32, 15
"""Letters that the columns of machines and checkpoints show whole."""


def words(row: Row) -> str:
    """Return a row's verdict: icon, word and, where more of it is needed, how many."""
    word = f"Needs {row.count}×" if row.answer is Verdict.MORE else row.answer.value
    return f"{MARKS[row.answer][0]} {word}"


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Return one line per machine; None is what is not known."""
    lines = [
        {
            "machine": _named(row),
            "verdict": words(row),
            "tok/s": rounded(row.per_user),
            "runs": clipped(row.runs, _RUNS),
            "with": row.engine,
            "quality": row.quality,
            "longest": reach(row.longest) if row.longest else "",
            "spare": row.spare / GIB if row.spare is not None else None,
            "buy": round(row.price) if row.price is not None else None,
            "rent": row.rent,
            "power": row.watts,
        }
        for row in rows
    ]
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    numbers = ["tok/s", "spare", "buy", "rent", "power"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def styled(rows: Sequence[Row]) -> Any:
    """Return the table with a tone behind each verdict, and behind a large loss."""
    tones = [MARKS[row.answer][1] for row in rows]
    large = short_word(Word.LARGE)
    return flagged(
        tinted(table(rows), "verdict", tones), "quality", [row.quality == large for row in rows]
    )


def _filters() -> Filters:
    known = [title for title, _ in groups()]
    vendors = tuple(dict.fromkeys(spot.system.accelerator.vendor for spot in others()))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.pills(
            "Machines",
            [*known, OTHERS],
            selection_mode="multi",
            default=known,
            wrap=True,
            key="fits-groups",
            bind="query-params",
        )
        with st.popover("Filter", icon=":material/filter_alt:", key="fits-filter"):
            makers = st.pills(
                "Maker",
                vendors,
                selection_mode="multi",
                format_func=vendor_name,
                key="fits-vendor",
                bind="query-params",
            )
            least = st.number_input(
                "At least (GiB)", 0, 8192, 0, 8, key="fits-memory", bind="query-params"
            )
            most = st.number_input(
                "At most (USD, to buy)",
                0,
                10_000_000,
                0,
                500,
                key="fits-price",
                help="0 shows all, priced or not.",
                bind="query-params",
            )
    return Filters(
        groups=tuple(chosen or known),
        vendors=tuple(makers or ()),
        least_gib=float(least),
        most_price=float(most),
    )

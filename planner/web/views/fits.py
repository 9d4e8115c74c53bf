"""What fits: which hardware holds the workload in which precision, and how many of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

import hardware_db
from hardware_db import Accelerator
from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.question import Question, question_of
from planner.units import GIB, format_gib, format_tokens
from planner.web import working
from planner.web.asked import Asked
from planner.web.fitting import Cell, cells, columns_of, workload_of
from planner.web.palette import fit_colours
from planner.web.solving import Answer
from planner.web.tables import escape
from planner.web.taken import take

_TABLE = "fits-table"
_FREE_COLUMNS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One accelerator with its cells, in the order of the precisions."""

    accelerator: Accelerator
    cells: tuple[Cell | None, ...]


def show(question: Asked, found: Answer) -> None:
    """Draw the page below the answer."""
    if found.plan is None:
        return
    asked = question_of(found.plan)
    st.markdown(
        f"The smallest number of each accelerator that holds **{asked.concurrency:,} ×"
        f" {format_tokens(asked.context)} tokens** of {escape(asked.checkpoint.model.name)} under"
        f" {asked.settled_engine.title}. Choose a cell to take it as the deployment."
    )
    chosen, most = _filtered()
    if not chosen:
        st.markdown(":material/info: No accelerator is left by these filters.")
        return
    entry = catalog.find(asked.checkpoint.model.name)
    plain = catalog.bundled_checkpoint(entry[0].id, precision="bf16") if entry else None
    columns = working.run(columns_of, asked, plain)
    rows = _planned(asked, columns, chosen)
    rows = _priced(rows, most)
    _show_table(rows, columns)


def _filtered() -> tuple[list[Accelerator], int]:
    every = hardware_db.accelerators()
    vendors = tuple(dict.fromkeys(entry.vendor for entry in every))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.pills(
            "Vendor",
            vendors,
            selection_mode="multi",
            default=["nvidia"],
            key="fits-vendor",
            bind="query-params",
        )
        least = st.number_input(
            "At least (GiB each)",
            min_value=0,
            max_value=1024,
            value=14,
            step=1,
            key="fits-memory",
            width=170,
            bind="query-params",
        )
        kinds = st.segmented_control(
            "Memory",
            ("any", "own", "unified"),
            default="any",
            required=True,
            key="fits-kind",
            help="Unified: CPU and GPU share one memory.",
            bind="query-params",
        )
        most = st.number_input(
            "At most (US dollars, to buy)",
            min_value=0,
            max_value=10_000_000,
            value=0,
            step=500,
            key="fits-price",
            width=230,
            help="The accelerators alone, at the lowest price known. 0 shows all, priced or not.",
            bind="query-params",
        )
    chosen = [
        entry
        for entry in every
        if (not wanted or entry.vendor in wanted)
        and entry.total_bytes >= least * GIB
        and (kinds == "any" or entry.is_unified is (kinds == "unified"))
    ]
    return chosen, int(most)


def _planned(
    asked: Question, columns: tuple[Checkpoint, ...], accelerators: Sequence[Accelerator]
) -> list[Row]:
    workload = workload_of(asked)
    rows = []
    bar = st.progress(0.0, "Planning")
    for number, accelerator in enumerate(accelerators, 1):
        found = working.run(cells, workload, columns, accelerator)
        rows.append(Row(accelerator=accelerator, cells=found))
        if number % 8 == 0:
            bar.progress(number / len(accelerators), f"Planning {accelerator.name}")
    bar.empty()
    return sorted(rows, key=lambda row: (-row.accelerator.total_bytes, row.accelerator.id))


def _priced(rows: list[Row], most: int) -> list[Row]:
    if not most:
        return rows
    return [
        row
        for row in rows
        if any(c and c.count and c.price is not None and c.price <= most for c in row.cells)
    ]


def _show_table(rows: list[Row], columns: Sequence[Checkpoint]) -> None:
    frame = table(rows, columns)
    st.session_state["fits-open"] = [
        [c.plan if c is not None else None for c in row.cells] for row in rows
    ]
    st.session_state["fits-columns"] = [_title(checkpoint) for checkpoint in columns]
    colours = pd.DataFrame("", index=frame.index, columns=frame.columns)
    for number, row in enumerate(rows):
        for place, found in enumerate(row.cells):
            fill, ink = fit_colours(found.count if found is not None else None)
            colours.iat[number, _FREE_COLUMNS + place] = f"background-color: {fill}; color: {ink}"
    st.dataframe(
        frame.style.apply(lambda _: colours, axis=None).format({"memory": "{:.1f}"}),
        key=_TABLE,
        hide_index=True,
        height=620,
        on_select=_open_cell,
        selection_mode="single-cell",
        column_config={
            "hardware": st.column_config.TextColumn("hardware", pinned=True),
            "memory": st.column_config.NumberColumn("memory (GiB)", format="%.1f"),
        },
        alt="What fits: " + "; ".join(_spoken(row, columns) for row in rows[:12]),
    )
    st.markdown(
        "“2×, 3.1 GiB free” means that two are needed and 3.1 GiB stay free on each. A dash: not"
        " even the largest number tried (8, or one machine where there is no more) is enough."
    )


def table(rows: Sequence[Row], columns: Sequence[Checkpoint]) -> pd.DataFrame:
    """One row per accelerator, one column per precision."""
    return pd.DataFrame(
        [
            {
                "hardware": row.accelerator.name,
                "memory": row.accelerator.total_bytes / GIB,
                **{
                    _title(checkpoint): _words(found)
                    for checkpoint, found in zip(columns, row.cells, strict=True)
                },
            }
            for row in rows
        ],
        columns=["hardware", "memory", *map(_title, columns)],
    )


def _title(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.scheme.name} ({format_gib(checkpoint.nbytes())})"


def _words(found: Cell | None) -> str:
    if found is None or found.count is None or found.headroom is None:
        return "—"
    return f"{found.count}×, {format_gib(found.headroom)} free"


def _spoken(row: Row, columns: Sequence[Checkpoint]) -> str:
    parts = [
        f"{checkpoint.scheme.name} {_words(found) if found and found.count else 'no'}"
        for checkpoint, found in zip(columns, row.cells, strict=True)
    ]
    return f"{row.accelerator.name}: {', '.join(parts)}"


def _open_cell() -> None:
    """Take what the chosen cell stands for, and go to the first page."""
    cells = st.session_state[_TABLE].selection.cells
    if not cells:
        return
    number, name = cells[0]
    grid = st.session_state.get("fits-open", [])
    titles = st.session_state.get("fits-columns", [])
    place = titles.index(name) if name in titles else 0
    plan = grid[number][place] if number < len(grid) else None
    if plan is not None:
        take(plan, page="")

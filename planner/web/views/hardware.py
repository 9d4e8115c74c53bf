"""Hardware: the database with a source per figure, devices of one's own, what this machine has."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd
import streamlit as st

import hardware_db
from hardware_db import Accelerator, Figure, Price, System
from planner.errors import InputError
from planner.units import GIB
from planner.web import devices, session
from planner.web.access import is_own_user
from planner.web.asked import Asked
from planner.web.solving import Answer
from planner.web.tables import escape, markdown_table

_TABLE = "hardware-table"
_GRADES = {
    "A": "machine output or the vendor's own repository",
    "B": "public database, or two third parties that agree",
    "C": "derived by a stated rule, or a single third party",
    "D": "unverified",
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page: the database, and the question's machine where no row is chosen."""
    entries: list[Accelerator | System] = [*hardware_db.accelerators(), *hardware_db.systems()]
    kind = st.segmented_control(
        "Show",
        ("accelerators", "systems and cloud instances"),
        default="accelerators",
        required=True,
        key="hardware-kind",
        bind="query-params",
    )
    vendors = tuple(dict.fromkeys(_accelerator(entry).vendor for entry in entries))
    wanted = st.pills(
        "Vendor", vendors, selection_mode="multi", key="hardware-vendor", bind="query-params"
    )
    shown = [
        entry
        for entry in entries
        if isinstance(entry, Accelerator) is (kind == "accelerators")
        and (not wanted or _accelerator(entry).vendor in wanted)
    ]
    picked = st.dataframe(
        table(shown),
        key=_TABLE,
        hide_index=True,
        height=330,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "memory": st.column_config.NumberColumn("memory (GiB)", format="%.1f"),
            "bandwidth": st.column_config.NumberColumn("bandwidth (GB/s)", format="%d"),
        },
        alt=f"{len(shown)} entries of the hardware database",
    )
    rows = picked.selection.rows
    if rows and rows[0] < len(shown):
        _show_entry(shown[rows[0]])
    else:
        _show_chosen(asked)
    _show_own()
    _show_this_machine()


def _accelerator(entry: Accelerator | System) -> Accelerator:
    return entry if isinstance(entry, Accelerator) else entry.accelerator


def table(entries: list[Accelerator | System]) -> pd.DataFrame:
    """One row per entry; memory is what engines budget on, of one accelerator."""
    rows = []
    for entry in entries:
        each = _accelerator(entry)
        row: dict[str, object] = {"id": entry.id, "name": entry.name, "vendor": each.vendor}
        if isinstance(entry, System):
            row |= {"accelerators": entry.count, "provider": entry.provider}
        row |= {
            "memory": each.total_bytes / GIB,
            "grade": each.total_bytes_source.grade,
            "bandwidth": each.bandwidth_gb_s.value if each.bandwidth_gb_s else None,
            "unified": each.is_unified,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _show_chosen(asked: Asked) -> None:
    try:
        system = asked.system_of(session.machine_of(asked))
    except InputError:
        return
    _show_entry(system.accelerator)


def _show_entry(entry: Accelerator | System) -> None:
    st.subheader(entry.name)
    figures = list(_figures(entry))
    st.markdown(
        markdown_table(
            ("figure", "value", "source (grade, date)"),
            [(escape(name), _value(name, figure), _where(figure)) for name, figure in figures],
            numbers=(1,),
        )
    )
    prices = entry.prices
    if prices:
        st.markdown("**Prices**")
        st.markdown(
            markdown_table(
                ("kind", "price", "date", "source"),
                [
                    (price.kind, _price(price), _date(price.date), escape(price.source))
                    for price in prices
                ],
                numbers=(1,),
            )
        )
    each = _accelerator(entry)
    notes = [*entry.notes, *(each.unified.notes if each.unified else ())]
    for note in notes:
        st.markdown(f"- {escape(note)}")
    if each.formats:
        st.markdown("**Number formats**")
        st.markdown(
            markdown_table(
                ("format", "how"), [(escape(k), escape(v)) for k, v in each.formats.items()]
            )
        )
    st.markdown(
        "Grades: " + "; ".join(f"**{grade}** {words}" for grade, words in _GRADES.items()) + "."
    )


def _figures(entry: Accelerator | System) -> list[tuple[str, Figure]]:
    found: list[tuple[str, Figure]] = []
    for field in fields(entry):
        value = getattr(entry, field.name)
        name = field.name.replace("_", " ")
        if isinstance(value, Figure):
            found.append((name, value))
        elif isinstance(value, tuple):
            found += [(name, item) for item in value if isinstance(item, Figure)]
        elif field.name == "tflops":
            found += [(f"TFLOPS {number}", figure) for number, figure in value.items()]
        elif field.name == "unified" and value is not None:
            found += [
                (part.name.replace("_", " "), getattr(value, part.name))
                for part in fields(value)
                if isinstance(getattr(value, part.name), Figure)
            ]
    return found


def _date(date: str | None) -> str:
    """The date with hyphens at which no line breaks."""
    return (date or "").replace("-", "\u2011")


_UNITS = {"gb s": "GB/s", "gb": "GB", "mib": "MiB", "gib": "GiB", "w": "W"}


def _value(name: str, figure: Figure) -> str:
    """The number with the unit that its field's name ends in."""
    unit = next((u for end, u in _UNITS.items() if name.endswith(f" {end}")), "")
    return f"{figure.value:,g}\u00a0{unit}".rstrip()


def _where(figure: Figure) -> str:
    dated = ", ".join(filter(None, (figure.grade, _date(figure.date))))
    words = f"{escape(figure.source)} ({dated})"
    if figure.note:
        words += f"; {escape(figure.note)}"
    if figure.alternatives:
        others = ", ".join(
            f"{other.value:,g} ({escape(other.source)})" for other in figure.alternatives
        )
        words += f". Others say: {others}"
    return words


def _price(price: Price) -> str:
    unit = " per hour" if price.kind == "hourly" else ""
    return f"{price.value:,.2f} {price.currency}{unit}"


def _show_own() -> None:
    st.subheader("A device of your own")
    own = devices.own_devices()
    if own:
        st.markdown(
            "For this session: "
            + ", ".join(f"**{escape(d.name)}** (`{key}`)" for key, d in own.items())
            + ". Choose it under Hardware; links do not carry it."
        )
    with st.form("own-device", border=True):
        with st.grid(4, gap="small"):
            name = st.text_input("Name", max_chars=40, placeholder="RTX 4090 48 GB")
            memory = st.number_input(
                "Memory (GiB)", min_value=1.0, max_value=4096.0, value=48.0, step=1.0
            )
            like = st.selectbox(
                "Otherwise like",
                [entry.id for entry in hardware_db.accelerators()],
                index=None,
                placeholder="nothing known",
                help="Formats, links and rates are taken from it.",
            )
            bandwidth = st.number_input(
                "Bandwidth (GB/s)", min_value=1.0, value=None, placeholder="as the other"
            )
        if st.form_submit_button("Add for this session", icon=":material/add:"):
            try:
                key = devices.add_device(name, memory, like or "", bandwidth)
            except InputError as error:
                st.error(escape(error))
            else:
                st.session_state["added-device"] = key
                st.rerun()


def _show_this_machine() -> None:
    if not is_own_user():
        return
    st.subheader("This machine")
    if st.button("Look for accelerators", icon=":material/search:", key="probe"):
        from planner.probing import probe
        from planner.probing.report import report_lines

        with st.spinner("Looking"):
            st.code("\n".join(report_lines(probe())), language=None, wrap_lines=True)

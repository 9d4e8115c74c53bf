"""Hardware: the database with a source per figure, devices of one's own, what this machine has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pandas as pd
import streamlit as st

import hardware_db
from hardware_db import Accelerator, Figure, Price, System
from hardware_db.walk import figures
from planner.errors import InputError, PlannerError
from planner.recommending.machines import groups
from planner.units import GIB, counted
from planner.web import devices, session
from planner.web.access import is_own_user
from planner.web.asked import Asked
from planner.web.frames import chosen_of, vendor_name
from planner.web.places import label_of_entry
from planner.web.solving import Answer
from planner.web.tables import escape

KINDS = ("Accelerators", "Machines and cloud instances")

COLUMNS = {
    "name": st.column_config.TextColumn("Name"),
    "memory": st.column_config.NumberColumn(
        "Memory (GiB)", format="%.1f", help="Of one accelerator: what engines budget on."
    ),
    "bandwidth": st.column_config.NumberColumn("Bandwidth (GB/s)", format="localized"),
    "count": st.column_config.NumberColumn("Accelerators"),
    "provider": st.column_config.TextColumn("Rented from"),
    "vendor": st.column_config.TextColumn("Maker"),
    "kind": st.column_config.TextColumn("Memory is"),
    "grade": st.column_config.TextColumn("Grade", help="Of the memory's figure; see below."),
    "id": st.column_config.TextColumn("Typed as"),
}
_GRADES = {
    "A": "machine output or the vendor's own repository",
    "B": "public database, two third parties that agree, or derived and confirmed by another",
    "C": "derived by a stated rule, or a single third party",
    "D": "unverified",
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page: the database, and the entry that was chosen, else the question's."""
    del found
    entries = _entries()
    vendors = tuple(dict.fromkeys(_accelerator(entry).vendor for entry in entries))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Show",
            KINDS,
            default=KINDS[0],
            required=True,
            key="hardware-kind",
            bind="query-params",
        )
        wanted = st.pills(
            "Maker",
            vendors,
            selection_mode="multi",
            format_func=vendor_name,
            key="hardware-vendor",
            bind="query-params",
        )
    shown = [
        entry
        for entry in entries
        if isinstance(entry, Accelerator) is (kind == KINDS[0])
        and (not wanted or _accelerator(entry).vendor in wanted)
    ]
    st.markdown(f"**{len(shown)} entries**. Choose one to see where each figure comes from.")
    chosen = chosen_of(
        shown,
        table(shown),
        COLUMNS,
        key="hardware-entry",
        alt="The hardware database",
        names=[entry.id for entry in shown],
        height=390,
    )
    if chosen is not None:
        _show_entry(chosen)
    else:
        _show_asked(asked)
    _show_own()
    _show_this_machine()


@cache
def _entries() -> tuple[Accelerator | System, ...]:
    """Every entry: what people own first comes first, then by maker and name."""
    common = [hardware_db.resolve(on).accelerator.id for _, names in groups() for on in names]

    def key(entry: Accelerator | System) -> tuple[int, str, str]:
        turn = common.index(entry.id) if entry.id in common else len(common)
        return turn, _accelerator(entry).vendor, entry.short_name

    return tuple(sorted((*hardware_db.accelerators(), *hardware_db.systems()), key=key))


def _accelerator(entry: Accelerator | System) -> Accelerator:
    return entry if isinstance(entry, Accelerator) else entry.accelerator


def table(entries: Sequence[Accelerator | System]) -> pd.DataFrame:
    """Return one row per entry; memory is what engines budget on, of one accelerator."""
    rows = []
    for entry in entries:
        each = _accelerator(entry)
        row: dict[str, object] = {
            "name": entry.short_name,
            "memory": each.total_bytes / GIB,
            "bandwidth": each.bandwidth_gb_s.value if each.bandwidth_gb_s else None,
        }
        if isinstance(entry, System):
            row |= {"count": entry.count, "provider": entry.provider}
        row |= {
            "vendor": vendor_name(each.vendor),
            "kind": "shared with the CPU" if each.is_unified else "its own",
            "grade": each.total_bytes_source.grade,
            "id": entry.id,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _show_asked(asked: Asked) -> None:
    try:
        system = asked.system_of(session.machine_of(asked))
    except PlannerError:
        return
    _show_entry(system.accelerator)


def _show_entry(entry: Accelerator | System) -> None:
    st.subheader(entry.name)
    with st.grid(3, min_column_width=290, gap="small"):
        for name, figure in _figures(entry):
            _show_figure(_value(name, figure), _title(name), _where(figure))
    if entry.prices:
        with st.expander(counted(len(entry.prices), "price"), icon=":material/payments:"):
            st.markdown(
                "\n".join(
                    f"- **{_price(price)}**: "
                    + ", ".join(filter(None, (escape(price.source), _date(price.date))))
                    for price in entry.prices
                )
            )
    each = _accelerator(entry)
    notes = [*entry.notes, *(each.unified.notes if each.unified else ())]
    if notes:
        st.markdown("**Notes**")
        st.markdown("\n".join(f"- {escape(note)}" for note in notes))
    if each.formats:
        st.markdown("**Number formats**")
        st.markdown(
            "\n".join(f"- **{escape(form)}**: {escape(how)}" for form, how in each.formats.items())
        )
    st.markdown(
        "Grades: " + "; ".join(f"**{grade}** {words}" for grade, words in _GRADES.items()) + "."
    )


def _show_figure(value: str, name: str, source: str) -> None:
    with st.container(border=True, height="stretch"):
        st.markdown(f"**{value}**  {name}  \n:small[{source}]")


_TITLES = {
    "memory marketed gb": "memory, as sold",
    "memory driver mib": "memory, by the driver",
    "memory cuda mib": "memory that programs can allocate",
    "memory cuda wddm mib": "the same under Windows",
    "bandwidth gb s": "memory bandwidth",
    "tdp w": "power limit (TDP)",
    "power measured w": "power under load",
    "nvlink gb s": "NVLink, one direction",
    "pcie gb s": "PCIe, one direction",
    "bandwidth measured gb s": "memory bandwidth, measured",
    "usable mib": "memory that the GPU can get",
    "raised usable mib": "the same with its limit raised",
    "os reserve mib": "memory that the system needs",
    "host memory gib": "RAM",
    "host bandwidth gb s": "RAM bandwidth",
    "intra node gb s": "between its accelerators",
    "inter node gb s": "between machines",
    "bus bandwidth gb s": "bus bandwidth of collectives, measured",
    "default gpu share": "of the memory lent to the GPU by default",
    "safe utilization": "of the memory an engine may be told to take",
}
_ENDINGS = (" gb s", " gb", " mib", " gib", " w")


def _title(name: str) -> str:
    """A figure's name without the unit that its value carries."""
    if name in _TITLES:
        return _TITLES[name]
    ending = next((ending for ending in _ENDINGS if name.endswith(ending)), "")
    return escape(name.removesuffix(ending))


def _figures(entry: Accelerator | System) -> list[tuple[str, Figure]]:
    """Every figure of an entry, by the name of its field in words."""
    return [(_words(path), figure) for path, figure in figures(entry)]


def _words(path: str) -> str:
    """Return a figure's place as words that end in its unit: ``memory driver mib``."""
    first, _, rest = path.partition(".")
    if first == "tflops":
        return f"TFLOPS {rest}"
    if first == "tflops_measured":
        return f"TFLOPS {rest}, measured"
    raised = "raised " if ".raisable." in path else ""
    return raised + path.rpartition(".")[2].replace("_", " ")


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
    if price.kind == "hourly":
        return f"{price.value:,.2f} {price.currency} per hour"
    return f"{price.value:,.0f} {price.currency} ({price.kind})"


def _show_own() -> None:
    st.subheader("A device of your own")
    own = devices.own_devices()
    if own:
        st.markdown(
            "For this session: "
            + ", ".join(f"**{escape(d.name)}** (`{key}`)" for key, d in own.items())
            + ". Choose it as the machine; links do not carry it."
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
                format_func=lambda name: label_of_entry(name) or name,
                placeholder="nothing known",
                help="Formats, links and rates are taken from it: without it no speed is estimated.",
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

"""Models: what can be downloaded, how large it is and what it loses; what a model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import pandas as pd
import streamlit as st

from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.parameters import ParameterCounts, count_parameters
from planner.registry import checkpoint_of
from planner.registry.listing import FAMILIES, Download, downloads
from planner.registry.quality import KLD_WORDS
from planner.units import format_bytes
from planner.web import choices, session
from planner.web.asked import BEST, Asked
from planner.web.choices import tokens_label
from planner.web.draw import draw
from planner.web.figures.anatomy import describe_layers, layer_strip
from planner.web.frames import chosen_of, clipped
from planner.web.solving import Answer
from planner.web.stored import short_name
from planner.web.tables import escape
from planner.web.theme import text_colour

_NAME = 20
"""Letters of a checkpoint's name that its column shows."""

_PARTS = {"text": "text model", "vision": "vision tower", "mtp": "MTP module"}

COLUMNS = {
    "name": st.column_config.TextColumn("Checkpoint", width=152),
    "size": st.column_config.NumberColumn(
        "Size (GB)", format="%.1f", help="To download; decimal, as the Hub writes it."
    ),
    "quality": st.column_config.TextColumn("Quality", help="docs/quality.md says what words mean."),
    "bits": st.column_config.NumberColumn(
        "Bits", format="%.1f", help="Effective bits per weight of the language model."
    ),
    "format": st.column_config.TextColumn("Format"),
    "by": st.column_config.TextColumn("By"),
    "loss": st.column_config.TextColumn("What was measured", help=f"{KLD_WORDS}."),
    "sized": st.column_config.TextColumn("Size known by"),
    "downloads": st.column_config.NumberColumn(
        "Downloads", format="localized", help="In 30 days, where known."
    ),
    "source": st.column_config.TextColumn("Source", width="large"),
}

_SIZED = {
    "bytes": "files, to the byte",
    "rounded": "a rounded figure",
    "recipe": "its recipe",
    "name": "its name alone",
}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page: one model of the catalog, the question's first."""
    del found
    names = [name for name in choices.models() if name != BEST]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Model",
            names,
            index=names.index(asked.model) if asked.model in names else 0,
            key="models-model",
            width=320,
            bind="query-params",
        )
        formats = st.pills(
            "Format",
            list(FAMILIES.values()),
            selection_mode="multi",
            wrap=True,
            key="models-format",
            bind="query-params",
        )
    lines = [
        line for line in downloads(name) if not formats or FAMILIES[line.entry.container] in formats
    ]
    chosen = _show_downloads(lines)
    entry = catalog.find(name)
    assert entry is not None
    model = entry[0].model
    counts = count_parameters(model)
    st.subheader(f"What {name} is made of")
    _show_facts(name, counts)
    draw(layer_strip(model, text=text_colour()), key="models-layers", alt=describe_layers(model))
    st.markdown(escape(describe_layers(model)))
    if chosen is not None:
        with st.expander(
            f"What is stored how in {chosen.entry.name}", icon=":material/database:", expanded=True
        ):
            _show_formats(chosen)
    with st.expander("Parameters by component", icon=":material/functions:"):
        _show_parameters(counts)
    with st.expander("Where the counts come from", icon=":material/verified:"):
        sources = (f"Checked: {entry[0].verified}", *entry[0].sources)
        st.markdown("\n".join(f"- {escape(words)}" for words in sources))


def table(lines: Sequence[Download]) -> pd.DataFrame:
    """Return one row per checkpoint."""
    return pd.DataFrame(
        [
            {
                "name": clipped(name, _NAME),
                "size": line.nbytes / 1e9,
                "quality": line.loss.said.text,
                "bits": line.bits,
                "format": FAMILIES[line.entry.container],
                "by": line.entry.repo.partition("/")[0],
                "loss": line.loss.evidence,
                "sized": _SIZED[line.entry.evidence],
                "downloads": line.entry.downloads,
                "source": ", ".join(filter(None, (line.entry.source, line.entry.date))),
            }
            for line, name in zip(lines, _names(lines), strict=True)
        ],
        columns=list(COLUMNS),
    ).astype({"size": "float64", "bits": "float64", "downloads": "float64"})


def _names(lines: Sequence[Download]) -> list[str]:
    """Return each checkpoint in few words, with whose it is where others are called the same.

    On a phone the column of owners is out of sight.
    """
    plain = [short_name(line.entry) for line in lines]
    owners = [line.entry.repo.partition("/")[0] for line in lines]
    return [
        f"{name} · {owner}" if plain.count(name) > 1 else name
        for name, owner in zip(plain, owners, strict=True)
    ]


def _show_downloads(lines: list[Download]) -> Download | None:
    """The table; the chosen row, else the first."""
    if not lines:
        st.info("Nothing of these formats is known.", icon=":material/filter_alt_off:")
        return None
    st.markdown(
        f"**{len(lines)} checkpoints** that can be downloaded, by format, the largest first."
        " Choose one to see what it stores."
    )
    chosen = chosen_of(
        lines,
        table(lines),
        COLUMNS,
        key="models-checkpoint",
        alt="Checkpoints that can be downloaded",
        names=[line.entry.name for line in lines],
        height=390,
    )
    if chosen is not None and chosen.entry.recommendable:
        st.button(
            "Run this one",
            icon=":material/play_arrow:",
            key="models-run",
            on_click=_run,
            args=(chosen.entry.base.rpartition("/")[2], chosen.entry.name),
        )
    return chosen or lines[0]


def _run(model: str, weights: str) -> None:
    session.put(replace(session.now(), model=model, weights=weights, engine=BEST), page="")


def _show_facts(name: str, counts: ParameterCounts) -> None:
    found = catalog.find(name)
    assert found is not None
    entry, model = found[0], found[0].model
    attention = model.attention
    with st.grid(4, min_column_width=150, gap="small"):
        st.metric("Parameters", _billions(counts.total), border=True)
        st.metric(
            "Active per token",
            _billions(counts.active_named),
            help="Body, output head and embedding; what names such as A3B mean.",
            border=True,
        )
        st.metric("Native context", tokens_label(model.max_position_embeddings), border=True)
        st.metric(
            "KV heads × width",
            f"{attention.num_key_value_heads} × {attention.head_dim}",
            border=True,
        )
    if entry.released:
        st.markdown(f"Released {entry.released}.")


def _billions(parameters: int) -> str:
    return f"{parameters / 1e9:,.2f} B" if parameters >= 1e8 else f"{parameters / 1e6:,.1f} M"


def _show_parameters(counts: ParameterCounts) -> None:
    rows: list[tuple[str, str]] = []
    for part, title in _PARTS.items():
        total = getattr(counts, part)
        if not total:
            continue
        rows.append((f"**{title}**", f"**{total:,}**"))
        rows += [
            (escape(name.removeprefix(f"{part}.")), f"{parameters:,}")
            for name, parameters in counts.components.items()
            if name.startswith(f"{part}.")
        ]
    rows.append(("**in all**", f"**{counts.total:,}**"))
    rows.append(("active per token while decoding", f"{counts.active_decode:,}"))
    st.table(
        pd.DataFrame(rows, columns=["Component", "Parameters"]).set_index("Component"),
        border="horizontal",
        alt="Parameters by component",
    )


def _show_formats(chosen: Download) -> None:
    """One row per number format of a checkpoint: how much of it, and what."""
    checkpoint: Checkpoint = checkpoint_of(chosen.entry)
    st.markdown(f"{format_bytes(checkpoint.nbytes())} in all.")
    whole = checkpoint.nbytes()
    rows = []
    for form, rows_of in groupby(
        sorted(checkpoint.stored, key=lambda row: row.format.name), key=lambda row: row.format.name
    ):
        stored = list(rows_of)
        what = dict.fromkeys(
            row.tensor.component if row.tensor.part == "text" else _PARTS[row.tensor.part]
            for row in stored
        )
        rows.append((sum(row.nbytes for row in stored), escape(form), list(map(escape, what))))
    rows.sort(reverse=True)
    longest = max(rows, key=lambda row: len(row[2]))[2]
    rest = "everything else" if len(rows) > 1 else "everything"
    with st.container(key="formats"):
        st.table(
            pd.DataFrame(
                [
                    (
                        form,
                        format_bytes(size),
                        f"{size / whole:.1%}",
                        rest if what is longest else ", ".join(what),
                    )
                    for size, form, what in rows
                ],
                columns=["Stored as", "Size", "Share", "What"],
            ).set_index("Stored as"),
            border="horizontal",
            alt=f"Number formats of {chosen.entry.name}",
        )
    st.markdown(f"Rule: {escape(checkpoint.scheme.source)}")

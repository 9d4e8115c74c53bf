"""Model: its layers, its parameters, the sizes of its checkpoints, and what stays 16-bit."""

from __future__ import annotations

from functools import cache
from itertools import groupby

import streamlit as st

from planner.model import catalog
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import gguf_schemes
from planner.model.parameters import ParameterCounts, count_parameters
from planner.model.quantization import SCHEMES
from planner.registry.bundled import bundled_checkpoint
from planner.search import checkpoints_of
from planner.units import format_bytes, format_gib, format_tokens
from planner.web import choices
from planner.web.asked import Asked
from planner.web.draw import draw
from planner.web.figures.anatomy import checkpoint_sizes, describe_layers, layer_strip
from planner.web.solving import Answer
from planner.web.tables import escape, markdown_table
from planner.web.theme import text_colour

_PARTS = {"text": "text model", "vision": "vision tower", "mtp": "MTP module"}


def show(asked: Asked, found: Answer) -> None:
    """Draw the page: one model of the catalog, the question's first."""
    names = choices.models()[1:]
    with st.container(horizontal=True):
        name = st.selectbox(
            "Model",
            names,
            index=names.index(asked.model) if asked.model in names else 0,
            key="models-model",
            width=320,
        )
        precision = st.selectbox(
            "Stored as", schemes(), key="models-precision", width=240, help="Type to search."
        )
    checkpoint = bundled_checkpoint(name, precision=precision)
    model = checkpoint.model
    counts = count_parameters(model)
    st.subheader(escape(model.name))
    _show_facts(checkpoint, counts)
    st.subheader("Layers")
    draw(
        layer_strip(model, text=text_colour()),
        key="layers",
        alt=describe_layers(model),
    )
    st.markdown(escape(describe_layers(model)))
    st.subheader("Checkpoint sizes by precision")
    _show_sizes(checkpoint)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Parameters by component")
        _show_parameters(counts)
    with right:
        st.subheader(f"What is stored how: {escape(checkpoint.scheme.name)}")
        _show_formats(checkpoint)


@cache
def schemes() -> tuple[str, ...]:
    """Return the names of all ways to store weights, those of whole checkpoints before GGUF types."""
    return (*SCHEMES, *gguf_schemes())


def _show_facts(checkpoint: Checkpoint, counts: ParameterCounts) -> None:
    model, attention = checkpoint.model, checkpoint.model.attention
    with st.grid(4, min_column_width=150, gap="small"):
        st.metric("Parameters", _billions(counts.total), border=True)
        st.metric(
            "Active per token",
            _billions(counts.active_named),
            help="Body, output head and embedding; what names such as A3B mean.",
            border=True,
        )
        st.metric("Native context", format_tokens(model.max_position_embeddings), border=True)
        st.metric(
            "KV heads × width",
            f"{attention.num_key_value_heads} × {attention.head_dim}",
            border=True,
        )
    found = catalog.find(model.name)
    words = [f"Source: {escape(checkpoint.source)}."]
    if found is not None:
        entry = found[0]
        released = f"Released {entry.released}. " if entry.released else ""
        words.append(f"{released}Counts: {escape(entry.verified)}.")
    st.markdown(" ".join(words))


def _billions(parameters: int) -> str:
    return f"{parameters / 1e9:,.2f} B" if parameters >= 1e8 else f"{parameters / 1e6:,.1f} M"


def _show_sizes(checkpoint: Checkpoint) -> None:
    every = checkpoints_of(checkpoint)
    only = st.toggle(
        "Official checkpoints and the chosen precision only",
        value=True,
        key="official",
        bind="query-params",
    )
    chosen = [
        c
        for c in every
        if not only or not c.hypothetical or c.scheme.name == checkpoint.scheme.name
    ]
    sizes = ", ".join(f"{c.scheme.name} {format_gib(c.nbytes())}" for c in chosen)
    draw(
        checkpoint_sizes(chosen, text=text_colour()),
        key="sizes",
        alt=f"Checkpoint sizes: {sizes}",
    )


def _show_parameters(counts: ParameterCounts) -> None:
    rows = []
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
    st.markdown(markdown_table(("component", "parameters"), rows, numbers=(1,)))


def _show_formats(checkpoint: Checkpoint) -> None:
    """One row per number format: how much of the checkpoint, and what."""
    whole = checkpoint.nbytes()
    rows = []
    for form, rows_of in groupby(
        sorted(checkpoint.stored, key=lambda row: row.format.name), key=lambda row: row.format.name
    ):
        stored = list(rows_of)
        size = sum(row.nbytes for row in stored)
        what = dict.fromkeys(
            row.tensor.component if row.tensor.part == "text" else _PARTS[row.tensor.part]
            for row in stored
        )
        rows.append((size, escape(form), ", ".join(map(escape, what))))
    rows.sort(reverse=True)
    st.markdown(
        markdown_table(
            ("stored as", "size", "share", "what"),
            [(form, format_bytes(size), f"{size / whole:.1%}", what) for size, form, what in rows],
            numbers=(1, 2),
        )
    )
    st.markdown(f"Rule: {escape(checkpoint.scheme.source)}")

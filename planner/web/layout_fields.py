"""The fields of a layout: a size for each kind of parallelism, which together are one answer."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from planner.errors import InputError
from planner.layout import Layout
from planner.web import fields, session
from planner.web.asked import BEST, Asked, layout_word

_DEGREES = ("tp", "pp", "dp")


def ask_layout(asked: Asked) -> None:
    """Show the fields; where all are 0 the best layout is taken."""
    st.markdown(
        "**Layout**: over how many GPUs each kind of parallelism goes; all 0: the best is found"
    )
    layout = None
    with suppress(InputError):
        layout = asked.degrees
    sizes = _sizes(layout)
    with st.grid(4, gap="small", vertical_alignment="bottom"):
        for name, title in zip(_DEGREES, ("Tensor", "Pipeline", "Data"), strict=True):
            key = fields.key_for(name, sizes[name])
            st.number_input(
                title,
                min_value=0,
                max_value=4096,
                value=sizes[name],
                step=1,
                key=key,
                on_change=fields.hear,
                args=(name, key, _set_layout),
            )
        experts = layout is not None and layout.expert_parallel
        fields.ask_switch("Expert parallel", "ep", experts, _set_layout)


def _sizes(layout: Layout | None) -> dict[str, int]:
    if layout is None:
        return dict.fromkeys(_DEGREES, 0)
    found = (layout.tensor_parallel, layout.pipeline_parallel, layout.data_parallel)
    return dict(zip(_DEGREES, found, strict=True))


def _set_layout(_: object) -> None:
    """The layout is what all four fields show."""
    sizes = [fields.value_of(name) for name in (*_DEGREES, "ep")]
    if any(size is None for size in sizes):
        return
    tensor, pipeline, data, experts = sizes
    if not (tensor or pipeline or data or experts):
        session.change(layout=BEST)
        return
    layout = Layout(
        tensor_parallel=tensor or 1,
        pipeline_parallel=pipeline or 1,
        data_parallel=data or 1,
        expert_parallel=experts,
    )
    session.change(layout=layout_word(layout))

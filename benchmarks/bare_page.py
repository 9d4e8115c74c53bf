"""A Streamlit page with the elements of the app's first page and nothing behind them.

`benchmarks/web.py` runs it beside the app: what is slower than this is the app's own doing.
"""

from __future__ import annotations

import streamlit as st

TOKENS = tuple(4096 * step // 2 for step in range(2, 130))
CARDS = tuple(f"accelerator-{number}" for number in range(222))
PARTS = ("weights", "KV cache", "recurrent state", "activations", "overhead", "free")


def show() -> None:
    """Draw the page: fields, an alert that repeats the slider, numbers, a chart, a command."""
    st.set_page_config(page_title="bare", layout="wide")
    st.title("Bare page")
    head = st.container()
    left, right = st.columns([5, 11], gap="large")
    with left:
        tokens = _fields()
    with head:
        st.success(f"{tokens:,} tokens", title="Fits", icon=":material/check_circle:")
    with right:
        _results()


def _fields() -> int:
    st.selectbox("Model", CARDS[:15], key="model", help="A help text.", bind="query-params")
    st.selectbox(
        "Precision", CARDS[:116], key="precision", help="A help text.", bind="query-params"
    )
    st.markdown(":small[**34.9 GiB** of weights: a constant]")
    with st.container(horizontal=True):
        st.selectbox("Hardware", CARDS, key="on", help="A help text.", bind="query-params")
        st.number_input("How many", 1, 4096, 2, key="count", width=110, bind="query-params")
    st.markdown(":small[2 x a constant: **31.4 GiB** each]")
    st.selectbox("Engine", CARDS[:7], key="engine", help="A help text.", bind="query-params")
    st.selectbox("Format", CARDS[:10], key="format", help="A help text.", bind="query-params")
    slider = st.container()
    st.text_input(
        "Context, exactly (tokens)", "64k", key="context", help="A help text.", bind="query-params"
    )
    with slider:
        tokens = st.select_slider("Context per sequence", TOKENS, key="context-slider")
    st.number_input("Sequences at once", 1, 1_000_000, 4, key="concurrency", bind="query-params")
    st.expander("More options", icon=":material/tune:", key="more", on_change="rerun")
    return int(tokens)


def _results() -> None:
    with st.grid(4, min_column_width=140, gap="small"):
        for label in ("Headroom", "Sequences held", "Longest context", "Speed"):
            st.metric(label, "262,144", help="A help text.", border=True)
    st.markdown(":small[:material/speed: Estimated speed: a constant.]")
    st.subheader("Where the memory goes")
    st.plotly_chart(_figure(), key="memory", config={"displayModeBar": False}, alt="A constant bar")
    st.subheader("What to type")
    st.code("serve something --with-constant 65536", language=None, wrap_lines=True)
    with st.container(horizontal=True):
        st.popover("Download", icon=":material/download:", key="files", on_change="rerun")
        st.popover("Link", icon=":material/share:", key="share", on_change="rerun")


def _figure() -> dict[str, object]:
    """A chart of the same make: six bars, two lines, two notes, a legend."""
    bars = [
        {
            "type": "bar",
            "orientation": "h",
            "y": ["each GPU"],
            "x": [4.0],
            "name": name,
            "text": [name],
            "textposition": "inside",
            "marker": {"color": "#668fff", "line": {"width": 1}},
        }
        for name in PARTS
    ]
    line = {"type": "line", "x0": 20, "x1": 20, "y0": -0.45, "y1": 0.45, "line": {"width": 2}}
    note = {"x": 20, "y": 1, "yref": "paper", "showarrow": False, "text": "usable 28.8 GiB"}
    layout = {
        "barmode": "stack",
        "height": 200,
        "margin": {"l": 8, "r": 8, "t": 44, "b": 92},
        "shapes": [line] * 2,
        "annotations": [note] * 2,
        "legend": {"orientation": "h"},
        "xaxis": {"range": [0, 30], "ticksuffix": " GiB"},
    }
    return {"data": bars, "layout": layout}


if __name__ == "__main__":
    show()

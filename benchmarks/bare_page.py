"""A Streamlit page with the elements of the app's first page and nothing behind them.

`benchmarks/web.py` runs it beside the app: what is slower than this is the app's own doing.
"""

from __future__ import annotations

import streamlit as st

CARDS = tuple(f"accelerator-{number}" for number in range(395))
PARTS = ("weights", "KV cache", "recurrent state", "activations", "overhead", "free")


def show() -> None:
    """Draw the page: fields, a line that repeats the users, numbers, a chart, a command."""
    st.set_page_config(page_title="bare", layout="wide")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall"):
        users = _fields()
    with st.container(key="answer"):
        st.markdown(f"**A constant** on a machine: :green[**fits**] {users} users, 9 GiB to spare")
    st.markdown("Picked: a constant.")
    _results()


def _fields() -> int:
    st.selectbox("Machine", CARDS, key="on", accept_new_options=True, width=250)
    st.number_input("How many", 1, 4096, 2, key="count", width=95)
    st.number_input("RAM (GB)", 1, 4096, None, key="ram", width=112, help="A help text.")
    st.selectbox("Model", CARDS[:40], key="model", accept_new_options=True, width=200)
    st.selectbox("With", CARDS[:12], key="engine", accept_new_options=True, width=145)
    st.selectbox("Context", CARDS[:7], key="context", accept_new_options=True, width=98)
    users = st.number_input("Users", 1, 1_000_000, 1, key="users", width=95)
    st.popover("More", icon=":material/tune:", key="more", on_change="rerun")
    return int(users)


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

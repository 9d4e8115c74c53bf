"""Put a figure on the page, the same way everywhere."""

from __future__ import annotations

from typing import Any

import streamlit as st

from planner.web.figures.document import Checked


def draw(figure: dict[str, Any], *, key: str, alt: str) -> None:
    """Draw `figure`.

    Args:
        figure: a plotly document from `planner.web.figures`.
        key: stable name of the element.
        alt: the figure in words, for those who do not see it.
    """
    st.plotly_chart(Checked(figure), key=key, config={"displayModeBar": False}, alt=alt)

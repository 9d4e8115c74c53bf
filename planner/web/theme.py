"""What the visitor's theme, light or dark, means for figures. The themes are in `config.toml`."""

from __future__ import annotations

import streamlit as st

from planner.web.palette import DARK_THEME_TEXT, LIGHT_THEME_TEXT


def text_colour() -> str:
    """Colour of text in figures; Streamlit's own grey is too faint on white."""
    return DARK_THEME_TEXT if st.context.theme.type == "dark" else LIGHT_THEME_TEXT

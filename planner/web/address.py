"""The page's address: what it may hold before any field reads it."""

from __future__ import annotations

import math

import streamlit as st

LONGEST_VALUE = 300
"""Characters; no field of this app holds more."""


def clean_address() -> None:
    """Drop values that no field could hold, then start over.

    Fields fall back to their defaults on unknown values by themselves; numbers beyond floating
    point would break them (seen with Streamlit 1.67: `?count=1e400`).
    """
    bad = [name for name, value in st.query_params.items() if not _is_plausible(value)]
    for name in bad:
        del st.query_params[name]
    if bad:
        st.rerun()


def _is_plausible(value: str) -> bool:
    if len(value) > LONGEST_VALUE or not value.isprintable():
        return False
    try:
        return math.isfinite(float(value))
    except ValueError:
        return True

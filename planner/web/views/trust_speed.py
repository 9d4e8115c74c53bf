"""What a speed is made of: each part of a token's time and of the prompt's, with its rule and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from planner.throughput import NoEstimate, SpeedEstimate
from planner.throughput.answer import Banded, duration, two_digits
from planner.throughput.part import StepTerm
from planner.units import capital
from planner.web.tables import escape

_SCALES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e-3, ""), (1e-6, " µ"))
"""Unit prefixes by what they stand for; a number between a thousandth and a million has none."""


def show_speed(speed: SpeedEstimate | NoEstimate) -> None:
    """Draw what the rate and the prompt's time are made of."""
    st.subheader("Speed")
    if isinstance(speed, NoEstimate):
        st.markdown(f"{capital(escape(speed.words))}.")
        return
    _show_time("A token", speed.time_per_output_token, speed.words, speed.terms)
    if (prefill := speed.prefill) is not None:
        _show_time("The prompt", prefill.seconds, speed.prefill_words, prefill.terms)
    known = speed.calibration
    st.markdown(f":small[Constants of {escape(known.title)}. Source: {escape(known.source)}.]")


def _show_time(title: str, time: Banded, words: str, terms: Sequence[StepTerm]) -> None:
    told = time.time if time.value >= 1 else time.scaled(1000).words("ms")
    with st.expander(f"{title}: {told}", icon=":material/speed:", key=f"speed-{title}"):
        st.markdown(f"{capital(escape(words))}.")
        st.table(
            pd.DataFrame(
                {
                    "Time": [_time(term) for term in terms],
                    "Rule and its numbers": [escape(_rule(term)) for term in terms],
                },
                index=[capital(term.name) for term in terms],
            ),
            border="horizontal",
            alt=f"{title}: what its time is made of",
        )


def _time(term: StepTerm) -> str:
    brief = _brief(term.seconds)
    return f"({brief}, meanwhile)" if term.hidden else brief


def _brief(seconds: float) -> str:
    """``25 ms``, ``38 s``."""
    return duration(seconds) if seconds >= 1 else f"{two_digits(1000 * seconds)} ms"


def _rule(term: StepTerm) -> str:
    """``bytes / (BW x bandwidth): bytes 16.9 G, BW 936 G, bandwidth 0.794``."""
    numbers = ", ".join(f"{name} {scaled(value)}" for name, value in term.values.items())
    return f"{term.formula}: {numbers}" if numbers else term.formula


def scaled(value: float) -> str:
    """Return a number to three digits, with a unit's prefix where it is large or small."""
    size = abs(value)
    one, prefix = next(((one, prefix) for one, prefix in _SCALES if size >= one), (1.0, ""))
    if not prefix:
        return f"{value:,.3g}" if size < 1000 else f"{value:,.0f}"
    return f"{value / one:,.3g}{prefix}"

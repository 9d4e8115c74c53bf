"""A term's formula with the numbers put in."""

from __future__ import annotations

import re

from planner.memory.breakdown import Term
from planner.units import GIB, format_bytes


def substituted(term: Term) -> str:
    """`term.formula` with its symbols replaced by their values, longest symbol first.

    Example: ``4 x ceil(131,072 / 832) x 26,624,000``.
    """
    if not term.values:
        return term.formula
    symbols = sorted(term.values, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(s)}(?!\w)" for s in symbols))
    return pattern.sub(lambda match: _number(term.values[match.group()]), term.formula)


def _number(value: int | float | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return f"{int(value):,}"


def band_text(term: Term) -> str:
    """The term's band for people, such as ``-0.2 / +0.5 GiB``; empty if it has none."""
    if term.band is None:
        return ""
    return f"-{term.band.below / GIB:.1f} / +{term.band.above / GIB:.1f} GiB"


def explanation(term: Term) -> tuple[str, ...]:
    """Lines that say where a term's number comes from."""
    band = band_text(term)
    sure = f"{term.confidence.value}, {band}" if band else term.confidence.value
    numbers = substituted(term)
    lines = [f"{term.name}: {format_bytes(term.nbytes)} ({term.nbytes:,} bytes)"]
    lines.append(f"  = {term.formula}")
    if numbers != term.formula:
        lines.append(f"  = {numbers}")
    when = f" ({term.source.when})" if term.source.when else ""
    lines.append(f"  {sure}; {term.source.where}{when}")
    return tuple(lines)

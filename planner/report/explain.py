"""Where a term's number comes from, in lines."""

from __future__ import annotations

from planner.memory.breakdown import Term
from planner.units import GIB, format_bytes


def band_text(term: Term) -> str:
    """The term's band for people, such as ``-0.2 / +0.5 GiB``; empty if it has none."""
    if term.band is None:
        return ""
    sizes = (("-", term.band.below), ("+", term.band.above))
    told = (f"{sign}{size / GIB:.1f}" for sign, size in sizes if round(size / GIB, 1))
    words = " / ".join(told)
    return f"{words} GiB" if words else ""


def explanation(term: Term) -> tuple[str, ...]:
    """Lines that say where a term's number comes from."""
    band = band_text(term)
    sure = f"{term.confidence.value}, {band}" if band else term.confidence.value
    numbers = term.substituted
    lines = [f"{term.name}: {format_bytes(term.nbytes)} ({term.nbytes:,} bytes)"]
    lines.append(f"  = {term.formula}")
    if numbers != term.formula:
        lines.append(f"  = {numbers}")
    when = f" ({term.source.when})" if term.source.when else ""
    lines.append(f"  {sure}; {term.source.where}{when}")
    return tuple(lines)

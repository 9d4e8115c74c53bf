"""Where a term's number comes from, in lines."""

from __future__ import annotations

from planner.memory.breakdown import Term
from planner.units import GIB, format_bytes


def band_text(term: Term) -> str:
    """The term's band for people, such as ``−0.2 / +0.5 GiB``; empty if it has none."""
    if term.band is None:
        return ""
    below, above = (f"{size / GIB:.1f}" for size in (term.band.below, term.band.above))
    if below == above:
        return f"±{above} GiB" if float(above) else ""
    told = (f"{sign}{size}" for sign, size in (("−", below), ("+", above)) if float(size))
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

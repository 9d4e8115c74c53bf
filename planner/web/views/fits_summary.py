"""What the table of What fits says in one line."""

from __future__ import annotations

from collections.abc import Sequence

from planner.recommending.words import short_word
from planner.registry import Word
from planner.throughput.answer import two_digits
from planner.units import counted
from planner.web.fitting import Row, Verdict
from planner.web.tables import escape

_LARGE = short_word(Word.LARGE)


def summary(rows: Sequence[Row], what: str) -> str:
    """Return what the table says in one line: how many hold it, the cheapest, the fastest.

    Args:
        rows: the table.
        what: what is to be held (`what_of`).
    """
    if rows and all(row.answer is Verdict.NOT_SERVED for row in rows):
        return f"**None of {counted(len(rows), 'machine')}** is served by the engine under With."
    held = [row for row in rows if row.answer in (Verdict.FITS, Verdict.TIGHT, Verdict.SLOW)]
    hold = "holds" if len(held) == 1 else "hold"
    parts = [
        f"**{len(held)} of {counted(len(rows), 'machine')}** {hold} {escape(what)} as they are."
    ]
    parts += _cheapest(held, "as it is")
    parts += _cheapest([row for row in rows if row.answer is Verdict.MORE], "by more of them")
    fast = [row for row in held if row.per_user is not None]
    if fast:
        sound = [row for row in fast if row.quality != _LARGE]
        best = max(sound or fast, key=lambda row: row.per_user or 0.0)
        how = " without a large loss" if sound and len(sound) < len(fast) else ""
        parts.append(
            f"Fastest{how}: {_machine(best)}, about {two_digits(best.per_user or 0)} tok/s."
        )
    return " ".join(parts)


def _cheapest(rows: Sequence[Row], so: str) -> list[str]:
    """The cheapest to buy of some rows, of those without a large loss where there are any."""
    priced = [row for row in rows if row.price is not None and not row.slow]
    sound = [row for row in priced if row.quality != _LARGE]
    if not priced:
        return []
    least = min(sound or priced, key=lambda row: row.price or 0.0)
    how = " without a large loss" if sound and len(sound) < len(priced) else ""
    return [f"Cheapest to buy {so}{how}: {_machine(least)}, {least.price:,.0f} USD."]


def _machine(row: Row) -> str:
    return f"{row.count}× {row.name}" if row.answer is Verdict.MORE else row.name

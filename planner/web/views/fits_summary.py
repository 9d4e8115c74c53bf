"""What the table of What fits says in one line."""

from __future__ import annotations

from collections.abc import Sequence

from planner.recommending.words import short_word
from planner.registry import Word
from planner.throughput.answer import two_digits
from planner.units import counted
from planner.web.fitting import HELD, Row, Verdict
from planner.web.tables import escape

_LARGE, _NOTICEABLE = map(short_word, (Word.LARGE, Word.NOTICEABLE))


def summary(rows: Sequence[Row], what: str) -> str:
    """Return what the table says in one line: how many hold it, the cheapest, the fastest.

    Args:
        rows: the table.
        what: what is to be held (`what_of`).
    """
    if rows and all(row.answer is Verdict.NOT_SERVED for row in rows):
        return f"**None of {counted(len(rows), 'machine')}** is served by the engine under With."
    held = [row for row in rows if row.answer in HELD]
    hold = "holds" if len(held) == 1 else "hold"
    parts = [
        f"**{len(held)} of {counted(len(rows), 'machine')}** {hold} {escape(what)} as they are."
    ]
    cheapest = _cheapest(held)
    if cheapest is not None:
        parts.append(_bought(cheapest, "as it is", held))
    several = [row for row in rows if row.answer is Verdict.MORE]
    fewer = _cheapest(several)
    if fewer is not None and (cheapest is None or _price(fewer) < _price(cheapest)):
        parts.append(_bought(fewer, "by more of them", several))
    fast = [row for row in held if row.per_user is not None]
    if fast:
        best = max(_sound(fast) or fast, key=lambda row: row.per_user or 0.0)
        parts.append(
            f"Fastest{_how(fast)}: {_machine(best)}, about {two_digits(best.per_user or 0)} tok/s."
        )
    return " ".join(parts)


def _cheapest(rows: Sequence[Row]) -> Row | None:
    """The cheapest to buy of some rows, of those without a large loss where there are any."""
    priced = _priced(rows)
    return min(_sound(priced) or priced, key=_price, default=None)


def _priced(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.price is not None and not row.slow]


def _sound(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.quality != _LARGE]


def _how(rows: Sequence[Row]) -> str:
    """What is said of the best of some rows where others have a large loss."""
    return " without a large loss" if 0 < len(_sound(rows)) < len(rows) else ""


def _price(row: Row) -> float:
    return row.price or 0.0


def _bought(row: Row, so: str, of: Sequence[Row]) -> str:
    """The words for the cheapest of some rows."""
    what = [f"{_price(row):,.0f} USD"]
    what += ["tight"] if row.answer is Verdict.TIGHT else []
    what += [Word.NOTICEABLE.text] if row.quality == _NOTICEABLE else []
    return f"Cheapest to buy {so}{_how(_priced(of))}: {_machine(row)}, {', '.join(what)}."


def _machine(row: Row) -> str:
    return f"{row.count}× {row.name}" if row.answer is Verdict.MORE else row.name

"""Reads parts of a machine that stand in a row, with nothing between them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from functools import lru_cache

from hardware_db.database import Database
from hardware_db.errors import HardwareError
from hardware_db.expression import Memory, memory
from hardware_db.lookup import Found, counted
from hardware_db.processors import named

__all__ = ["in_a_row"]

Meaning = Found | Memory | None
_MOST_WORDS = 14


def in_a_row(text: str, known: Database) -> tuple[tuple[str, Meaning], ...] | None:
    """Return the parts of `text` with what each means (None: a processor); None if a word has no meaning.

    A GPU or a memory is as many words as mean something together, a processor as few: "i7-13700k
    64GB DDR5 rtx 4080", "2x3090 1x4090".
    """
    said = tuple(text.split())
    if not 0 < len(said) <= _MOST_WORDS:
        return None

    @lru_cache(maxsize=_MOST_WORDS**2)
    def meaning(start: int, end: int) -> Meaning:
        piece = " ".join(said[start:end])
        told = memory(piece)
        if told is not None and told.of != "vram":
            return told if told.of is not None else replace(told, of="ram")
        with contextlib.suppress(HardwareError):  # a count with nothing behind it
            return counted(piece, known) if (start, end) != (0, len(said)) else None
        return None

    @lru_cache(maxsize=_MOST_WORDS**2)
    def row(start: int) -> tuple[tuple[str, Meaning], ...] | None:
        if start == len(said):
            return ()
        for end in range(len(said), start, -1):
            what = meaning(start, end)
            rest = None if what is None else row(end)
            if rest is not None:
                return ((" ".join(said[start:end]), what), *rest)
        for tells in (_is_listed, _is_processor):
            for end in range(start + 1, len(said) + 1):
                piece = " ".join(said[start:end])
                rest = row(end) if tells(piece, known) else None
                if rest is not None:
                    return ((piece, None), *rest)
        return None

    return row(0)


def _is_listed(text: str, known: Database) -> bool:
    return named(text, known.processors) is not None


def _is_processor(text: str, known: Database) -> bool:
    words = "|".join(re.escape(word) for word in known.words["cpu_words"])
    return re.search(rf"\b(?:{words})\b", text, re.IGNORECASE) is not None

"""Hardware as published measurements name it, found in the database.

"RTX 5090 (32GB)", "DGX Spark (GB10, 128 GB unified)", "24GB GPU (RTX 4090/L4/A10G)": names are
looked up as written, then without what stands in parentheses, then by the parts in parentheses
(the first that is known), each also without its last words, then by the memory alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hardware_db import HardwareError, System, resolve

_SIZE = re.compile(r"(\d+)\s*(GB|GiB)", re.IGNORECASE)
_PARENTHESES = re.compile(r"\(([^)]*)\)")
_SPLIT = re.compile(r"[,/]| or ")
_AT_END = re.compile(r"([\s-]*\d+\s*(GB|GiB)\+?| class)$", re.IGNORECASE)


def system_named(text: str, count: int) -> System:
    """`count` of the accelerators that a source calls `text`.

    Raises:
        LookupError: no name in the text is known, and no memory is told.
    """
    for name in _names(text):
        try:
            system = resolve(f"{count}x {name}")
        except HardwareError:
            continue
        # A system of several accelerators would be meant as a whole, which `count` contradicts.
        if system.count == count:
            return system
    size = _SIZE.search(text)
    if size is not None:
        return resolve(f"{count}x custom:{size[1]}{size[2]}")
    raise LookupError(f"hardware {text!r} cannot be told")


def _names(text: str) -> Iterator[str]:
    plain = _PARENTHESES.sub(" ", text).strip()
    candidates = [
        text,
        plain,
        *(part for p in _PARENTHESES.findall(text) for part in _SPLIT.split(p)),
    ]
    for candidate in candidates:
        name = candidate.strip()
        if not name or _SIZE.fullmatch(name):
            continue
        yield name
        shorter = _AT_END.sub("", name)
        words = shorter.split()
        if "+" in words:
            continue  # two kinds at once: no name of one
        yield from (" ".join(words[:count]) for count in range(len(words), 1, -1))

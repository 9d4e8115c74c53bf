"""Comparing names: exact after normalisation, never by substring."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from hardware_db.regex import pattern

__all__ = [
    "driver_key",
    "inner_size_last",
    "is_chipless_mac",
    "key",
    "laptop_last",
    "nearest",
    "shorter",
    "spoken",
    "without_around",
    "without_machine",
]

_BRANDS = ("nvidia", "geforce", "amd", "radeon", "instinct", "apple", "intel", "tesla")
_MACHINES = pattern(
    r"\b(?:apple|imac|(?:mac\s?)?(?:mini|studio)|mac\s?book(?:\s(?:pro|air))?"
    r"(?:\s1[3-6](?:\.\d)?(?:\s?(?:\"|”|inch))?)?|mac\spro|mac\b|air\b|1[3-6](?:\.\d)?\s?(?:\"|”|inch))\s*"
)
_CHIP = pattern(r"\bm[1-9]\b")
_MAC = pattern(r"(?:apple\s)?(?:imac|silicon|mac\s?(?:mini|studio|book(?:\s(?:pro|air))?|pro)?)")
_LAPTOP_FIRST = pattern(r"(?:gaming\s+)?(?:laptop|notebook)\s+(.+)", re.IGNORECASE)
_SIZE_INSIDE = pattern(
    r"(.+?)\s+([0-9]+\s?GB(?:\s+vram)?)\s+(laptop|notebook|mobile)", re.IGNORECASE
)
_SIZED = pattern(r"[\s(,]*[0-9]+\s?(?:gb|g|tb)?(?:\s(?:ram|memory))?\)?$")
_RYZEN = pattern(r"(?:ryzen\s+(?:[3579]\s+)?|r[3579]\s+)(?:pro\s+)?(?=[0-9]{4})", re.IGNORECASE)
_JOINTS = pattern(r"[\s\-_./,()\[\]]+")
_WORDS = pattern(r"[a-z]+|[0-9]+")


@lru_cache(maxsize=8192)
def key(name: str) -> str:
    """The form in which two names are compared: without case, spaces, dashes and brackets.

    "RTX 4090", "rtx-4090" and "rtx4090" are one name; "A10" and "A100" are not.
    """
    return _JOINTS.sub("", unicodedata.normalize("NFKC", name).casefold())


def driver_key(name: str) -> str:
    """The form in which driver names are compared; older drivers leave out "NVIDIA "."""
    return key(re.sub(r"^\s*nvidia\s+", "", name, flags=re.IGNORECASE))


def shorter(name: str) -> tuple[str, ...]:
    """`name`, and `name` without the maker's words at its start, one after the other.

    "NVIDIA GeForce RTX 4090" → itself, "GeForce RTX 4090", "RTX 4090"; "Ryzen 7 PRO 7840U" → "7840U".
    """
    words = name.split()
    found = [name]
    while len(words) > 1 and key(words[0]) in _BRANDS:
        words = words[1:]
        found.append(" ".join(words))
    series = _RYZEN.match(found[-1]) if found[-1][:1] in ("r", "R") else None
    return (*found, found[-1][series.end() :]) if series is not None else tuple(found)


def without_machine(name: str) -> str:
    """`name` without the words of a Mac around its chip: "MacBook Pro 16 M4 Max" → "m4 max"."""
    plain = _plain(name)
    return _MACHINES.sub("", plain).strip() if _CHIP.search(plain) else plain


_AROUND = pattern(
    r"(?:i(?:'ve| have)?(?: got)?|we(?:'ve| have)?(?: got)?|an?|just|only|my|our|own|this|the|using|on)\s+(.+)",
    re.IGNORECASE | re.DOTALL,
)
_AROUND_MOST = 4


def without_around(text: str) -> str:
    """`text` without what people say in front: "I have a 3090" → "3090"."""
    plain = text.strip()
    for _ in range(_AROUND_MOST):
        around = _AROUND.fullmatch(plain)
        if around is None:
            break
        plain = around[1]
    return plain


def is_chipless_mac(name: str) -> bool:
    """Say whether `name` is a Mac's without its chip: "Mac mini 24GB"."""
    return _MAC.fullmatch(_SIZED.sub("", _plain(name))) is not None


def _plain(name: str) -> str:
    """`name` in small letters, its words parted by single spaces."""
    return " ".join(re.split(r"[\s\-_]+", name.strip().casefold()))


def laptop_last(name: str) -> str:
    """`name` with "laptop" where entries have it: "laptop 4070 8GB" → "4070 laptop 8GB"."""
    first = _LAPTOP_FIRST.fullmatch(name)
    if first is not None and not name.casefold().endswith((" laptop", " notebook")):
        name = f"{first[1]} laptop"
    inside = _SIZE_INSIDE.fullmatch(name)
    return name if inside is None else f"{inside[1]} {inside[3]} {inside[2]}"


def inner_size_last(name: str) -> str | None:
    """`name` with a size in its middle at its end: "a100 80gb sxm4" → "a100 sxm4 80gb"; else None."""
    match = re.fullmatch(r"(.+?)\s+([0-9]{1,3}\s?GB)\s+(.+)", name, re.IGNORECASE)
    if match is None or re.search(r"[0-9]\s?GB?\b", match[3], re.IGNORECASE):
        return None
    return f"{match[1]} {match[3]} {match[2]}"


def nearest(name: str, known: Iterable[tuple[str, str]], limit: int = 5) -> tuple[str, ...]:
    """Ids whose names look like `name`, best first; `known` are (key, id) pairs.

    Shared words and numbers weigh more than shared letters, so that "h100 pci" finds h100-pcie
    before h800, and a wrong digit is not a better match than a missing word. A generation or a size
    alone ("5", "16 GB") makes nothing alike.
    """
    import difflib  # only needed once a name is not known

    wanted = key(name[:100])
    if not wanted:
        return ()
    parts, letters = _parts(wanted)
    matcher = difflib.SequenceMatcher(None, "", wanted, autojunk=False)
    scores: dict[str, float] = {}
    for candidate, identity in known:
        words, theirs = _parts_of_known(candidate)
        score = 0.0
        if not parts.isdisjoint(words) and any(map(_tells, common_parts := parts & words)):
            score = len(common_parts) / (len(parts) + len(words) - len(common_parts))
        if candidate.startswith(wanted) or wanted.startswith(candidate):
            score += 0.5
        # The lengths bound the ratio, and so do letters in common, in whatever order: both cost a
        # hundredth of it.
        both, least = len(wanted) + len(candidate), _ALIKE - score
        if 2 * min(len(wanted), len(candidate)) < least * both:
            continue
        if 2 * len(letters & theirs) < max(least, scores.get(identity, 0.0) - score) * both:
            continue
        matcher.set_seq1(candidate)
        score += matcher.ratio()
        scores[identity] = max(score, scores.get(identity, 0.0))
    ranked = sorted(scores, key=lambda identity: (-scores[identity], identity))
    return tuple(identity for identity in ranked if scores[identity] >= _ALIKE)[:limit]


def _tells(part: str) -> bool:
    """Say whether a word or number says which device is meant."""
    return len(part) > 2


def _parts(name: str) -> tuple[frozenset[str], frozenset[tuple[str, int]]]:
    """Words and numbers of a key, and its letters, each with how often it came before."""
    seen: Counter[str] = Counter()
    letters = []
    for letter in name:
        letters.append((letter, seen[letter]))
        seen[letter] += 1
    return frozenset(_WORDS.findall(name)), frozenset(letters)


_parts_of_known = lru_cache(maxsize=8192)(_parts)


_ALIKE = 0.75
"""Score from which a name is offered."""


_MEMORY = pattern(r"(?<!with)(?<!,)\s+([0-9]+) ?GB\b")
_MAKERS = pattern(r"^(?:NVIDIA|AMD|Apple|Intel|Google)\s+(?:GeForce\s+|Tesla\s+|Instinct\s+)?")
_LEFT_OUT = pattern(r"\s+(?:Blackwell|Generation|Edition|Super ?chip)\b|\s+\([^)]*\)")


def spoken(name: str, *, memory: bool) -> str:
    """Return a device's name as people say it: ``RTX 3090``, ``M4 Max 64 GB``, ``H100 SXM5``.

    Maker, brand, generation and what stands in parentheses are left out.

    Args:
        name: the full name.
        memory: it is sold with several sizes, so that the size belongs to the name.
    """
    short = _LEFT_OUT.sub("", _MAKERS.sub("", name)).replace("Laptop GPU", "laptop")
    return _MEMORY.sub(r" \1 GB" if memory else "", short)

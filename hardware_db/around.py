"""Words around a device's name that say where it stands: its maker's, a laptop's, a cloud's.

Each function returns other spellings to look for, or None; it knows no entry of the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from hardware_db.regex import pattern

__all__ = [
    "cloud_count",
    "instance_gb",
    "laptop_in",
    "short_suffix",
    "without_board",
    "without_place",
]

_ARTICLES = pattern(
    r"^(?:(?:my|the|old|new|just|only|single|an?|ein|eine|mein|meine|une?|una|mon|ma|mi|моя|мой|одна)\s+)+",
    re.I,
)
_LAMBDA = pattern(r"gpu[_-](\d+)x[_-](.+)", re.I)
_ORACLE = pattern(r"(?:bm|vm)\.gpu\.([a-z0-9]+)(?:-v\d)?\.(\d+)", re.I)
_OCEAN = pattern(r"gpu-([a-z]+\d+[a-z]*)x(\d+)-(\d+)gb", re.I)
_SCALEWAY = pattern(r"([a-z]+\d+s?)-(\d)-\d+g", re.I)
_SLICE = pattern(r"(?:tpu[\s-]*)?(v[4-7][a-z]*?)(?:litepod)?[\s-](\d+)", re.I)
_SERVICE = pattern(r"ml\.(.+)", re.I)
_HOST = pattern(r"n1(?:-(?:standard|highmem|highcpu)-\d+)?[\s+]+(?:with\s+)?(.+)", re.I)
_INSTANCE = pattern(r"(?:.*\s)?(?:mig[\s-]+)?[1-7]g\.([0-9]{1,3})gb", re.I)
_MOBILE = pattern(r"((?:rtx|gtx)?[\s-]?[1-6]0[5-9]0(?:[\s-]?ti)?)\s?m", re.I)
_PLAN = pattern(r"^(?:pro\+?|free|free tier|pod|spot|cloud|instance)(?:\s+|$)", re.I)
_SUPER_TI = pattern(r"(.*[0-9]{4})\s?(ti)?\s?s", re.I)


def cloud_count(text: str) -> tuple[int, str] | None:
    """Return how many of what a cloud's own name of a machine means: "gpu_8x_a100_80gb_sxm4".

    Those of Lambda, Oracle, DigitalOcean, Scaleway, of TPU slices, SageMaker's "ml." and a T4 that
    hangs on a general machine of Google's ("n1-standard-8 + t4").
    """
    text = text.strip()
    if match := _LAMBDA.fullmatch(text):
        return int(match[1]), match[2].replace("_", " ")
    if match := _ORACLE.fullmatch(text):
        return int(match[2]), match[1]
    if match := _OCEAN.fullmatch(text):
        count = max(int(match[2]), 1)
        return count, f"{match[1]} {int(match[3]) // count}GB"
    if match := _SCALEWAY.fullmatch(text):
        return int(match[2]), match[1]
    if match := _SLICE.fullmatch(text):
        return int(match[2]), f"tpu {'v5e' if match[1].lower() == 'v5' else match[1]}"
    if match := _SERVICE.fullmatch(text) or _HOST.fullmatch(text):
        return 1, match[1]
    return None


def instance_gb(text: str) -> int | None:
    """Return the GB of a part of a GPU (MIG) that NVIDIA's own name of it says: "h100 mig 3g.40gb" → 40."""
    match = _INSTANCE.fullmatch(text.strip())
    return None if match is None else int(match[1])


def without_board(name: str, words: tuple[str, ...]) -> str | None:
    """Return `name` without articles and what its board's maker calls it; None where nothing goes.

    "my gigabyte rtx 4090 gaming oc" → "rtx 4090". What is not in `words` stays: a name with a word
    that means something ("Ti", "Max-Q") is not shortened to another card's.
    """
    plain = _ARTICLES.sub("", name.strip())
    left = " ".join(_words(words).sub(" ", f" {plain} ").split())
    return left if left and left != name.strip() else None


def without_place(name: str, words: tuple[str, ...]) -> str | None:
    """Return `name` without whom the machine is rented from: "colab T4" → "T4"; else None.

    Empty where nothing but the place is named.
    """
    said = f" {name.strip()} "
    place = _words(words).match(said.replace(".", " ", 1), 1)
    return None if place is None else _PLAN.sub("", said[place.end() :].strip())


def laptop_in(name: str, words: tuple[str, ...]) -> Iterator[str]:
    """Yield cards of a laptop that `name` may hold: "lenovo legion 5 4060" → "4060 laptop".

    Only where a word says that it is a laptop; longer ends of the text first.
    """
    if _words(words).search(f" {name} ") is None:
        return
    said = name.split()
    for start in range(1, len(said)):
        tail = " ".join(said[start:])
        if re.search(r"[0-9]{3}", tail):
            yield f"{tail} laptop"


def short_suffix(name: str) -> str | None:
    """Return a card with its suffix in full: "4090m" → "4090 laptop", "4070 ti s" → "4070 ti super"."""
    if match := _MOBILE.fullmatch(name):
        return f"{match[1]} laptop"
    if match := _SUPER_TI.fullmatch(name):
        return f"{match[1]} ti super" if match[2] else f"{match[1]} super"
    return None


@lru_cache(maxsize=32)
def _words(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of `words`, as whole words between blanks, brackets and commas; long ones first."""
    listed = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<=[\s(,])(?:{listed})(?=[\s),])", re.I)

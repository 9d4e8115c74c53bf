"""What people type into a field with a list: a name by itself, a part of one, or nearly one."""

from __future__ import annotations

from collections.abc import Callable

import hardware_db
from hardware_db import HardwareError, UnknownHardware, UnnamedChip
from planner.engines import get_engine
from planner.errors import InputError
from planner.model import catalog
from planner.registry import find
from planner.web import choices, devices, places
from planner.web.asked import BEST, CUSTOM, LOCAL, system


def _is_machine(on: str) -> bool:
    if on in (LOCAL, CUSTOM) or on in devices.own_devices():
        return True
    try:
        system(on, 1)
    except InputError:
        return False
    return True


def is_of_several(field: str, value: str) -> bool:
    """Whether a machine is known by this name, but as several: "macbook" is none of them.

    A Mac whose chip is not said is one where its memory leaves one chip: "mac studio 256".
    """
    if field != "on":
        return False
    try:
        hardware_db.resolve(value)
    except UnknownHardware:
        return False
    except UnnamedChip as error:
        return len(error.chips) > 1
    except HardwareError:
        return True
    return False


def _is_model(name: str) -> bool:
    return name == BEST or "/" in name or catalog.find(name) is not None or find(name) is not None


def _is_engine(name: str) -> bool:
    try:
        return name == BEST or bool(get_engine(name))
    except InputError:
        return False


KNOWN: dict[str, Callable[[str], bool]] = {
    "on": _is_machine,
    "model": _is_model,
    "engine": _is_engine,
}
"""Fields where people type part of a name -> whether it is one by itself."""


def listed_as(field: str, typed: str) -> tuple[str, ...]:
    """Return what a list has whose label holds every word that was typed.

    Of engines those come alone that begin with what was typed, where there are any: "llama" is no
    part of Ollama.

    Args:
        field: "on", "model" or "engine"; others have no such lists.
        typed: as typed.
    """
    words = typed.casefold().split()
    if field == "on":
        labels = places.labels()
    elif field == "model":
        labels = {name: name for name in choices.models() if name != BEST}
    elif field == "engine":
        known = choices.engines(None)
        labels = {name: choices.engine_label(name) for name in known if name != BEST}
        begun = (
            name for name, label in labels.items() if label.casefold().startswith(" ".join(words))
        )
        if words and (first := tuple(begun)):
            return first
    else:
        return ()
    return tuple(name for name, label in labels.items() if _has(label.casefold(), words))


def _has(label: str, words: list[str]) -> bool:
    """Whether a label holds every word, be a size written with or without a space: "256gb"."""
    spellings = (label, label.replace(" ", ""))
    return all(any(word in spelled for spelled in spellings) for word in words)


def nearly_listed_as(field: str, typed: str) -> tuple[str, ...]:
    """Return what a list has whose label shares words with what was typed, the most first.

    A word counts where one begins with the other: "macbook" finds what is called a Mac. What part of
    a card it is has no say: "one of four GPUs" is no name.

    Args:
        field: "on" alone: a model's name is no sentence.
        typed: as typed.
    """
    if field != "on":
        return ()
    words = [word for word in typed.casefold().split() if len(word) >= _SHORTEST]
    score = {
        place.on: sum(
            any(
                word.startswith(part) or part.startswith(word)
                for part in place.label.casefold().partition(", one of ")[0].split()
                if len(part) >= _SHORTEST and not part.isdecimal()
            )
            for word in words
        )
        for place in places.places()
    }
    most = max(score.values(), default=0)
    return tuple(on for on, shared in score.items() if shared == most > 0)


_SHORTEST = 3
"""Letters of a word by which a machine is looked for: shorter ones stand in many names."""

"""Finds the entry that one name means, with what was assumed where the name left it open."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from hardware_db.accelerator import Accelerator
from hardware_db.around import (
    cloud_count,
    instance_gb,
    laptop_in,
    short_suffix,
    without_board,
    without_place,
)
from hardware_db.compose import card, custom, lent
from hardware_db.database import Database
from hardware_db.errors import HardwareError, UnknownHardware, UnnamedChip
from hardware_db.expression import Memory, carve_out, memory, splits, without_size
from hardware_db.names import (
    inner_size_last,
    is_chipless_mac,
    key,
    laptop_last,
    nearest,
    shorter,
    spoken,
    without_around,
    without_machine,
)
from hardware_db.records import frozen
from hardware_db.regex import pattern
from hardware_db.system import System

__all__ = [
    "Found",
    "among_words",
    "counted",
    "find",
    "is_a_laptop",
    "is_a_machine",
    "sizes",
    "unknown",
    "unnamed_card",
]

_CUSTOM = pattern(r"custom\s*[:-](.*)", re.IGNORECASE | re.DOTALL)
_LIKELY_COUNT = 1000
_MOST_UNNAMED = 64
_MOST_INSIDE = 2
_LEAST_BEGUN = 6


@frozen
class Found:
    """An entry, how many of it, sentences about what was assumed, and what a machine's text calls it."""

    entry: Accelerator | System
    count: int = 1
    assumptions: tuple[str, ...] = ()
    called: str = ""


def find(name: str, known: Database) -> Found | None:
    """Return the entry that `name` means; None where there is none.

    The whole name first (a part of a name is not a name); then name and size ("RTX 4090 48G"),
    a name that is sold in several sizes ("5060 Ti"), a carve-out ("395 96/32"), the begin of a
    cloud size ("NC48ads"), a plural ("3090s").
    """
    size = _CUSTOM.fullmatch(name) if name.casefold().startswith("custom") else None
    if size:
        return Found(entry=custom(size[1]))
    for spelled in (*shorter(name), without_machine(name)):
        entry = known.by_name.get(key(spelled))
        if entry is not None:
            return Found(entry=entry, assumptions=_one_of_several(spelled, entry, known))
    entry = _sized(name, known) or _smallest(name, known)
    if entry is not None:
        return Found(entry=entry, assumptions=_one_of_several(name, entry, known))
    portable = laptop_last(name)
    if portable != name:
        return find(portable, known)
    found = _carved(name, known) or _begun(name, known)
    if found is None and len(name) > 2 and name[-1] in "sS" and name[-2].isalnum():
        found = find(name[:-1], known)
    mobile = short_suffix(name)
    if found is None and mobile is not None and name[-1] in "mM":
        found = find(mobile, known)
    for plain in (without_board(name, known.words["board_words"]), inner_size_last(name)):
        if found is None and plain is not None and plain != name:
            found = find(plain, known)
    return found


def counted(text: str, known: Database, inside: int = 0) -> Found | None:
    """Return what "2x rtx-4090", "h100:2" or "two 3090s" means; None where no name is known.

    Args:
        text: what was typed.
        known: what is listed.
        inside: how many counts stand around it already: one more is read in "2x 8x h100", and one
            more in "4x 2x 8x h100"; each may stand before or behind, so a long row of them would
            take twice as long with every one.

    Errors: HardwareError for a count outside 1..100000.
    """
    found = _super(text, known) or find(text, known)
    signed = text.startswith("-")  # nothing to a name, but to a count
    if found is not None and not signed:
        return found
    for count, name in splits(text):
        found = find(name, known) or (_card(name) if count <= _MOST_UNNAMED else None)
        if found is None and inside < _MOST_INSIDE and any(n > 1 for n, _ in splits(name)):
            found = counted(name, known, inside + 1)
        if found is not None:
            return replace(found, count=count * found.count)
    rented = without_place(text, known.words["places"])
    if rented:
        return counted(rented, known, inside)
    cloud = cloud_count(text)
    found = None if cloud is None else counted(cloud[1], known, inside)
    if cloud is not None and found is not None:
        return replace(found, count=cloud[0] * found.count)
    plain = without_board(text, known.words["board_words"])
    if plain is not None:
        return counted(plain, known, inside)
    part = instance_gb(text)
    if part is None:
        return None
    said = f"{text} is a part of a GPU (MIG): planned as a GPU with {part} GB of which the speed is not known"
    return Found(entry=card(part), assumptions=(said,))


def among_words(text: str, known: Database) -> Found | None:
    """Return what a text means that holds the name of a device among words that mean nothing here.

    Only a laptop that is called one, and a processor with a GPU inside: their names are like no other.
    """
    return _in_a_laptop(text, known) or _inside(text, known)


def is_a_machine(text: str, known: Database) -> bool:
    """Say whether words name some machine, of which nothing else is known: "laptop", "thinkpad t480"."""
    if not _words_of(text).isdisjoint(known.words["gpu_words"]):
        return False
    plain = without_around(text).casefold()
    return is_a_laptop(text, known) or plain in known.words["machine_words"]


def is_a_laptop(text: str, known: Database) -> bool:
    """Say whether words call something a laptop."""
    return not _words_of(text).isdisjoint(known.words["laptop_words"])


def _words_of(text: str) -> set[str]:
    return set(re.split(r"[\s-]+", text.casefold()))


def _in_a_laptop(text: str, known: Database) -> Found | None:
    """The card of a laptop that is named: "lenovo legion 5 4060" → the 4060 of laptops."""
    for spelled in laptop_in(text, known.words["laptop_words"]):
        found = find(spelled, known)
        if found is not None and isinstance(found.entry, Accelerator):
            said = f"{text} is read as a laptop with the {found.entry.short_name}"
            return replace(found, assumptions=(said, *found.assumptions))
    return None


def _inside(text: str, known: Database) -> Found | None:
    """The GPU inside a processor that is named among other words: "framework 13 7840u"."""
    for word in text.split():
        entry = known.by_name.get(key(word)) if re.search("[0-9]{3}", word) else None
        if isinstance(entry, Accelerator) and entry.is_integrated:
            split = without_size(text)
            sized = None if split is None else _sized(f"{word} {split[1]:g}GB", known)
            found = find(word, known) if sized is None else Found(entry=sized)
            if found is not None:
                said = f"{text} is read as its processor: {found.entry.name}"
                return replace(found, assumptions=(said, *found.assumptions))
    return None


def sizes(entry: Accelerator, known: Database) -> tuple[Accelerator, ...]:
    """Return the entries that differ from `entry` in their memory alone, smallest first."""
    for alike in known.by_stem.values():
        if entry in alike:
            usual = [one for one in alike if one.variant is None]
            if len(usual) > 1 and entry in usual:
                return tuple(sorted(usual, key=_label))
    return (entry,)


def unknown(text: str, known: Database) -> HardwareError:
    """Return the error for a name that means nothing, with the nearest ids.

    Of a Mac whose chip is not said, with the chips that have such a memory.
    """
    if _PATH.match(text.strip()):
        return HardwareError(
            f"unknown hardware {text!r}: a name is wanted here, not a file. Describe your own machines"
            " in a TOML file that the variable QWENPLAN_HARDWARE names, then ask for one by its id"
            " (docs/hardware.md, 'Your own hardware')"
        )
    counts = [name.removesuffix("s") for _, name in _counts(text)]
    for name in (text, *counts):
        if is_chipless_mac(name):
            return _which_chip(name, known)
    if text.casefold().strip() in _ANY_GPU or any(name.casefold() in _ANY_GPU for name in counts):
        return HardwareError(
            f"{text!r} does not say which GPU: name it, like 'rtx 3060 12gb', or its memory, like '24GB'"
        )
    if is_a_machine(text, known) and not re.search("[0-9]{4}", text):
        return HardwareError(
            f"{text!r} does not say what is in it: name its GPU, like 'rtx 4060 laptop' or 'rtx 3060 12gb',"
            " or its RAM where it has none, like 'cpu, 16GB'; 'local' is the machine you sit at"
        )
    if without_place(text, known.words["places"]) == "":
        return HardwareError(f"{text!r} lends several GPUs: name yours, like 'a T4'")
    return UnknownHardware(text, _offered(text, known))


_PATH = pattern(r"(?:[.~]{0,2}[/\\]|[a-z]:[/\\])|.*\.(?:toml|ya?ml|json)$", re.IGNORECASE)
"""What names a file: it begins as a path does, or ends as hardware files do."""

_ANY_GPU = frozenset(
    ("gpu", "graphics card", "video card", "card", "nvidia gpu", "amd gpu", "vram")
)


def _counts(text: str) -> list[tuple[int, str]]:
    try:
        return splits(text)
    except HardwareError:
        return []


@lru_cache(maxsize=512)  # a page asks again at each of its fields
def _offered(text: str, known: Database) -> tuple[str, ...]:
    """Return the ids that may be meant by a name that means nothing, the likeliest first."""
    names = [
        (name, entry.id)
        for name, entry in known.by_name.items()
        if isinstance(entry, System) or entry.variant is None
    ]
    counts = splits(text)
    whole = nearest(text, names)
    if not counts:
        return whole
    count, name = counts[0]
    candidates = nearest(name, names)
    if not candidates or count > _LIKELY_COUNT:  # "7900 xt" has the form of a count, too
        return whole or candidates
    return candidates


def _which_chip(text: str, known: Database) -> HardwareError:
    """Return the question which chip of several a Mac has, the newest first."""
    split = without_size(text)
    size = None if split is None else split[1]
    chips = [
        entry
        for entry in {id(entry): entry for entry in known.by_name.values()}.values()
        if isinstance(entry, Accelerator) and entry.vendor == "apple"
    ]
    chips = [entry for entry in chips if _is_in_case(entry, text, known.words["mac_cases"])]
    fitting = [entry for entry in chips if size in (None, _label(entry))] or chips
    names = sorted({spoken(entry.name, memory=size is not None) for entry in fitting}, reverse=True)
    return UnnamedChip(text, tuple(names))


def _is_in_case(chip: Accelerator, text: str, cases: tuple[str, ...]) -> bool:
    """Say whether a Mac of the case that a text names is sold with a chip, as far as is known."""
    typed = f" {' '.join(re.split(r'[^a-z0-9]+', text.casefold()))} "
    has = set(re.split(r"[^a-z0-9]+", chip.short_name.casefold()))
    for line in cases:
        case, _, rule = line.partition(": ")
        kind, _, words = rule.partition(" ")
        if f" {case} " in typed:
            return has.isdisjoint(words.split(", ")) is (kind == "not")
    return True


def _card(name: str) -> Found | None:
    """An accelerator of which only the memory is said: "24GB", "24 GB VRAM"."""
    told = memory(name)
    if told is None or told.gib is None or told.of == "ram":
        return None
    return unnamed_card(told)


def unnamed_card(told: Memory) -> Found:
    """Return the GPU, or as many as there are modules, of which only the memory is said."""
    each = (told.gib or 0.0) / told.modules
    note = (
        f"{each:g} GB is read as a GPU of which only the memory is known: name the card for its"
        f" speed and formats, or write 'cpu, {each:g}GB' for a machine without a GPU"
    )
    return Found(entry=card(each), count=told.modules, assumptions=(note,))


def _sized(name: str, known: Database) -> Accelerator | System | None:
    """The entry of a name with its size behind it, in whatever way that is written."""
    split = without_size(name)
    if split is None:
        return None
    head, size = split
    for spelled in (*shorter(head), without_machine(head)):
        stem = key(spelled)
        alike = list(known.by_stem.get(stem, ()))
        plain = known.by_name.get(stem)
        if isinstance(plain, System) and _label(plain.accelerator) == size:
            return plain
        if isinstance(plain, Accelerator):
            alike.insert(0, plain)
        for entry in alike:
            if _label(entry) == size:
                return entry
    return None


def _super(name: str, known: Database) -> Found | None:
    """The SUPER of "4070s", where there is one; of several ("two 4070s") it is a plural."""
    full = short_suffix(name) if name[-1:] in ("s", "S") else None
    found = None if full is None else find(full, known)
    if full is None or found is None:
        return None
    plain = name[:-1].strip()
    said = f"{name} is read as the {full.upper().removesuffix('SUPER')}SUPER; write '2x {plain}' for several {plain}"
    return Found(entry=found.entry, assumptions=(said, *found.assumptions))


def _carved(name: str, known: Database) -> Found | None:
    """A chip with one memory, of which the owner keeps a part for the GPU: "395 96/32"."""
    split = carve_out(name)
    found = find(split[0], known) if split is not None else None
    if split is None or found is None or not isinstance(found.entry, Accelerator):
        return None
    _, gpu, left = split
    for one in sizes(found.entry, known):
        if one.is_unified and _label(one) == gpu + left:
            said = f"{gpu:g}/{left:g} is read as {gpu:g} GB for the GPU (BIOS) of {gpu + left:g} GB"
            return Found(entry=lent(one, gpu, left), assumptions=(said,))
    return None


def _begun(name: str, known: Database) -> Found | None:
    """The cloud size whose name begins so, where there is only one."""
    start = key(name)
    if len(start) < _LEAST_BEGUN or not re.search("[0-9]", start):
        return None
    named = (known.by_name[spelled] for spelled in known.by_name if spelled.startswith(start))
    begun = {entry.id: entry for entry in named if isinstance(entry, System) and entry.provider}
    if len(begun) != 1:
        return None
    (entry,) = begun.values()
    return Found(entry=entry, assumptions=(f"{name} is read as {entry.name}",))


def _smallest(name: str, known: Database) -> Accelerator | None:
    for spelled in (*shorter(name), without_machine(name)):
        alike = _usual(spelled, known)
        if len(alike) > 1:
            return min(alike, key=_label)
    return None


def _usual(name: str, known: Database) -> list[Accelerator]:
    """What is sold under `name`, without what somebody changed: memory exchanged, ECC switched."""
    return [one for one in known.by_stem.get(key(name), ()) if one.variant is None]


def _one_of_several(name: str, entry: Accelerator | System, known: Database) -> tuple[str, ...]:
    """What to say where `name` has no size and is sold in several; an id names one of them."""
    if isinstance(entry, System) or name == entry.id:
        return ()
    alike = _usual(name, known)
    labels = sorted({_label(one) for one in alike})
    if entry not in alike or len(labels) < 2:
        return ()
    listed = ", ".join(f"{label:g}" for label in labels[:-1]) + f" and {labels[-1]:g}"
    other = next(label for label in labels if label != _label(entry))
    has = "comes with the RAM that is fitted, like" if entry.is_integrated else "is sold with"
    return (
        f"{name} {has} {listed} GB: {_label(entry):g} GB is assumed;"
        f" write '{name} {other:g}GB' for another",
    )


def _label(entry: Accelerator) -> float:
    return 0.0 if entry.memory_marketed_gb is None else entry.memory_marketed_gb.value

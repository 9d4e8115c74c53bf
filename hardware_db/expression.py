"""Reads the words of a hardware expression: parts, counts, sizes, kinds of RAM.

Knows the grammar and no entry of the database: `hardware_db.resolve` says what the names mean.
"""

from __future__ import annotations

import re

from hardware_db.errors import HardwareError
from hardware_db.memory import MemoryKind
from hardware_db.records import frozen
from hardware_db.regex import pattern

__all__ = [
    "MAX_COUNT",
    "Memory",
    "Nodes",
    "Part",
    "bare_size",
    "carve_out",
    "is_cpu",
    "machines",
    "memory",
    "parts",
    "size_last",
    "splits",
    "with_ecc",
    "without_link",
    "without_memory",
    "without_size",
]

MAX_COUNT = 100_000
_MOST_PARTS = 12
_LARGEST_RAM_GIB = 1 << 17

_SEPARATOR = pattern(r"(\s*\+\s*|\s*[,;&]\s*|\s+(?:and|with|plus|w/)\s+)", re.IGNORECASE)
_LEADING = pattern(r"([+-]?[0-9][0-9.,_]*)\s*[x×*]\s*(.*)", re.IGNORECASE | re.DOTALL)
_TRAILING = pattern(r"(.+?)\s+[x×*]\s*([+-]?[0-9][0-9.,_]*)", re.IGNORECASE | re.DOTALL)
_JOINED = pattern(r"(.+?)[x×*]([1-9][0-9]?)", re.IGNORECASE | re.DOTALL)
_COLON = pattern(r"(.+?)\s*:\s*([0-9]{1,6})", re.DOTALL)
_WORDS = {
    "a": 1, "an": 1, "one": 1, "single": 1, "dual": 2, "two": 2, "pair of": 2, "a pair of": 2,
    "triple": 3, "three": 3, "quad": 4, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "ten": 10, "twelve": 12, "sixteen": 16,
    "zwei": 2, "drei": 3, "vier": 4, "deux": 2, "trois": 3, "quatre": 4, "dos": 2, "tres": 3,
    "cuatro": 4, "due": 2, "duas": 2, "две": 2, "два": 2, "три": 3, "четыре": 4,
}  # fmt: skip
_HAN = {"单": 1, "一": 1, "双": 2, "两": 2, "二": 2, "三": 3, "四": 4, "八": 8}
_HAN_COUNT = pattern(rf"([{''.join(_HAN)}]|[1-9][0-9]?)\s*[路张張块塊卡片个個枚台]+\s*(.+)", re.S)
_HAN_LAST = pattern(rf"(.+?)\s*([{''.join(_HAN)}]|[1-9][0-9]?)\s*[路张張块塊卡片个個枚台]+", re.S)
_LAST_X = pattern(r"(.+?)[\s(]+(?:[x×]\s?([1-9][0-9]?)|([1-9][0-9]?)\s?[x×])\)?", re.I | re.S)
_WORDED = pattern(rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})\s+(.+)", re.I | re.S)
_PLURAL = pattern(r"([1-9][0-9]{0,2})\s+(.*[0-9a-z])s", re.IGNORECASE)
_FIRST_X = pattern(r"[x×]\s?([1-9][0-9]?)\s+(.+)", re.IGNORECASE | re.DOTALL)
_BARE_COUNT = pattern(
    r"([2-9]|1[0-6]|24|32|48|64|72|96|128|256)\s+((?:[a-z]|[0-9]{4}).*[0-9].*)",
    re.IGNORECASE | re.DOTALL,
)
_IN_MACHINES = ("node", "machine", "server", "box", "host", "computer", "rig", "pc")
"""In every word of `_MACHINE`."""
_MACHINE = r"(?:nodes?|machines?|servers?|box(?:es)?|hosts?|computers?|rigs?|pcs?)"
_MACHINES = pattern(
    rf"([1-9][0-9]{{0,5}}|{'|'.join(w for w in _WORDS if ' ' not in w)})(?:\s*[x×*])?[\s-]+{_MACHINE}"
    r"(?:[\s-]+(?:of|with|each(?:[\s-]+(?:of|with))?)|[\s-]*[:,])?[\s-]+(?!(?:of|with|each)\s*$)(.+)",
    re.IGNORECASE | re.DOTALL,
)
_SPREAD = pattern(
    rf"(.+?)[\s,]+(?:in|on|over|across)\s+([1-9][0-9]{{0,5}})\s+{_MACHINE}\b(.*)",
    re.IGNORECASE | re.DOTALL,
)
_CPU = frozenset(
    ["cpu", "cpuonly", "cpumachine", "none", "nogpu", "processor", "ramonly", "onlycpu"]
)
_UNIT = r"(?:t(?:i?b)?|g(?:i?b)?|gigs?|gigabytes?)"
_SIZE = pattern(rf"([0-9]{{1,12}}(?:\.[0-9]{{1,3}})?)\s*({_UNIT})\b", re.IGNORECASE)
_SIZE_FIRST = pattern(rf"([0-9]{{1,6}}\s*{_UNIT}(?:\s+(?:of\s+)?ram)?)\s+(.+)", re.I | re.S)
_TOKEN = pattern(
    rf"""(?P<modules>[0-9]{{1,2}})\s*[x×*]\s*(?=[0-9.]+\s*{_UNIT}\b)
    |(?P<size>[0-9]{{1,12}}(?:\.[0-9]{{1,3}})?)\s*(?P<unit>{_UNIT})\b
    |(?P<type>(?:lp)?ddr[2-6]x?|mrdimm)(?:[\s-]?(?P<rate>[0-9]{{3,5}})(?:\s?(?:mhz|mt/?s))?\b)?
    |(?P<mts>[0-9]{{3,5}})\s*(?:mhz|mt/?s)\b
    |(?P<channels>[0-9]{{1,2}}|single|dual|quad|octa)[\s-]*(?:channels?|ch)\b
    |(?P<vram>vram|gpu|card|graphics|video)\b
    |(?P<ram>ram|dram|system|host|main)\b
    |(?P<filler>memory|mem|cl[0-9]{{2}}|of|with|and|ecc|[rul]?dimms?|sodimm|at|@|the|x)\b
    |[\s,()/-]+""",
    re.IGNORECASE | re.VERBOSE,
)
_OF_MEMORY = ("t", "g", "ddr", "mrd", "ch")
"""In every size, type and number of channels of `_TOKEN`."""
_CARVED = pattern(
    r"(.+?)[\s(,]*\b([0-9]{1,3})\s*(?:GB)?\s*/\s*([0-9]{1,3})\s*(?:GB)?[\s)]*", re.IGNORECASE
)
_ECC = pattern(
    r"[\s,(]*(?:\b(?:with|w/)\s+)?\b(?P<no>no\s+|without\s+)?ecc(?:\s+(?P<state>on|off|enabled|disabled))?\)?$",
    re.IGNORECASE,
)
_NVLINK = pattern(r"[\s,(+]*(?:\b(?:with|and|w/)\s+)?\bnv-?link(?:ed)?(?:\s+bridge)?\b\)?", re.I)
_CHANNELS = {"single": 1, "dual": 2, "quad": 4, "octa": 8}


@frozen
class Memory:
    """A memory that an expression names: "64GB RAM", "2x32 GB DDR5-6000", "24GB VRAM".

    `gib` is None where only the kind was said. `of` tells whose it is: "ram", "vram", or None
    where the words do not say. A module of 64 GB holds 64 GiB.
    """

    gib: float | None
    of: str | None
    kind: MemoryKind
    modules: int = 1


@frozen
class Nodes:
    """Several machines alike: how many, and the words for one of them, or for all `together`."""

    count: int
    text: str
    together: bool = False


@frozen
class Part:
    """One part of an expression, and the separator before it ("+", ",", "and"; empty at first)."""

    text: str
    before: str = ""


def parts(text: str) -> tuple[Part, ...]:
    """Return the parts of `text` at "+", ",", ";", "&", "and", "with", "plus"."""
    one = len(text.split()) < 2 and not any(sign in text for sign in "+,;&")
    pieces = [text] if one else _SEPARATOR.split(text)
    found = [Part(text=pieces[0].strip())]
    for separator, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        found.append(Part(text=piece.strip(), before=separator))
    if len(found) > _MOST_PARTS:
        raise HardwareError(
            f"the hardware has {len(found)} parts, at most {_MOST_PARTS} are read; "
            "write equal ones as a count, like '4x rtx-3090'"
        )
    return tuple(found)


def machines(text: str) -> Nodes | None:
    """Return the machines that "2 nodes of 3x rtx-3060" and "16 h100 on 2 nodes" mean; else None."""
    plain = text.casefold()
    if not any(word in plain for word in _IN_MACHINES):
        return None
    if each := _MACHINES.fullmatch(text):
        said = re.sub(r"[\s,]+each$", "", each[2].strip(), flags=re.IGNORECASE)
        return Nodes(count=_WORDS.get(each[1].lower()) or int(each[1]), text=said)
    spread = _SPREAD.fullmatch(text)
    if spread is None:
        return None
    return Nodes(count=int(spread[2]), text=f"{spread[1]}{spread[3]}".strip(), together=True)


def is_cpu(text: str) -> bool:
    """Whether the words mean a processor alone, or no GPU."""
    return re.sub(r"[\s_-]+", "", text.casefold()) in _CPU


def memory(text: str) -> Memory | None:
    """Return the memory that all of `text` describes; None where it says anything else."""
    plain = text.casefold()
    if not any(sign in plain for sign in _OF_MEMORY):
        return None
    position, modules, gib, vram, ram = 0, 1, None, False, False
    type_, rate, channels = None, None, None
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            return None
        position = match.end()
        if match["modules"]:
            modules = int(match["modules"])
        elif match["size"]:
            if gib is not None or (gib := _gib(match["size"], match["unit"])) is None:
                return None
        elif match["type"]:
            type_, rate = match["type"].lower(), match["rate"] or rate
        elif match["mts"]:
            rate = match["mts"]
        elif match["channels"]:
            word = match["channels"].lower()
            channels = _CHANNELS.get(word) or int(word)
        vram |= bool(match["vram"])
        ram |= bool(match["ram"])
    told = type_ is not None or channels is not None
    if gib is None and not told:
        return None
    total = None if gib is None else gib * modules
    if total is not None and not 0 < total <= _LARGEST_RAM_GIB:
        raise HardwareError(
            f"{text!r} must lie between 1 GB and {_LARGEST_RAM_GIB >> 10} TB; no machine has more"
        )
    kind = MemoryKind(type=type_, mt_s=None if rate is None else int(rate), channels=channels)
    if channels is not None and not 1 <= channels <= 32:
        raise HardwareError(f"{text!r}: memory has 1 to 32 channels, not {channels}")
    of = "vram" if vram else "ram" if ram or told else None
    return Memory(gib=total, of=of, kind=kind, modules=modules)


def without_link(text: str) -> str:
    """Return `text` without the word that NVLink joins its GPUs: "2x A6000 (NVLink)"."""
    plain = _NVLINK.sub("", text) if "link" in text.casefold() else text
    return plain.strip() or text


def with_ecc(text: str) -> str:
    """Return `text` with ECC said as entries say it: "A6000 (ECC on)" → "A6000 ecc", off → without."""
    match = _ECC.search(text) if "ecc" in text.casefold() else None
    if match is None or not match.start():
        return text
    off = match["no"] or (match["state"] or "").lower() in ("off", "disabled")
    return text[: match.start()] + ("" if off else " ecc")


def carve_out(text: str) -> tuple[str, float, float] | None:
    """Split "Ryzen AI Max+ 395 96/32" into the name, the GB of the GPU and those that are left."""
    match = _CARVED.fullmatch(text)
    return None if match is None else (match[1].strip(), float(match[2]), float(match[3]))


def bare_size(text: str) -> float | None:
    """Return the GiB that `text` is, where it is a size and nothing else ("24GB"); else None."""
    match = _SIZE.fullmatch(text.strip(" ()"))
    return None if match is None else _gib(match[1], match[2])


def _gib(number: str, unit: str) -> float | None:
    """Return the GiB of a number with a unit; None for "5600G" and "140T", names of processors."""
    size, unit = float(number), unit.lower()
    if unit == "g" and len(number) == _NAME_DIGITS and number.isdigit() and size % 256:
        return None
    if unit == "t" and size >= _MOST_T:
        return None
    return size * (1024 if unit.startswith("t") else 1)


_NAME_DIGITS, _MOST_T = 4, 100


def without_memory(text: str) -> tuple[str, Memory] | None:
    """Split "4090 64GB RAM" into "4090" and the memory; None where no RAM ends the text.

    RAM must be named as such ("RAM", "DDR5"), unless the rest is a processor: "cpu 64GB".
    """
    for space in re.finditer(r"\s+", text):
        head, tail = text[: space.start()].strip(), text[space.end() :]
        found = memory(tail)
        if found is not None and (found.of == "ram" or (found.of is None and is_cpu(head))):
            return head, found
    return None


def size_last(text: str) -> str | None:
    """Return `text` with the size that it begins with behind the name: "24GB mac mini m4".

    None where it begins with none.
    """
    match = _SIZE_FIRST.fullmatch(text)
    if match is None:
        return None
    name, *rest = _SEPARATOR.split(match[2], maxsplit=1)
    return " ".join((name, match[1])) + "".join(rest)


def without_size(text: str) -> tuple[str, float] | None:
    """Split "RTX4090 48G" or "4090 (24 GB VRAM)" into the name and the GB; None without a size."""
    match = re.fullmatch(
        rf"(.+?)[\s(_-]*\b([0-9]{{1,4}})\s*-?({_UNIT})?(?:\s*(?:of\s+)?(?:unified\s+)?(?:vram|memory))?[\s)]*",
        text,
        re.IGNORECASE | re.DOTALL,
    )
    if match is None or not match[1].strip():
        return None
    if (match[3] or "").lower().startswith("t"):
        return None
    return match[1].strip(), float(match[2])


def splits(text: str) -> list[tuple[int, str]]:
    """Return counts and names that `text` may mean, likelier ones first.

    "2x name", "name x2", "name:2", "two names", "dual name". Errors: HardwareError for a count
    that is no whole number from 1 to MAX_COUNT, or stands before nothing.
    """
    worded = _WORDED.fullmatch(text)
    if worded:
        return [(_WORDS[worded[1].lower()], worded[2].strip())]
    if han := _HAN_COUNT.fullmatch(text):
        return [(_HAN.get(han[1]) or int(han[1]), han[2].strip())]
    if han := _HAN_LAST.fullmatch(text):
        return [(_HAN.get(han[2]) or int(han[2]), han[1].strip())]
    found: list[tuple[str, str]] = []
    if leading := _LEADING.fullmatch(text):
        found.append((leading[1], leading[2]))
    elif last := _LAST_X.fullmatch(text):
        return [(int(last[2] or last[3]), last[1].strip())]
    elif first := _FIRST_X.fullmatch(text):
        return [(int(first[1]), first[2].strip())]
    elif plural := _PLURAL.fullmatch(text):
        return [(int(plural[1]), plural[2].strip())]
    if trailing := _TRAILING.fullmatch(text) or _COLON.fullmatch(text) or _JOINED.fullmatch(text):
        found.append((trailing[2], trailing[1]))
    counted = []
    for number, name in found:
        if not name.strip():
            raise HardwareError(f"{text!r} names no hardware behind the count")
        if re.fullmatch(r"\+?[0-9]{1,9}", number) and 1 <= int(number) <= MAX_COUNT:
            counted.append((int(number), name.strip()))
    if not found and (bare := _BARE_COUNT.fullmatch(text)):
        return [(int(bare[1]), bare[2].strip())]
    if found and not counted:
        raise HardwareError(
            f"the count in {text!r} must be a whole number from 1 to {MAX_COUNT}, not {found[0][0]}"
        )
    return counted

"""Bytes and tokens: reading what people write, printing what they read.

Inside the planner bytes and tokens are `int`. GiB (2**30 bytes) exists here and at the doors only.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hardware_db.regex import pattern
from planner.errors import InputError

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

_BYTE_UNITS = {
    "b": 1,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": TIB,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
_NUMBER_AND_UNIT = pattern(r"\s*([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([a-zA-Z]*)\s*")
_TOKEN_UNITS = {"": 1, "k": 2**10, "m": 2**20}

_GROUPED = pattern(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
"""A number with commas between its thousands."""

_SAID_TOKENS = pattern(r"\s+tok(?:en)?s?$")
_PLAIN_WORD = pattern(
    r"(?!llama-|mlx\b|[a-z]+(?:-[a-z]+)*-(?:server|cli)\b)[a-z]+(?:['-][a-z]+)*[,;:]?(?:\s|$)"
)
"""A word that begins a sentence with a capital; names of programs are no such words."""

MAX_TOKENS = 2**40
"""No sequence or sum of sequences is longer than this; larger input is a slip of the hand."""

MAX_COUNT = 10**6
"""Sequences, GPUs, nodes: larger counts are refused."""


def ceil_div(numerator: int, denominator: int) -> int:
    """Smallest integer not below `numerator / denominator`."""
    return -(-numerator // denominator)


def round_up(value: int, multiple: int) -> int:
    """Smallest multiple of `multiple` not below `value`."""
    return ceil_div(value, multiple) * multiple


def shown(value: object, length: int = 60) -> str:
    """`value` as an error line quotes it: one line, cut at `length`, whatever it is.

    Example: ``shown("abc")`` is ``"'abc'"``; a number of thousands of digits is only counted.
    """
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of about {value.bit_length() * 301 // 1000} digits"
    text = repr(value[: length + 1] if isinstance(value, str) else value)
    return text if len(text) <= length else text[: length - 1] + "…"


def letters(name: str) -> str:
    """Return a name without what spellings differ in: "llama.cpp" as "llamacpp", "UD-Q4_K_XL" as "udq4kxl"."""
    return "".join(c for c in name.lower() if c.isalnum())


def capital(text: str) -> str:
    """`text` as a sentence begins; flags, programs and names that are spelled small stay as they are."""
    return text[0].upper() + text[1:] if _PLAIN_WORD.match(text) else text


def plain(value: Any) -> object:
    """Return a number or truth value of another library, such as numpy's, as Python's own."""
    if type(value) is int or not hasattr(value, "dtype") or getattr(value, "ndim", None) != 0:
        return value
    item: object = value.item()
    return item


def whole(value: object) -> object:
    """Return a whole number of any type, ``np.int64(8)`` or ``8.0``, as an int; else `value`."""
    if type(value) is int:
        return value
    number = plain(value)
    return int(number) if isinstance(number, float) and number.is_integer() else number


def ungrouped(text: str) -> str:
    """Return a number without the commas between its thousands; a list of numbers as it is."""
    return text.replace(",", "") if "," in text and _GROUPED.match(text.strip()) else text


def without_unit(text: str) -> str:
    """Return a number of tokens as it is written, without the word "tokens" behind it."""
    return _SAID_TOKENS.sub("", text.strip())


def parse_tokens(text: str | int, *, what: str = "context") -> int:
    """Read a number of tokens: "4096", "128k" (131,072), "1M" (1,048,576), "262,144".

    Args:
        text: what the user wrote.
        what: the name of the quantity, for the error line.

    Raises:
        InputError: not a positive whole number of tokens, or an absurd one.
    """
    written = whole(text)
    if isinstance(written, int) and not isinstance(written, bool):
        tokens = Fraction(written)
    else:
        plain = ungrouped(written).replace("_", "") if isinstance(written, str) else "?"
        plain = without_unit(plain)
        match = _NUMBER_AND_UNIT.fullmatch(plain)
        unit = match.group(2).lower() if match else "?"
        if match is None or unit not in _TOKEN_UNITS:
            raise InputError(
                f"{what}: cannot read {shown(text)}; write tokens such as 32768 or 128k"
            )
        tokens = Fraction(match.group(1)) * _TOKEN_UNITS[unit]
    if tokens.denominator != 1:
        raise InputError(f"{what}: {text} is not a whole number of tokens")
    if not 1 <= tokens <= MAX_TOKENS:
        raise InputError(f"{what}: {shown(text)} is out of range (1 to {MAX_TOKENS:,} tokens)")
    return int(tokens)


def parse_bytes(text: str | int, *, what: str = "size") -> int:
    """Read an amount of memory: "24GiB", "80 GB", "512MiB"; a bare number is bytes.

    Raises:
        InputError: unreadable, not positive, or an absurd amount.
    """
    written = whole(text)
    if isinstance(written, int) and not isinstance(written, bool):
        size = Fraction(written)
    else:
        match = _NUMBER_AND_UNIT.fullmatch(written if isinstance(written, str) else "?")
        unit = (match.group(2).lower() or "b") if match else "?"
        if match is None or unit not in _BYTE_UNITS:
            raise InputError(
                f"{what}: cannot read {shown(text)}; write a size such as 24GiB or 80GB"
            )
        size = Fraction(match.group(1)) * _BYTE_UNITS[unit]
    if not 1 <= size <= 2**60:
        raise InputError(f"{what}: {shown(text)} is out of range")
    return int(size)


def check_count(value: object, *, what: str, least: int = 1, most: int = MAX_COUNT) -> int:
    """A whole number within bounds, or one line that says which bounds.

    Raises:
        InputError: not a whole number, or out of range.
    """
    number = whole(value)
    if isinstance(number, bool) or not isinstance(number, int):
        raise InputError(f"{what} must be a whole number, got {shown(value)}")
    if not least <= number <= most:
        raise InputError(f"{what}: {shown(value)} is out of range ({least} to {most:,})")
    return number


def check_text(value: object, *, what: str) -> str:
    """A piece of text, such as a name, without the white space around it.

    Raises:
        InputError: anything else.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} must be a string, got {shown(value)}")
    return value.strip()


def check_switch(value: object, *, what: str) -> bool:
    """Return a truth value; anything else that Python would take for one is refused.

    Raises:
        InputError: it is neither True nor False.
    """
    truth = plain(value)
    if not isinstance(truth, bool):
        raise InputError(f"{what} must be true or false, got {shown(value)}")
    return truth


def check_fraction(value: object, *, what: str) -> float:
    """A share above 0 and up to 1.

    Raises:
        InputError: anything else, NaN and percentages such as 92 included.
    """
    share = plain(value)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(
            f"{what} must be a share above 0 and up to 1, such as 0.9; got {shown(value)}"
        )
    return float(share)


def plain_number(value: float) -> str:
    """`value` as short as it can be written without being another number: ``2``, ``0.92``."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def format_gib(size: int, digits: int | None = None) -> str:
    """`size` bytes as GiB for people: one decimal from 1 GiB on, more below.

    Example: ``format_gib(23999807488)`` is ``"22.4 GiB"``.
    """
    gib = size / GIB
    if digits is None:
        digits = 1 if abs(gib) >= 1 else 2
    return f"{gib:,.{digits}f} GiB"


def format_bytes(size: int) -> str:
    """`size` bytes with the unit that suits it: B, KiB, MiB or GiB."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if abs(size) >= unit:
            return f"{size / unit:,.2f} {name}"
    return f"{size:,} B"


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 sequence``, ``1,024 sequences``."""
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def format_tokens(tokens: int) -> str:
    """Tokens with separators: ``131,072``."""
    return f"{tokens:,}"

"""Define the kinds of values that options have: how each is checked, read, written and shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hardware_db.records import frozen
from planner.errors import InputError
from planner.units import (
    MAX_COUNT,
    check_count,
    check_fraction,
    check_switch,
    plain,
    plain_number,
    shown,
    whole,
)


class Kind(Protocol):
    """What values an option has."""

    @property
    def word(self) -> str:
        """What help shows in place of a value: ``N``."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The values, where they can be listed."""

    def check(self, value: object, what: str) -> Any:
        """Return the value as it is kept; one line says what is wrong with it."""

    def read(self, text: str, what: str) -> Any:
        """Return the value that a word of a command line stands for."""

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the words that give `flag` this value."""


@frozen
class Count:
    """A whole number.

    Attributes:
        least: smallest value.
        most: largest value.
        also: further values with a meaning of their own, such as -1.
        spelled: reads words that are no plain numbers (vLLM's ``128K``).
    """

    least: int = 1
    most: int = MAX_COUNT
    also: tuple[int, ...] = ()
    spelled: Callable[[str, str], int] | None = None
    word: str = "N"
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> int:
        """Return the number; anything else is refused."""
        number = whole(value)
        if isinstance(number, int) and not isinstance(number, bool) and number in self.also:
            return number
        return check_count(value, what=what, least=self.least, most=self.most)

    def read(self, text: str, what: str) -> int:
        """Return the number that `text` spells."""
        if self.spelled is not None:
            return self.spelled(what, text)
        return whole_number(text, what)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the number."""
        return flag, str(value)


@frozen
class Number:
    """A number, whole or not.

    Attributes:
        least: smallest value.
        most: largest value.
        above: the smallest value itself is out of range.
    """

    least: float = 0.0
    most: float = float(2**20)
    above: bool = False
    word: str = "NUMBER"
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> float:
        """Return the number; anything else, NaN included, is refused."""
        number = plain(value)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InputError(f"{what} must be a number, got {shown(value)}")
        low = self.least < number if self.above else self.least <= number
        if not (low and number <= self.most):
            bound = f"above {self.least:g}" if self.above else f"{self.least:g}"
            raise InputError(f"{what}: {shown(value)} is out of range ({bound} to {self.most:,g})")
        return number

    def read(self, text: str, what: str) -> float:
        """Return the number that `text` spells."""
        return decimal_number(text, what)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the number."""
        return flag, plain_number(value)


@frozen
class Share:
    """A share above 0 and up to 1.

    Attributes:
        below_one: 1 itself is out of range, for this reason.
    """

    below_one: str = ""
    word: str = "SHARE"
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> float:
        """Return the share; percentages such as 92 are refused."""
        share = check_fraction(value, what=what)
        if share == 1 and self.below_one:
            raise InputError(f"{what}: {self.below_one}")
        return share

    def read(self, text: str, what: str) -> float:
        """Return the share that `text` spells."""
        return decimal_number(text, what)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the share."""
        return flag, plain_number(value)


@frozen
class Choice:
    """One of a few words (or whole numbers, written as words).

    Attributes:
        choices: the words.
        spelled: what engines also write for them, such as ``1`` for ``on``.
        refused: words that the engine knows and the planner does not plan -> why.
    """

    choices: tuple[str, ...]
    spelled: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    word: str = "NAME"

    def check(self, value: object, what: str) -> str:
        """Return the word; anything else is refused."""
        for refused, why in self.refused:
            if value == refused:
                raise InputError(f"{what}: {refused} {why}")
        if not isinstance(value, str) or value not in self.choices:
            raise InputError(f"{what}: unknown {shown(value)}; known: {', '.join(self.choices)}")
        return value

    def read(self, text: str, what: str) -> str:
        """Return the word that `text` stands for."""
        return dict(self.spelled).get(text, text)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the word."""
        return flag, str(value)


@frozen
class CountChoice:
    """One of a few whole numbers.

    Attributes:
        numbers: the numbers.
    """

    numbers: tuple[int, ...]
    word: str = "N"

    @property
    def choices(self) -> tuple[str, ...]:
        """The numbers as words."""
        return tuple(map(str, self.numbers))

    def check(self, value: object, what: str) -> int:
        """Return the number; anything else is refused."""
        number = whole(value)
        if isinstance(number, bool) or not isinstance(number, int) or number not in self.numbers:
            raise InputError(f"{what}: unknown {shown(value)}; known: {', '.join(self.choices)}")
        return number

    def read(self, text: str, what: str) -> int:
        """Return the number that `text` spells."""
        return whole_number(text, what)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the number."""
        return flag, str(value)


@frozen
class Text:
    """A piece of text.

    Attributes:
        checked: looks at the text, if it has a form of its own: (text, name) -> the text as kept.
        longest: characters of the longest.
    """

    checked: Callable[[str, str], str] | None = None
    longest: int = 1000
    word: str = "TEXT"
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> str:
        """Return the text; anything else is refused."""
        if not isinstance(value, str):
            raise InputError(f"{what} must be a string, got {shown(value)}")
        if len(value) > self.longest:
            raise InputError(f"{what}: longer than {self.longest:,} characters")
        return self.checked(value, what) if self.checked is not None else value

    def read(self, text: str, what: str) -> str:
        """Return `text`."""
        return text

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the text."""
        return flag, str(value)


@frozen
class Switch:
    """On or off."""

    word: str = ""
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> bool:
        """Return the truth value; anything else is refused."""
        return check_switch(value, what=what)

    def read(self, text: str, what: str) -> bool:
        """Return what true, false, 1 or 0 stands for."""
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
        if value is None:
            raise InputError(f"{what} must be true or false, got {shown(text)}")
        return value

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag alone where it is on."""
        return (flag,) if value else ()


@frozen
class Several:
    """A list of values of one kind.

    Attributes:
        of: the kind of each.
        separators: characters between values in one word; the first is written.
        each: every value is written behind a flag of its own.
        most: how many there may be.
        checked: looks at the whole list: (values, name).
    """

    of: Kind
    separators: str = ","
    each: bool = False
    most: int = 1000
    checked: Callable[[tuple[Any, ...], str], None] | None = None
    word: str = "A,B,..."
    choices: tuple[str, ...] = ()

    def check(self, value: object, what: str) -> tuple[Any, ...]:
        """Return the values as a tuple; anything but a list of them is refused."""
        if not isinstance(value, tuple | list):
            raise InputError(f"{what} must be a list, got {shown(value)}")
        if len(value) > self.most:
            raise InputError(f"{what}: more than {self.most:,} values")
        values = tuple(self.of.check(part, what) for part in value)
        if self.checked is not None:
            self.checked(values, what)
        return values

    def read(self, text: str, what: str) -> tuple[Any, ...]:
        """Return the values that one word lists."""
        for separator in self.separators[1:]:
            text = text.replace(separator, self.separators[0])
        parts = (part.strip() for part in text.split(self.separators[0]))
        return tuple(self.of.read(part, what) for part in parts if part)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the list, or a flag before each value."""
        parts = [self.of.words(flag, part)[1] for part in value]
        if self.each:
            return tuple(word for part in parts for word in (flag, part))
        return (flag, self.separators[0].join(parts)) if parts else ()


def whole_number(text: str, what: str) -> int:
    """Return the whole number that `text` spells.

    Raises:
        InputError: it spells none.
    """
    try:
        return int(text)
    except ValueError:
        number, unit = text[:-1], {"k": 2**10, "m": 2**20}.get(text[-1:].lower())
        meant = (
            f"; write {int(number) * unit}"
            if unit and number.isdecimal() and len(number) < 5
            else ""
        )
        raise InputError(f"{what} must be a whole number, got {shown(text, 40)}{meant}") from None


def decimal_number(text: str, what: str) -> float:
    """Return the number that `text` spells.

    Raises:
        InputError: it spells none, or it is not finite.
    """
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise InputError(f"{what} must be a number, got {shown(text, 40)}")
    return value


@frozen
class Worded:
    """Values of another kind, and words with a meaning of their own.

    Attributes:
        of: the kind of a plain value.
        spelled: word -> the value that it stands for; None leaves it to the server.
    """

    of: Kind
    spelled: tuple[tuple[str, Any], ...]

    @property
    def word(self) -> str:
        """What help shows in place of a value."""
        return self.of.word

    @property
    def choices(self) -> tuple[str, ...]:
        """None: plain values are not listed."""
        return ()

    def check(self, value: object, what: str) -> Any:
        """Return the value as it is kept."""
        return self.of.check(value, what)

    def read(self, text: str, what: str) -> Any:
        """Return what a word or a plain value stands for."""
        known = dict(self.spelled)
        return known[text] if text in known else self.of.read(text, what)

    def words(self, flag: str, value: Any) -> tuple[str, ...]:
        """Return the flag and the value, as the word that stands for it where there is one."""
        spelled = [word for word, meant in self.spelled if meant == value]
        return (flag, spelled[0]) if spelled else self.of.words(flag, value)

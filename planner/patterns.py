r"""Match patterns that strangers wrote, within a bounded number of steps whatever they wrote.

`re` tries one way after the other, so a pattern in somebody's config.json can keep it busy for
hours. Here all ways are followed at once: a set of positions in a text is one integer (bit i stands
for position i), and each part of a pattern turns the positions where it may begin into those where
it may end. `re` itself is only asked about single characters and single positions.

Understood: literals, ``.``, classes, groups, ``|``, ``* + ? {m,n}`` (lazy ones, too), ``^ $ \A \Z
\b \B`` and looks ahead and behind. Refused: back-references, flags, conditions, possessive forms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Protocol

from planner.errors import InputError

LONGEST = 2000
"""Characters of one pattern."""

MOST_STEPS = 5000
"""Steps that one text may take; patterns of published checkpoints take at most some hundred."""

_MOST_DEPTH = 30
_MOST_KNOWN = 256
_COUNTED = re.compile(r"\{(\d{0,6})(?:(,)(\d{0,6}))?\}")
_SET_OPERATIONS = re.compile(r"\[|--|&&|~~|\|\|")
_PLACES = frozenset("AZbB")
_CLASSES = frozenset("dDwWsSnrtfv")
_ANYTHING = "(?s:.)"


class PatternError(InputError):
    """A pattern that is not one, or that is too complicated to apply; the text says which."""


@dataclass(slots=True)
class _Text:
    """A text being matched: what is known about its positions, and how many steps are left."""

    text: str
    left: int = MOST_STEPS
    masks: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise PatternError("it is too complicated to apply")

    def characters(self, source: str) -> int:
        """Positions of the characters that match `source`."""
        mask = self.masks.get(source)
        if mask is None:
            hits = {c: _takes(source, c) for c in set(self.text)}
            mask = sum(1 << at for at, c in enumerate(self.text) if hits[c])
            self.masks[source] = mask
        return mask

    def places(self, source: str) -> int:
        """Positions at which `source`, which takes no character, matches."""
        mask = self.masks.get(source)
        if mask is None:
            found = _compiled(source)
            mask = sum(1 << at for at in range(len(self.text) + 1) if found.match(self.text, at))
            self.masks[source] = mask
        return mask


@lru_cache(maxsize=4096)
def _compiled(source: str) -> re.Pattern[str]:
    try:
        return re.compile(source)
    except (re.error, OverflowError, RecursionError):
        raise PatternError("it is no regular expression") from None


@lru_cache(maxsize=65536)
def _takes(source: str, character: str) -> bool:
    return _compiled(source).fullmatch(character) is not None


class _Part(Protocol):
    def ends(self, text: _Text, starts: int) -> int:
        """Positions where the part may end, given those where it may begin."""
        ...


@dataclass(frozen=True, slots=True)
class _Character:
    source: str
    literal: str = ""

    def ends(self, text: _Text, starts: int) -> int:
        text.step()
        return (starts & text.characters(self.source)) << 1


@dataclass(frozen=True, slots=True)
class _Place:
    source: str

    def ends(self, text: _Text, starts: int) -> int:
        text.step()
        return starts & text.places(self.source)


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Part, ...]

    def ends(self, text: _Text, starts: int) -> int:
        for part in self.parts:
            if not starts:
                break
            starts = part.ends(text, starts)
        return starts


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: tuple[_Part, ...]

    def ends(self, text: _Text, starts: int) -> int:
        found = 0
        for branch in self.branches:
            found |= branch.ends(text, starts)
        return found


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: _Part
    least: int
    most: int | None

    def ends(self, text: _Text, starts: int) -> int:
        for _ in range(self.least):
            before, starts = starts, self.part.ends(text, starts)
            if starts in (0, before):
                break
        if self.most is None and isinstance(self.part, _Character):
            # Carries of one addition run through the characters that match, however many.
            text.step()
            mask = text.characters(self.part.source)
            return (((starts & mask) + mask) ^ mask) | starts
        found = new = starts
        count = self.least
        while new and (self.most is None or count < self.most):
            new = self.part.ends(text, new) & ~found
            found |= new
            count += 1
        return found


@dataclass(frozen=True, slots=True)
class _Look:
    part: _Part
    ahead: bool
    wanted: bool

    def ends(self, text: _Text, starts: int) -> int:
        text.step()
        if not self.ahead:
            found = self.part.ends(text, _everywhere(text.text))
            return starts & (found if self.wanted else ~found)
        held, rest = 0, starts
        while rest:
            one = rest & -rest
            rest ^= one
            if bool(self.part.ends(text, one)) is self.wanted:
                held |= one
        return held


def _everywhere(text: str) -> int:
    return (1 << (len(text) + 1)) - 1


class Pattern:
    """A pattern that was read; make one with `read_pattern` or `read_glob`."""

    def __init__(self, part: _Part) -> None:
        self._part, self._needed = part, _needed(part)

    def match(self, text: str) -> tuple[bool, int]:
        """Return whether a match begins where `text` begins, and the steps that it took.

        Raises:
            PatternError: more than `MOST_STEPS` would be needed.
        """
        return self._run(text, False)

    def search(self, text: str) -> tuple[bool, int]:
        """Return whether a match begins anywhere in `text`, and the steps that it took.

        Raises:
            PatternError: more than `MOST_STEPS` would be needed.
        """
        return self._run(text, True)

    def _run(self, text: str, anywhere: bool) -> tuple[bool, int]:
        for piece in self._needed:
            if piece not in text:
                return False, 1
        known = _masks(text)
        if len(known) > _MOST_KNOWN:
            known.clear()
        run = _Text(text, masks=known)
        starts = _everywhere(text) if anywhere else 1
        return self._part.ends(run, starts) != 0, MOST_STEPS - run.left


def _needed(part: _Part) -> tuple[str, ...]:
    """Pieces that every text has in which the pattern matches, longest first.

    Most modules of a model lack the one word that a pattern is about, and are done with here.
    """
    parts = part.parts if isinstance(part, _Sequence) else (part,)
    literals = (one.literal if isinstance(one, _Character) else "" for one in parts)
    pieces = "".join(literal or "\0" for literal in literals).split("\0")
    return tuple(sorted(filter(None, pieces), key=len, reverse=True)[:3])


@lru_cache(maxsize=1024)
def _masks(text: str) -> dict[str, int]:
    """What patterns found out about `text`; the next pattern asks for much of it again."""
    return {}


@lru_cache(maxsize=1024)
def read_pattern(text: str) -> Pattern:
    """Read a regular expression.

    Raises:
        PatternError: it is none, is too long, or holds a form that is not understood.
    """
    return Pattern(_Reader(text).whole())


@lru_cache(maxsize=1024)
def read_glob(text: str) -> Pattern:
    """Read a shell glob (``*``, ``?``, ``[...]``), which has to match a whole text.

    Raises:
        PatternError: it is too long.
    """
    if len(text) > LONGEST:
        raise PatternError(f"it is longer than {LONGEST} characters")
    parts: list[_Part] = []
    for piece in re.findall(r"\*+|\[!?\]?[^\]]*\]|(?s:.)", text):
        if piece[0] == "*":
            parts.append(_Repeat(_Character(_ANYTHING), 0, None))
        else:
            literal = len(piece) == 1 and piece != "?"
            parts.append(_literal(piece) if literal else _Character(translate(piece)))
    return Pattern(_Sequence((*parts, _Place(r"\Z"))))


def _literal(character: str) -> _Character:
    return _Character(re.escape(character), character)


class _Reader:
    """Reads one regular expression from left to right."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise PatternError(f"it is longer than {LONGEST} characters")
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> _Part:
        part = self._choice()
        if self.at < len(self.text):
            raise PatternError("it is no regular expression: a bracket closes that none opened")
        return part

    def _peek(self, length: int = 1) -> str:
        return self.text[self.at : self.at + length]

    def _take(self, word: str) -> bool:
        if self.text.startswith(word, self.at):
            self.at += len(word)
            return True
        return False

    def _choice(self) -> _Part:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        if len(branches) == 1:
            return branches[0]
        single = [branch.source for branch in branches if isinstance(branch, _Character)]
        if len(single) == len(branches):
            return _Character(f"(?:{'|'.join(dict.fromkeys(single))})")
        return _Choice(tuple(branches))

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self.at < len(self.text) and self._peek() not in "|)":
            part = self._repeated(self._one())
            parts += part.parts if isinstance(part, _Sequence) else (part,)
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self, part: _Part) -> _Part:
        found = self._count()
        if found is None:
            return part
        if self._take("+"):
            raise PatternError("possessive repeats are not understood")
        self._take("?")
        if self._count() is not None:
            raise PatternError("it is no regular expression: a repeat of a repeat")
        least, most = found
        if isinstance(part, _Repeat) and part.most is most is None and max(part.least, least) < 2:
            return _Repeat(part.part, part.least if least else 0, None)
        return _Repeat(part, least, most)

    def _count(self) -> tuple[int, int | None] | None:
        for mark, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(mark):
                return least, most
        match = _COUNTED.match(self.text, self.at)
        if match is None or match[0] == "{}":
            return None
        self.at = match.end()
        low = int(match[1] or 0)
        high = low if match[2] is None else int(match[3]) if match[3] else None
        if high is not None and high < low:
            raise PatternError("it is no regular expression: least repeats above most")
        return low, high

    def _one(self) -> _Part:
        if self._take("("):
            return self._group()
        if self._take("["):
            return self._class()
        if self._take("\\"):
            return self._escape()
        if self._count() is not None:
            raise PatternError("it is no regular expression: nothing to repeat")
        character = self._peek()
        self.at += 1
        if character in "^$":
            return _Place(character)
        return _Character(".") if character == "." else _literal(character)

    def _group(self) -> _Part:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise PatternError(f"it nests more than {_MOST_DEPTH} groups")
        look: tuple[bool, bool] | None = None
        for mark, ahead, wanted in (
            ("?=", True, True),
            ("?!", True, False),
            ("?<=", False, True),
            ("?<!", False, False),
        ):
            if self._take(mark):
                look = ahead, wanted
                break
        else:
            if self._peek() == "?":
                named = re.compile(r"\?(?::|P<[A-Za-z_]\w*>)").match(self.text, self.at)
                if named is None:
                    raise PatternError(f"groups of the kind ({self._peek(3)} are not understood")
                self.at = named.end()
        inner = self._choice()
        if not self._take(")"):
            raise PatternError("it is no regular expression: a bracket is not closed")
        self.depth -= 1
        return inner if look is None else _Look(inner, ahead=look[0], wanted=look[1])

    def _class(self) -> _Part:
        start = self.at - 1
        self._take("^")
        self._take("]")
        while self.at < len(self.text) and self._peek() != "]":
            self.at += 2 if self._peek() == "\\" else 1
        if not self._take("]"):
            raise PatternError("it is no regular expression: a bracket is not closed")
        source = self.text[start : self.at]
        if _SET_OPERATIONS.search(source[1:].replace("\\[", "")):
            raise PatternError("set operations in [] are not understood")
        _compiled(source)
        return _Character(source)

    def _escape(self) -> _Part:
        character = self._peek()
        self.at += 1
        if character in _PLACES:
            return _Place(f"\\{character}")
        if character in _CLASSES:
            return _Character(f"\\{character}")
        if not character or (character.isalnum() and character.isascii()):
            raise PatternError(f"\\{character} is not understood")
        return _literal(character)

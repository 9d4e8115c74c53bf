"""Sort the words of a command line by an engine's declared options and flags.

What a word means comes from the declarations alone. Words that change nothing in memory are kept
as they were, and so are words that nobody knows: a planned command gives them back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher, get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from hardware_db.records import frozen_with_cache
from planner.engines.option_kinds import Several, Switch, whole_number
from planner.engines.options import Option, declared
from planner.errors import InputError

_NUMBER = re.compile(r"-\d")
_PLACEHOLDER = re.compile(r"\$\{?\w|\{[A-Za-z_]\w*\}|<[A-Za-z_]")

NODES = "--nnodes"
"""What engines call the number of machines of one server."""

NEAR = 0.8
"""How alike an unknown flag and a known one are when the known one is worth naming."""

WORD_NEAR = 0.75
"""How alike two words of such flags are when one is taken for a slip of the hand."""

WORD_START = 3
"""Letters that two words begin with when one is taken for another form of the other."""

Role = Literal["option", "off", "part", "part switch", "own", "kept", "kept switch", "unplanned"]


@frozen_with_cache
class FlagTable:
    """All flags of an engine's command line.

    Attributes:
        options: the engine's options class; its declarations say which flags set them.
        parts: part of the question ("model", "context", "tensor", ...) -> spellings of flags with
            one value that say it.
        part_switches: spelling -> (part, what it sets), for those that take no value.
        kept: flags that change nothing in memory; one value may follow.
        kept_switches: the same without a value.
        own: flags that a planned command writes anew (nodes, ranks) -> how many values follow.
        unplanned: flags that may change memory -> why the plan does not account for them.
        argparse: words are read as Python's argparse does: --flag=value, underscores for dashes,
            any beginning of a flag that only one flag has, --flag.key value for JSON.
    """

    options: type[Any]
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    part_switches: Mapping[str, tuple[str, bool]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    kept: frozenset[str] = frozenset()
    kept_switches: frozenset[str] = frozenset()
    own: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    unplanned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    argparse: bool = True

    @cached_property
    def known(self) -> Mapping[str, tuple[Role, str]]:
        """Every spelling -> (what it is, the name of the option or part)."""
        found: dict[str, tuple[Role, str]] = {}
        for spelling in self.kept:
            found[spelling] = ("kept", spelling)
        for spelling in self.kept_switches:
            found[spelling] = ("kept switch", spelling)
        for spelling in self.unplanned:
            found[spelling] = ("unplanned", spelling)
        for spelling in self.own:
            found[spelling] = ("own", spelling)
        for option in declared(self.options).values():
            found[f"--{option.name.replace('_', '-')}"] = ("option", option.name)
            if option.is_switch:
                found[f"--no-{option.name.replace('_', '-')}"] = ("off", option.name)
            found |= dict.fromkeys(option.flags, ("option", option.name))
            found |= dict.fromkeys(option.off, ("off", option.name))
        for part, spellings in self.parts.items():
            found |= dict.fromkeys(spellings, ("part", part))
        found |= {spelling: ("part switch", spelling) for spelling in self.part_switches}
        return MappingProxyType(found)

    def spelling(self, word: str) -> str | None:
        """Return the known flag that `word` means; None if it is none."""
        if self.argparse and word.startswith("--"):
            word = word.replace("_", "-")
        if word in self.known:
            return word
        if self.argparse and word.startswith("--") and len(word) > 4:
            found = [flag for flag in self.known if flag.startswith(word)]
            if len(found) == 1:
                return found[0]
        return None


@dataclass(slots=True)
class Sorted:
    """The words of one command line by what they are.

    Attributes:
        options: the options that are given, by name.
        parts: part of the question -> its values in the order given.
        switched: part -> what the last switch set it to.
        dotted: part -> keys and values of ``--flag.key value``.
        positional: words that belong to no flag.
        kept: words that come back as they were.
        unplanned: one line per flag that may change memory and is not planned, or came twice.
        own: values of flags that a planned command writes anew, by spelling.
    """

    options: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    switched: dict[str, bool] = field(default_factory=dict)
    dotted: dict[str, dict[str, Any]] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    unplanned: list[str] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> int | None:
        """Return the machines that the command is for; None where it does not say."""
        text = self.own.get(NODES)
        return None if text is None else whole_number(text, NODES)

    def last(self, part: str) -> str | None:
        """Return the value that counts: the last one given."""
        values = self.parts.get(part)
        return values[-1] if values else None

    def repeated(self, flag: str, before: object, value: object) -> None:
        """Tell that a flag came before with another value: engines take the last."""
        if before is not None and before != value:
            self.unplanned.append(f"{flag} is given more than once: the last counts, {value}")

    def model(self, part: str = "model") -> str | None:
        """Return the model: what its flag says, or else the first word that belongs to no flag."""
        return self.last(part) or (self.positional[0] if self.positional else None)

    def strays(self, model: str | None) -> tuple[str, ...]:
        """Return the words that belong to no flag and are not the model."""
        return tuple(word for word in self.positional if word != model)

    def degree(self, part: str) -> int | None:
        """Return a degree of parallelism; None where it is not given.

        Raises:
            InputError: no whole number.
        """
        text = self.last(part)
        return None if text is None else whole_number(text, f"--{part}")

    def document(self, part: str) -> dict[str, Any]:
        """Return the JSON object that a part holds, with what ``--flag.key value`` adds to it.

        Raises:
            InputError: no JSON object.
        """
        return json_object(f"--{part}", self.last(part)) | self.dotted.get(part, {})


def sort_words(words: Sequence[str], table: FlagTable) -> Sorted:
    """Return the words after the program's name, sorted by `table`.

    Raises:
        InputError: a flag without its value, a value of the wrong type, a placeholder for a value,
            or a slip of the hand in a flag that matters.
    """
    found, queue = Sorted(), list(words)
    while queue:
        word = queue.pop(0)
        if word == "--":
            continue
        if not is_flag(word):
            found.positional.append(word)
            continue
        flag, equals, attached = word.partition("=") if table.argparse else (word, "", "")
        values = [attached] if equals else []
        base, dot, path = flag.partition(".")
        spelling = table.spelling(base if dot and table.argparse else flag)
        if spelling is None:
            found.unplanned.append(_unknown(flag, table))
            values += _next_value(queue, values)
            found.kept += [word] if equals else [flag, *values]
            continue
        role, name = table.known[spelling]
        if role in ("option", "off"):
            _take_option(found, declared(table.options)[name], role, flag, values, queue, table)
        elif role == "part":
            value = _value(flag, values, queue, table)
            if dot and table.argparse:
                _put(found.dotted.setdefault(name, {}), path.split("."), value)
            else:
                found.repeated(flag, found.last(name), value)
                found.parts.setdefault(name, []).append(value)
        elif role == "part switch":
            part, setting = table.part_switches[spelling]
            on = Switch().read(values[0], flag) if values else True
            found.switched[part] = setting == on
        elif role == "own":
            count = table.own[spelling] - len(values)
            found.own[spelling] = " ".join((*values, *queue[:count]))
            del queue[:count]
        else:
            if role != "kept switch":
                values += _next_value(queue, values)
            found.kept += [word] if equals else [flag, *values]
            if role == "unplanned":
                found.unplanned.append(f"{spelling}: {table.unplanned[spelling]}")
    return found


def _take_option(
    found: Sorted,
    option: Option,
    role: Role,
    flag: str,
    values: list[str],
    queue: list[str],
    table: FlagTable,
) -> None:
    """Read the option's value from the words behind its flag."""
    if option.is_switch:
        on = option.kind.read(values[0], flag) if values else True
        found.options[option.name] = on == (role == "option")
        return
    if option.valueless is not None and not values:
        values = _next_value(queue, values) or [option.valueless]
    value = option.kind.read(_value(flag, values, queue, table), flag)
    if isinstance(option.kind, Several) and option.kind.each:
        value = (*found.options.get(option.name, ()), *value)
    else:
        found.repeated(flag, found.options.get(option.name), value)
    found.options[option.name] = option.check(value, flag)


def _value(flag: str, values: list[str], queue: list[str], table: FlagTable) -> str:
    """Return the one value of a flag.

    Raises:
        InputError: there is none, or it is a placeholder.
    """
    if not values:
        if not queue or (is_flag(queue[0]) and table.spelling(queue[0]) is not None):
            raise InputError(f"{flag} needs a value")
        values = [queue.pop(0)]
    if _PLACEHOLDER.match(values[0]):
        raise InputError(f"{flag}: {values[0]} stands for a value; write the value itself")
    return values[0]


def is_flag(word: str) -> bool:
    """Say whether a word begins as flags do; negative numbers are none."""
    return len(word) > 1 and word.startswith("-") and not _NUMBER.match(word)


def _next_value(queue: list[str], already: Sequence[str]) -> list[str]:
    return [queue.pop(0)] if queue and not already and not is_flag(queue[0]) else []


def _unknown(flag: str, table: FlagTable) -> str:
    """Return what to tell about a flag that nobody knows.

    Raises:
        InputError: it is a slip in a flag that matters.
    """
    matters = [spelling for spelling, (role, _) in table.known.items() if "kept" not in role]
    near = get_close_matches(flag, matters, cutoff=NEAR)
    for known in near:
        if _is_slip(flag, known):
            raise InputError(f"unknown flag {flag}; did you mean {known}?")
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{flag} is not a flag that the planner knows{hint}: it is passed on as it is"


def _is_slip(flag: str, known: str) -> bool:
    """Say whether an unknown flag is a known one with a slip of the hand in it.

    The words between the dashes decide: a flag with a word more or less (``--language-only`` beside
    ``--language-model-only``) may be a real one of another release, but ``--max-num-sequence`` has
    the words of ``--max-num-seqs``.
    """
    ours, theirs = flag.strip("-").split("-"), known.strip("-").split("-")
    if "".join(ours) == "".join(theirs):
        return True
    return len(ours) == len(theirs) and all(map(_are_near, ours, theirs))


def _are_near(one: str, other: str) -> bool:
    alike = SequenceMatcher(None, one, other).ratio() >= WORD_NEAR
    return alike or one[:WORD_START] == other[:WORD_START]


def _put(tree: dict[str, Any], path: Sequence[str], value: str) -> None:
    """Put ``a.b value`` into nested dictionaries; JSON values are read as such."""
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(f"{'.'.join(path)} is set as a value and as a group")
    try:
        tree[path[-1]] = json.loads(value)
    except ValueError:
        tree[path[-1]] = value


def json_object(flag: str, text: str | None) -> dict[str, Any]:
    """Return the JSON object that `text` spells; empty where nothing was given.

    Raises:
        InputError: unreadable, or something else.
    """
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{flag}: cannot read {text[:60]!r} as JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{flag} must be a JSON object, got {text[:60]!r}")
    return value


def names_yarn(document: dict[str, Any]) -> bool:
    """Say whether a configuration override scales RoPE by YaRN anywhere."""
    waiting: list[Any] = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "yarn" in (item.get("rope_type"), item.get("type")):
                return True
            waiting += item.values()
    return False


def flags(*groups: Iterable[str] | str) -> frozenset[str]:
    """Return spellings from words without dashes: ``max-num-seqs`` becomes ``--max-num-seqs``."""
    words = " ".join(group if isinstance(group, str) else " ".join(group) for group in groups)
    return frozenset(f"--{word}" for word in words.split())

"""Sorting the words of a command line: flags that matter, flags that do not, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from planner.errors import InputError
from planner.layout import Layout

_NUMBER = re.compile(r"-\d")
_PLACEHOLDER = re.compile(r"\$\{?\w|\{[A-Za-z_]\w*\}|<[A-Za-z_]")
OWN = {
    "--nnodes": 1,
    "--master-addr": 1,
    "--node-rank": 1,
    "--headless": 0,
    "--dist-init-addr": 1,
}
"""Flags of one node of several, which a planned command writes anew -> how many values follow."""

NEAR = 0.8
"""How alike an unknown flag and a known one are when the former is taken for a slip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTable:
    """An engine's flags.

    Attributes:
        values: spelling -> name, for flags that take one value and are read.
        switches: spelling -> (name, what it sets), for those that take none and are read.
        optional: spelling -> name, for those whose value may be left out.
        neutral: flags that change nothing in memory; one value may follow.
        neutral_switches: the same without a value.
        unplanned: flags that may change memory -> why the plan does not account for them.
        argparse: words as Python's argparse reads them: --flag=value, underscores, any beginning
            of a flag that only one flag has, --flag.key value for JSON.
    """

    values: Mapping[str, str]
    switches: Mapping[str, tuple[str, bool]] = field(default_factory=lambda: MappingProxyType({}))
    optional: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    neutral: frozenset[str] = frozenset()
    neutral_switches: frozenset[str] = frozenset()
    unplanned: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    argparse: bool = True

    def spelling(self, word: str) -> str | None:
        """The known flag that `word` means; None if it is none."""
        if self.argparse and word.startswith("--"):
            word = word.replace("_", "-")
        known = {*self.values, *self.switches, *self.optional, *self.neutral}
        known |= {*self.neutral_switches, *self.unplanned}
        if word in known:
            return word
        if self.argparse and word.startswith("--") and len(word) > 4:
            found = [flag for flag in known if flag.startswith(word)]
            if len(found) == 1:
                return found[0]
        return None


@dataclass(slots=True)
class Sorted:
    """Words of one command by what they are.

    Attributes:
        given: name -> values in the order given.
        switched: name -> what the last switch set it to.
        dotted: name -> keys and values of ``--name.key value``.
        positional: words that belong to no flag.
        ignored: words that change nothing in memory.
        unplanned: one line per flag that may change memory.
    """

    given: dict[str, list[str]] = field(default_factory=dict)
    switched: dict[str, bool] = field(default_factory=dict)
    dotted: dict[str, dict[str, Any]] = field(default_factory=dict)
    positional: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unplanned: list[str] = field(default_factory=list)

    def last(self, name: str) -> str | None:
        """The value that counts: the last one given."""
        values = self.given.get(name)
        return values[-1] if values else None


def sort_words(words: Sequence[str], table: FlagTable) -> Sorted:
    """The words after the program's name, sorted by `table`.

    Raises:
        InputError: a flag without its value, a placeholder for a value, or a slip of the hand in
            a flag that matters.
    """
    found, queue = Sorted(), list(words)
    while queue:
        word = queue.pop(0)
        if not _is_flag(word):
            found.positional.append(word)
            continue
        if word == "--":
            continue
        flag, equals, attached = word.partition("=") if table.argparse else (word, "", "")
        values = [attached] if equals else []
        base, dot, path = flag.partition(".")
        spelling = table.spelling(base if dot and table.argparse else flag)
        if spelling in OWN:
            del queue[: OWN[spelling] - len(values)]
        elif spelling is None:
            _refuse_slip(flag, table)
            found.unplanned.append(f"{flag}: not a flag that the planner knows")
            values += _next_value(queue, values)
            found.ignored += [flag, *values]
        elif spelling in table.values:
            if not values:
                if not queue or (_is_flag(queue[0]) and table.spelling(queue[0]) is not None):
                    raise InputError(f"{flag} needs a value")
                values = [queue.pop(0)]
            _refuse_placeholder(flag, values[0])
            name = table.values[spelling]
            if dot and table.argparse:
                _put(found.dotted.setdefault(name, {}), path.split("."), values[0])
            else:
                found.given.setdefault(name, []).append(values[0])
        elif spelling in table.optional:
            values += _next_value(queue, values)
            found.given.setdefault(table.optional[spelling], []).append(values[0] if values else "")
        elif spelling in table.switches:
            name, value = table.switches[spelling]
            found.switched[name] = value == _truth(flag, values[0]) if values else value
        else:
            if spelling not in table.neutral_switches:
                values += _next_value(queue, values)
            found.ignored += [flag, *values]
            if spelling in table.unplanned:
                found.unplanned.append(f"{spelling}: {table.unplanned[spelling]}")
    return found


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not _NUMBER.match(word)


def _next_value(queue: list[str], already: Sequence[str]) -> list[str]:
    return [queue.pop(0)] if queue and not already and not _is_flag(queue[0]) else []


def _refuse_slip(flag: str, table: FlagTable) -> None:
    near = get_close_matches(
        flag, [*table.values, *table.switches, *table.optional], n=1, cutoff=NEAR
    )
    if near:
        raise InputError(f"unknown flag {flag}; did you mean {near[0]}?")


def _refuse_placeholder(flag: str, value: str) -> None:
    if _PLACEHOLDER.match(value):
        raise InputError(f"{flag}: {value} stands for a value; write the value itself")


def _put(tree: dict[str, Any], path: Sequence[str], value: str) -> None:
    """``a.b value`` into nested dictionaries; JSON values are read as such."""
    import json

    for key in path[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise InputError(f"{'.'.join(path)}: is set as a value and as a group")
    try:
        tree[path[-1]] = json.loads(value)
    except ValueError:
        tree[path[-1]] = value


def _truth(flag: str, value: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    try:
        return words[value.lower()]
    except KeyError:
        raise InputError(f"{flag}: true or false is wanted, not {value!r}") from None


def whole(flag: str, text: str | None) -> int | None:
    """A whole number; None where nothing was given.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{flag}: a whole number is wanted, not {text[:40]!r}") from None


def degree(found: Sorted, name: str) -> int:
    """A degree of parallelism; 1 where nothing was given."""
    given = whole(f"--{name}", found.last(name))
    return 1 if given is None else given


def told_layout(found: Sorted, names: Iterable[str], layout: Layout) -> Layout | None:
    """Return `layout`; None where no degree among `names` was given."""
    said = any(name in found.given or name in found.switched for name in names)
    return layout if said else None


def number(flag: str, text: str | None) -> float | None:
    """A number; None where nothing was given.

    Raises:
        InputError: it is none, or not finite.
    """
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{flag}: a number is wanted, not {text[:40]!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise InputError(f"{flag}: a number is wanted, not {text[:40]!r}")
    return value


def json_object(flag: str, text: str | None) -> dict[str, Any]:
    """A JSON object; empty where nothing was given.

    Raises:
        InputError: unreadable, or something else.
    """
    import json

    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{flag}: cannot read {text[:60]!r} as JSON") from None
    if not isinstance(value, dict):
        raise InputError(f"{flag}: a JSON object is wanted, not {text[:60]!r}")
    return value


def names_yarn(document: dict[str, Any]) -> bool:
    """A configuration override anywhere in which RoPE is scaled by YaRN."""
    waiting: list[Any] = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "yarn" in (item.get("rope_type"), item.get("type")):
                return True
            waiting += item.values()
    return False


def flags(*groups: Iterable[str] | str) -> frozenset[str]:
    """Spellings from words without dashes: ``max-num-seqs`` becomes ``--max-num-seqs``."""
    words = " ".join(group if isinstance(group, str) else " ".join(group) for group in groups)
    return frozenset(f"--{word}" for word in words.split())

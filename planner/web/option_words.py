"""Options of an engine as words and as what a field shows; no engine is known by name."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from functools import lru_cache

from hardware_db.records import frozen
from planner.engines import get_engine
from planner.engines.choice import DRAFTS
from planner.engines.option_kinds import Choice, Count, CountChoice, Number, Share, Switch, Text
from planner.engines.options import declared
from planner.errors import InputError
from planner.units import capital, shown

OptionValue = bool | int | float | str


@frozen
class OptionField:
    """One option as a visitor can set it.

    Attributes:
        name: the option's name.
        title: what it is, in few words.
        flag: how the engine spells it; empty where it has no flag for it.
        kind: type of a value.
        optional: None means the engine's default.
        default: value of the declaration.
        choices: the values allowed, where they can be listed.
        help: what it means and does to memory.
    """

    name: str
    title: str
    flag: str
    kind: type
    optional: bool
    default: OptionValue | None
    choices: tuple[str, ...]
    help: str | None

    def shown(self, value: OptionValue | None) -> OptionValue | None:
        """What the field shows for `value` of the option."""
        if self.kind is bool:
            return {None: "default", True: "on", False: "off"}[typing.cast("bool | None", value)]
        if self.choices:
            return "default" if value is None else str(value)
        return value

    def word(self, field: OptionValue | None) -> str | None:
        """The option's word for what the field shows; None where it is the default."""
        if field in (None, "", "default") or field == self.shown(self.default):
            return None
        if self.kind is bool:
            return {"on": "true", "off": "false"}[str(field)]
        return f"{field:g}" if isinstance(field, float) else str(field)


@lru_cache(maxsize=256)
def option_fields(engine: str) -> tuple[OptionField, ...]:
    """Return the options of `engine` that one field can hold, in the order of its class."""
    fields = []
    for option in declared(get_engine(engine).options_type).values():
        kind = next((_TYPES[base] for base in type(option.kind).__mro__ if base in _TYPES), None)
        if kind is None:
            continue
        memory = f" Memory: {option.memory}." if option.memory else ""
        fields.append(
            OptionField(
                name=option.name,
                title=capital(_title(option.meaning)),
                flag=option.label if option.flags else "",
                kind=kind,
                optional=option.default is None,
                default=option.default,
                choices=option.kind.choices,
                help=f"{capital(option.meaning)}.{memory}",
            )
        )
    return tuple(fields)


_FURTHER = re.compile(r"(?<=\S{4})(?:;| \(|: )")
"""Where the meaning of an option goes on to say more than what it is."""


def _title(meaning: str) -> str:
    """What an option is; a single word says too little."""
    title = _FURTHER.split(meaning)[0]
    return title if " " in title else meaning


_TYPES: dict[type, type] = {
    Count: int,
    CountChoice: int,
    Number: float,
    Share: float,
    Choice: str,
    Text: str,
    Switch: bool,
}
"""Kinds of options that one field can hold, and the type of its value."""


def option_values(engine: str, words: Iterable[tuple[str, str]]) -> dict[str, OptionValue]:
    """Return options of `engine` as values.

    Args:
        engine: its name.
        words: (name, value) as written.

    Raises:
        InputError: no such option, or a value that cannot be read.
    """
    known = declared(get_engine(engine).options_type)
    fields = {field.name for field in option_fields(engine)}
    found: dict[str, OptionValue] = {}
    for name, text in words:
        if name not in fields:
            raise InputError(f"{get_engine(engine).title} has no option {shown(name)}")
        option = known[name]
        found[name] = option.check(option.kind.read(text, option.label), option.label)
    return found


def option_said(engine: str, name: str, value: str) -> str:
    """Return an option that is set as people read it: its flag, else what it is."""
    known = next((field for field in option_fields(engine) if field.name == name), None)
    return f"{(known.flag or known.title) if known is not None else name} {value}"


def drafting_words(engine: str) -> tuple[tuple[str, str], ...]:
    """Return the words of options with which an engine drafts with the model's own MTP module."""
    drafts = DRAFTS[engine]
    words = (
        (field.name, field.word(field.shown(drafts[field.name])))
        for field in option_fields(engine)
        if field.name in drafts
    )
    return tuple((name, word) for name, word in words if word is not None)


def option_words(engine: str, options: object) -> tuple[tuple[str, str], ...]:
    """Return the words for what `options`, an object of the engine's class, does not leave as it is."""
    words = (
        (field.name, field.word(field.shown(getattr(options, field.name))))
        for field in option_fields(engine)
    )
    return tuple((name, word) for name, word in words if word is not None)

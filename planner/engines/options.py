"""Declare an engine's options once: the reader, the writer, the checks, help and fields follow.

An option is a field of a frozen dataclass that derives from `Options`, made with `option(...)`:
its flags as the engine spells them, the kind of its value, what it means and what it does to
memory. Everything that reads, writes, checks or shows options asks `declared` for them; nothing
is said about an option anywhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, TypeVar

from hardware_db.records import frozen
from planner.engines.option_kinds import Kind, Switch
from planner.errors import InputError
from planner.units import shown

OptionsT = TypeVar("OptionsT", bound="Options")

_DECLARED = "option"
"""Key of an option's declaration in the metadata of its field."""


@frozen
class Option:
    """One option of an engine.

    Attributes:
        name: the field's name, which is also what Python callers and links write.
        kind: what values it has.
        default: the value where nobody says; None: the engine decides.
        meaning: what it is, for people.
        flags: how the engine spells it, the spelling that commands carry first; empty: the engine
            has no flag for it (a fact that only the planner needs).
        off: spellings that turn a switch off.
        memory: what it does to memory, for people.
        default_words: what the engine decides where `default` is None.
        written: commands carry it by the general rule; False where the engine's own writer does.
        valueless: what the flag means without a value (llama.cpp's ``-fa``); None: it needs one.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    flags: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    memory: str = ""
    default_words: str = ""
    written: bool = True
    valueless: str | None = None

    @property
    def label(self) -> str:
        """What error lines call it: its longest flag, or its name where it has none."""
        return max(self.flags, key=len) if self.flags else self.name

    @property
    def is_switch(self) -> bool:
        """It is on or off."""
        return isinstance(self.kind, Switch)

    def check(self, value: object, what: str | None = None) -> Any:
        """Return `value` as the option keeps it.

        Raises:
            InputError: a value of the wrong type or out of range.
        """
        if value is None and self.default is None:
            return None
        return self.kind.check(value, what or self.name)

    def words(self, value: Any) -> tuple[str, ...]:
        """Return the words that give the option this value on a command line."""
        if not self.flags:
            return ()
        if self.is_switch:
            return (self.flags[0],) if value else self.off[:1]
        return self.kind.words(self.flags[0], value)


def option(
    default: Any,
    kind: Kind,
    *flags: str,
    meaning: str,
    off: tuple[str, ...] = (),
    memory: str = "",
    default_words: str = "",
    written: bool = True,
    valueless: str | None = None,
) -> Any:
    """Return a dataclass field that declares an option; see `Option` for the arguments."""
    declaration = Option(
        name="",
        kind=kind,
        default=default,
        meaning=meaning,
        flags=flags,
        off=off,
        memory=memory,
        default_words=default_words,
        written=written,
        valueless=valueless,
    )
    return dataclasses.field(default=default, metadata={_DECLARED: declaration})


@frozen
class Options:
    """The options of an engine; each engine derives its own.

    Raises:
        InputError: a value of the wrong type, out of range, or against another one.
    """

    def __post_init__(self) -> None:
        """Check every value by its declaration, then how they go together."""
        for declaration in declared(type(self)).values():
            value = declaration.check(getattr(self, declaration.name))
            object.__setattr__(self, declaration.name, value)
        self.check()

    def check(self) -> None:
        """Check how the values go together; an engine with such rules overrides it.

        Raises:
            InputError: two values that exclude each other.
        """

    @property
    def draft_tokens(self) -> int | None:
        """Tokens that the model's own MTP module drafts per step.

        0 without speculation; None where a separate drafter drafts.
        """
        return 0


_KNOWN: dict[type[Any], Mapping[str, Option]] = {}


def declared(options_type: type[Any]) -> Mapping[str, Option]:
    """Return the options that a class declares, by name, in its order."""
    found = _KNOWN.get(options_type)
    if found is None:
        fields = dataclasses.fields(options_type)
        found = MappingProxyType(
            {
                field.name: dataclasses.replace(field.metadata[_DECLARED], name=field.name)
                for field in fields
            }
        )
        _KNOWN[options_type] = found
    return found


_DEFAULTS: dict[type[Any], Any] = {}
"""Every engine's defaults, always the same object: what depends on options is kept by it."""


_SAME: dict[Hashable, Any] = {}
"""The first options object of every set of values, the oldest first."""

_IDS: dict[int, Any] = {}
"""The same by identity, so that one that is known is told at a glance."""

_MOST = 1024
_LOCK = Lock()


def same(options: OptionsT) -> OptionsT:
    """Return the object that stands for these options, value for value and type for type.

    Searches change one option again and again; what depends on options is kept by their identity.
    """
    if _IDS.get(id(options)) is options:
        return options
    values = (getattr(options, name) for name in declared(type(options)))
    key = (type(options), *((type(v), repr(v) if isinstance(v, tuple) else v) for v in values))
    with _LOCK:
        found: OptionsT = _SAME.setdefault(key, options)
        if found is options:
            _IDS[id(options)] = options
            if len(_SAME) > _MOST:
                del _IDS[id(_SAME.pop(next(iter(_SAME))))]
    return found


def build(engine: str, options_type: type[OptionsT], given: Mapping[str, Any] | Any) -> OptionsT:
    """Return the options object of `engine` from a mapping of its fields (None: its defaults).

    Of options objects of the right class that are equal the first is returned.

    Raises:
        InputError: a name that the engine has no option for, or a value of the wrong type or out
            of range.
    """
    if given is None:
        if options_type not in _DEFAULTS:
            _DEFAULTS[options_type] = options_type()
        defaults: OptionsT = _DEFAULTS[options_type]
        return defaults
    if isinstance(given, options_type):
        return same(given)
    if not isinstance(given, Mapping):
        raise InputError(
            f"options: {engine} takes {options_type.__name__} or a mapping of its fields, got"
            f" {type(given).__name__}"
        )
    known = declared(options_type)
    for name in given:
        if name not in known:
            raise InputError(
                f"{engine} has no option {shown(name)}; known: {', '.join(sorted(known))}"
            )
    return same(options_type(**given))


def changed(options: Options) -> dict[str, Any]:
    """Return the values that are not the defaults, by name."""
    return {
        name: value
        for name, declaration in declared(type(options)).items()
        if (value := getattr(options, name)) != declaration.default
    }


def written_words(options: Options, *, skip: frozenset[str] = frozenset()) -> list[str]:
    """Return the words of a command line that give these options, defaults left out.

    Args:
        options: the options.
        skip: names that the engine's own writer has written already.
    """
    known = declared(type(options))
    return [
        word
        for name, value in changed(options).items()
        if known[name].written and name not in skip and value is not None
        for word in known[name].words(value)
    ]

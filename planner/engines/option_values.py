"""Options as a caller gives them: each value has the type that its field declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from planner.errors import InputError
from planner.units import shown

_WORDS: Mapping[type[Any], str] = types.MappingProxyType(
    {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a string",
        tuple: "a list",
        type(None): "nothing",
    }
)


def declared(options_type: type[Any]) -> Mapping[str, tuple[type[Any], ...]]:
    """Field name -> the types that its values may have, in the order they are declared."""
    hints = typing.get_type_hints(options_type)
    kinds: dict[str, tuple[type[Any], ...]] = {}
    for field in dataclasses.fields(options_type):
        hint = hints[field.name]
        union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        members = typing.get_args(hint) if union else (hint,)
        kinds[field.name] = tuple(_plain(member) for member in members)
    return types.MappingProxyType(kinds)


def _plain(hint: Any) -> type[Any]:
    if typing.get_origin(hint) is typing.Literal:
        return type(typing.get_args(hint)[0])
    kind: type[Any] = typing.get_origin(hint) or hint
    return kind


def build(engine: str, options_type: type[Any], options: Mapping[str, Any] | Any | None) -> Any:
    """The options object of `engine` from a mapping of its fields (None: its defaults).

    An options object is returned as it is, once its values were checked.

    Raises:
        InputError: a name that the engine has no option for, or a value of the wrong type or out
            of range.
    """
    known = declared(options_type)
    if options is None:
        return options_type()
    if isinstance(options, options_type):
        check_values(options_type, {name: getattr(options, name) for name in known})
        return options
    if not isinstance(options, Mapping):
        raise InputError(
            f"options: {engine} takes {options_type.__name__} or a mapping of its fields, not"
            f" {type(options).__name__}"
        )
    for name in options:
        if name not in known:
            raise InputError(
                f"{engine} has no option {shown(name)}; known: {', '.join(sorted(known))}"
            )
    check_values(options_type, options)
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    return options_type(**{**options, **lists})


def check_values(options_type: type[Any], values: Mapping[str, Any]) -> None:
    """Refuse values of another type than their fields declare; ranges are the options' business.

    Raises:
        InputError: such a value, by the option's name.
    """
    for name, kinds in declared(options_type).items():
        if name in values and not any(_fits(values[name], kind) for kind in kinds):
            words = " or ".join(_WORDS.get(kind, kind.__name__) for kind in kinds)
            raise InputError(f"{name} must be {words}, got {shown(values[name])}")


def _fits(value: object, kind: type[Any]) -> bool:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return abs(value) < 2**1000  # neither NaN, nor infinite, nor beyond a float
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, tuple | list)
    return isinstance(value, kind)

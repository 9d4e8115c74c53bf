"""Frozen dataclasses whose methods are compiled when they are first called.

`dataclasses` compiles six methods of each class while its module is loaded: half of the work of a
start, and eight of nine were never called in it. A record is a dataclass to whoever uses it: to
`replace`, `fields` and `asdict`, to pickle, and to a type checker.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import partial
from types import MemberDescriptorType
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["frozen", "frozen_with_cache"]

Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def frozen(cls: Class) -> Class:
    """Make a class a frozen dataclass with slots, whose fields are given by keyword.

    Methods of its own are kept. A field that is not given (``init=False``) is left to
    ``__post_init__``.
    """
    made: Class = _made(cls, slots=True)
    return made


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def frozen_with_cache(cls: Class) -> Class:
    """Make a class a record without slots, so that it has room for `functools.cached_property`."""
    made: Class = _made(cls, slots=False)
    return made


def _made(cls: Any, *, slots: bool) -> Any:
    own = dict(vars(cls))
    if "__eq__" in own and own["__hash__"] is None:  # written by Python, not by the author
        del own["__hash__"]
    methods: dict[str, Any] = {name: _Late(name, cls) for name in _WRITTEN}
    methods["__init__"] = _LateInit("__init__", cls)
    methods |= _SHARED | (_SHARED_WITH_SLOTS if slots else {})
    for name in methods.keys() - own.keys():
        setattr(cls, name, methods[name])
    cls.__doc__ = cls.__doc__ or cls.__name__  # or else the signature is written there
    return dataclass(init=False, repr=False, eq=False, kw_only=True, slots=slots)(cls)


class _Late:
    """A method that is compiled when it is first looked up, and takes its own place then."""

    def __init__(self, name: str, cls: type) -> None:
        self._name, self._class = name, cls

    def __set_name__(self, cls: type, name: str) -> None:
        """Learn of the class anew: the one with slots is a copy."""
        self._class = cls

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return the method, compiled."""
        return self.compiled().__get__(instance, owner)

    def compiled(self) -> Any:
        """Compile the method and put it into its place."""
        known: dict[str, Any] = {}
        source = _WRITTEN[self._name](self._class, known)
        source = f"def write({', '.join(known)}):\n def {source}\n return {self._name}"
        written: dict[str, Any] = {}
        exec(source, vars(sys.modules[self._class.__module__]), written)
        method = written["write"](**known)
        method.__qualname__ = f"{self._class.__qualname__}.{self._name}"
        if self._name == "__init__":
            method.__annotations__ = {one.name: one.type for one in fields(self._class) if one.init}
        setattr(self._class, self._name, method)
        return method


class _LateInit(_Late):
    """An ``__init__`` that is compiled when a few were made: until then it fills in each field.

    Of most classes a start makes one or two; compiling takes as long as sixty of them.
    """

    few = 8

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return a method that takes what the compiled one takes."""
        self.few -= 1
        if instance is None or self.few < 0:
            return super().__get__(instance, owner)
        return partial(self._fill, instance)

    def _fill(self, instance: Any, /, *words: object, **given: Any) -> None:
        taken = [one for one in fields(self._class) if one.init]
        needed = {one.name for one in taken if one.default is one.default_factory}
        if words or not needed <= given.keys() <= {one.name for one in taken}:
            self.compiled()(instance, *words, **given)  # it knows what is wrong
            return
        for one in taken:
            if one.name in given:
                value = given[one.name]
            elif one.default_factory is MISSING:
                value = one.default
            else:
                value = one.default_factory()
            object.__setattr__(instance, one.name, value)
        if hasattr(self._class, "__post_init__"):
            instance.__post_init__()


def _init(cls: type[Any], known: dict[str, Any]) -> str:
    taken, lines, names = [], [], []
    known |= {"_set": object.__setattr__, "_unsaid": MISSING}
    for one in fields(cls):
        name = one.name
        if not one.init:
            continue
        names.append(name)
        if one.default_factory is not MISSING:
            known[f"_new_{name}"] = one.default_factory
            taken.append(f"{name}=_unsaid")
            lines.append(f"if {name} is _unsaid: {name} = _new_{name}()")
        elif one.default is not MISSING:
            known[f"_default_{name}"] = one.default
            taken.append(f"{name}=_default_{name}")
        else:
            taken.append(name)
    lines += _stores(cls, names, known)
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    given = ", ".join(["self", "*", *taken] if taken else ["self"])
    return f"__init__({given}):\n  " + "\n  ".join(lines or ["pass"])


def _stores(cls: type[Any], names: Sequence[str], known: dict[str, Any]) -> list[str]:
    """Return the lines that store the fields, past the refusal of `_setattr`.

    Asking `object` to set each of them takes twice as long as storing them in an object that may be
    changed: while its slots are filled a record is of a class that differs in nothing but that.
    """
    slots = [isinstance(getattr(cls, name, None), MemberDescriptorType) for name in names]
    slowly = [f"_set(self, {name!r}, {name})" for name in names]
    if not all(slots):
        stored = (f"_kept[{name!r}] = {name}" for name in names)
        ways = zip(slots, slowly, stored, strict=True)
        return ["_kept = self.__dict__", *(slow if slot else quick for slot, slow, quick in ways)]
    if len(names) < _WORTH_OPENING:
        return slowly
    known |= {"_open": _Open(), "_become": vars(object)["__class__"].__set__}
    stored = (f"self.{name} = {name}" for name in names)
    return [
        "_kind = self.__class__",
        "_become(self, _open[_kind])",
        *stored,
        "_become(self, _kind)",
    ]


class _Open(dict[type, type]):
    """Class -> the same with fields that may be set."""

    def __missing__(self, cls: type) -> type:
        """Make it when the first object is filled."""
        free = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
        self[cls] = type(cls)(cls.__name__, (cls,), {"__slots__": (), **free})
        return self[cls]


_WORTH_OPENING = 4
"""Fields from which on it is faster to change the class twice."""


def _values(cls: type[Any], of: str) -> str:
    """A tuple of what is compared of a record."""
    return "(" + "".join(f"{of}.{one.name}, " for one in fields(cls) if one.compare) + ")"


def _eq(cls: type[Any], known: dict[str, Any]) -> str:
    same = f"{_values(cls, 'self')} == {_values(cls, 'other')}"
    return f"__eq__(self, other):\n  return {same} if other.__class__ is self.__class__ else NotImplemented"


def _hash(cls: type[Any], known: dict[str, Any]) -> str:
    return f"__hash__(self):\n  return hash({_values(cls, 'self')})"


def _repr(self: Any) -> str:
    told = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({told})"


def _setattr(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


_WRITTEN: dict[str, Callable[[type[Any], dict[str, Any]], str]] = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
}
"""Method -> its source, without `def`; what it uses beside builtins is put into the dictionary."""
_SHARED: dict[str, Callable[..., Any]] = {
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
"""Methods that are the same in every record."""
_SHARED_WITH_SLOTS: dict[str, Callable[..., Any]] = {
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
"""What pickles slots of a class that lets nothing be assigned."""

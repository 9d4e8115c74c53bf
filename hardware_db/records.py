"""Frozen dataclasses whose methods are compiled when they are first called.

`dataclasses` looks at every field and compiles six methods of each class while its module is
loaded: two thirds of the work of a start, and eight of nine methods were never called in it. A
record is a dataclass to whoever uses it: to `replace`, `fields` and `asdict`, to pickle, and to a
type checker. `dataclasses` looks at its fields when one of those first asks.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from functools import partial
from types import MappingProxyType, MemberDescriptorType
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["frozen", "frozen_with_cache"]

Class = TypeVar("Class", bound=type)


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


copyreg.pickle(MappingProxyType, lambda mapping: (_read_only, (dict(mapping),)))
"""A mapping that nobody may change is a field of many records; Python pickles records, but not it."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def frozen(cls: Class) -> Class:
    """Make a class a frozen dataclass with slots, whose fields are given by keyword.

    Methods of its own are kept. A field that is not given (``init=False``) is left to
    ``__post_init__``.
    """
    own, beneath = cls.__annotations__, _written(cls.__mro__[1:])
    body = {**vars(cls), **_added(cls, beneath), **_SLOTS_PICKLED}
    for name in (*own, "__dict__", "__weakref__"):
        body.pop(name, None)
    body["__slots__"] = tuple(name for name in own if name not in beneath)
    body["__qualname__"] = cls.__qualname__
    made: Class = type(cls)(cls.__name__, cls.__bases__, body)
    return made


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, Field))
def frozen_with_cache(cls: Class) -> Class:
    """Make a class a record without slots, so that it has room for `functools.cached_property`."""
    for name, value in _added(cls, _written(cls.__mro__[1:])).items():
        setattr(cls, name, value)
    for name in cls.__annotations__:
        value = vars(cls).get(name)
        if isinstance(value, Field):  # the default stays as an attribute, as of any other field
            delattr(cls, name)
            if value.default is not MISSING:
                setattr(cls, name, value.default)
    return cls


def _written(classes: Iterable[type]) -> dict[str, Any]:
    """Return what is written of each field of some classes, nearest first.

    That is its default, or what `field` made of it; `MISSING` where nothing is.
    """
    found: dict[str, Any] = {}
    for cls in reversed(list(classes)):
        found |= vars(cls).get("__record__", ())
    return found


def _added(cls: type, beneath: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record has beside what its author wrote.

    Args:
        cls: as it was written.
        beneath: what is written of the fields that it inherits.
    """
    own = vars(cls)
    added: dict[str, Any] = {name: _Late(name, cls) for name in _WRITTEN} | _SHARED
    kept = [name for name in added if name in own]
    if "__eq__" in own and own["__hash__"] is None:  # written by Python, not by the author
        kept.remove("__hash__")
    for name in kept:
        del added[name]
    written = {name: own.get(name, MISSING) for name in cls.__annotations__}
    return {**added, **_ASKED, "__record__": {**beneath, **written}}


class _Asked:
    """What `dataclasses` keeps of a class, worked out when somebody first asks."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        """Return what is kept of the class, or of the record that it is derived from."""
        for cls in owner.__mro__:
            if vars(cls).get(self._name) is self:
                self._work_out(cls)
        return getattr(owner, self._name)

    @staticmethod
    def _work_out(cls: Any) -> None:
        types = cls.__annotations__
        body = {name: cls.__record__[name] for name in types}
        body = {name: value for name, value in body.items() if value is not MISSING}
        # Words for types would be searched for those that are no field's, which a record has not.
        body |= {"__annotations__": dict.fromkeys(types, object)}
        body |= {"__module__": cls.__module__, "__doc__": cls.__name__}
        plain = type(cls)(cls.__name__, cls.__bases__, body)
        told = vars(dataclass(init=False, repr=False, eq=False, kw_only=True)(plain))
        for name, written in types.items():
            told["__dataclass_fields__"][name].type = written
        for name in _ASKED:
            setattr(cls, name, told[name])


_ASKED = {
    name: _Asked(name)
    for name in ("__dataclass_fields__", "__dataclass_params__", "__match_args__")
}


_Defaults = tuple[KeysView[str], dict[str, Any], list[tuple[str, Callable[[], Any]]]]


class _Late:
    """A method that is compiled when it was called a few times, and takes its own place then.

    Until then it looks at each field. Of most classes a start makes one or two; compiling takes as
    long as forty of them.
    """

    few = 24

    def __init__(self, name: str, cls: type) -> None:
        self._name, self._class = name, cls
        self._defaults: _Defaults | None = None

    def __set_name__(self, cls: type, name: str) -> None:
        """Learn of the class anew: the one with slots is a copy."""
        self._class = cls

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Return a method that does what the compiled one does."""
        self.few -= 1
        if instance is None or self.few < 0:
            return self.compiled().__get__(instance, owner)
        return partial(_SLOWLY[self._name], self, instance)

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
            given = _annotations(self._class)
            method.__annotations__ = {name: given[name] for name, _ in _taken(self._class)}
        setattr(self._class, self._name, method)
        return method

    def fill(self, instance: Any, /, *words: object, **given: Any) -> None:
        """Do what ``__init__`` does."""
        names, plain, made = self._defaults or self._look()
        values = {**plain, **given}
        for name, make in made:
            if name not in given:
                values[name] = make()
        if words or values.keys() != names:
            self.compiled()(instance, *words, **given)  # it knows what is wrong
            return
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        if hasattr(self._class, "__post_init__"):
            instance.__post_init__()

    def _look(self) -> _Defaults:
        """Return the fields that are given, their defaults, and what makes the others' defaults."""
        taken = dict(_taken(self._class))
        plain, made = {}, []
        for name, written in taken.items():
            value = written
            if isinstance(written, Field):
                value = written.default
                if written.default_factory is not MISSING:
                    made.append((name, written.default_factory))
            if value is not MISSING:
                plain[name] = value
        self._defaults = taken.keys(), plain, made
        return self._defaults

    def compare(self, one: Any, other: Any) -> Any:
        """Do what ``__eq__`` does."""
        if other.__class__ is not one.__class__:
            return NotImplemented
        return self._compared(one) == self._compared(other)

    def hash(self, one: Any) -> int:
        """Do what ``__hash__`` does."""
        return hash(self._compared(one))

    def _compared(self, one: Any) -> tuple[Any, ...]:
        return tuple([getattr(one, name) for name in _unless("compare", self._class)])


_SLOWLY: dict[str, Callable[..., Any]] = {
    "__init__": _Late.fill,
    "__eq__": _Late.compare,
    "__hash__": _Late.hash,
}


def _taken(cls: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields that are given, and what is written of each."""
    for name, written in cls.__record__.items():
        if not isinstance(written, Field) or written.init:
            yield name, written


def _annotations(cls: type) -> dict[str, Any]:
    """Return the types of all fields, as they are written."""
    found: dict[str, Any] = {}
    for one in reversed(cls.__mro__[:-1]):
        found |= getattr(one, "__annotations__", {})
    return found


def _init(cls: type[Any], known: dict[str, Any]) -> str:
    taken, lines, names = [], [], []
    known |= {"_set": object.__setattr__, "_unsaid": MISSING}
    for name, written in _taken(cls):
        names.append(name)
        default = written
        if isinstance(written, Field):
            default = written.default
            if written.default_factory is not MISSING:
                known[f"_new_{name}"] = written.default_factory
                taken.append(f"{name}=_unsaid")
                lines.append(f"if {name} is _unsaid: {name} = _new_{name}()")
                continue
        if default is not MISSING:
            known[f"_default_{name}"] = default
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
    compared = _unless("compare", cls)
    return "(" + "".join(f"{of}.{name}, " for name in compared) + ")"


def _unless(flag: str, record: Any) -> list[str]:
    """Return the fields that are not left out of something, such as of comparisons."""
    return [
        name
        for name, written in record.__record__.items()
        if not isinstance(written, Field) or getattr(written, flag)
    ]


def _eq(cls: type[Any], known: dict[str, Any]) -> str:
    same = f"{_values(cls, 'self')} == {_values(cls, 'other')}"
    return f"__eq__(self, other):\n  return {same} if other.__class__ is self.__class__ else NotImplemented"


def _hash(cls: type[Any], known: dict[str, Any]) -> str:
    return f"__hash__(self):\n  return hash({_values(cls, 'self')})"


def _repr(self: Any) -> str:
    told = ", ".join(f"{name}={getattr(self, name)!r}" for name in _unless("repr", self))
    return f"{type(self).__qualname__}({told})"


def _setattr(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__record__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__record__, state, strict=True):
        object.__setattr__(self, name, value)


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
_SLOTS_PICKLED: dict[str, Callable[..., Any]] = {
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
"""What pickles slots of a class that lets nothing be assigned."""

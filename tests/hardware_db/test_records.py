"""A record is to its users what `dataclasses` would have made of the same class."""

import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from functools import cached_property
from typing import Any

import pytest

from hardware_db.records import frozen, frozen_with_cache


@frozen
class Base:
    """Fields of every kind."""

    name: str
    size: int = 1
    parts: list[int] = field(default_factory=list)
    beside: int = field(default=0, compare=False, repr=False)


@frozen
class Derived(Base):
    more: tuple[int, ...] = ()
    sum: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sum", self.size + len(self.more))


@frozen
class Many:
    """As many fields as are set by way of a class that allows it, with names that others use."""

    kind: int
    kept: int
    self_: int = 3
    names: tuple[str, ...] = ()
    parts: list[int] = field(default_factory=list)


class Beneath(Many):
    """No record itself."""


@frozen
class Tied:
    value: int
    other: int = 0

    def __hash__(self) -> int:
        return self.value


@frozen_with_cache
class Kept(Base):
    @cached_property
    def twice(self) -> int:
        return 2 * self.size


def plainly(cls: type) -> Any:
    """What `dataclasses` makes of the fields of a class."""
    fields = [(one.name, one.type, one) for one in dataclasses.fields(cls)]
    own = ("__doc__", "__module__", "__qualname__", "__post_init__", "__hash__")
    body = {name: vars(cls)[name] for name in own if name in vars(cls)}
    if cls is not Tied:
        body.pop("__hash__", None)
    return dataclasses.make_dataclass(
        cls.__name__, fields, namespace=body, frozen=True, kw_only=True, slots=True
    )


MADE: list[tuple[Any, dict[str, Any]]] = [
    (Base, {"name": "a"}),
    (Base, {"name": "a", "size": 2, "parts": [1]}),
    (Derived, {"name": "a", "more": (1, 2)}),
    (Tied, {"value": 3, "other": 4}),
    (Kept, {"name": "a", "size": 2}),
    (Many, {"kind": 1, "kept": 2}),
    (Beneath, {"kind": 1, "kept": 2, "parts": [1]}),
]


@pytest.mark.parametrize("times", [1, 50])
@pytest.mark.parametrize(("cls", "said"), MADE)
def test_it_is_what_dataclasses_makes(cls: Any, said: dict[str, Any], times: int) -> None:
    """Field by field, and by the compiled methods."""
    for _ in range(times):
        assert cls(**said) == cls(**said)
    record, plain = cls(**said), plainly(cls)(**said)
    assert repr(record) == repr(plain)
    assert dataclasses.asdict(record) == dataclasses.asdict(plain)
    assert cls.__match_args__ == plain.__match_args__
    taken = [inspect.signature(one).parameters for one in (cls, type(plain))]
    assert [*taken[0]] == [*taken[1]]
    assert [one.annotation for one in taken[0].values()] == [
        one.annotation for one in taken[1].values()
    ]
    assert record == cls(**said) != plain
    assert record != dataclasses.replace(record, **{next(iter(said)): "b"})
    assert pickle.loads(pickle.dumps(record)) == record


@pytest.mark.parametrize(("cls", "said"), MADE)
def test_it_is_frozen_and_takes_keywords(cls: Any, said: dict[str, Any]) -> None:
    record = cls(**said)
    changes: list[Callable[[], object]] = [
        lambda: setattr(record, next(iter(said)), 1),
        lambda: setattr(record, "strange", 1),
        lambda: delattr(record, next(iter(said))),
    ]
    for change in changes:
        with pytest.raises(FrozenInstanceError):
            change()
    for wrong in (lambda: cls(*said.values()), lambda: cls(**said, strange=1), cls):
        with pytest.raises(TypeError):
            wrong()


def test_hashes_are_those_of_what_is_compared() -> None:
    one, other = (Derived(name="a", parts=(), beside=beside) for beside in (1, 2))  # type: ignore[arg-type]
    assert one == other
    assert hash(one) == hash(other)
    assert hash(Tied(value=3, other=4)) == 3


def test_defaults_are_made_anew_and_slots_leave_no_room() -> None:
    assert Base(name="a").parts is not Base(name="a").parts
    assert not hasattr(Derived(name="a"), "__dict__")
    kept = Kept(name="a", size=2)
    assert (kept.twice, vars(kept)["twice"]) == (4, 4)


def test_methods_are_compiled_when_they_are_called_often() -> None:
    @frozen
    class Fresh:
        value: int

    one, same = Fresh(value=1), Fresh(value=1)
    for _ in range(24):
        assert not inspect.isfunction(vars(Fresh)["__eq__"])
        assert one == same
    assert one == same != Fresh(value=2)
    assert inspect.isfunction(vars(Fresh)["__eq__"])
    assert not inspect.isfunction(vars(Fresh)["__hash__"])


def test_a_type_that_compares_by_itself_is_hashed_by_its_fields() -> None:
    @frozen
    class Own:
        value: int

        def __eq__(self, other: object) -> bool:
            return True

    @dataclass(frozen=True, kw_only=True)
    class Plain:
        value: int

        def __eq__(self, other: object) -> bool:
            return True

    assert hash(Own(value=1)) == hash(Plain(value=1))

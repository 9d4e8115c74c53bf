"""Keep the bundled database as it is once built, so that a start does not read every TOML file.

TOML stays the source. `python -m hardware_db` writes the compiled form, as the build of a wheel
and `make setup` do; it carries a digest of this package's code and data, and whatever changes
them turns it off. A clone without it, or with an older one, reads TOML.

A question is about a few entries, so each has bytes of its own and is read when it is asked for.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hardware_db.records import frozen

if TYPE_CHECKING:
    from pickle import Pickler, Unpickler, dumps, loads

    from hardware_db.database import Database
else:
    try:  # what `pickle` gives out, without its own Python, which takes a start 1.5 ms
        from _pickle import Pickler, Unpickler, dumps, loads
    except ImportError:  # not every Python has it in C
        from pickle import Pickler, Unpickler, dumps, loads

__all__ = ["FILE", "digest", "digest_of", "dumps", "files_of", "loads", "read", "write"]

HERE = Path(__file__).parent
FILE = HERE / "data" / "compiled.bin"

_LENGTH = 8
"""Bytes of the length of what is unpickled at once; the entries lie behind it."""

V = TypeVar("V")


def digest() -> bytes:
    """Return what tells whether code or data have changed since the compiled form was written."""
    return digest_of(*files_of(HERE, ".py"), *files_of(HERE / "data", ".toml"))


def files_of(folder: Path, ending: str) -> list[str]:
    """Return the files of a folder whose names end so, by name."""
    return [f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.endswith(ending)]


def digest_of(*files: str) -> bytes:
    """Return what tells whether one of the files has changed."""
    found = length = 0
    for path in files:
        with open(path, "rb", buffering=0) as file:  # nothing is asked of it twice
            content = file.read()
        found = zlib.crc32(content, zlib.crc32(os.path.basename(path).encode(), found))
        length += len(content)
    return f"{found:08x}{length:012x}".encode()


def read(file: Path = FILE) -> Database | None:
    """Return the compiled database; None where there is none that belongs to code and data.

    Args:
        file: where it was written; our own, as trusted as the code beside it.
    """
    try:
        content = file.read_bytes()
    except OSError:
        return None
    wanted = digest()
    if not content.startswith(wanted):
        return None
    told = memoryview(content)[len(wanted) :]
    length = int.from_bytes(told[:_LENGTH], "little")
    kept: _Kept = loads(told[_LENGTH : _LENGTH + length])
    return kept.database(told[_LENGTH + length :])


def write(file: Path = FILE) -> int:
    """Write the compiled form of the TOML files; return its bytes."""
    from hardware_db.building import from_sources

    current, (kept, entries) = digest(), _Kept.of(from_sources())
    index = dumps(kept, protocol=5)
    length = len(index).to_bytes(_LENGTH, "little")
    return file.write_bytes(b"".join([current, length, index, *entries]))


@frozen
class _Kept:
    """The database with numbers in place of entries.

    Attributes:
        ends: where each entry ends behind this, accelerators first.
        accelerators: how many of them are accelerators.
        by_name: the number that each name means; like what follows, fields of `Database`.
        by_driver_name: the numbers that each name means.
        by_stem: likewise.
        lists: the fields that list what is seldom asked for: how long each is, and its bytes.
        others: the fields that hold none of those.
    """

    ends: tuple[int, ...]
    accelerators: int
    by_name: dict[str, int]
    by_driver_name: dict[str, tuple[int, ...]]
    by_stem: dict[str, tuple[int, ...]]
    lists: dict[str, tuple[int, bytes]]
    others: dict[str, Any]

    @classmethod
    def of(cls, known: Database) -> tuple[_Kept, list[bytes]]:
        """Return what is kept of a database, and the bytes of its entries."""
        entries = (*known.accelerators, *known.systems)
        numbers = {id(entry): number for number, entry in enumerate(entries)}

        def several(named: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[int, ...]]:
            return {name: tuple(numbers[id(one)] for one in found) for name, found in named.items()}

        lists = {name: getattr(known, name) for name in LISTS}
        written = [_Writer.bytes_of(entry, numbers) for entry in entries]
        kept = cls(
            ends=tuple(accumulate(map(len, written))),
            accelerators=len(known.accelerators),
            by_name={name: numbers[id(entry)] for name, entry in known.by_name.items()},
            by_driver_name=several(known.by_driver_name),
            by_stem=several(known.by_stem),
            lists={name: (len(told), dumps(told, 5)) for name, told in lists.items()},
            others={
                field.name: getattr(known, field.name)
                for field in fields(known)
                if field.name not in (*OF_ENTRIES, *LISTS)
            },
        )
        return kept, written

    def database(self, entries: memoryview) -> Database:
        """Return the database; its entries are read one by one."""
        from hardware_db.database import Database

        one, count = _Entries(entries, self.ends).one, self.accelerators

        def several(numbers: tuple[int, ...]) -> tuple[Any, ...]:
            return tuple(map(one, numbers))

        lists: dict[str, Any] = {name: _later(*told) for name, told in self.lists.items()}
        return Database(
            accelerators=Listed(range(count), one),
            systems=Listed(range(count, len(self.ends)), one),
            by_name=Named(self.by_name, one),
            by_driver_name=Named(self.by_driver_name, several),
            by_stem=Named(self.by_stem, several),
            **lists,
            **self.others,
        )


OF_ENTRIES = ("accelerators", "systems", "by_name", "by_driver_name", "by_stem")
"""Fields of `Database` that hold entries."""


LISTS = ("memories", "electricity", "processors")
"""Fields of `Database` that are lists of something else."""


def _later(length: int, content: bytes) -> Listed[Any]:
    """Return a list that is read when something of it is asked for."""
    read = cache(lambda: loads(content))
    return Listed(range(length), lambda number: read()[number])


class _Entries:
    """Entries by their numbers, each read once."""

    def __init__(self, contents: memoryview, ends: Sequence[int]) -> None:
        self._contents, self._ends = contents, ends
        self._read: dict[int, Any] = {}

    def one(self, number: int) -> Any:
        """Return an entry, the same one to everybody."""
        found = self._read.get(number)
        if found is None:
            start = self._ends[number - 1] if number else 0
            entry = _Reader(self._contents[start : self._ends[number]], self.one).load()
            found = self._read.setdefault(number, entry)
        return found


class _Reader(Unpickler):
    """Reads an entry, and asks for those that it refers to."""

    def __init__(self, content: memoryview, one: Callable[[int], Any]) -> None:
        super().__init__(io.BytesIO(content))
        self._one = one

    def persistent_load(self, pid: Any) -> Any:
        """Return the entry of a number, such as the accelerator of a system."""
        return self._one(pid)


class _Writer(Pickler):
    """Writes an entry, with the numbers of those that it refers to."""

    @classmethod
    def bytes_of(cls, entry: object, numbers: Mapping[int, int]) -> bytes:
        """Return the bytes of an entry.

        Args:
            entry: what is written.
            numbers: the number of each entry, by its identity.
        """
        file = io.BytesIO()
        writer = cls(file, protocol=5)
        writer._entry, writer._numbers = entry, numbers
        writer.dump(entry)
        return file.getvalue()

    _entry: object
    _numbers: Mapping[int, int]

    def persistent_id(self, obj: Any) -> int | None:
        """Return the number of an entry that the written one refers to."""
        return None if obj is self._entry else self._numbers.get(id(obj))


class Listed(Sequence[V]):
    """Things found by number when they are asked for."""

    def __init__(self, numbers: Sequence[int], find: Callable[[int], V]) -> None:
        """Keep the numbers, and who finds what they mean."""
        self._numbers, self._find = numbers, find

    @overload
    def __getitem__(self, index: int) -> V: ...
    @overload
    def __getitem__(self, index: slice) -> Listed[V]: ...
    def __getitem__(self, index: int | slice) -> V | Listed[V]:
        """Return one thing, or a part of the list."""
        found = self._numbers[index]
        return self._find(found) if isinstance(found, int) else Listed(found, self._find)

    def __iter__(self) -> Iterator[V]:
        return map(self._find, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class Named(Mapping[str, V]):
    """Things found by what stands for them when they are asked for by name."""

    def __init__(self, numbers: Mapping[str, Any], find: Callable[[Any], V]) -> None:
        """Keep what stands for each name's thing, and who finds it."""
        self._numbers, self._find = numbers, find

    def __getitem__(self, name: str) -> V:
        return self._find(self._numbers[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

"""The registry's rows: shipped with the planner, replaced where the user's cache has newer ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeVar

from planner.registry.entry import Entry
from planner.registry.user_cache import change_document, read_document
from planner.shipped import read_json

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

RENEWED = "checkpoints.json"
"""The renewed rows in the user's cache."""

_NO_FILE = ("safetensors", "mlx", "mlx-fork", "exl3", "onnx", "other")


@cache
def entries() -> tuple[Entry, ...]:
    """Every row: models by size, official ones and derivatives marked.

    A repository that the user renewed is as the renewal says; all others are as shipped.
    """
    return tuple(chain.from_iterable(one.files for one in _repositories()))


@lru_cache(maxsize=256)
def entries_of(base: str) -> tuple[Entry, ...]:
    """The rows of one bundled model, derivatives included."""
    return tuple(chain.from_iterable(one.files for one in _by_base().get(base, ())))


@lru_cache(maxsize=1024)
def entries_stored_as(base: str, recipe: str) -> tuple[Entry, ...]:
    """The rows of one bundled model that a recipe describes; no other row is read for them."""
    found = (one.stored_as(recipe) for one in _by_base().get(base, ()))
    return tuple(chain.from_iterable(found))


@cache
def models_stored() -> Mapping[str, int]:
    """Organisation -> how many models of the family it stores, fine-tunes aside."""
    models: dict[str, set[str]] = {}
    for entry in entries():
        if entry.recommendable:
            models.setdefault(entry.repo.partition("/")[0], set()).add(entry.base)
    return MappingProxyType({name: len(bases) for name, bases in models.items()})


class _Repository:
    """A repository as it is listed; its rows are made when somebody first asks."""

    def __init__(self, listed: Mapping[str, Any], sources: Any) -> None:
        self.base: str = listed["base"]
        self._listed, self._sources = listed, sources

    @cached_property
    def files(self) -> tuple[Entry, ...]:
        """One row for each of its files."""
        return tuple(_rows((self._listed,), self._sources))

    def stored_as(self, recipe: str) -> Iterator[Entry]:
        """Yield the rows of the files that a recipe describes."""
        files = [file for file in self._listed["files"] if _recipe_of(*file) == recipe]
        return _rows(({**self._listed, "files": files},), self._sources) if files else iter(())


@cache
def _repositories() -> tuple[_Repository, ...]:
    renewed, shipped = _renewed(), _shipped()
    gone = {str(row["repo"]).lower() for row in renewed.get("repositories", ())}
    kept = (row for row in shipped["repositories"] if row["repo"].lower() not in gone)
    return (
        *(_Repository(row, shipped["sources"]) for row in kept),
        *(_Repository(row, renewed["sources"]) for row in renewed.get("repositories", ())),
    )


@cache
def _by_base() -> Mapping[str, tuple[_Repository, ...]]:
    return grouped((one.base, one) for one in _repositories())


def grouped(pairs: Iterable[tuple[K, T]]) -> Mapping[K, tuple[T, ...]]:
    """Return what has the same key together, in the order given."""
    found: dict[K, list[T]] = {}
    for key, row in pairs:
        found.setdefault(key, []).append(row)
    return MappingProxyType({key: tuple(rows) for key, rows in found.items()})


def _shipped() -> dict[str, Any]:
    return read_json("registry", "data", "checkpoints.json")


def _renewed() -> Mapping[str, Any]:
    """The user's own rows; none where there are none, or where the file is damaged."""
    return _sound(read_document(RENEWED))


def _sound(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document whose rows can be read; an empty one in place of another."""
    try:
        rows, sources = document["repositories"], document["sources"]
        tuple(_rows(rows, sources))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return {}
    return document


def _rows(rows: Iterable[Mapping[str, Any]], sources: Any) -> Iterator[Entry]:
    for row in rows:
        container, stem = row["container"], row.get("stem")
        for file in row["files"]:
            label, nbytes, within, *more = file
            name = more[1] if len(more) > 1 else None
            if name is None and container not in _NO_FILE and stem is not None:
                name = f"{stem}{label}.gguf"
            yield Entry(
                repo=row["repo"],
                base=row["base"],
                container=container,
                label=label,
                file=name,
                nbytes=nbytes,
                within=within,
                recipe=_recipe_of(*file),
                kept=row.get("recipe", ""),
                mtp=row.get("mtp"),
                vision=row.get("vision"),
                derivative=row.get("derivative", False),
                part=row.get("part", "model"),
                downloads=row.get("downloads"),
                date=row["date"],
                source=sources[row["source"]],
                made_for=row.get("made_for", ""),
            )


def _recipe_of(label: str, nbytes: object, within: object, *more: str | None) -> str:
    """Return the recipe of a file as it is listed: the one that is named, else its label."""
    return (more[0] if more else None) or label.lower()


def keep_renewed(repositories: Iterable[Mapping[str, Any]], source: str) -> None:
    """Put renewed repositories into the user's cache, beside those renewed before.

    Args:
        repositories: rows in the form of the shipped file, without their source.
        source: who listed them.
    """
    fresh = [dict(row) | {"source": 0} for row in repositories]
    named = {row["repo"].lower() for row in fresh}

    def beside(document: dict[str, Any]) -> dict[str, Any]:
        old = _sound(document)
        kept = [row for row in old.get("repositories", ()) if row["repo"].lower() not in named]
        before = old.get("sources", ())
        sources = [source, *(text for text in before if text != source)]
        kept = [dict(row) | {"source": sources.index(before[row["source"]])} for row in kept]
        return {"sources": sources, "repositories": [*fresh, *kept]}

    change_document(RENEWED, beside)


def forget() -> None:
    """Read the rows anew the next time (the user's cache has changed)."""
    for known in (
        entries,
        entries_of,
        entries_stored_as,
        models_stored,
        _by_base,
        _repositories,
    ):
        known.cache_clear()

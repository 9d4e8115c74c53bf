"""Names that people and programs write for a checkpoint -> the row of the registry, without a network.

Repository ids, ``repository:quant`` (llama.cpp's ``-hf``, Ollama's ``hf.co/``), addresses of the Hub,
file names of the known authors, Ollama's own tags. Where there is no row, what the name itself says
(`planner.registry.by_name`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache

from planner.model.catalog import LONGEST
from planner.registry import by_name
from planner.registry.entry import Entry
from planner.registry.labels import bare
from planner.registry.store import entries, entries_of, grouped
from planner.registry.written import Written, read_written

DEFAULT_LABELS = ("Q4_K_M", "UD-Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q8_0")
"""Which file of a repository is meant where none is named: llama.cpp and Ollama take Q4_K_M, and
another where there is none (llama.cpp common/download.cpp; Ollama's documentation of hf.co)."""


def find(name: str, *, precision: str | None = None) -> Entry | None:
    """Return the checkpoint that `name` means, or None.

    Args:
        name: repository id (any case), ``repository:quant``, ``-hf repository:quant``, an address
            of the Hub, a GGUF file's name, an Ollama tag.
        precision: which file of a repository that holds several.
    """
    if not name or len(name) > LONGEST or (precision is not None and len(precision) > LONGEST):
        return None
    return _find(name, precision)


def file_of_kind(base: str, label: str, kind: str) -> Entry | None:
    """Return the file of `label`; else one whose label begins with `kind`, of the label's type."""
    wanted = label.lower()
    rows = [row for row in entries_of(base) if row.gguf and row.recommendable]
    found = _best(row for row in rows if row.label.lower() == wanted)
    if found is not None:
        return found
    own = _best(row for row in rows if row.label.lower().startswith(kind))
    return None if own is None else by_name.beside(own, label)


@lru_cache(maxsize=4096)
def _find(name: str, precision: str | None) -> Entry | None:
    written = read_written(name)
    if written is None:
        return None
    label = written.label or precision
    if written.file is not None:
        rows = _files().get(_file_key(written.file), ())
        rows = _of_repository(rows, written.repo)
        return _best(rows) or by_name.from_file(written.file, written.repo)
    if written.repo is not None:
        rows = _repositories().get(written.repo.lower(), ())
        if rows:
            if written.label is None and not any(row.label for row in rows):
                label = None  # a precision: whether it is stored so is for others to say
            found = _labelled(rows, label)
            return found or (by_name.beside(rows[0], label) if label else None)
        return by_name.from_repository(written.repo, label)
    return _from_word(written, label)


def _from_word(written: Written, label: str | None) -> Entry | None:
    """A word without an organisation: an Ollama tag, or a repository's own name."""
    tag = by_name.definite(written.word)
    word = tag.lower()
    if word in _repositories():
        return _labelled(_repositories()[word], None)
    if written.tag:
        return by_name.from_ollama(tag)
    named = [row for row in _tails().get(word, ()) if label is None or _is_label(row, label)]
    if named:
        return _labelled(named, label)
    found = by_name.from_repository(written.word, label)
    if found is not None or label is not None:
        return found
    return _best(_files().get(_file_key(word), ())) or by_name.from_file(f"{written.word}.gguf")


def in_words(name: str) -> tuple[str, str | None] | None:
    """Return the model or checkpoint, and the precision, of a name that says both: "qwen3.6 27b q4".

    Where checkpoints of the kind are published ("awq", "gptq"), the best known of them.
    """
    said = by_name.said_with(name)
    kind = None if said is None else re.match(r"awq|gptq|autoround", said[1])
    if said is None or kind is None:
        return said
    rows = (row for row in entries_of(said[0]) if row.recommendable)
    best = _best(row for row in rows if row.recipe.startswith(kind[0]))
    return said if best is None else (best.name, None)


def rows_of_repository(repo: str) -> tuple[Entry, ...]:
    """The rows of one repository, whatever the case of its name; empty if it has none."""
    return _repositories().get(repo.strip().lower(), ())


def _labelled(rows: Iterable[Entry], label: str | None) -> Entry | None:
    """The row called `label`; without one, the file that programs take by default."""
    models = [row for row in rows if row.part == "model"] if label is None else list(rows)
    if label is not None:
        return _best(row for row in models if _is_label(row, label)) or _best(
            row for row in models if bare(row.label) == bare(label)
        )
    for wanted in DEFAULT_LABELS:
        for row in models:
            if row.label.lower() == wanted.lower():
                return row
    return _best(models) or _best(rows)


def _is_label(row: Entry, label: str) -> bool:
    wanted = label.lower()
    return wanted in (row.label.lower(), (row.file or "").lower()) or (
        not row.label and wanted == row.recipe
    )


def _of_repository(rows: Iterable[Entry], repo: str | None) -> tuple[Entry, ...]:
    if repo is None:
        return tuple(rows)
    return tuple(row for row in rows if row.repo.lower() == repo.lower())


def _best(rows: Iterable[Entry]) -> Entry | None:
    """The row to answer with where a name fits several: models, sizes known best, most downloads."""
    return min(rows, key=_rank, default=None)


def _rank(entry: Entry) -> tuple[bool, bool, bool, int, int, str]:
    return (
        entry.part != "model",
        entry.derivative,
        entry.nbytes is None,
        -(entry.downloads or 0),
        entry.within,
        entry.name,
    )


def _file_key(file: str) -> str:
    return re.sub(r"-\d{5}-of-\d{5}$", "", file.rpartition("/")[2].lower().removesuffix(".gguf"))


@cache
def _files() -> Mapping[str, tuple[Entry, ...]]:
    """File name without ending and part number -> rows."""
    return grouped((_file_key(row.file), row) for row in entries() if row.file)


@cache
def _repositories() -> Mapping[str, tuple[Entry, ...]]:
    return grouped((row.repo.lower(), row) for row in entries())


@cache
def _tails() -> Mapping[str, tuple[Entry, ...]]:
    """A repository's name without its organisation -> rows."""
    return grouped(
        (row.repo.lower().rpartition("/")[2], row) for row in entries() if "/" in row.repo
    )


def forget() -> None:
    """Read the rows anew the next time (the user's cache has changed)."""
    for kept in (_find, _files, _repositories, _tails):
        kept.cache_clear()

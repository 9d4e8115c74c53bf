"""New rows for the registry: what a repository lists today, in the form of the shipped rows.

How a repository is asked is the caller's business (`planner.sources` asks the Hub): this module
knows no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hardware_db.records import frozen
from planner.errors import PlannerError, SourceError
from planner.model.weight_files import WeightSet, gguf_sets
from planner.registry import names, quality, sizing, store
from planner.registry.by_name import gguf_recipe
from planner.registry.entry import Entry

List = Callable[[str], Mapping[str, int | None]]
"""A repository's id -> its files and their bytes (None where it does not say)."""

Told = Callable[[int, int, str], None]
"""(done, all, repository): called after each repository."""

SAFETENSORS = ".safetensors"


@frozen
class Renewal:
    """What came of asking repositories anew.

    Attributes:
        renewed: repositories whose rows are new now.
        changed: files whose bytes differ from the row before, or that had none: name -> (before,
            now).
        failed: repository -> why it could not be asked.
        gone: files that were rows and are no longer listed.
    """

    renewed: tuple[str, ...]
    changed: Mapping[str, tuple[int | None, int]]
    failed: Mapping[str, str]
    gone: tuple[str, ...]


def repositories_of(bases: Iterable[str] = (), *, derivatives: bool = False) -> tuple[str, ...]:
    """Return the repositories of the Hub that the registry has rows of, most downloaded first.

    Args:
        bases: bundled ids; none for every model.
        derivatives: fine-tunes, too.
    """
    wanted = set(bases)
    found: dict[str, int] = {}
    for row in store.entries():
        if (
            row.ollama
            or (row.derivative and not derivatives)
            or (wanted and row.base not in wanted)
        ):
            continue
        found[row.repo] = max(found.get(row.repo, 0), row.downloads or 0)
    return tuple(sorted(found, key=lambda repo: (-found[repo], repo)))


UNANSWERED = 3
"""Repositories after which nobody is asked any more, if none of them answered."""


def renew(
    repositories: Iterable[str], listed: List, *, date: str, source: str, told: Told | None = None
) -> Renewal:
    """Ask repositories for their files and keep the rows in the user's cache, all at once.

    Args:
        repositories: ids; those that the registry has no row of must tell by their name what they
            hold.
        listed: how a repository is asked; its expected errors are reported, not raised.
        date: today.
        source: who is asked.
        told: progress.

    Raises:
        SourceError: none of the first few repositories answered, so that the others are not asked.
    """
    wanted = tuple(dict.fromkeys(repositories))
    rows: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    changed: dict[str, tuple[int | None, int]] = {}
    gone: list[str] = []
    for place, repo in enumerate(wanted, start=1):
        try:
            files = listed(repo)
        except PlannerError as error:
            failed[repo] = str(error)
            if not rows and len(failed) == UNANSWERED and isinstance(error, SourceError):
                raise
        else:
            before = names.rows_of_repository(repo)
            like = before[0] if before else names.find(repo) or _first_gguf(repo, files)
            if like is None:
                failed[repo] = "its name does not tell which bundled model it stores"
            else:
                row = _row(repo, like, before, files, date)
                rows.append(row)
                _compare(repo, before, row, changed, gone)
        if told is not None:
            told(place, len(wanted), repo)
    if rows:
        store.keep_renewed(rows, source)
        forget()
    return Renewal(
        renewed=tuple(row["repo"] for row in rows), changed=changed, failed=failed, gone=tuple(gone)
    )


def forget() -> None:
    """Read the rows anew the next time, here and wherever answers from them are kept."""
    for kept in (sizing.stored_as, sizing.spread_of, sizing.checkpoint_of, quality.loss_of):
        kept.cache_clear()
    names.forget()
    store.forget()


def _first_gguf(repo: str, files: Mapping[str, int | None]) -> Entry | None:
    for found in gguf_sets(files):
        entry = names.find(f"{repo}:{found.label}")
        if entry is not None:
            return entry
    return None


def _row(
    repo: str,
    like: Entry,
    before: tuple[Entry, ...],
    files: Mapping[str, int | None],
    date: str,
) -> dict[str, Any]:
    sets = [found for found in gguf_sets(files) if found.part == "model"]
    known = {row.label.lower(): row for row in before}
    row: dict[str, Any] = {"repo": repo, "base": like.base, "date": date}
    if like.derivative:
        row["derivative"] = True
    if like.mtp is not None:
        row["mtp"] = like.mtp
    if like.vision is not None:
        row["vision"] = like.vision
    if like.kept:
        row["recipe"] = like.kept
    if like.made_for:
        row["made_for"] = like.made_for
    if like.downloads:
        row["downloads"] = like.downloads
    if sets:
        container = like.container if like.gguf else "gguf"
        listed = [_gguf_file(found, known.get(found.label.lower())) for found in sets]
        return row | {"container": container, "files": listed}
    sizes = [size for name, size in files.items() if name.endswith(SAFETENSORS)]
    known_sizes = [size for size in sizes if size is not None]
    total = sum(known_sizes) if known_sizes and len(known_sizes) == len(sizes) else None
    return row | {"container": like.container, "files": [["", total, 0, like.recipe]]}


def _gguf_file(found: WeightSet, known: Entry | None) -> list[object]:
    recipe = known.recipe if known is not None else gguf_recipe(found.label) or "q4_k_m"
    return [found.label, found.nbytes, 0, recipe, found.files[0][0].rpartition("/")[2]]


def _compare(
    repo: str,
    before: tuple[Entry, ...],
    row: Mapping[str, Any],
    changed: dict[str, tuple[int | None, int]],
    gone: list[str],
) -> None:
    old = {entry.label.lower(): entry for entry in before if entry.part == "model"}
    for label, nbytes, *_ in row["files"]:
        entry = old.pop(label.lower(), None)
        size = entry.nbytes if entry is not None else None
        if nbytes is not None and nbytes != size:
            changed[f"{repo}:{label}" if label else repo] = (size, nbytes)
    gone += [entry.name for entry in old.values()]

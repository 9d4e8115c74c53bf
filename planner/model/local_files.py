"""Read the headers of a checkpoint on this machine's disks: a folder, a shard, a .gguf file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from planner.errors import InputError, UnsupportedModelError, clip
from planner.model.headers import (
    MAX_INDEX_BYTES,
    MAX_JSON_BYTES,
    Progress,
    ReadRange,
    StoredCheckpoint,
    parse_json,
)
from planner.model.readers import READERS, put_together
from planner.model.weight_files import INDEX_FILE, Part, WeightSet, choose, set_of, weight_map

_MAX_ENTRIES = 100_000


def read_checkpoint(
    path: str | Path,
    *,
    pattern: str | None = None,
    part: Part = "model",
    beside: str | None = None,
    progress: Progress | None = None,
) -> StoredCheckpoint:
    """Read the headers of the checkpoint at `path`; no tensor data is read.

    Args:
        path: a folder with safetensors or GGUF files, one such file (of a split set: the whole
            set), or the index file of a sharded checkpoint.
        pattern: which GGUF, where a folder holds several (see `weight_files.choose`).
        part: which part of a GGUF folder.
        beside: a file of the model that a companion is wanted for (see `weight_files.choose`).
        progress: told after each file.

    Raises:
        InputError: there is no such path, shards are missing, or a header is damaged.
        UnsupportedModelError: what is there is no model's weights that can be read.
    """
    chosen = Path(path)
    is_folder = stat.S_ISDIR(_status(chosen).st_mode)
    if not is_folder and chosen.name.lower().endswith((".safetensors", ".gguf")):
        listing = list_folder(chosen.parent)
        found = set_of(listing, chosen.name, str(chosen.parent))
        return _read_set(chosen.parent, found, progress)
    if not is_folder and chosen.name != INDEX_FILE:
        raise UnsupportedModelError(
            f"{clip(str(path), 200)}: name a folder, a .safetensors or a .gguf file"
        )
    folder = chosen if is_folder else chosen.parent
    listing, index = list_folder(folder), None
    if INDEX_FILE in listing:
        file = folder / INDEX_FILE
        index = weight_map(read_json(file, MAX_INDEX_BYTES), str(file))
    found = choose(listing, str(folder), pattern=pattern, part=part, beside=beside, index=index)
    return _read_set(folder, found, progress, index)


def list_folder(folder: Path) -> dict[str, int | None]:
    """The regular files of `folder` and the GGUF files one level below, with their sizes.

    Links that lead nowhere (or in circles) are left out, as if the file were missing.

    Raises:
        InputError: it cannot be listed, or has absurdly many entries.
    """
    listing: dict[str, int | None] = {}
    for entry in _scan(folder):
        status = _status_or_none(entry)
        if status is not None and stat.S_ISREG(status.st_mode):
            listing[entry.name] = status.st_size
        elif status is not None and stat.S_ISDIR(status.st_mode) and os.access(entry, os.R_OK):
            for inner in _scan(Path(entry.path)):
                below = _status_or_none(inner) if inner.name.lower().endswith(".gguf") else None
                if below is not None and stat.S_ISREG(below.st_mode):
                    listing[f"{entry.name}/{inner.name}"] = below.st_size
    return listing


def read_json(path: Path, most: int = MAX_JSON_BYTES) -> dict[str, object]:
    """Read one JSON object from disk, strictly and within bounds.

    Raises:
        InputError: it cannot be read, is too long, or is not a JSON object.
    """
    with open_ranges(path) as (read, size):
        if size > most:
            raise InputError(f"{path}: {size:,} bytes of JSON (at most {most:,} are read)")
        return parse_json(read(0, size), str(path), most)


@contextmanager
def open_ranges(path: Path) -> Iterator[tuple[ReadRange, int]]:
    """Open a regular file; gives what reads ranges of it, and its size in bytes.

    Pipes, devices and sockets are refused without waiting for a writer.

    Raises:
        InputError: it cannot be opened or is no regular file.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    if not stat.S_ISREG(_status(path).st_mode):
        raise InputError(f"{clip(str(path), 200)}: this is a pipe or device; name a regular file")
    try:
        handle = open(path, "rb", buffering=0, opener=opener)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _unreadable(path, error) from None
    with handle:
        status = os.fstat(handle.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{clip(str(path), 200)}: it became something else while being opened")

        def read(offset: int, length: int) -> bytes:
            handle.seek(offset)
            parts = []
            while length and (part := handle.read(length)):
                parts.append(part)
                length -= len(part)
            if length:
                raise InputError(f"{clip(str(path), 200)}: it became shorter while being read")
            return b"".join(parts)

        yield read, status.st_size


def _read_set(
    folder: Path,
    found: WeightSet,
    progress: Progress | None,
    index: Mapping[str, str] | None = None,
) -> StoredCheckpoint:
    headers = []
    for done, (name, _) in enumerate(found.files, 1):
        with open_ranges(folder / name) as (read, size):
            headers.append(READERS[found.kind](read, size, name))
        if progress is not None:
            progress(done, len(found.files), name)
    return put_together(found, headers, index if found.kind == "safetensors" else None)


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _status_or_none(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    entries = []
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                entries.append(entry)
                if len(entries) > _MAX_ENTRIES:
                    raise InputError(f"{folder}: more than {_MAX_ENTRIES:,} entries in one folder")
    except OSError as error:
        raise _unreadable(folder, error) from None
    return sorted(entries, key=lambda entry: entry.name)


def _unreadable(path: Path, error: Exception) -> InputError:
    what = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        what = "there is no such file or folder"
    return InputError(f"{clip(str(path), 200)}: {what}")

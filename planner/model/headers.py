"""What weight files say about themselves: the types that every header reader answers with.

A reader is handed a file's size and a way to read ranges of it, so a local file and one on the Hub
are read by the same code, and nothing but header bytes is ever asked for. The bounds here are what
a hostile or damaged header runs into.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Literal, NoReturn

from hardware_db.records import frozen
from planner.errors import InputError, clip

Kind = Literal["safetensors", "gguf"]

ReadRange = Callable[[int, int], bytes]
"""(offset, length) -> exactly that many bytes of the file."""

Progress = Callable[[int, int, str], None]
"""(done, total, what): called in the caller's thread whenever one more file has been read."""

MAX_JSON_BYTES = 2**25
"""Largest JSON document that is parsed: 32 MiB, some 230,000 tensors. huggingface_hub 2.4.0 refuses
safetensors headers above 25 MB, the format itself (safetensors tensor.rs, MAX_HEADER_SIZE) above
100 MB."""

MAX_INDEX_BYTES = 2**26
"""Largest index file; that of a 2.4T model stored expert by expert takes some 30 MB."""

MAX_TENSORS = 2_000_000
"""Tensors of one checkpoint; a 2.4T model stored expert by expert with scales has 0.3 million."""

MAX_FILES = 4096
"""Files of one checkpoint; a 2.4T model in BF16 has about a thousand shards of 5 GB."""

MAX_HEADER_BYTES = 2**28
"""Header bytes of one checkpoint over all files."""

_MAX_TOKENS = 4_000_000


@frozen
class StoredTensor:
    """One tensor as a file's header declares it.

    Attributes:
        name: its name in the file.
        dtype: the format's own name of the number format: "BF16", "F8_E4M3"; GGUF: "Q4_K".
        shape: outermost dimension first ([output rows, input columns]); GGUF's order is reversed.
        nbytes: bytes it takes in the file, without padding between tensors.
        file: the file that holds it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str


@frozen
class FileHeader:
    """One weight file's header.

    Attributes:
        file: its name (path within the repository or folder).
        nbytes: size of the file.
        header_nbytes: bytes before the first tensor's data, alignment included.
        tensors: in the order of the file.
        metadata: safetensors: ``__metadata__``; GGUF: key-value pairs, long arrays as
            `planner.model.gguf.LongArray`.
    """

    file: str
    nbytes: int
    header_nbytes: int
    tensors: tuple[StoredTensor, ...]
    metadata: Mapping[str, object]


@frozen
class StoredCheckpoint:
    """All headers of one set of weight files that belong together.

    Attributes:
        kind: the container format.
        label: which set it is: a GGUF quantization such as "Q4_K_M", else the kind.
        tensors: over all files.
        files: one header per file (tensors are listed there, too).
        metadata: of the first file.
        notes: what does not agree within the checkpoint (an index and its headers, say), in words.
    """

    kind: Kind
    label: str
    tensors: tuple[StoredTensor, ...]
    files: tuple[FileHeader, ...]
    metadata: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @property
    def tensor_nbytes(self) -> int:
        """Bytes of tensor data over all files, without headers and padding."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of all files on disk."""
        return sum(file.nbytes for file in self.files)


def damaged(file: str, what: str) -> InputError:
    """The one line that refuses a file whose header cannot be right."""
    return InputError(f"{file}: {what}; the file is damaged or not what its name says")


def join(
    kind: Kind,
    label: str,
    files: Sequence[FileHeader],
    weight_map: Mapping[str, str] | None = None,
) -> StoredCheckpoint:
    """Put the headers of one checkpoint together.

    Args:
        kind: the container format.
        label: see `StoredCheckpoint`.
        files: the headers, in the order of the shards.
        weight_map: the index file's tensor -> file, if there is one.

    Raises:
        InputError: a tensor is stored twice, there are none, or absurdly many.
    """
    where: dict[str, str] = {}
    for header in files:
        for tensor in header.tensors:
            other = where.setdefault(tensor.name, header.file)
            if other is not header.file:
                raise InputError(
                    f"{header.file}: tensor {clip(tensor.name)} is also in {other}; "
                    "which of the two an engine would load is not defined"
                )
        if len(where) > MAX_TENSORS:
            raise InputError(f"{header.file}: more than {MAX_TENSORS:,} tensors in one checkpoint")
    if not where:
        raise InputError(f"{files[0].file if files else label}: there are no tensors in it")
    return StoredCheckpoint(
        kind=kind,
        label=label,
        tensors=tuple(tensor for header in files for tensor in header.tensors),
        files=tuple(files),
        metadata=files[0].metadata,
        notes=_disagreements(where, weight_map) if weight_map is not None else (),
    )


def _disagreements(stored: Mapping[str, str], index: Mapping[str, str]) -> tuple[str, ...]:
    if stored == index:
        return ()
    notes = []
    for names, what in (
        (index.keys() - stored.keys(), "named by the index are in no file"),
        (stored.keys() - index.keys(), "in the files are not named by the index"),
        (
            {name for name, file in index.items() if stored.get(name, file) != file},
            "are in another file than the index says",
        ),
    ):
        if names:
            tensors = "tensor" if len(names) == 1 else "tensors"
            notes.append(f"{len(names):,} {tensors} {what}, such as {clip(min(names))}")
    return tuple(notes)


_PAUSE = Lock()
_pauses: list[bool] = []
"""Who parses now; the first says whether Python looked for garbage before."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Let Python look for no garbage within: a header is some thousand objects, and all are kept.

    Looking through them again and again took half of the time of reading 64,000 tensors. Nothing
    that waits for a server belongs within: it holds for the whole process.
    """
    with _PAUSE:
        _pauses.append(_pauses[0] if _pauses else gc.isenabled())
        gc.disable()
    try:
        yield
    finally:
        with _PAUSE:
            if _pauses.pop() and not _pauses:
                gc.enable()


def parse_json(raw: bytes, what: str, most: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Read one JSON object strictly: no duplicate keys, no NaN, no depth or breadth without end.

    Args:
        raw: the document.
        what: the file's name, for the error line.
        most: the longest document that is read, in bytes.

    Raises:
        InputError: it is not such an object.
    """
    if len(raw) > most:
        raise damaged(what, f"{len(raw):,} bytes of JSON (at most {most:,} are read)")
    # An empty list takes three bytes of text and sixty of memory: count before parsing.
    if len(raw) > _MAX_TOKENS and max(raw.count(b","), raw.count(b'"')) > _MAX_TOKENS:
        raise damaged(what, f"its JSON has more than {_MAX_TOKENS:,} values")

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise ValueError(f"key {clip(_first_repeated(items))} occurs twice")
        return found

    try:
        document = json.loads(raw, parse_constant=constant)
        # Each pair takes a colon: where the pairs that are left are as many, none was lost. To look
        # at the pairs of every object took a third of the time of parsing them.
        if raw.count(b":") > _pairs(document):
            document = json.loads(raw, object_pairs_hook=pairs, parse_constant=constant)
    except RecursionError:
        raise damaged(what, "its JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise damaged(what, "its JSON is not UTF-8") from None
    except ValueError as error:
        raise damaged(what, f"unreadable JSON: {clip(str(error), 160)}") from None
    if not isinstance(document, dict):
        raise damaged(what, f"it must hold a JSON object, not {type(document).__name__}")
    return document


def _pairs(document: object) -> int:
    """Return how many pairs an object and those in it have; deeper ones are left out."""
    if not isinstance(document, dict):
        return 0
    return len(document) + sum([len(each) for each in document.values() if type(each) is dict])


def _first_repeated(items: list[tuple[str, Any]]) -> str:
    seen: set[str] = set()
    for key, _ in items:
        if key in seen:
            return key
        seen.add(key)
    return ""

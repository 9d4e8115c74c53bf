"""One header reader per container format, and what is checked once all files of a set are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from planner.model import gguf, safetensors
from planner.model.headers import (
    FileHeader,
    Kind,
    ReadRange,
    StoredCheckpoint,
    join,
)
from planner.model.weight_files import WeightSet

READERS: Mapping[Kind, Callable[[ReadRange, int, str], FileHeader]] = MappingProxyType(
    {"safetensors": safetensors.read_header, "gguf": gguf.read_header}
)
"""(read, size, file) -> header, by container format."""


def put_together(
    found: WeightSet, headers: Sequence[FileHeader], index: Mapping[str, str] | None
) -> StoredCheckpoint:
    """The checkpoint that the headers of all files of `found` describe.

    Args:
        found: the set.
        headers: one per file, in its order.
        index: tensor -> file as the index file says, if one was read.

    Raises:
        InputError: the files do not belong together.
    """
    if found.kind == "gguf":
        gguf.check_splits(headers)
    return join(found.kind, found.label, headers, index)

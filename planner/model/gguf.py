"""Read a GGUF header: magic, counts, key-value pairs, tensor infos; never the tensors themselves.

Format: ggml docs/gguf.md and ggml/src/gguf.cpp (llama.cpp 0c1e570). A header's end is not known
beforehand and a vocabulary makes it some 11 MB long. The cursor below therefore reads as far as the
counts already seen prove the header to reach, and otherwise in chunks of `CHUNK` bytes: at most one
such chunk of tensor data is ever fetched. Fixed-size arrays are jumped over unread.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType

from hardware_db.records import frozen
from planner.errors import InputError, UnsupportedModelError, clip
from planner.model.ggml_types import GGML_TYPES
from planner.model.headers import MAX_TENSORS, FileHeader, ReadRange, StoredTensor, damaged
from planner.units import ceil_div, round_up

CHUNK = 2**16
"""Bytes read at a time where the end of the header may be near."""

_LARGEST_READ = 2**22
_MAX_HEADER = 2**27
_MAX_PAIRS = 2**16
_MAX_ARRAY = 2**24
_MAX_KEY = 2**16
_MAX_NAME = 256
_MAX_DIMENSIONS = 4
_KEPT_NUMBERS = 4096
_KEPT_STRINGS = 64
_KEPT_TEXT = 2**16
# What the smallest pair (key length, type, value) and tensor info (name length, number of
# dimensions, type, offset) take: from these the certain length of a header follows.
_SMALLEST_PAIR = 8 + 4 + 1
_SMALLEST_INFO = 8 + 4 + 4 + 8

_SCALARS: Mapping[int, tuple[str, struct.Struct]] = MappingProxyType(
    {
        0: ("uint8", struct.Struct("<B")),
        1: ("int8", struct.Struct("<b")),
        2: ("uint16", struct.Struct("<H")),
        3: ("int16", struct.Struct("<h")),
        4: ("uint32", struct.Struct("<I")),
        5: ("int32", struct.Struct("<i")),
        6: ("float32", struct.Struct("<f")),
        7: ("bool", struct.Struct("<?")),
        10: ("uint64", struct.Struct("<Q")),
        11: ("int64", struct.Struct("<q")),
        12: ("float64", struct.Struct("<d")),
    }
)
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


@frozen
class LongArray:
    """An array or text of the metadata that was passed over, a tokenizer's vocabulary say.

    Attributes:
        element: GGUF's name of its elements' type; "character" for a long text.
        length: how many elements.
    """

    element: str
    length: int


def read_header(read: ReadRange, size: int, file: str) -> FileHeader:
    """Read the header of one GGUF file (one shard of a split set is one file).

    Args:
        read: gives ranges of the file.
        size: bytes of the file.
        file: its name, for the answer and the error line.

    Raises:
        InputError: the header is damaged, absurd or contradicts itself.
        UnsupportedModelError: another version, byte order or ggml type than this reader knows.
    """
    cursor = _Cursor(read, size, file)
    _check_version(cursor)
    tensor_count, pair_count = cursor.number(_U64), cursor.number(_U64)
    if tensor_count > MAX_TENSORS or pair_count > _MAX_PAIRS:
        raise damaged(
            file, f"it claims {tensor_count:,} tensors and {pair_count:,} key-value pairs"
        )
    infos_nbytes = tensor_count * _SMALLEST_INFO
    metadata: dict[str, object] = {}
    for left in range(pair_count - 1, -1, -1):
        rest = left * _SMALLEST_PAIR + infos_nbytes
        cursor.certain(_SMALLEST_PAIR + rest)
        key = cursor.text(_MAX_KEY, "a key")
        if key in metadata:
            raise damaged(file, f"key {clip(key)} occurs twice")
        metadata[key] = _value(cursor, cursor.number(_U32), key, rest)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 2**20 or alignment & alignment - 1:
        raise damaged(file, f"general.alignment is {clip(repr(alignment))}, not a power of two")
    tensors, offsets = _tensor_infos(cursor, tensor_count)
    start = round_up(cursor.position, alignment)
    _check_cover(tensors, offsets, size - start, alignment, file)
    return FileHeader(
        file=file,
        nbytes=size,
        header_nbytes=min(start, size),
        tensors=tuple(tensors),
        metadata=MappingProxyType(metadata),
    )


def architecture_facts(metadata: Mapping[str, object]) -> dict[str, object]:
    """What a plan needs of GGUF metadata, with the architecture's prefix taken off.

    Keys are llama.cpp's (``block_count``, ``context_length``, ``attention.head_count_kv``,
    ``expert_count``, ``ssm.state_size``, ``nextn_predict_layers``, …) beside ``architecture``,
    ``type``, ``name``, ``size_label``, ``file_type`` and, counted from the tokenizer where the
    file does not say it, ``vocab_size``. What the file does not say is not there.
    """
    facts: dict[str, object] = {}
    for name in ("architecture", "type", "name", "basename", "size_label", "file_type"):
        if f"general.{name}" in metadata:
            facts[name] = metadata[f"general.{name}"]
    prefix = f"{facts.get('architecture')}."
    facts |= {
        key[len(prefix) :]: value for key, value in metadata.items() if key.startswith(prefix)
    }
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, LongArray | tuple):
        length = tokens.length if isinstance(tokens, LongArray) else len(tokens)
        facts.setdefault("vocab_size", length)
    return facts


def check_splits(headers: Sequence[FileHeader]) -> None:
    """Hold the shards of a split file against what they say about each other.

    Raises:
        InputError: shards are missing, out of order or of different sets.
    """
    total = sum(len(header.tensors) for header in headers)
    for index, header in enumerate(headers):
        # A file that was never split says nothing, or 0.
        count = header.metadata.get("split.count", 0) or 1
        number = header.metadata.get("split.no", 0)
        if count != len(headers):
            raise InputError(
                f"{header.file}: it is one of {count} shards, but {len(headers)} were given; "
                "all shards of a split GGUF belong together"
            )
        if number != index:
            raise damaged(header.file, f"it says it is shard {number}, its name {index}")
        expected = header.metadata.get("split.tensors.count", total)
        if expected != total:
            raise InputError(
                f"{header.file}: the set has {expected} tensors, {total} were found; shards of "
                "different files are mixed"
            )


class _Cursor:
    """A position in the header, and the few bytes around it that have been fetched."""

    def __init__(self, read: ReadRange, size: int, file: str) -> None:
        self.position = 0
        self.file = file
        self._read = read
        self._size = size
        self._buffer = b""
        self._buffer_start = 0
        self._certain_end = 0

    def certain(self, nbytes: int) -> None:
        """The header goes on for at least `nbytes` from here."""
        if nbytes > self._size - self.position:
            raise damaged(
                self.file,
                f"its header claims {nbytes:,} bytes more at {self.position:,}, but the file ends "
                f"at {self._size:,}",
            )
        self._certain_end = max(self._certain_end, self.position + nbytes)

    def take(self, struct_: struct.Struct, count: int = 1) -> tuple[int | float | bool, ...]:
        """The next `count` values of one type."""
        width = struct_.size
        self._fill(width * count)
        begin = self.position - self._buffer_start
        self.position += width * count
        if count == 1:
            return struct_.unpack_from(self._buffer, begin)
        return struct.unpack_from(f"<{count}{struct_.format[-1]}", self._buffer, begin)

    def number(self, struct_: struct.Struct) -> int:
        """The next unsigned integer."""
        return int(self.take(struct_)[0])

    def peek(self) -> int:
        """The next unsigned 64-bit integer, without moving on."""
        self._fill(8)
        return int(_U64.unpack_from(self._buffer, self.position - self._buffer_start)[0])

    def text(self, longest: int, what: str) -> str:
        """The next string."""
        length = self.number(_U64)
        if length > longest:
            raise damaged(self.file, f"{what} of {length:,} bytes (at most {longest:,})")
        self._fill(length)
        begin = self.position - self._buffer_start
        self.position += length
        return self._buffer[begin : begin + length].decode("utf-8", "replace")

    def skip(self, nbytes: int) -> None:
        """Pass over `nbytes` without fetching them."""
        self.certain(nbytes)
        self.position += nbytes

    def skip_strings(self, count: int, rest: int) -> None:
        """Pass over `count` strings, after which at least `rest` bytes of header follow."""
        unpack = _U64.unpack_from
        while count:
            self.certain(count * 8 + rest)
            self._fill(8)
            buffer, at = self._buffer, self.position - self._buffer_start
            last = len(buffer) - 8
            while count and at <= last:
                at += 8 + unpack(buffer, at)[0]
                count -= 1
            self.position = self._buffer_start + at
            if self.position > self._size:
                raise damaged(self.file, "a string of an array reaches beyond the file")

    def _fill(self, nbytes: int) -> None:
        end = self.position + nbytes
        have = self._buffer_start + len(self._buffer)
        if end <= have:
            return
        if end > self._size:
            raise damaged(self.file, f"its header goes on beyond the end ({self._size:,} bytes)")
        if end > _MAX_HEADER:
            raise damaged(self.file, f"its header is longer than {_MAX_HEADER:,} bytes")
        start = max(self.position, have)
        certain = min(self._certain_end, start + _LARGEST_READ)
        stop = min(max(end, certain, start + CHUNK), self._size)
        fetched = self._read(start, stop - start)
        kept = self._buffer[self.position - self._buffer_start :] if start == have else b""
        self._buffer, self._buffer_start = kept + fetched, start - len(kept)


def _check_version(cursor: _Cursor) -> None:
    file = cursor.file
    cursor.certain(24)
    magic = cursor.number(_U32).to_bytes(4, "little")
    if magic != b"GGUF":
        raise damaged(file, f"it begins with {magic!r}, a GGUF file with b'GGUF'")
    version = cursor.number(_U32)
    if version not in (2, 3):
        big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in (2, 3)
        what = "big-endian GGUF" if big_endian else f"GGUF version {version}"
        raise UnsupportedModelError(f"{file}: {what} is not read (versions 2 and 3 are)")


def _value(cursor: _Cursor, kind: int, key: str, rest: int) -> object:
    if kind == _STRING:
        length = cursor.peek()
        if length > _KEPT_TEXT:
            cursor.skip(8)
            cursor.skip(length)
            return LongArray(element="character", length=length)
        return cursor.text(_KEPT_TEXT, key)
    if kind in _SCALARS:
        return cursor.take(_SCALARS[kind][1])[0]
    if kind != _ARRAY:
        raise damaged(cursor.file, f"key {clip(key)} has the unknown value type {kind}")
    element, length = cursor.number(_U32), cursor.number(_U64)
    if length > _MAX_ARRAY:
        raise damaged(cursor.file, f"key {clip(key)} claims an array of {length:,} elements")
    if element == _STRING:
        cursor.certain(length * 8 + rest)
        if length <= _KEPT_STRINGS:
            return tuple(cursor.text(_KEPT_TEXT, key) for _ in range(length))
        cursor.skip_strings(length, rest)
        return LongArray(element="string", length=length)
    if element not in _SCALARS:
        what = "arrays of arrays" if element == _ARRAY else f"the unknown element type {element}"
        raise damaged(cursor.file, f"key {clip(key)} has {what}")
    name, struct_ = _SCALARS[element]
    cursor.certain(length * struct_.size + rest)
    if length <= _KEPT_NUMBERS:
        return cursor.take(struct_, length) if length else ()
    cursor.skip(length * struct_.size)
    return LongArray(element=name, length=length)


def _tensor_infos(cursor: _Cursor, count: int) -> tuple[list[StoredTensor], list[int]]:
    file = cursor.file
    tensors: list[StoredTensor] = []
    offsets: list[int] = []
    names: set[str] = set()
    for left in range(count, 0, -1):
        cursor.certain(left * _SMALLEST_INFO)
        name = cursor.text(_MAX_NAME, "a tensor's name")
        if name in names:
            raise damaged(file, f"tensor {clip(name)} occurs twice")
        names.add(name)
        dimensions = cursor.number(_U32)
        if dimensions > _MAX_DIMENSIONS:
            raise damaged(file, f"tensor {clip(name)} has {dimensions:,} dimensions")
        sizes = [cursor.number(_U64) for _ in range(dimensions)]
        kind, offset = cursor.number(_U32), cursor.number(_U64)
        if kind not in GGML_TYPES:
            raise UnsupportedModelError(
                f"{file}: tensor {clip(name)} has ggml type {kind}, which llama.cpp 0c1e570 does "
                "not know (a fork's own, or newer)"
            )
        dtype, block, block_nbytes = GGML_TYPES[kind]
        if max(sizes, default=1) >= 2**63 or (sizes and sizes[0] % block):
            raise damaged(
                file, f"tensor {clip(name)}: rows of {sizes[0]:,} are not whole {dtype} blocks"
            )
        tensors.append(
            StoredTensor(
                name=name,
                dtype=dtype,
                shape=tuple(reversed(sizes)),
                nbytes=ceil_div(prod(sizes), block) * block_nbytes,
                file=file,
            )
        )
        offsets.append(offset)
    return tensors, offsets


def _check_cover(
    tensors: list[StoredTensor], offsets: list[int], data_bytes: int, alignment: int, file: str
) -> None:
    """Tensors lie one behind the other, padded to `alignment`, as gguf.cpp demands."""
    end = 0
    for offset, tensor in sorted(zip(offsets, tensors, strict=True), key=lambda pair: pair[0]):
        expected = round_up(end, alignment)
        if offset != expected:
            fault = "overlaps the one before it" if offset < end else "is not where it must be"
            raise damaged(
                file, f"tensor {clip(tensor.name)} {fault} (offset {offset}, not {expected})"
            )
        end = offset + tensor.nbytes
    if end > max(data_bytes, 0):
        raise damaged(
            file,
            f"its tensors take {end:,} bytes, but the file has {max(data_bytes, 0):,} for them "
            "(an unfinished download?)",
        )

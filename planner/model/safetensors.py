"""Read a safetensors header: eight bytes of length, that much JSON, and nothing else of the file.

Format: safetensors README and safetensors/src/tensor.rs (`Metadata::validate`): tensors cover the
data without holes or overlaps, and offsets agree with shape and dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import Any

from planner.errors import UnsupportedModelError
from planner.model.headers import (
    MAX_JSON_BYTES,
    FileHeader,
    ReadRange,
    StoredTensor,
    clip,
    damaged,
    parse_json,
)

LENGTH_BYTES = 8
"""Bytes of the little-endian header length at the start of a file."""

MAX_DIMENSIONS = 16
"""No stored weight has more; longer shapes only cost memory."""

MAX_NAME = 4096
"""Longest tensor name that is believed."""

ELEMENT_BITS: Mapping[str, int] = MappingProxyType(
    {
        "BOOL": 8,
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        "U8": 8,
        "I8": 8,
        "F8_E5M2": 8,
        "F8_E4M3": 8,
        "F8_E8M0": 8,
        "F8_E4M3FNUZ": 8,
        "F8_E5M2FNUZ": 8,
        "I16": 16,
        "U16": 16,
        "F16": 16,
        "BF16": 16,
        "I32": 32,
        "U32": 32,
        "F32": 32,
        "C64": 64,
        "F64": 64,
        "I64": 64,
        "U64": 64,
    }
)
"""Bits per element of every dtype the format knows (safetensors/src/tensor.rs, `Dtype`)."""


def read_header(read: ReadRange, size: int, file: str) -> FileHeader:
    """Read the header of one safetensors file: 8 bytes, then exactly the header.

    Args:
        read: gives ranges of the file.
        size: bytes of the file.
        file: its name, for the answer and the error line.

    Raises:
        InputError: the header is damaged, absurd or contradicts itself.
        UnsupportedModelError: a dtype that the format does not know.
    """
    if size < LENGTH_BYTES:
        raise damaged(file, f"{size} bytes are too few for a safetensors file")
    length = int.from_bytes(read(0, LENGTH_BYTES), "little")
    if length + LENGTH_BYTES > size:
        raise damaged(
            file, f"it claims a header of {length:,} bytes, but the whole file has {size:,}"
        )
    if length > MAX_JSON_BYTES:
        raise damaged(
            file, f"it claims a header of {length:,} bytes (at most {MAX_JSON_BYTES:,} are read)"
        )
    document = parse_json(read(LENGTH_BYTES, length), file)
    metadata = document.pop("__metadata__", None)
    start = LENGTH_BYTES + length
    return FileHeader(
        file=file,
        nbytes=size,
        header_nbytes=start,
        tensors=_tensors(document, size - start, file),
        metadata=_metadata(metadata, file),
    )


def _metadata(value: Any, file: str) -> Mapping[str, object]:
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise damaged(file, "__metadata__ is not a map of text to text")
    return MappingProxyType(value)


def _tensors(document: dict[str, Any], data_bytes: int, file: str) -> tuple[StoredTensor, ...]:
    spans: list[tuple[int, int, str]] = []
    tensors: dict[str, StoredTensor] = {}
    for name, entry in document.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        except (TypeError, KeyError, ValueError):
            raise damaged(
                file, f"tensor {clip(name)} lacks dtype, shape or two data_offsets"
            ) from None
        bits = ELEMENT_BITS.get(dtype) if isinstance(dtype, str) else None
        if bits is None:
            raise UnsupportedModelError(
                f"{file}: tensor {clip(name)} has dtype {clip(repr(dtype))}, which safetensors "
                "does not define"
            )
        if not (_is_count(begin) and _is_count(end) and _is_shape(shape)):
            raise damaged(
                file,
                f"tensor {clip(name)} has a shape or offsets that are not whole numbers from 0 to "
                "2^63",
            )
        nbytes, rest = divmod(prod(shape) * bits, 8)
        if rest or nbytes != end - begin:
            raise damaged(
                file,
                f"tensor {clip(name)} spans {end - begin} bytes, but {dtype} {clip(str(shape))} "
                f"takes {clip(str(nbytes), 24)}",
            )
        if len(name) > MAX_NAME:
            raise damaged(file, f"a tensor's name has {len(name):,} characters")
        spans.append((begin, end, name))
        tensors[name] = StoredTensor(
            name=name, dtype=dtype, shape=tuple(shape), nbytes=nbytes, file=file
        )
    spans.sort()
    _check_cover(spans, data_bytes, file)
    return tuple(tensors[name] for _, _, name in spans)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and len(shape) <= MAX_DIMENSIONS and all(map(_is_count, shape))


def _check_cover(spans: list[tuple[int, int, str]], data_bytes: int, file: str) -> None:
    position = 0
    for begin, end, name in spans:
        if begin != position:
            fault = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise damaged(file, f"tensor {clip(name)} {fault} (offset {begin})")
        position = end
    if position != data_bytes:
        raise damaged(
            file,
            f"its tensors take {position} bytes, but the file has {data_bytes} for them (an "
            "unfinished download?)",
        )

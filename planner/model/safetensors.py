"""Read a safetensors header: eight bytes of length, that much JSON, and nothing else of the file.

Format: safetensors README and safetensors/src/tensor.rs (`Metadata::validate`): tensors cover the
data without holes or overlaps, and offsets agree with shape and dtype.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from planner.errors import InputError, UnsupportedModelError, clip
from planner.model.headers import (
    MAX_JSON_BYTES,
    FileHeader,
    ReadRange,
    StoredTensor,
    damaged,
    parse_json,
    uncollected,
)

LENGTH_BYTES = 8
"""Bytes of the little-endian header length at the start of a file."""

MAX_DIMENSIONS = 16
"""No stored weight has more; longer shapes only cost memory."""

MAX_NAME = 4096
"""Longest tensor name that is believed."""

_LIMIT = 2**63

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
    raw, start = read(LENGTH_BYTES, length), LENGTH_BYTES + length
    with uncollected():
        document = parse_json(raw, file)
        metadata = document.pop("__metadata__", None)
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
    """The entries of a header, checked, in the order of their data."""
    begins: list[int] = []
    tensors: list[StoredTensor] = []
    position, in_order = 0, True
    for name, entry in document.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        except (TypeError, KeyError, ValueError):
            raise damaged(
                file, f"tensor {clip(name)} lacks dtype, shape or two data_offsets"
            ) from None
        bits = ELEMENT_BITS.get(dtype) if type(dtype) is str else None
        if bits is None:
            raise UnsupportedModelError(
                f"{file}: tensor {clip(name)} has dtype {clip(repr(dtype))}, which safetensors "
                "does not define"
            )
        if type(shape) is not list or len(shape) > MAX_DIMENSIONS:
            raise _not_whole(name, file)
        elements = 1
        for size in shape:
            if type(size) is not int or not 0 <= size < _LIMIT:
                raise _not_whole(name, file)
            elements *= size
        # Sixty thousand times: the checks are written out, a call each would double the time.
        if type(begin) is not int or type(end) is not int or not 0 <= begin < _LIMIT > end >= 0:
            raise _not_whole(name, file)
        nbytes = elements * bits >> 3
        if nbytes != end - begin or elements * bits & 7:
            raise damaged(
                file,
                f"tensor {clip(name)} spans {end - begin} bytes, but {dtype} {clip(str(shape))} "
                f"takes {clip(str(elements * bits / 8 if elements < _LIMIT else elements), 24)}",
            )
        if len(name) > MAX_NAME:
            raise damaged(file, f"a tensor's name has {len(name):,} characters")
        begins.append(begin)
        tensors.append(
            StoredTensor(name=name, dtype=dtype, shape=tuple(shape), nbytes=nbytes, file=file)
        )
        in_order = in_order and begin == position
        position = end
    if not in_order:
        order = sorted(range(len(begins)), key=lambda index: (begins[index], tensors[index].nbytes))
        tensors, begins = [tensors[index] for index in order], [begins[index] for index in order]
        position = _check_cover(tensors, begins, file)
    if position != data_bytes:
        raise damaged(
            file,
            f"its tensors take {position} bytes, but the file has {data_bytes} for them (an "
            "unfinished download?)",
        )
    return tuple(tensors)


def _check_cover(tensors: list[StoredTensor], begins: list[int], file: str) -> int:
    """Where the last one ends, if they lie one behind the other."""
    position = 0
    for begin, tensor in zip(begins, tensors, strict=True):
        if begin != position:
            fault = "overlaps the one before it" if begin < position else "leaves a hole before it"
            raise damaged(file, f"tensor {clip(tensor.name)} {fault} (offset {begin})")
        position += tensor.nbytes
    return position


def _not_whole(name: str, file: str) -> InputError:
    return damaged(
        file,
        f"tensor {clip(name)} has a shape or offsets that are not whole numbers from 0 to 2^63",
    )

"""Small weight files, written by hand: headers as the formats define them, data that is never made."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

DTYPE_BYTES = {"F32": 4, "I32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "U8": 1}
GGML = {"F32": (0, 1, 4), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144), "BF16": (30, 1, 2)}

Tensors = dict[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Stub:
    """A file of `size` bytes that begins with `head`; the rest is zeros that nobody stores."""

    head: bytes
    size: int

    def slice(self, begin: int, end: int) -> bytes:
        """Bytes from `begin` up to `end`, cut at the end of the file."""
        end = min(end, self.size)
        return self.head[begin:end].ljust(max(end - begin, 0), b"\0")


class Ranges:
    """What a header reader is given: reads of a stub, counted."""

    def __init__(self, stub: Stub) -> None:
        self.stub = stub
        self.asked: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        assert offset + length <= self.stub.size, "a read beyond the end of the file"
        self.asked.append((offset, length))
        return self.stub.slice(offset, offset + length)

    @property
    def nbytes(self) -> int:
        return sum(length for _, length in self.asked)


def safetensors(tensors: Tensors, metadata: dict[str, str] | None = None) -> Stub:
    """A safetensors file with its tensors one behind the other."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata is not None else {}
    offset = 0
    for name, (dtype, shape) in tensors.items():
        nbytes = prod(shape) * DTYPE_BYTES[dtype]
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + nbytes],
        }
        offset += nbytes
    return safetensors_raw(json.dumps(header).encode(), offset)


def safetensors_raw(header: bytes, data_bytes: int, length: int | None = None) -> Stub:
    """A safetensors file with any header, true or not."""
    claimed = len(header) if length is None else length
    return Stub(struct.pack("<Q", claimed) + header, 8 + len(header) + data_bytes)


def sharded(shards: list[Tensors], total: int | None = None) -> dict[str, Stub]:
    """Shards and the index file that belongs to them."""
    files: dict[str, Stub] = {}
    weight_map: dict[str, str] = {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        files[name] = safetensors(tensors)
        weight_map |= dict.fromkeys(tensors, name)
    index = json.dumps({"metadata": {"total_size": total or 0}, "weight_map": weight_map}).encode()
    files["model.safetensors.index.json"] = Stub(index, len(index))
    return files


def gguf_text(text: str | bytes) -> bytes:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(value: object) -> bytes:
    """Type and value; lists become arrays of the type of their first element."""
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + gguf_text(value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(
                gguf_text(str(item)) for item in value
            )
        case list():
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
    raise TypeError(value)


def gguf(
    pairs: dict[str, object],
    tensors: Tensors,
    *,
    alignment: int = 32,
    version: int = 3,
    offsets: dict[str, int] | None = None,
    missing: int = 0,
) -> Stub:
    """A GGUF file; shapes are given outermost first and written the other way round."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    head += b"".join(gguf_text(key) + gguf_value(value) for key, value in pairs.items())
    offset = 0
    for name, (dtype, shape) in tensors.items():
        kind, block, block_nbytes = GGML[dtype]
        sizes = tuple(reversed(shape))
        at = (offsets or {}).get(name, offset)
        head += gguf_text(name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        head += struct.pack("<IQ", kind, at)
        nbytes = prod(shape) // block * block_nbytes
        offset += -(-nbytes // alignment) * alignment
    start = -(-len(head) // alignment) * alignment
    return Stub(head, start + offset - missing)

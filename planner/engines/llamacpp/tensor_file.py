"""A GGUF file's tensors one by one: what llama.cpp places on devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from planner.model.gguf_mix import GgufScheme
from planner.model.spec import ModelSpec

OUTSIDE = -1
"""Block index of tensors outside the blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTensor:
    """One tensor of the file.

    Attributes:
        name: full name: ``blk.3.attn_qkv.weight``.
        key: name without block and suffix: ``attn_qkv``.
        block: index of its block; `OUTSIDE` if it has none.
        type: ggml type as flags spell it (``q4_k``).
        ne: dimensions, innermost first.
        nbytes: bytes in the file.
        mtp: belongs to the MTP module.
    """

    name: str
    key: str
    block: int
    type: str
    ne: tuple[int, ...]
    nbytes: int
    mtp: bool


@cache
def file_tensors(model: ModelSpec, scheme: GgufScheme) -> Mapping[tuple[str, int], FileTensor]:
    """(key, block) -> tensor, in the order of the table of tensors."""
    found: dict[tuple[str, int], FileTensor] = {}
    for row in scheme.tensors(model):
        tensor, stored = row.held.tensor, row.stored
        stacked = (tensor.experts,) if tensor.experts > 1 else ()
        nbytes = tensor.experts * stored.format.nbytes(tensor.shape)
        for name, block in zip(row.held.names, row.held.blocks or (OUTSIDE,), strict=True):
            found[row.held.key, block] = FileTensor(
                name=name,
                key=row.held.key,
                block=block,
                type=row.ggml_type.lower(),
                ne=(*reversed(tensor.shape), *stacked),
                nbytes=nbytes,
                mtp=tensor.part == "mtp",
            )
    return MappingProxyType(found)

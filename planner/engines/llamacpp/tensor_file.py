"""List a GGUF file's tensors one by one: what llama.cpp places on devices."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol, cast

from hardware_db.records import frozen
from planner.errors import UnsupportedModelError
from planner.formats import GGML_FORMATS, NumberFormat
from planner.memo import remembered
from planner.model.checkpoint import Checkpoint
from planner.model.gguf_mix import GgufScheme
from planner.model.gguf_tensors import block_count, gguf_key
from planner.model.quantization import Scheme
from planner.model.spec import ModelSpec

OUTSIDE = -1
"""Block index of tensors outside the blocks."""

_PLAIN = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_GGML = {row.name: row.name.lower().removeprefix("ggml-") for row in GGML_FORMATS}
_CONVERTED = {"bf16": "BF16"}
"""Schemes of safetensors that llama.cpp's converter carries over as they are."""


class FileScheme(Scheme, Hashable, Protocol):
    """A scheme that answers can be remembered by."""


@frozen
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


def gguf_scheme(checkpoint: Checkpoint) -> FileScheme | None:
    """Return how the checkpoint's GGUF file is stored; None if it is no GGUF and cannot become one.

    16-bit checkpoints are taken as converted to BF16 without loss.
    """
    scheme = checkpoint.scheme
    return scheme if isinstance(scheme, GgufScheme) else _of_rows(checkpoint)


@remembered(lambda checkpoint: ((checkpoint,), None))
def _of_rows(checkpoint: Checkpoint) -> FileScheme | None:
    """Return how a file is stored of which the rows tell."""
    scheme = checkpoint.scheme
    blocks = any(row.format.name in _GGML for row in checkpoint.rows("text"))
    names = any(row.tensor.name == "token_embd.weight" for row in checkpoint.rows("text"))
    if blocks or names:
        return cast("FileScheme", scheme)
    mix = _CONVERTED.get(scheme.name)
    return GgufScheme(mix=mix) if mix is not None else None


@lru_cache(maxsize=64)
def has_mtp(model: ModelSpec, scheme: FileScheme) -> bool:
    """Say whether the file holds the MTP blocks."""
    return any(tensor.mtp for tensor in file_tensors(model, scheme).values())


@lru_cache(maxsize=64)
def file_blocks(model: ModelSpec, scheme: FileScheme) -> int:
    """Return the blocks of the file, those of the MTP module included (``block_count``)."""
    return block_count(model, mtp=has_mtp(model, scheme))


@lru_cache(maxsize=64)
def members(model: ModelSpec, scheme: FileScheme) -> Mapping[int, tuple[FileTensor, ...]]:
    """Return the tensors of each block, and those outside the blocks under `OUTSIDE`."""
    found: dict[int, list[FileTensor]] = {}
    for tensor in file_tensors(model, scheme).values():
        found.setdefault(tensor.block, []).append(tensor)
    return MappingProxyType({block: tuple(parts) for block, parts in found.items()})


@lru_cache(maxsize=64)
def file_tensors(model: ModelSpec, scheme: FileScheme) -> Mapping[tuple[str, int], FileTensor]:
    """Return (key, block) -> tensor, in the order of the table of tensors.

    Raises:
        UnsupportedModelError: a tensor that GGUF files have no place or type for; later, when one
            is asked for that the file does not hold.
    """
    found = {(tensor.key, tensor.block): tensor for tensor in _tensors(model, scheme)}
    return MappingProxyType(_Needed(found))


class _Needed(dict[tuple[str, int], FileTensor]):
    """A file's tensors; asking for one that is not there is the file's fault."""

    def __missing__(self, place: tuple[str, int]) -> FileTensor:
        key, block = place
        name = (key if block == OUTSIDE else f"blk.{block}.{key}") + _suffix(key)
        raise UnsupportedModelError(f"llama.cpp refuses the file: missing tensor '{name}'")


def _suffix(key: str) -> str:
    return "" if key in ("ssm_a", "ssm_dt.bias") or key.endswith(".bias") else ".weight"


def _tensors(model: ModelSpec, scheme: FileScheme) -> Iterator[FileTensor]:
    base = model.num_hidden_layers
    for stored in scheme.store(model):
        tensor = stored.tensor
        if tensor.part == "vision":
            continue
        key = gguf_key(tensor)
        if key is None:
            raise UnsupportedModelError(f"{tensor.name}: GGUF files have no place for this tensor")
        stacked = (tensor.experts,) if tensor.experts > 1 else ()
        mtp = tensor.part == "mtp"
        outside = not tensor.layers and not mtp
        name, type_ = key + _suffix(key), _type(stored.format, tensor.name)
        ne = (*reversed(tensor.shape), *stacked)
        nbytes = tensor.experts * stored.format.nbytes(tensor.shape)
        for layer in (OUTSIDE,) if outside else tensor.layers or (0,):
            block = layer + base if mtp else layer
            yield FileTensor(
                name=name if outside else f"blk.{block}.{name}",
                key=key,
                block=block,
                type=type_,
                ne=ne,
                nbytes=nbytes,
                mtp=mtp,
            )


def _type(number_format: NumberFormat, name: str) -> str:
    known = _PLAIN.get(number_format.name) or _GGML.get(number_format.name)
    if known is None:
        raise UnsupportedModelError(f"{name}: llama.cpp has no type for {number_format.name}")
    return known

"""The buffers of a model's weights, per backend."""

from __future__ import annotations

from functools import lru_cache

from planner.engines.llamacpp.ggml.allocator import CUDA_ALIGNMENT, HOST_ALIGNMENT, alloc_bytes
from planner.engines.llamacpp.ggml.tensor import GgmlTensor
from planner.engines.llamacpp.placement import Placement, is_expert
from planner.engines.llamacpp.tensor_file import (
    OUTSIDE,
    FileScheme,
    FileTensor,
    file_tensors,
    members,
)
from planner.model.spec import ModelSpec
from planner.units import round_up


@lru_cache(maxsize=512)
def model_bytes(
    model: ModelSpec, scheme: FileScheme, placement: Placement, *, mtp: bool
) -> tuple[int, ...]:
    """Return the bytes of the weights per backend, the host last.

    Every tensor is padded to the backend's alignment. A tied embedding table is held twice where
    the output layer is on a GPU: on the host for lookups, there as the output head. MTP blocks are
    left out unless speculation uses them.
    """
    sizes = [0] * placement.backends
    host = placement.host
    for block, parts in members(model, scheme).items():
        if parts[0].mtp and not mtp:
            continue
        experts = placement.experts_only
        if block == OUTSIDE or experts is None:
            for tensor in parts:
                home = placement.home(tensor)
                sizes[home] += _padded(tensor, on_gpu=home != host)
        else:
            home = placement.device_of(block)
            rest, routed = _block_bytes(model, scheme, block, on_gpu=home != host)
            sizes[home] += rest
            if block < experts:
                sizes[host] += _block_bytes(model, scheme, block, on_gpu=False)[1]
            else:
                sizes[home] += routed
    if model.tie_word_embeddings:
        head = placement.device_of(placement.blocks)
        if head != host:
            table = file_tensors(model, scheme)["token_embd", OUTSIDE]
            sizes[head] += _padded(table, on_gpu=True)
    return tuple(sizes)


@lru_cache(maxsize=512)
def gpu_bytes_of_blocks(
    model: ModelSpec, scheme: FileScheme, placement: Placement, *, mtp: bool
) -> tuple[int, ...]:
    """Return the bytes that each block keeps on GPUs, as the file counts them.

    The last entry is what lies outside the blocks.
    """
    sizes = [0] * (placement.blocks + 1)
    experts = placement.experts_only
    for block, parts in members(model, scheme).items():
        if parts[0].mtp and not mtp:
            continue
        if block == OUTSIDE or experts is None:
            sizes[placement.blocks if block == OUTSIDE else block] = sum(
                tensor.nbytes for tensor in parts if placement.home(tensor) != placement.host
            )
        elif placement.device_of(block) != placement.host:
            rest, routed = _block_bytes(model, scheme, block, on_gpu=None)
            sizes[block] = rest if block < experts else rest + routed
    return tuple(sizes)


@lru_cache(maxsize=16_384)
def _block_bytes(
    model: ModelSpec, scheme: FileScheme, block: int, *, on_gpu: bool | None
) -> tuple[int, int]:
    """Return the bytes of a block's tensors in one buffer, or (None) in the file: routed experts apart."""
    sizes = [0, 0]
    for tensor in members(model, scheme)[block]:
        size = tensor.nbytes if on_gpu is None else _padded(tensor, on_gpu=on_gpu)
        sizes[is_expert(tensor)] += size
    return sizes[0], sizes[1]


def _padded(tensor: FileTensor, *, on_gpu: bool) -> int:
    """Return the bytes that a buffer of weights gives a tensor."""
    # The file's own bytes: of a published size, a type's may be scaled.
    padding = _padding(tensor.type, tensor.ne) if on_gpu else 0
    return round_up(tensor.nbytes + padding, CUDA_ALIGNMENT if on_gpu else HOST_ALIGNMENT)


@lru_cache(maxsize=4096)
def _padding(type_: str, ne: tuple[int, ...]) -> int:
    """Return the bytes that a GPU takes for a weight beyond its own."""
    stored = GgmlTensor("none", type_, ne)
    return alloc_bytes(stored, on_gpu=True) - alloc_bytes(stored, on_gpu=False)

"""Say where a file's weights and caches lie under a placement, as far as graphs depend on it."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache, partial

from planner.engines.llamacpp.ggml.architecture import architecture
from planner.engines.llamacpp.ggml.homes import Homes
from planner.engines.llamacpp.ggml.inputs import Weights
from planner.engines.llamacpp.ggml.model import block_kind
from planner.engines.llamacpp.ggml.samples import Spot
from planner.engines.llamacpp.ggml.shapes import number
from planner.engines.llamacpp.placement import Placement, is_expert, is_expert_key
from planner.engines.llamacpp.tensor_file import (
    OUTSIDE,
    FileScheme,
    FileTensor,
    file_tensors,
    members,
)
from planner.errors import UnsupportedModelError
from planner.model.spec import ModelSpec

OUTPUT_NORMS = ("output_norm", "output_hc_norm", "output_hc_down", "output_hc_up")
"""What lies between the last block and the output layer."""

_Away = tuple[tuple[str, int, str], ...]
"""Weights that lie in RAM or away from their block: key, backend, type."""

_Kind = tuple[str, int, int, _Away]
"""All of a block that its graph follows from: what it is, its backend, its cache's, what lies away."""


@lru_cache(maxsize=512)
def homes_of(model: ModelSpec, scheme: FileScheme, placement: Placement) -> Homes:
    """Return where a file's weights lie under a placement.

    A weight's type counts only where the weight lies in RAM or away from its block: only there it
    may be copied.

    Raises:
        UnsupportedModelError: the architecture's graph is not modelled.
    """
    arch = architecture(model)
    if arch is None:
        raise UnsupportedModelError(f"llama.cpp: the graph of {model.model_type} is not modelled")
    layers, host = model.num_hidden_layers, placement.host
    kinds: list[_Kind] = [
        (
            block_kind(model, arch, block) if block < layers else "mtp",
            placement.device_of(block),
            placement.cache_home(block),
            _away(model, scheme, placement, block),
        )
        for block in range(placement.blocks)
    ]
    numbers = {kind: number(kind) for kind in kinds}
    frames = {kind: number((*kind[:3], _untyped(kind[3]))) for kind in numbers}
    spots = {kind: _spot(kind, host, kv_offload=placement.kv_offload) for kind in numbers}
    trunk = kinds[:layers]
    head, last = placement.device_of(placement.blocks), placement.device_of(layers - 1)
    weights = partial(_weights, model, scheme, placement)
    made, tensors = weights(), file_tensors(model, scheme)

    def end(backend: int) -> Hashable:
        return "last" if backend == last else "host" if backend == host else backend

    homes = (
        made.home("token_embd", OUTSIDE),
        *(made.home(key, OUTSIDE) for key in OUTPUT_NORMS if (key, OUTSIDE) in tensors),
        head,
    )
    type_ = made.types("output", OUTSIDE)[0] if head == host else ""
    return Homes(
        model=model,
        arch=arch,
        backends=placement.backends,
        blocks=tuple(numbers[kind] for kind in trunk),
        frames=tuple(frames[kind] for kind in trunk),
        spots=tuple(spots[kind] for kind in trunk),
        outside=number((homes, type_)),
        ends=(*map(end, homes), type_ == "f32"),
        mtp=numbers[kinds[layers]] if placement.blocks > layers else None,
        weights=weights,
        cache=placement.cache_home,
        device=placement.device_of,
        by_hand=placement.experts_only is None,
    )


def _untyped(away: _Away) -> Hashable:
    """Return what lies away without the types, which tell sizes and nothing else."""
    return tuple((key, home, type_ == "f32") for key, home, type_ in away)


def _spot(kind: _Kind, host: int, *, kv_offload: bool) -> Spot:
    """Return a block as far as its events depend on it, wherever its device is."""
    what, device, cache, away = kind
    roles: dict[int, Hashable] = {host: "host", device: "own"}

    def told(others: _Away) -> int:
        places = tuple((key, roles.get(home, home), type_ == "f32") for key, home, type_ in others)
        return number((what, roles.get(cache, cache), places))

    # experts need nothing that other blocks need: where they lie is nothing to those
    others = tuple(other for other in away if not is_expert_key(other[0]))
    backends = {device, cache, *(home for _, home, _ in others)}
    piece = told(away)
    return Spot(
        piece=piece,
        needs=piece if others == away else told(others),
        device=device,
        mixed=bool(away) or device == host or not kv_offload,
        # large batches are computed on the first GPU
        backends=frozenset(backends | {0} if host in backends else backends),
    )


def _weights(model: ModelSpec, scheme: FileScheme, placement: Placement) -> Weights:
    """Return a file's weights with their homes, as one graph takes them."""
    tensors = file_tensors(model, scheme)

    def look_up(key: str, block: int) -> FileTensor:
        if key == "output" and model.tie_word_embeddings:
            key = "token_embd"
        return tensors[key, block]

    def types(key: str, block: int) -> tuple[str, tuple[int, ...]]:
        tensor = look_up(key, block)
        return tensor.type, tensor.ne

    def home(key: str, block: int) -> int:
        if key == "output":
            return placement.device_of(placement.blocks)
        return placement.home(look_up(key, block))

    return Weights(types, home)


def _away(model: ModelSpec, scheme: FileScheme, placement: Placement, block: int) -> _Away:
    """Return a block's weights that lie in RAM or away from the block."""
    device, host, experts = placement.device_of(block), placement.host, placement.experts_only
    if experts is not None:
        if device == host:
            return _in_ram(model, scheme, block, host, experts_alone=False)
        return _in_ram(model, scheme, block, host, experts_alone=True) if block < experts else ()
    return tuple(
        (tensor.key, home, tensor.type)
        for tensor in members(model, scheme).get(block, ())
        if (home := placement.home(tensor)) != device or home == host
    )


@lru_cache(maxsize=4096)
def _in_ram(
    model: ModelSpec, scheme: FileScheme, block: int, host: int, *, experts_alone: bool
) -> _Away:
    """Return a block's weights, all in RAM, or its experts, which are."""
    parts = members(model, scheme).get(block, ())
    return tuple(
        (tensor.key, host, tensor.type)
        for tensor in parts
        if not experts_alone or is_expert(tensor)
    )

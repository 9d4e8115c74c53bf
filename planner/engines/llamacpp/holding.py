"""Say what weights and caches alone decide of a placement, without a graph.

Source: as `fit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from planner.bisection import last_holding
from planner.engines.llamacpp.buffers import gpu_bytes_of_blocks
from planner.engines.llamacpp.machine import Room
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.llamacpp.tensor_file import OUTSIDE, file_tensors
from planner.memo import remembered

_BALANCE_STEPS = 24


def most_moved(server: Server) -> int:
    """Return how many steps `offload_after` has."""
    return server.expert_blocks + server.blocks + 1


def offload_after(server: Server, moved: int) -> tuple[int, int]:
    """Return --n-cpu-moe and -ngl after so many steps into RAM: first experts, then whole layers."""
    experts = server.expert_blocks
    return min(moved, experts), server.blocks + 1 - max(0, moved - experts)


def may_fit(server: Server, room: Room, computing: Sequence[int] = ()) -> bool:
    """Say whether some placement may fit; that none does takes no graph.

    More in RAM leaves more on the GPUs: the offload that fills RAM decides.

    Args:
        server: the server.
        room: what may be used.
        computing: bytes of compute buffers on the first GPUs and on the host behind all of them;
            none on the others.
    """
    if server.options.places_by_hand or not server.devices:
        return True
    moved = filling(server, room, computing)
    if moved is None:
        return False
    placement = offloaded(server, moved)
    return may_hold(server, room, placement, server.held(placement), computing[: server.devices])


def offloaded(server: Server, moved: int) -> Placement:
    """Return the placement after so many steps into RAM, plain."""
    n_cpu_moe, n_gpu_layers = offload_after(server, moved)
    return server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe)


def filling(server: Server, room: Room, computing: Sequence[int]) -> int | None:
    """Return how many steps fill RAM; None if it does not even hold what is always there.

    None goes there where that is not known to have room.

    Args:
        server: the server.
        room: what may be used.
        computing: as in `may_fit`.
    """
    if room.host is None or room.shared:
        return 0
    left = room.host - sum(computing[server.devices :])
    return last_holding(
        lambda moved: server.held(offloaded(server, moved)).total(server.devices) <= left,
        0,
        most_moved(server),
    )


def may_hold(
    server: Server, room: Room, placement: Placement, held: Usage, computing: Sequence[int]
) -> bool:
    """Say whether an offload may fit, plain or spread: that takes no graph.

    Args:
        server: the server.
        room: what may be used.
        placement: the offload, plain.
        held: its weights and caches.
        computing: bytes of compute buffers on the first GPUs; none on the others.
    """
    rooms = [limit - taken for limit, taken in zip_longest(room.gpus, computing, fillvalue=0)]
    beside = zip(held.vision_weights, held.vision_compute, strict=True)
    spare = [left - sum(taken) for left, taken in zip(rooms, beside, strict=False)]
    sizes = layer_bytes(server, placement)
    spreads = server.devices > 1 and min(spare) > 0 and sum(sizes) <= sum(spare)
    if spreads and _fill(sizes, spare, 1.0) is not None:
        return True
    return all(held.total(gpu) <= left for gpu, left in enumerate(rooms))


@remembered(lambda server, placement: ((server,), placement))
def layer_bytes(server: Server, placement: Placement) -> tuple[int, ...]:
    """Return the bytes of each offloaded block and of the output layer: weights on GPUs and caches."""
    start = max(placement.blocks + 1 - placement.n_gpu_layers, 0)
    speculative = bool(server.options.draft_tokens)
    sizes = list(gpu_bytes_of_blocks(server.model, server.scheme, placement, mtp=speculative))
    tensors = file_tensors(server.model, server.scheme)
    if server.model.tie_word_embeddings:
        sizes[placement.blocks] += tensors["token_embd", OUTSIDE].nbytes
    if placement.kv_offload:
        for block, size in server.cache_of_blocks().items():
            sizes[block] += size
    return tuple(sizes[start:])


def spread(sizes: Sequence[int], spare: list[int]) -> tuple[int, ...] | None:
    """Return how many consecutive layers each GPU takes; None if they do not fit at all."""
    if any(room <= 0 for room in spare):
        return None
    best = _fill(sizes, spare, 1.0)
    if best is None:
        return None
    low, high = 0.0, 1.0
    for _ in range(_BALANCE_STEPS):
        middle = (low + high) / 2
        found = _fill(sizes, spare, middle)
        if found is None:
            low = middle
        else:
            high, best = middle, found
    return best


def _fill(sizes: Sequence[int], spare: list[int], share: float) -> tuple[int, ...] | None:
    """Fill GPU after GPU to `share` of its room, in the order of the layers."""
    counts = [0] * len(spare)
    gpu, taken = 0, 0
    for size in sizes:
        while gpu < len(spare) and taken + size > share * spare[gpu]:
            gpu, taken = gpu + 1, 0
        if gpu == len(spare):
            return None
        counts[gpu] += 1
        taken += size
    return tuple(counts)

"""The placement that fits: what stays on the GPUs, what goes to host memory.

The order is --fit's: everything on the GPUs; else, of a model with experts, the experts of as few
blocks as possible to the host; else, or of a dense model, whole blocks, from the first on. Unlike
--fit, which guesses by interpolation and may leave room, the least number is found.

Source: llama.cpp 0c1e570 common/fit.cpp (order, margin, dry run); src/llama-model.cpp (split).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from planner.engines.llamacpp.placement import Override, Placement
from planner.engines.llamacpp.seek import largest
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.llamacpp.tensor_file import OUTSIDE, file_tensors

_BALANCE_STEPS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What may be used.

    Attributes:
        gpus: bytes on each GPU, the margin already taken off.
        host: bytes on the host; None: nothing is known of it, so nothing is moved there unasked.
        shared: GPU and host are one memory.
    """

    gpus: tuple[int, ...]
    host: int | None
    shared: bool = False

    def slack(self, usage: Usage) -> int:
        """Bytes to spare on the tightest backend; negative when over."""
        if self.shared:
            return self.gpus[0] - usage.total(0) - usage.total(1)
        spare = [room - usage.total(gpu) for gpu, room in enumerate(self.gpus)]
        if self.host is not None:
            spare.append(self.host - usage.total(len(self.gpus)))
        return min(spare)

    def holds(self, usage: Usage) -> bool:
        """Every backend keeps within its room."""
        return self.slack(usage) >= 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A placement and how it is told to llama-server.

    Attributes:
        placement: what lies where.
        slack: bytes to spare on the tightest backend; negative when over.
        n_gpu_layers: -ngl, where it is not all.
        n_cpu_moe: --n-cpu-moe.
        tensor_split: -ts, where it is not llama.cpp's own.
    """

    placement: Placement
    slack: int
    n_gpu_layers: int | None = None
    n_cpu_moe: int = 0
    tensor_split: tuple[float, ...] | None = None

    @property
    def fits(self) -> bool:
        """It keeps within the room."""
        return self.slack >= 0


def fit(server: Server, room: Room) -> Fitted:
    """The placement with the least on the host that keeps within `room`.

    Where the user placed tensors by hand, that placement, whether it fits or not.
    """
    if server.options.places_by_hand:
        return _by_hand(server, room)
    full = server.placement()
    whole = Fitted(placement=full, slack=room.slack(server.usage(full, dry_run=True)))
    if whole.fits or not server.devices:
        return whole
    balanced = _balanced(server, room, n_cpu_moe=0, n_gpu_layers=server.blocks + 1)
    if balanced.fits or room.host is None or room.shared:
        return balanced if balanced.fits else whole
    experts, layers = server.expert_blocks, server.blocks + 1
    if experts:
        found = _least(
            lambda n: _balanced(server, room, n_cpu_moe=n, n_gpu_layers=layers), most=experts
        )
        if found.fits:
            return found
    return _least(
        lambda n: _balanced(server, room, n_cpu_moe=experts, n_gpu_layers=layers - n), most=layers
    )


def _least(attempt: Callable[[int], Fitted], *, most: int) -> Fitted:
    """The fitting attempt with the smallest number; that with `most` if none fits.

    More on the host leaves more on the GPUs, until the host itself is full.
    """
    tried: dict[int, Fitted] = {}

    def slack(kept: int) -> int:
        moved = most - kept
        tried[moved] = attempt(moved)
        return tried[moved].slack

    kept = largest(slack, 0, most)
    return tried[most if kept is None else most - kept]


def _by_hand(server: Server, room: Room) -> Fitted:
    options = server.options
    host = server.devices
    overrides = tuple(
        Override(pattern=pattern, backend=_backend(buffer, host))
        for pattern, _, buffer in (rule.rpartition("=") for rule in options.override_tensor)
    )
    shares = options.tensor_split
    placement = server.placement(
        n_gpu_layers=options.n_gpu_layers,
        n_cpu_moe=options.n_cpu_moe or 0,
        shares=(*shares, *(0.0,) * server.devices)[: server.devices] if shares else None,
        overrides=overrides,
    )
    return Fitted(
        placement=placement,
        slack=room.slack(server.usage(placement, dry_run=True)),
        n_gpu_layers=options.n_gpu_layers,
        n_cpu_moe=options.n_cpu_moe or 0,
        tensor_split=shares,
    )


def _backend(buffer: str, host: int) -> int:
    digits = "".join(c for c in buffer if c.isdigit())
    return host if buffer == "CPU" or int(digits) >= host else int(digits)


def _balanced(server: Server, room: Room, *, n_cpu_moe: int, n_gpu_layers: int) -> Fitted:
    """The given offload, its blocks spread so that the fullest GPU is as empty as possible."""
    plain = server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe)
    layers = n_gpu_layers if n_gpu_layers <= server.blocks else None

    def judged(placement: Placement, split: tuple[float, ...] | None) -> Fitted:
        return Fitted(
            placement=placement,
            slack=room.slack(server.usage(placement, dry_run=True)),
            n_gpu_layers=layers,
            n_cpu_moe=n_cpu_moe,
            tensor_split=split,
        )

    if server.devices <= 1 or n_gpu_layers == 0:
        return judged(plain, None)
    usage = server.usage(plain, dry_run=True)
    fixed = [
        usage.compute[gpu]
        + usage.draft_compute[gpu]
        + usage.vision_weights[gpu]
        + usage.vision_compute[gpu]
        for gpu in range(server.devices)
    ]
    spare = [limit - taken for limit, taken in zip(room.gpus, fixed, strict=True)]
    counts = _spread(_layer_bytes(server, plain), spare)
    if counts is None:
        return judged(plain, None)
    split = tuple(float(count) for count in counts)
    placement = server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe, shares=split)
    return judged(placement, split)


def _layer_bytes(server: Server, placement: Placement) -> list[int]:
    """Bytes of each offloaded block and of the output layer: weights on GPUs and caches."""
    start = max(placement.blocks + 1 - placement.n_gpu_layers, 0)
    sizes = [0] * (placement.blocks + 1)
    speculative = bool(server.options.draft_tokens)
    tensors = file_tensors(server.model, server.scheme)
    for tensor in tensors.values():
        if placement.home(tensor) == placement.host or (tensor.mtp and not speculative):
            continue
        sizes[placement.blocks if tensor.block == OUTSIDE else tensor.block] += tensor.nbytes
    if server.model.tie_word_embeddings:
        sizes[placement.blocks] += tensors["token_embd", OUTSIDE].nbytes
    if placement.kv_offload:
        for block, size in server.cache_of_blocks().items():
            sizes[block] += size
    return sizes[start:]


def _spread(sizes: list[int], spare: list[int]) -> tuple[int, ...] | None:
    """How many consecutive layers each GPU takes; None if they do not fit at all."""
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


def _fill(sizes: list[int], spare: list[int], share: float) -> tuple[int, ...] | None:
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

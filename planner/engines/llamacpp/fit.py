"""Find the placement that fits.

The order is --fit's: everything on the GPUs; else, of a model with experts, the experts of as few
blocks as possible in RAM; else, or of a dense model, whole blocks, from the first on. Unlike
--fit, which guesses by interpolation and may leave room, the least number is found. Where even a GPU
without a block has no room for its compute buffer, no GPU is used at all (`Bare`).

Source: llama.cpp 0c1e570 common/fit.cpp (order, margin, dry run); src/llama-model.cpp (split).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hardware_db.records import frozen
from planner.bisection import last_holding
from planner.engines.llamacpp.holding import (
    filling,
    layer_bytes,
    may_fit,
    may_hold,
    most_moved,
    offload_after,
    offloaded,
    spread,
)
from planner.engines.llamacpp.machine import Room
from planner.engines.llamacpp.options import gpu_number
from planner.engines.llamacpp.placement import Override, Placement
from planner.engines.llamacpp.server import Server, Usage

_GUESSES = 2
"""Times that the number of blocks on the GPUs is guessed anew from what an attempt computed in."""


@frozen
class Fitted:
    """A placement and how it is told to llama-server.

    Attributes:
        placement: what lies where.
        slack: bytes to spare on the tightest backend; negative when over.
        gpu_slack: the same of the GPUs alone.
        usage: what the server takes, as the dry run counts.
        n_gpu_layers: -ngl, where it is not all.
        n_cpu_moe: --n-cpu-moe.
        tensor_split: -ts, where it is not llama.cpp's own.
    """

    placement: Placement
    slack: int
    gpu_slack: int
    usage: Usage
    n_gpu_layers: int | None = None
    n_cpu_moe: int = 0
    tensor_split: tuple[float, ...] | None = None

    @property
    def fits(self) -> bool:
        """Say whether it keeps within the room."""
        return self.slack >= 0


def fit(server: Server, room: Room) -> Fitted:
    """Return the placement with the least in RAM that keeps within `room`.

    Where the user placed tensors by hand, that placement, whether it fits or not. Where nothing
    fits, the placement that comes closest.
    """
    if server.options.places_by_hand:
        return by_hand(server, room)
    full = server.placement()
    whole = _judged(server, room, full)
    if whole.fits or not server.devices:
        return whole
    if not (may_fit(server, room) or room.host is None or room.shared):
        return _closest(server, room, whole)
    balanced = whole
    if server.devices > 1:
        balanced = balanced_over(server, room, n_cpu_moe=0, n_gpu_layers=server.blocks + 1)
    if balanced.fits or room.host is None or room.shared:
        return balanced if balanced.fits else whole
    experts, layers = server.expert_blocks, server.blocks + 1
    tried = [balanced]
    if experts:
        found = _least(server, room, balanced, lambda n: (n, layers), most=experts)
        if found.fits:
            return found
        tried.append(found)
    found = _least(server, room, tried[-1], lambda n: (experts, layers - n), most=layers)
    if found.fits:
        return found
    return max((*tried, found), key=lambda attempt: attempt.slack)


def fits(server: Server, room: Room, computing: Sequence[int] = ()) -> bool:
    """Say whether `fit` finds a placement that fits; that it does often takes one graph.

    Where all of it has no room on the GPUs, the offload that fills RAM is tried first.

    Args:
        server: the server.
        room: what may be used.
        computing: bytes that it is thought to compute in, as in `may_fit`.
    """
    full = server.placement()
    as_it_is = (
        server.options.places_by_hand
        or not server.devices
        or may_hold(server, room, full, server.held(full), computing[: server.devices])
    )
    if moved := 0 if as_it_is else filling(server, room, computing):
        n_cpu_moe, n_gpu_layers = offload_after(server, moved)
        if balanced_over(server, room, n_cpu_moe=n_cpu_moe, n_gpu_layers=n_gpu_layers).fits:
            return True
    return fit(server, room).fits


def _closest(server: Server, room: Room, whole: Fitted) -> Fitted:
    """Return the offload that fills the GPUs and leaves the rest to RAM, which cannot hold it.

    The number of blocks follows from what the GPUs compute in with all of it on them: one graph.
    """
    computing, most = whole.usage.computing[:-1], most_moved(server)

    def holds(kept: int) -> bool:
        placement = offloaded(server, most - kept)
        return may_hold(server, room, placement, server.held(placement), computing)

    n_cpu_moe, n_gpu_layers = offload_after(server, most - (last_holding(holds, 0, most) or 0))
    filled = balanced_over(server, room, n_cpu_moe=n_cpu_moe, n_gpu_layers=n_gpu_layers)
    return max((whole, filled), key=lambda attempt: attempt.slack)


@frozen
class Bare:
    """The same server on the same machine without its GPUs, where it may do without.

    Attributes:
        server: the server.
        room: what of the RAM may be used.
    """

    server: Server
    room: Room

    def fits(self, slots: int) -> bool:
        """Say whether so many slots fit."""
        return fit(replace(self.server, slots=slots), self.room).fits


def _least(
    server: Server,
    room: Room,
    before: Fitted,
    offload: Callable[[int], tuple[int, int]],
    *,
    most: int,
) -> Fitted:
    """Return the fitting attempt with the smallest number from 1 to `most`; else the closest.

    More in RAM leaves more on the GPUs, so the GPUs alone are bisected. RAM overflows at the other
    end, and a compute buffer may grow by a step where a block moves: what the bisection finds is
    looked at, and where it does not fit, all numbers that may are tried one by one. Between two
    numbers what a GPU computes in is taken to be no smaller than the smaller of both, which refutes
    most numbers without a graph.

    Args:
        server: the server.
        room: what may be used.
        before: an attempt with less in RAM, whose compute buffers tell where to begin.
        offload: a number -> (--n-cpu-moe, -ngl).
        most: the largest number.
    """
    tried: dict[int, Fitted] = {}
    known: dict[int, tuple[Placement, Usage]] = {}
    on_gpus = sum(room.gpus)
    computing = before.usage.computing[:-1]

    def found(moved: int) -> Fitted:
        if moved not in tried:
            n_cpu_moe, n_gpu_layers = offload(moved)
            tried[moved] = balanced_over(
                server, room, n_cpu_moe=n_cpu_moe, n_gpu_layers=n_gpu_layers
            )
        return tried[moved]

    def placed(moved: int) -> tuple[Placement, Usage]:
        """Return the offload, plain, with its weights and caches."""
        if moved not in known:
            n_cpu_moe, n_gpu_layers = offload(moved)
            placement = server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe)
            known[moved] = placement, server.held(placement)
        return known[moved]

    def gpus_held(moved: int) -> int:
        """Return the bytes of weights and caches on the GPUs."""
        _, usage = placed(moved)
        return sum(usage.total(gpu) for gpu in range(server.devices))

    def may(moved: int) -> bool:
        """Say whether it is worth a graph, by what the attempts on both sides compute in."""
        if moved in tried:
            return True
        below = max((number for number in tried if number < moved), default=None)
        above = min((number for number in tried if number > moved), default=None)
        least: tuple[int, ...] = ()
        if below is not None and above is not None:
            sides = (tried[number].usage.computing[: server.devices] for number in (below, above))
            least = tuple(map(min, *sides))
        return may_hold(server, room, *placed(moved), least)

    def gpus_hold(kept: int) -> bool:
        moved = most - kept
        if not kept:
            return True
        return gpus_held(moved) <= on_gpus and may(moved) and found(moved).gpu_slack >= 0

    def most_kept(below: int) -> int:
        """Return how many may be kept beside what is computed in."""
        held = last_holding(
            lambda kept: may_hold(server, room, *placed(most - kept), computing), 0, below
        )
        return held or 0

    guess = most_kept(most - 1)
    for _ in range(_GUESSES):
        if not guess or found(most - guess).gpu_slack >= 0:
            break
        # with something in RAM it computes in more
        computing = tuple(map(max, computing, found(most - guess).usage.computing))
        guess = most_kept(guess - 1)
    first = found(most - (last_holding(gpus_hold, 0, most - 1, guess=guess) or 0))
    if first.fits:
        return first
    found(most)  # so that every number has an attempt above it
    for moved in range(1, most + 1):
        placement, usage = placed(moved)
        too_much = room.host is not None and usage.total(placement.host) > room.host
        if too_much or gpus_held(moved) > on_gpus or not may(moved):
            continue
        if found(moved).fits:
            return found(moved)
    return max(tried.values(), key=lambda fitted: fitted.slack)


def _judged(
    server: Server,
    room: Room,
    placement: Placement,
    *,
    n_gpu_layers: int | None = None,
    n_cpu_moe: int = 0,
    tensor_split: tuple[float, ...] | None = None,
) -> Fitted:
    """Return the placement with what it leaves, as the dry run behind --fit counts."""
    usage = server.usage(placement, dry_run=True)
    return Fitted(
        placement=placement,
        slack=room.slack(usage),
        gpu_slack=room.gpu_slack(usage),
        usage=usage,
        n_gpu_layers=n_gpu_layers,
        n_cpu_moe=n_cpu_moe,
        tensor_split=tensor_split,
    )


def by_hand(server: Server, room: Room) -> Fitted:
    """Return the placement that the user says, with what it leaves."""
    options = server.options
    host = server.devices
    overrides = tuple(
        Override(
            pattern=pattern,
            backend=host
            if buffer == "CPU"
            else server.own + gpu_number(buffer) - options.first_gpu,
        )
        for pattern, _, buffer in (rule.rpartition("=") for rule in options.override_tensor)
    )
    shares = options.tensor_split
    used = (*(shares or ()), *(0.0,) * server.devices)[: server.devices]
    placement = server.placement(
        n_gpu_layers=options.n_gpu_layers,
        n_cpu_moe=options.n_cpu_moe or 0,
        shares=used if any(used) else None,
        overrides=overrides,
    )
    return _judged(
        server,
        room,
        placement,
        n_gpu_layers=options.n_gpu_layers,
        n_cpu_moe=options.n_cpu_moe or 0,
        tensor_split=shares,
    )


def balanced_over(server: Server, room: Room, *, n_cpu_moe: int, n_gpu_layers: int) -> Fitted:
    """Return the given offload, its blocks spread so that the fullest GPU is as empty as possible.

    Without a block on the GPUs experts are in RAM as they are, and --n-cpu-moe would say nothing.
    """
    n_cpu_moe = n_cpu_moe if n_gpu_layers else 0
    plain = server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe)
    layers = n_gpu_layers if n_gpu_layers <= server.blocks else None

    def judged(placement: Placement, split: tuple[float, ...] | None) -> Fitted:
        return _judged(
            server,
            room,
            placement,
            n_gpu_layers=layers,
            n_cpu_moe=n_cpu_moe,
            tensor_split=split,
        )

    if server.devices <= 1 or n_gpu_layers == 0:
        return judged(plain, None)
    usage = server.usage(plain, dry_run=True)
    fixed = [
        usage.computing[gpu] + usage.vision_weights[gpu] + usage.vision_compute[gpu]
        for gpu in range(server.devices)
    ]
    if room.shared:
        fixed[-1] += usage.total(plain.host)
    spare = [limit - taken for limit, taken in zip(room.gpus, fixed, strict=True)]
    counts = spread(layer_bytes(server, plain), spare)
    if counts is None:
        return judged(plain, None)
    split = tuple(float(count) for count in counts)
    placement = server.placement(n_gpu_layers=n_gpu_layers, n_cpu_moe=n_cpu_moe, shares=split)
    return judged(placement, split)

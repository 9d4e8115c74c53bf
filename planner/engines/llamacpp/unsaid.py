"""Say which context --fit leaves where -c is not said.

    asked    = native length x streams
    cells    = least + (asked - least) x (free - used at least) / (used at asked - used at least)

in whole steps of 256 cells per stream, between `--fit-ctx` and the native length. Only weights in
RAM come after that, so a server whose weights fit on the GPUs starts with what is left for a cache.

Source: llama.cpp 0c1e570 common/fit.cpp (steps 1 and 2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.engines.engine import Deployment
from planner.engines.llamacpp.contexts import CELLS_PADDING
from planner.engines.llamacpp.fit import by_hand
from planner.engines.llamacpp.machine import Room, machine_of
from planner.engines.llamacpp.meant import server_of
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.server import Server


def context_unsaid(deployment: Deployment) -> int:
    """Return the tokens of each sequence that is asked for, once --fit has chosen."""
    asked = server_of(deployment)
    options, native = asked.options, asked.model.max_position_embeddings
    if not options.fit:
        return deployment.context
    streams = 1 if asked.kv_unified else asked.slots
    most, least = native * streams, min(options.fit_ctx, native) * streams
    room = machine_of(deployment, gpus=asked.devices).room(options.fit_target_mib)
    single = replace(asked, full=1) if asked.kv_unified else asked

    def served(cells: int) -> Server:
        return replace(single, context=cells // streams)

    placement = by_hand(single, room).placement if options.places_by_hand else single.placement()
    if room.slack(served(most).usage(placement, dry_run=True)) >= 0:
        cells = most
    else:
        cells = _between(served, placement, room, least, most, step=CELLS_PADDING * streams)
    sharing = deployment.concurrency if asked.kv_unified else streams
    return max(1, cells // sharing)


def _between(
    served: Callable[[int], Server],
    placement: Placement,
    room: Room,
    least: int,
    most: int,
    *,
    step: int,
) -> int:
    """Return the cells that --fit interpolates: the most where reducing them would free nothing."""
    free, large = _taken(served(most), placement, room)
    _, small = _taken(served(least), placement, room)
    gpus = len(room.gpus)
    if gpus > 1:
        first = served(least)
        layers = min(placement.n_gpu_layers, placement.blocks)
        each = sum(first.held(placement).weights[:gpus]) // max(1, layers)
        free -= (gpus + 1) * each // (6 if first.expert_blocks else 2)
    if large <= free:
        return most
    if free <= small:
        return least
    cells = least + (most - least) * (free - small) // (large - small)
    return max(least, cells - cells % step)


def _taken(server: Server, placement: Placement, room: Room) -> tuple[int, int]:
    """Return the room of all GPUs together, and what the server takes of it.

    Without a GPU, both of RAM; where GPU and RAM are one memory, both together.
    """
    usage = server.usage(placement, dry_run=True)
    host = usage.total(placement.host)
    if not room.gpus:
        return room.host or 0, host
    gpus = sum(usage.total(gpu) for gpu in range(placement.devices))
    return sum(room.gpus), gpus + (host if room.shared else 0)

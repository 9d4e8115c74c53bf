"""How far the memory goes: most slots, longest context, by the same arithmetic as the plan."""

from __future__ import annotations

from dataclasses import replace

from planner.engines.engine import Capacity, Deployment
from planner.engines.llamacpp.contexts import CELLS_PADDING, MAX_SEQUENCES
from planner.engines.llamacpp.fit import Fitted, Room, fit
from planner.engines.llamacpp.seek import largest
from planner.engines.llamacpp.server import Server
from planner.engines.yarn import LONGEST


def capacity_of(deployment: Deployment, server: Server, fitted: Fitted, room: Room) -> Capacity:
    """Slots at the asked context and the longest single sequence.

    Where the asked workload fits, both are sought under its placement; where it does not, fewer
    slots are sought with a placement of their own.
    """
    length = _longest(deployment, server, fitted, room)
    options = server.options
    if options.parallel is not None:
        sequences, limit = (options.parallel if fitted.fits else 0), "slots (-np)"
    elif fitted.fits:
        found = largest(
            lambda slots: room.slack(
                replace(server, slots=slots).usage(fitted.placement, dry_run=True)
            ),
            server.slots,
            MAX_SEQUENCES,
        )
        sequences = found or server.slots
        limit = "slots (LLAMA_MAX_SEQ)" if sequences == MAX_SEQUENCES else "KV cache and state"
    else:
        sequences = _fewer(server, room)
        limit = "KV cache and state"
    return Capacity(
        sequences=sequences,
        tokens=sequences * deployment.context,
        longest_context=length,
        limited_by=limit,
    )


def _fewer(server: Server, room: Room) -> int:
    """The largest number of slots below the asked one that some placement holds; zero if none."""
    if server.slots == 1:
        return 0
    found = largest(
        lambda slots: fit(replace(server, slots=slots), room).slack, 1, server.slots - 1
    )
    return found or 0


def _longest(deployment: Deployment, server: Server, fitted: Fitted, room: Room) -> int:
    """Tokens of the longest sequence that a single slot can hold, up to what positions allow."""
    native = deployment.checkpoint.model.max_position_embeddings
    most = max(native, LONGEST) if deployment.yarn else native
    single = replace(server, slots=1)
    placement = fitted.placement if fitted.fits else fit(single, room).placement

    def slack(tokens: int) -> int:
        return room.slack(replace(single, context=tokens).usage(placement, dry_run=True))

    return largest(slack, min(CELLS_PADDING, most), most, step=CELLS_PADDING) or 0

"""Plan a column of workloads at once, where the placement does not depend on them.

That is so where --fit has nothing to move: on one GPU beside RAM of which nothing is known, in one
memory that GPU and CPU share, without a GPU. Caches and terms are the arithmetic of a plan, given
columns; compute buffers come from the stretches of lengths of each number of slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from planner.bisection import largest_of_each
from planner.columns import alike, choose
from planner.engines.columns import Columns
from planner.engines.engine import Deployment, but_workload
from planner.engines.llamacpp.contexts import CELLS_PADDING, MAX_SEQUENCES, Context
from planner.engines.llamacpp.fit import fit
from planner.engines.llamacpp.graphs import compute_at_lengths
from planner.engines.llamacpp.machine import machine_of
from planner.engines.llamacpp.meant import server_of
from planner.engines.llamacpp.placement import Placement
from planner.engines.llamacpp.reach import BY_MEMORY, longest_of
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.llamacpp.terms import gpu_terms, host_terms, ranks
from planner.memo import remembered
from planner.units import round_up


def contexts_alike(deployment: Deployment) -> range:
    """Return the contexts with a full batch, up to the native length; empty where --fit moves."""
    model, options = deployment.checkpoint.model, deployment.options
    server = server_of(deployment)
    room = machine_of(deployment, gpus=server.devices).room(options.kept_free_mib)
    moves = server.devices > 0 and not room.shared
    moves &= room.host is not None or options.ram_unsaid
    shared = options.kv_unified and options.parallel is not None
    if moves or shared or server.devices > 1 or options.places_by_hand or model.attention.indexer:
        return range(0)
    least = max(options.batch_size, options.ubatch_size)
    return range(round_up(least, CELLS_PADDING), model.max_position_embeddings + 1)


def columns_of(deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
    """Return the answers to a column of workloads, all of `contexts_alike`.

    Args:
        deployment: everything but the workload.
        contexts: tokens per sequence of each row.
        concurrencies: sequences of each row.
    """
    given, one = deployment.options.parallel, server_of(deployment, slots=1)
    machine = machine_of(deployment, gpus=one.devices)
    slots = concurrencies if given is None else np.full_like(contexts, given)
    server: Server = replace(one, context=contexts, slots=slots)
    placement, limits = one.placement(), _limits(deployment)
    cells: Any = round_up(contexts, CELLS_PADDING)
    fits = cells <= limits[slots - 1]
    if given is None:
        lengths, places = np.unique(cells, return_inverse=True)
        numbers: Any = np.arange(1, MAX_SEQUENCES + 1)
        # the last of these numbers that holds, up to each: not all smaller ones need hold
        held = np.where(lengths[:, None] <= limits[None, :], numbers[None, :], 0)
        last = np.maximum.accumulate(held, axis=1)
        sequences = last[places, choose(fits, MAX_SEQUENCES, slots) - 1]
        limited_by = choose(sequences == MAX_SEQUENCES, "slots (LLAMA_MAX_SEQ)", BY_MEMORY)
    else:
        sequences, limited_by = choose(fits, given, 0), "slots (-np)"
    usage = _usage(server, placement, dry_run=False)
    gpus = gpu_terms(server, placement, usage, checked=machine.checked, runtime=machine.runtime)
    return Columns.of_ranks(
        ranks(server, machine, usage, gpus, host_terms(server, placement, usage)),
        contexts,
        tight=False,
        starts=fits | (given is None) & (cells <= limits[0]),
        sequences=sequences,
        tokens=sequences * contexts,
        longest_context=_longest(deployment),
        limited_by=limited_by,
    )


@remembered(but_workload)
def _longest(deployment: Deployment) -> int:
    """Return the tokens of the longest single sequence."""
    single = server_of(deployment, slots=1)
    room = machine_of(deployment, gpus=single.devices).room(deployment.options.kept_free_mib)
    return longest_of(deployment, single, fit(single, room), room)


@remembered(but_workload)
def _limits(deployment: Deployment) -> Any:
    """Return the most cells per slot that hold, for every number of slots up to the most.

    Precondition: a longer context takes no less.
    """
    one, options = server_of(deployment, slots=1), deployment.options
    room, placement = (
        machine_of(deployment, gpus=one.devices).room(options.kept_free_mib),
        one.placement(),
    )
    most = MAX_SEQUENCES if options.parallel is None else options.parallel
    slots: Any = np.arange(1, most + 1)
    native = deployment.checkpoint.model.max_position_embeddings

    def holds(steps: Any) -> Any:
        server = replace(one, slots=slots, context=steps * CELLS_PADDING)
        return room.slack(_usage(server, placement, dry_run=True)) >= 0

    return CELLS_PADDING * largest_of_each(holds, -(-native // CELLS_PADDING), slots)


def _usage(server: Server, placement: Placement, *, dry_run: bool) -> Usage:
    """Return what a column of servers takes."""
    held = server.weighed(placement)
    found = replace(held, compute=_compute(server, placement, lambda one: one.trunk, dry_run))
    if server.draft is None:
        return found
    drafting = _compute(server, placement, lambda one: one.draft or one.trunk, dry_run)
    return replace(found, draft_compute=drafting)


def _compute(
    server: Server, placement: Placement, context: Callable[[Server], Context], dry_run: bool
) -> tuple[Any, ...]:
    """Return the compute buffers of a column of servers, slots by slots."""
    whole = [np.zeros_like(server.context) for _ in range(placement.backends)]
    lengths: Any = server.context
    cells: Any = context(server).n_ctx_seq
    for slots, rows in alike(server.slots):
        one = replace(server, slots=slots, context=int(lengths[rows[0]]))
        found = compute_at_lengths(
            server.model,
            server.scheme,
            placement,
            context(one),
            cells[rows],
            op_offload=server.options.op_offload,
            dry_run=dry_run,
        )
        for sizes, part in zip(whole, found, strict=True):
            sizes[rows] = part
    return tuple(whole)

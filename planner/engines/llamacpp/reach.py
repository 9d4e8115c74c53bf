"""Say how far the memory goes: the most slots at the asked context, and the longest sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from planner.bisection import last_holding
from planner.engines.engine import Deployment
from planner.engines.llamacpp.contexts import CELLS_PADDING, MAX_SEQUENCES
from planner.engines.llamacpp.fit import Bare, Fitted, fit, fits
from planner.engines.llamacpp.holding import may_fit
from planner.engines.llamacpp.machine import Room
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.yarn import LONGEST
from planner.units import ceil_div

BY_MEMORY = "KV cache and state"
"""What stops more slots where memory does."""


def slots_of(
    server: Server, fitted: Fitted, room: Room, bare: Bare | None = None
) -> tuple[int, str]:
    """Return the most slots at the asked context, and what stops there.

    Where the asked workload fits, they are sought under its placement; where it does not, fewer
    slots are sought with a placement of their own, and without a GPU (`bare`) where that may be.
    """
    options = server.options
    if options.parallel is not None:
        held, limit = (server.full or options.parallel), "slots (-np)"
        if held < options.parallel:
            limit = "the cache that all slots share (-c)"
        return held if fitted.fits else 0, limit
    if not fitted.fits:
        return _fewer(server, fitted, room, bare), BY_MEMORY
    reach = _Reach(
        room, fitted, lambda more: replace(server, slots=server.slots + more), fitted.usage
    )
    slots = server.slots + reach.most(MAX_SEQUENCES - server.slots)
    slots = _leaner(
        server,
        slots,
        MAX_SEQUENCES,
        may=lambda more: reach.may_hold(more - server.slots),
        holds=lambda more: reach.holds(more - server.slots),
    )
    if slots == MAX_SEQUENCES:
        return slots, "slots (LLAMA_MAX_SEQ)"
    movable = not room.shared and (room.host is not None or options.ram_unsaid)
    outside = fitted.n_gpu_layers == 0
    if not server.devices or not options.fit or options.places_by_hand or not movable:
        return slots, BY_MEMORY
    if outside:
        more = bare is not None and bare.fits(slots + 1)
        suffix = " (without the GPU, -dev none, more fit, slower)"
        return slots, BY_MEMORY + (suffix if more else "")
    return slots, f"{BY_MEMORY} on the GPU (with more weights in RAM more may fit, slower)"


def _fewer(server: Server, fitted: Fitted, room: Room, bare: Bare | None) -> int:
    """Return how many slots fit where the asked ones do not, each number placed by itself."""
    computing = fitted.usage.computing
    most = server.slots - 1
    least = (last_holding(bare.fits, 1, most) if bare is not None else None) or 0
    if least >= most:
        return least

    def may(slots: int) -> bool:
        return may_fit(replace(server, slots=slots), room, computing)

    def holds(slots: int) -> bool:
        return fits_anew(server, fitted, room, slots)

    guess = last_holding(may, least + 1, most)
    found = last_holding(holds, least + 1, most, guess=guess)
    return _leaner(
        server,
        found or least,
        most,
        may=lambda slots: may_fit(replace(server, slots=slots), room),
        holds=holds,
    )


def _leaner(
    server: Server,
    found: int,
    most: int,
    *,
    may: Callable[[int], bool],
    holds: Callable[[int], bool],
) -> int:
    """Return the most slots that hold, given the most of those that take more each.

    A micro-batch is made up to as many tokens of each sequence, so that some numbers of slots compute
    in less than smaller ones: 256 slots in 2 tokens of each, 255 in 3.

    Args:
        server: the server.
        found: so many hold, and one more does not.
        most: the most that count.
        may: whether so many may hold: cheaper, and no for all more where it is no for one.
        holds: whether so many do.
    """
    tokens = min(server.options.batch_size, server.options.ubatch_size)
    each = [ceil_div(tokens, slots) for slots in range(max(found, 1), most + 1)]
    starts = [max(found, 1) + at for at in range(1, len(each)) if each[at] < each[at - 1]]
    ends = [*(start - 1 for start in starts[1:]), most]
    likely = takewhile(lambda one: may(one[0]), zip(starts, ends, strict=False))
    for start, end in reversed(list(likely)):
        if holds(start):
            return last_holding(holds, start, end) or start
    return found


def fits_anew(server: Server, fitted: Fitted, room: Room, slots: int) -> bool:
    """Say whether so many slots fit under a placement of their own.

    Args:
        server: the server, with the asked slots.
        fitted: what was found for those.
        room: what may be used.
        slots: their number.
    """
    return fits(replace(server, slots=slots), room, fitted.usage.computing)


def longest_of(deployment: Deployment, server: Server, fitted: Fitted, room: Room) -> int:
    """Return the tokens of the longest sequence that one slot holds, as far as positions allow.

    Where the asked workload fits, it is sought under its placement.
    """
    native = deployment.checkpoint.model.max_position_embeddings
    most = max(native, LONGEST) if deployment.yarn else native
    single = replace(server, full=1) if server.full else replace(server, slots=1)
    chosen = fitted if fitted.fits else fit(single, room)
    shortest = replace(single, context=min(CELLS_PADDING, most))
    least = shortest.usage(chosen.placement, dry_run=True)
    if not room.holds(least):
        return 0
    reach = _Reach(
        room, chosen, lambda tokens: replace(single, context=tokens), least, step=CELLS_PADDING
    )
    if reach.holds(most):
        return most
    return CELLS_PADDING * max(1, reach.most(most // CELLS_PADDING))


def _batched(server: Server) -> int:
    """Return the tokens of the micro-batch that compute buffers are reserved for."""
    return server.trunk.batch(server.model).n_tokens


class _Reach:
    """How far a number can go under a placement: slots, or tokens in steps.

    Precondition: a server with more of it, and no smaller a micro-batch, takes no less, compute
    buffers included. So a number is refuted without a graph where its caches and the compute buffers
    of a smaller one are too much.

    Args:
        room: what may be used.
        fitted: the placement.
        server: the server with a number of it.
        usage: what it takes with the smallest number, which holds.
        step: the numbers are multiples of it.
    """

    def __init__(
        self,
        room: Room,
        fitted: Fitted,
        server: Callable[[int], Server],
        usage: Usage,
        *,
        step: int = 1,
    ) -> None:
        self._room, self._placement, self._server, self._step = room, fitted.placement, server, step
        self._largest, self._usage = 0, usage
        self._spare: dict[int, int] = {0: room.slack(usage)}

    def may_hold(self, number: int) -> bool:
        """Say whether the room holds what the server with `number` of it takes beside what it computes in."""
        return self._room.holds(self._server(number).held(self._placement))

    def holds(self, number: int) -> bool:
        """Say whether the room holds the server with `number` of it."""
        if number not in self._spare:
            server = self._server(number)
            held = server.held(self._placement)
            atleast = held
            if self._largest <= number and _batched(server) >= _batched(
                self._server(self._largest)
            ):
                compute, drafting = self._usage.compute, self._usage.draft_compute
                atleast = replace(held, compute=compute, draft_compute=drafting)
            if not self._room.holds(atleast):
                return False
            usage = server.usage(self._placement, dry_run=True)
            self._spare[number] = self._room.slack(usage)
            if number > self._largest and self._spare[number] >= 0:
                self._largest, self._usage = number, usage
        return self._spare[number] >= 0

    def most(self, numbers: int) -> int:
        """Return the largest multiple of the step, in steps up to `numbers`, that holds."""
        found = last_holding(
            lambda number: self.holds(number * self._step), 0, numbers, guess=self._guess(numbers)
        )
        return found or 0

    def _guess(self, numbers: int) -> int:
        """Return where the caches alone would end, with the compute buffers that are known."""
        if numbers < 1:
            return 1
        steps = max(1, numbers // 64)
        compute, drafting = self._usage.compute, self._usage.draft_compute
        more = self._server(self._largest + steps * self._step)
        held = replace(more.held(self._placement), compute=compute, draft_compute=drafting)
        here = self._spare[self._largest]
        slope = here - self._room.slack(held)
        guess = self._largest // self._step + here * steps // slope if slope > 0 else numbers
        if not self.holds(min(guess, numbers) * self._step):
            there = self._spare.get(guess * self._step)
            if there is not None and there < here:
                first = self._largest // self._step
                guess = first + (guess - first) * here // (here - there)
        return guess

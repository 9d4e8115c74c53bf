"""Plan llama.cpp: refusals, allocation, command, log, and what could be saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from hardware_db.records import frozen_with_cache
from planner.engines.engine import Deployment, Engine, Launch, Refusal
from planner.engines.kinds import kind_refusals
from planner.engines.llamacpp.answer import LlamacppAnswer, notes_of, placement_of
from planner.engines.llamacpp.checkpoints import curbed, growing, ram_of
from planner.engines.llamacpp.fit import Bare, Fitted, fit, fits
from planner.engines.llamacpp.holding import may_fit
from planner.engines.llamacpp.launch import launch_of, log_lines
from planner.engines.llamacpp.machine import Machine, Room, machine_of
from planner.engines.llamacpp.meant import all_said, server_of
from planner.engines.llamacpp.options import CACHE_TYPES, NO_GPU, LlamacppOptions
from planner.engines.llamacpp.placement import Placement as Homes
from planner.engines.llamacpp.refusals import refusals_of
from planner.engines.llamacpp.releases import NEWEST, NEWEST_BUILD
from planner.engines.llamacpp.server import Server, Usage
from planner.engines.llamacpp.terms import gpu_terms, host_terms, ranks
from planner.layout import Degrees, Layout
from planner.memo import Key, remembered
from planner.memory.breakdown import Term
from planner.memory.placement import Placement
from planner.units import format_gib

if TYPE_CHECKING:
    from planner.engines.columns import Columns
    from planner.engines.economies import Economy, Knob


class Llamacpp(Engine[LlamacppOptions, LlamacppAnswer]):
    """The policy of llama.cpp, read from one commit."""

    name = "llamacpp"
    title = "llama.cpp"
    options_type = LlamacppOptions
    degrees = Degrees(pipeline=True, idle=False, automatic=True, makers=True)
    cache_dtypes = CACHE_TYPES

    def version(self, options: LlamacppOptions) -> str:
        """Return the build or commit that is asked for."""
        return options.version

    def release(self, version: str) -> str:
        """Return the build, as ``llama-server --version`` and the releases count them."""
        return f"b{NEWEST_BUILD}" if version == NEWEST else version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why llama.cpp cannot run it; see `refusals`."""
        return _refusals(deployment)

    def may_hold_in(self, deployment: Deployment, layouts: tuple[Layout, ...]) -> Iterator[Layout]:
        """Yield the layouts under which what is asked fits, which the placement alone decides."""
        for layout in layouts:
            asked = deployment.in_layout(layout)
            if not _refusals(asked) and _fits(asked):
                yield layout

    def allocate(self, deployment: Deployment) -> LlamacppAnswer:
        """Return the placement that fits, every buffer under it, and how far the memory goes.

            weights + KV cache + recurrent state + compute buffer + context and pools
                <= total - margin, on every GPU

        Source: llama.cpp 0c1e570 common/fit.cpp and the sources of `buffers`.
        """
        return _answer(deployment)

    def as_started(self, deployment: Deployment) -> Deployment:
        """Return the workload that --fit leaves room for: it chooses the context that is not said."""
        if self.refusals(deployment):
            return deployment
        from planner.engines.llamacpp.unsaid import context_unsaid

        return replace(deployment, context=context_unsaid(deployment))

    def launch(self, deployment: Deployment, answer: LlamacppAnswer) -> Launch:
        """Return the command with exactly the flags that the plan assumed."""
        return launch_of(answer.served)

    def expected_log(self, deployment: Deployment, answer: LlamacppAnswer) -> tuple[str, ...]:
        """Return the lines on memory that it would print."""
        return tuple(log_lines(answer))

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts under one placement; see `columns`."""
        from planner.engines.llamacpp import columns

        return columns.contexts_alike(deployment)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once; see `columns_of`."""
        from planner.engines.llamacpp import columns

        return columns.columns_of(deployment, contexts, concurrencies)

    def economies(self, deployment: Deployment) -> tuple[Economy, ...]:
        """Return changes that save memory; none of them cures a refusal."""
        from planner.engines.llamacpp.economies import economies

        if self.refusals(deployment):
            return ()
        _, _, room = _started(deployment)
        return tuple(economies(deployment, room))

    def knobs(self, deployment: Deployment) -> tuple[Knob, ...]:
        """Return settings that can be solved for."""
        from planner.engines.llamacpp.economies import knobs

        if self.refusals(deployment):
            return ()
        return tuple(knobs(deployment, _settled(deployment).fitted))


@remembered(all_said, most=4096)
def _refusals(deployment: Deployment) -> tuple[Refusal, ...]:
    return kind_refusals(LLAMACPP, deployment) or tuple(refusals_of(deployment))


@frozen_with_cache
class _Settled:
    """What lies where.

    Attributes:
        server: the server.
        machine: where it runs.
        room: what of it may be used.
        fitted: the placement, and how that is told to the server.
        alone: the server with one slot, where the asked ones may be fewer.
        assumed: the machine's RAM is assumed.
        bare: the server without GPUs, where it may do without and fewer slots are all that may fit.
    """

    server: Server
    machine: Machine
    room: Room
    fitted: Fitted
    alone: Server
    assumed: bool
    bare: Bare | None = None

    @cached_property
    def missing(self) -> int:
        """Bytes without which it does not start, with one slot if that may be."""
        if self.fitted.fits or self.alone is self.server:
            return max(0, -self.fitted.slack)
        if self.bare is not None and self.bare.fits(1):
            return 0
        if fits(self.alone, self.room, self.fitted.usage.computing):
            return 0
        return max(0, -_fitted(self.alone, self.room).slack)


def _in_room(server: Server, room: Room) -> Key:
    return (server,), room


@remembered(_in_room)
def _fitted(server: Server, room: Room) -> Fitted:
    """Return the placement that fits: the same on cards with as much memory."""
    return fit(server, room)


@remembered(_in_room)
def _may_fit(server: Server, room: Room) -> bool:
    """Say whether some placement may fit, likewise."""
    return may_fit(server, room)


@remembered(all_said)
def _started(deployment: Deployment) -> tuple[Server, Machine, Room]:
    """Return the server that is started, where it runs, and what of it may be used."""
    server = server_of(deployment)
    machine = machine_of(deployment, gpus=server.devices)
    return server, machine, machine.room(deployment.options.kept_free_mib)


def _fits(deployment: Deployment) -> bool:
    """Say whether a placement fits; that none does is often told without a graph."""
    server, _, room = _started(deployment)
    sure_not = not deployment.options.ram_unsaid and not _may_fit(server, room)
    if sure_not and (bare := _bare(deployment)) is not None:
        return bare.fits(server.slots)
    return not sure_not and _settled(deployment).fitted.fits


def _without_gpus(deployment: Deployment) -> Deployment | None:
    """Return the same without its GPUs; None where what was said, or the machine, is against it."""
    options: LlamacppOptions = deployment.options
    server, machine, room = _started(deployment)
    by_hand = options.places_by_hand or options.device or options.split_mode != "layer"
    if not server.devices or room.shared or room.host is None or machine.remote:
        return None
    if by_hand or not options.fit:
        return None
    return replace(deployment, options=replace(options, device=NO_GPU))


def _bare(deployment: Deployment) -> Bare | None:
    bare = _without_gpus(deployment)
    if bare is None:
        return None
    server, _, room = _started(bare)
    return Bare(server=server, room=room)


@remembered(all_said, most=4096)
def _settled(deployment: Deployment) -> _Settled:
    """Return the placement that fits: all that decides whether it starts."""
    server, machine, room = _started(deployment)
    fitted = _fitted(server, room)
    assumed = machine.with_ram_assumed() if deployment.options.ram_unsaid else None
    if not fitted.fits and assumed is not None:
        shared = assumed.room(deployment.options.kept_free_mib)
        moved = _fitted(server, shared)
        if moved.fits:
            machine, room, fitted = assumed, shared, moved
    bare = None if fitted.fits else _bare(deployment)
    if bare is not None and bare.fits(server.slots):
        without = _without_gpus(deployment)
        assert without is not None
        return _settled(without)
    fewer = server.slots > 1 and deployment.options.parallel is None
    return _Settled(
        server=server,
        machine=machine,
        room=room,
        fitted=fitted,
        alone=server_of(deployment, slots=1) if fewer and not fitted.fits else server,
        assumed=machine is assumed,
        bare=bare,
    )


def _lying(server: Server, usage: Usage, homes: Homes, checked: bool, runtime: int) -> Key:
    return (server, usage), (homes, checked, runtime)


@remembered(_lying)
def _in_place(
    server: Server, usage: Usage, homes: Homes, checked: bool, runtime: int
) -> tuple[tuple[tuple[Term, ...], ...], tuple[Term, ...], Placement]:
    """Return what lies on each GPU and in RAM, term by term, and where the weights lie.

    It is the same on cards that differ in nothing but their memory.
    """
    gpus = gpu_terms(server, homes, usage, checked=checked, runtime=runtime)
    return gpus, host_terms(server, homes, usage), placement_of(server, homes, usage)


@remembered(all_said)
def _answer(deployment: Deployment) -> LlamacppAnswer:
    settled = _settled(deployment)
    server, machine, fitted = settled.server, settled.machine, settled.fitted
    usage = server.usage(fitted.placement)
    gpus, host, placement = _in_place(
        server, usage, fitted.placement, machine.checked, machine.runtime
    )
    found = ranks(server, machine, usage, gpus, host)
    ram = ram_of(host, found) + usage.unlent
    return LlamacppAnswer(
        ranks=tuple(sorted(found, key=lambda rank: rank.headroom)),
        starts=settled.missing == 0,
        shortfall=settled.missing,
        kv_cache_dtype=server.type_k,
        placement=placement,
        host_bytes=ram,
        notes=tuple(notes_of(deployment, server, machine, fitted)),
        deployment=deployment,
        with_slots=partial(_with_slots, deployment),
        server=server,
        machine=machine,
        room=settled.room,
        bare=settled.bare or _bare(deployment),
        fitted=fitted,
        usage=usage,
        ram=ram,
        at_worst=_ram_at_worst(settled, ram),
        curbed=curbed(server, found),
        grows=growing(server, found),
    )


def _ram_at_worst(settled: _Settled, ram: int) -> str:
    """Return what may go wrong in RAM beside GPUs, as a clause; empty if nothing."""
    if not settled.assumed:
        return ""
    return f"it needs {format_gib(ram)} of RAM, and how much there is was not said (--ram)"


def _with_slots(deployment: Deployment, slots: int) -> LlamacppAnswer:
    return _answer(replace(deployment, concurrency=slots))


LLAMACPP = Llamacpp()

"""Make the `Plan` of one deployment: the verdict, the terms, the limits and the command.

Every part of the deployment is settled here; `planner.question` chooses what nobody says.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import Any

from hardware_db.records import frozen_with_cache
from hardware_db.regex import pattern
from planner.allocating import allocation_of, check_deployment, layout_used, refusals_of
from planner.engines import front_words
from planner.engines.engine import (
    Allocation,
    AnyEngine,
    Capacity,
    Deployment,
    Launch,
    Refusal,
)
from planner.memory.breakdown import HOST_RANK, Kind, Rank
from planner.units import capital, counted, format_gib, format_tokens

SCHEMA_VERSION = 2

_FURTHER_SENTENCES = pattern(r"\. (?=[A-Z]).*", re.DOTALL)
"""What follows the first sentence of an engine's message: its own advice."""


class Outcome(Enum):
    """The five verdicts; the value is the word that users read."""

    FITS = "fits"
    TIGHT = "tight"
    HOLDS_FEWER = "starts but does not hold the workload"
    DOES_NOT_FIT = "does not fit"
    CANNOT_RUN = "cannot run"


@frozen_with_cache
class Plan:
    """The answer to one deployment.

    What decides is computed at once; sentence, command and log when asked for: a search asks a thousand
    plans for nothing but their outcome.

    Attributes:
        deployment: the question, with everything resolved.
        policy: who allocated.
        engine_version: whose rules were used.
        outcome: the verdict as one of five words.
        ranks: accelerators, tightest first; empty when it cannot run.
        allocation: the engine's whole answer; None when it cannot run.
        refusals: why it cannot run.
        told: what to tell before the engine's own warnings, one sentence each.
        further: what to tell behind them, likewise.
        notes: what else is worth knowing, one sentence each.
        kept: words of the user's own command that the command carries on.
        environment: variables that the user's own command sets.
        named: how the user's own command names the model.
        front: what a program that runs the engine inside is told first.
        lead: what the verdict begins with, where something is missing.
    """

    deployment: Deployment
    policy: AnyEngine
    engine_version: str
    outcome: Outcome
    ranks: tuple[Rank, ...] = ()
    allocation: Allocation | None = None
    refusals: tuple[Refusal, ...] = ()
    told: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    named: tuple[str, ...] = ()
    front: tuple[str, ...] = ()
    lead: str = ""

    __repr__ = object.__repr__  # whatever it is made of would be pages

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.policy.name

    @property
    def engine_title(self) -> str:
        """Its name as users read it."""
        return self.policy.title

    @property
    def server(self) -> str:
        """The engine with its release, as users read it: ``llama.cpp b11151``."""
        return f"{self.engine_title} {self.release}"

    @property
    def release(self) -> str:
        """The release whose rules were used, as users read it."""
        return self.policy.release(self.engine_version)

    @property
    def capacity(self) -> Capacity | None:
        """How far the memory goes; None when it cannot run."""
        return self.allocation.capacity if self.allocation is not None else None

    @property
    def longest_context(self) -> int:
        """Tokens of the longest single request; zero when it cannot run."""
        return self.allocation.longest_context if self.allocation is not None else 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user can act on, one sentence each."""
        own = self.allocation.warnings if self.allocation is not None else ()
        return (*self.told, *own, *self.further)

    @cached_property
    def verdict(self) -> str:
        """One sentence with the number that decides it."""
        if self.allocation is None:
            return _cannot_run(self.refusals[0])
        own = _verdict(self.outcome, self.deployment, self.allocation, self.server)
        return f"{self.lead} {own}".lstrip()

    @property
    def launch(self) -> Launch | None:
        """What to type; None where it would not start."""
        return None if self.outcome is Outcome.DOES_NOT_FIT else self.written

    @cached_property
    def written(self) -> Launch | None:
        """The command of just this question, started or refused; None when it cannot run."""
        if self.allocation is None:
            return None
        command = _launch(self.deployment, self.policy, self.allocation).naming(self.named)
        program = self.front or command.program
        return replace(_with_kept(command, self.kept, self.environment), program=program)

    @cached_property
    def expected_log(self) -> tuple[str, ...]:
        """What the engine would print; empty when it cannot run."""
        if self.allocation is None:
            return ()
        return self.policy.expected_log(self.deployment, self.allocation)

    @property
    def fits(self) -> bool:
        """It starts and holds the workload."""
        return self.outcome in (Outcome.FITS, Outcome.TIGHT)

    @property
    def figures(self) -> dict[str, Any]:
        """The engine's own figures as plain data; empty if it cannot run."""
        return self.allocation.figures() if self.allocation is not None else {}

    @property
    def settings(self) -> dict[str, Any]:
        """Every option as the engine resolves it, as plain data; empty if it cannot run."""
        return self.allocation.settings() if self.allocation is not None else {}

    @property
    def ram(self) -> int:
        """Bytes of RAM that it needs beside the accelerators' memory; zero without weights there."""
        return 0 if self.allocation is None else _ram(self.deployment, self.allocation)

    @property
    def headroom(self) -> int | None:
        """Bytes to spare on the tightest accelerator; negative when over; None if it cannot run."""
        return self.ranks[0].headroom if self.ranks else None


def device_rank(plan: Plan) -> Rank:
    """Return the tightest accelerator; the host where there is no other memory."""
    return next((rank for rank in plan.ranks if rank.name != HOST_RANK), plan.ranks[0])


def plan_deployment(
    deployment: Deployment,
    engine: AnyEngine,
    *,
    notes: tuple[str, ...] = (),
    kept: tuple[str, ...] = (),
    environment: tuple[tuple[str, str], ...] = (),
    named: tuple[str, ...] = (),
    front: str | None = None,
) -> Plan:
    """Return the plan of `deployment` under `engine`.

    Args:
        deployment: what is asked, its layout included.
        engine: who allocates.
        notes: what to tell first, such as what was chosen and why.
        kept: words of the user's own command that change nothing in memory.
        environment: variables that it sets; all of it comes back in the command.
        named: how it names the model, likewise.
        front: the program that runs the engine inside, where one was named.

    Raises:
        InputError: a value that makes no sense, whatever the memory.
    """
    check_deployment(deployment, engine)
    version = engine.version(deployment.options)
    learned = (deployment.lesson.words,) if deployment.lesson is not None else ()
    notes = (*deployment.system.assumptions, *learned, *notes, *deployment.checkpoint.remarks)
    allocation = allocation_of(deployment, engine)
    inside = front_words(front, engine.name, deployment, allocation)
    return Plan(
        deployment=deployment,
        policy=engine,
        engine_version=version,
        outcome=Outcome.CANNOT_RUN if allocation is None else _outcome(deployment, allocation),
        ranks=() if allocation is None else allocation.ranks,
        allocation=allocation,
        refusals=() if allocation is not None else refusals_of(deployment, engine),
        told=(*notes, *inside.notes),
        notes=() if allocation is None else allocation.notes,
        kept=kept,
        environment=environment,
        named=named,
        front=inside.lines,
    )


def _with_kept(
    launch: Launch, kept: tuple[str, ...], environment: tuple[tuple[str, str], ...]
) -> Launch:
    """Return the command with the user's own words behind the engine's.

    A flag that the engine's command carries already is not repeated.
    """
    if not kept and not environment:
        return launch
    written = {word.partition("=")[0] for word in launch.argv}
    words: list[str] = []
    repeated = False
    for word in kept:
        if word.startswith("-"):
            repeated = word.partition("=")[0] in written
        if not repeated:
            words.append(word)
    return replace(
        launch,
        argv=(*launch.argv, *words),
        per_node=tuple((*argv, *words) for argv in launch.per_node),
        environment={**dict(environment), **launch.environment},
    )


def _launch(deployment: Deployment, engine: AnyEngine, allocation: Allocation) -> Launch:
    """The engine's command, with a word where no checkpoint of this precision is known."""
    launch = engine.launch(deployment, allocation)
    named = any(deployment.checkpoint.id in note for note in launch.notes)
    if not deployment.checkpoint.hypothetical or named:
        return launch
    note = (
        f"no {deployment.checkpoint.scheme.name} checkpoint of this model is known: name yours in"
        f" place of {deployment.checkpoint.id}"
    )
    return replace(launch, notes=(*launch.notes, note))


def _outcome(deployment: Deployment, allocation: Allocation) -> Outcome:
    if not allocation.starts:
        return Outcome.DOES_NOT_FIT
    if not allocation.holds(deployment.concurrency):
        return Outcome.HOLDS_FEWER
    if allocation.at_worst or any(_at_worst(rank) < 0 for rank in allocation.ranks):
        return Outcome.TIGHT
    return Outcome.FITS


def _cannot_run(refusal: Refusal) -> str:
    remedy = capital(refusal.remedy or "")
    return f"Cannot run: {refusal.reason}.{f' {remedy}.' if remedy else ''}"


def _where(deployment: Deployment, allocation: Allocation) -> str:
    system, layout = deployment.system, layout_used(deployment.layout, allocation)
    used = layout.accelerators
    if system.is_mixed:
        return f"{system.short_name} ({layout})"
    name = system.accelerator.short_name
    return f"{used}× {name} ({layout})" if used > 1 else name


def _requests(count: int, tokens: int) -> str:
    return f"{counted(count, 'request')} of {counted(tokens, 'token')}"


def _on_which(rank: Rank, allocation: Allocation) -> str:
    """Where the spare bytes are, in words; empty for a single accelerator."""
    if len(allocation.ranks) == rank.count == 1:
        return ""
    return " in RAM" if rank.name == HOST_RANK else f" on {rank.name}"


def _verdict(outcome: Outcome, deployment: Deployment, allocation: Allocation, engine: str) -> str:
    where = f"{_where(deployment, allocation)} with {engine}"
    asked = _requests(deployment.concurrency, deployment.context)
    if outcome is Outcome.DOES_NOT_FIT:
        return f"Does not fit on {where}: {_what_is_missing(deployment, allocation)}"
    if outcome is Outcome.HOLDS_FEWER:
        return f"Starts on {where}, but {_fewer(deployment, allocation.capacity)}"
    ram = _ram(deployment, allocation)
    in_ram = f"; it takes {format_gib(ram)} of RAM" if ram else ""
    if outcome is Outcome.TIGHT:
        rank = min(allocation.ranks, key=_at_worst)
        spare = f"{format_gib(rank.headroom)} to spare{_on_which(rank, allocation)}"
        if rank.headroom < 0:
            more = f"{format_gib(-rank.headroom)} more than there is{_on_which(rank, allocation)}"
            said = f"Tight: {asked} on {where}; what grows with use may take {more}{in_ram}."
            return f"{said} {allocation.grows}".rstrip()
        if allocation.at_worst:
            return f"Tight: {asked} on {where}, {spare}, but {allocation.at_worst}."
        band = format_gib(rank.band.above)
        return f"Tight: {asked} on {where}, {spare}, within the estimate's band of {band}{in_ram}."
    rank = min(allocation.ranks, key=lambda rank: rank.headroom)
    spare = f"{format_gib(rank.headroom)} to spare{_on_which(rank, allocation)}"
    return f"Fits: {asked} on {where}, {spare}{in_ram}."


def _ram(deployment: Deployment, allocation: Allocation) -> int:
    """Bytes of RAM beside the accelerators' memory; zero where no weights lie there."""
    accelerators = deployment.system.accelerator
    if accelerators.is_unified or not allocation.placement.outside:
        return 0
    return allocation.host_bytes or 0


def _at_worst(rank: Rank) -> int:
    """Bytes to spare at the far end of the band."""
    return rank.headroom - rank.band.above


def _fewer(deployment: Deployment, capacity: Capacity) -> str:
    if not capacity.sequences:
        return (
            f"cannot hold one request of {format_tokens(deployment.context)} tokens; the longest that"
            f" fits has {format_tokens(capacity.longest_context)} tokens."
        )
    return (
        f"holds {capacity.sequences:,} of the {_requests(deployment.concurrency, deployment.context)}"
        f" at once, limited by {capacity.limited_by}; the others wait."
    )


def _what_is_missing(deployment: Deployment, allocation: Allocation) -> str:
    """Why the engine does not start or does not serve one sequence, with the number if there is one."""

    def before_cache(rank: Rank) -> int:
        return rank.used - rank.of_kind(Kind.KV_CACHE, Kind.RECURRENT_STATE) - rank.usable

    longest, said = allocation.capacity.longest_context, allocation.refusal
    rank = max(allocation.ranks, key=before_cache)
    if before_cache(rank) > 0 and (not longest or rank.name == HOST_RANK):
        largest = max(rank.terms, key=lambda term: term.nbytes)
        return (
            f"{format_gib(before_cache(rank))} over{_on_which(rank, allocation)} before any cache;"
            f" the largest term is {largest.name}, {format_gib(largest.nbytes)} of"
            f" {format_gib(rank.usable)} usable."
            f"{_lent(deployment, rank)}"
        )
    short = format_gib(allocation.shortfall)
    if said and (not allocation.shortfall or not 0 < longest < deployment.context):
        missing = f" ({short} missing)" if allocation.shortfall else ""
        return f"{_FURTHER_SENTENCES.sub('', said).rstrip('.')}{missing}."
    if longest >= deployment.context:
        return (
            f"{short} too little for the caches of all slots together; one request alone may have up"
            f" to {format_tokens(longest)} tokens."
        )
    over = -min(rank.headroom for rank in allocation.ranks)
    grows = (
        deployment.concurrency == 1 and format_gib(over) != short and over > allocation.shortfall
    )
    what = "to start with" if grows else "for"
    later = f", {format_gib(over)} with what grows with use" if grows else ""
    return (
        f"{short} too little {what} the cache of one request of this length{later}; up to"
        f" {format_tokens(longest)} tokens fit.{_lent(deployment, allocation.ranks[0])}"
    )


def _lent(deployment: Deployment, rank: Rank) -> str:
    """Say what the system lends the GPU where its owner can raise that; empty where nobody can."""
    accelerator = deployment.system.accelerator
    limit = accelerator.unified and accelerator.unified.raisable
    if not limit or rank.total >= accelerator.raisable_bytes:
        return ""
    lent, most = format_gib(rank.total), format_gib(accelerator.raisable_bytes)
    return (
        f" The system lends the GPU {lent} by default: raise {limit.name} to give it up to {most}."
    )

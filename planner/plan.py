"""One deployment -> one `Plan`: the verdict, the terms, the limits and the command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from hardware_db import System
from planner.engines.base import Allocation, Capacity, Deployment, Engine, Launch, Refusal
from planner.engines.yarn import LONGEST
from planner.errors import InputError
from planner.layout import Layout
from planner.memory.breakdown import Kind, Rank, Term
from planner.model.checkpoint import Checkpoint
from planner.units import check_count, counted, format_gib, format_tokens, shown

SCHEMA_VERSION = 1


class Outcome(Enum):
    """The five verdicts; the value is the word that users read."""

    FITS = "fits"
    TIGHT = "tight"
    HOLDS_FEWER = "starts but does not hold the workload"
    DOES_NOT_FIT = "does not fit"
    CANNOT_RUN = "cannot run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer to one deployment.

    Attributes:
        deployment: the question, with everything resolved.
        engine: name of the engine; `engine_version` whose rules were used.
        outcome: the verdict as one of five words.
        verdict: one sentence with the number that decides it.
        ranks: accelerators, tightest first; empty when it cannot run.
        capacity: how far the memory goes; None when it cannot run.
        allocation: the engine's whole answer; None when it cannot run.
        refusals: why it cannot run.
        launch: what to type; None when it cannot run.
        expected_log: what the engine would print.
        warnings: what a user should know, one sentence each.
    """

    deployment: Deployment
    engine: str
    engine_title: str
    engine_version: str
    outcome: Outcome
    verdict: str
    ranks: tuple[Rank, ...] = ()
    capacity: Capacity | None = None
    allocation: Allocation | None = None
    refusals: tuple[Refusal, ...] = ()
    launch: Launch | None = None
    expected_log: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """It starts and holds the workload."""
        return self.outcome in (Outcome.FITS, Outcome.TIGHT)

    @property
    def headroom(self) -> int | None:
        """Bytes to spare on the tightest accelerator; negative when over; None if it cannot run."""
        return self.ranks[0].headroom if self.ranks else None

    @property
    def limiting_term(self) -> Term | None:
        """The largest term of the tightest accelerator."""
        return max(self.ranks[0].terms, key=lambda term: term.nbytes) if self.ranks else None

    @property
    def details(self) -> Mapping[str, Any]:
        """The engine's own figures."""
        return self.allocation.details if self.allocation else {}

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data; see `planner.schema()`."""
        from planner.document import plan_document

        return plan_document(self)


def plan_deployment(
    checkpoint: Checkpoint,
    system: System,
    engine: Engine,
    *,
    context: int,
    concurrency: int,
    kv_cache_dtype: str = "auto",
    layout: Layout | None = None,
    options: Any = None,
    yarn: bool = False,
) -> Plan:
    """Plan `checkpoint` on `system` under `engine`.

    Args:
        checkpoint: what is served.
        system: where.
        engine: who allocates.
        context: tokens per sequence, prompt and output together.
        concurrency: sequences resident at full context.
        kv_cache_dtype: "auto" or a cache format.
        layout: how it is spread; None takes the best legal one over the whole system.
        options: the engine's options object; None takes its defaults.
        yarn: allow a context beyond the native length.

    Raises:
        InputError: a value that makes no sense, whatever the memory.
    """
    _check(checkpoint, system, engine, context, concurrency, layout, options, yarn=yarn)
    options = engine.options_type() if options is None else options

    def ask(candidate: Layout) -> Plan:
        return _plan(
            Deployment(
                checkpoint=checkpoint,
                system=system,
                layout=candidate,
                context=context,
                concurrency=concurrency,
                kv_cache_dtype=kv_cache_dtype,
                options=options,
                yarn=yarn,
            ),
            engine,
        )

    if layout is not None:
        return ask(layout)
    best: Plan | None = None
    for candidate in engine.layouts(checkpoint, system):
        plan = ask(candidate)
        if plan.fits:
            return plan
        if best is None or _rank(plan) > _rank(best):
            best = plan
    if best is None:
        raise InputError(f"{engine.title} offers no layout for {system.name}")
    return best


def _check(
    checkpoint: Checkpoint,
    system: System,
    engine: Engine,
    context: int,
    concurrency: int,
    layout: Layout | None,
    options: Any,
    *,
    yarn: bool,
) -> None:
    check_count(context, what="context", most=2**40)
    check_count(concurrency, what="concurrency")
    native = checkpoint.model.max_position_embeddings
    if context > native and not yarn:
        raise InputError(
            f"context: {format_tokens(context)} tokens is beyond the native"
            f" {format_tokens(native)} of {checkpoint.model.name}; ask for YaRN (--yarn) to extend it"
        )
    if yarn and context > max(native, LONGEST):
        raise InputError(
            f"context: {format_tokens(context)} tokens is beyond {format_tokens(LONGEST)},"
            " the longest that YaRN is described for"
        )
    asked: object = layout
    if asked is not None and not isinstance(asked, Layout):
        raise InputError(f"layout: a planner.Layout is wanted, not {shown(asked)}")
    if layout is not None and layout.accelerators > system.count:
        raise InputError(
            f"layout {layout} takes {layout.accelerators} accelerators,"
            f" {system.name} has {system.count}"
        )
    if options is not None and not isinstance(options, engine.options_type):
        raise InputError(
            f"options: {engine.title} takes {engine.options_type.__name__},"
            f" not {type(options).__name__}"
        )


def _rank(plan: Plan) -> tuple[int, int, int]:
    """How good a plan is that does not fit: outcome, sequences, headroom."""
    order = (Outcome.CANNOT_RUN, Outcome.DOES_NOT_FIT, Outcome.HOLDS_FEWER)
    sequences = plan.capacity.sequences if plan.capacity else 0
    headroom = plan.headroom if plan.headroom is not None else -(2**62)
    return order.index(plan.outcome), sequences, headroom


def _plan(deployment: Deployment, engine: Engine) -> Plan:
    version = engine.version(deployment.options)
    notes = deployment.checkpoint.remarks
    refused = engine.refusals(deployment)
    if refused:
        return Plan(
            deployment=deployment,
            engine=engine.name,
            engine_title=engine.title,
            engine_version=version,
            outcome=Outcome.CANNOT_RUN,
            verdict=_cannot_run(refused[0]),
            refusals=refused,
            warnings=notes,
        )
    allocation = engine.allocate(deployment)
    outcome = _outcome(deployment, allocation)
    return Plan(
        deployment=deployment,
        engine=engine.name,
        engine_title=engine.title,
        engine_version=version,
        outcome=outcome,
        verdict=_verdict(outcome, deployment, allocation, f"{engine.title} {version}"),
        ranks=allocation.ranks,
        capacity=allocation.capacity,
        allocation=allocation,
        launch=_launch(deployment, engine, allocation),
        expected_log=engine.expected_log(deployment, allocation),
        warnings=(*notes, *allocation.warnings),
    )


def _launch(deployment: Deployment, engine: Engine, allocation: Allocation) -> Launch:
    """The engine's command, with a word where no checkpoint of this precision is known."""
    launch = engine.launch(deployment, allocation)
    named = any(deployment.checkpoint.id in note for note in launch.notes)
    if not deployment.checkpoint.hypothetical or named:
        return launch
    note = (
        f"put a checkpoint stored as {deployment.checkpoint.scheme.name} in place of"
        f" {deployment.checkpoint.id}"
    )
    return replace(launch, notes=(*launch.notes, note))


def _outcome(deployment: Deployment, allocation: Allocation) -> Outcome:
    if not allocation.starts:
        return Outcome.DOES_NOT_FIT
    if allocation.capacity.sequences < deployment.concurrency:
        return Outcome.HOLDS_FEWER
    if allocation.at_worst or any(_at_worst(rank) < 0 for rank in allocation.ranks):
        return Outcome.TIGHT
    return Outcome.FITS


def _cannot_run(refusal: Refusal) -> str:
    remedy = refusal.remedy or ""
    if remedy.partition(" ")[0].isalpha() and remedy.partition(" ")[0].islower():
        remedy = remedy[0].upper() + remedy[1:]  # never a flag, nor the name of an engine
    return f"Cannot run: {refusal.reason}.{f' {remedy}.' if remedy else ''}"


def _where(deployment: Deployment) -> str:
    system, layout = deployment.system, deployment.layout
    used = layout.accelerators
    name = system.accelerator.name
    return f"{used} x {name} ({layout})" if used > 1 else f"1 x {name}"


def _sequences(count: int, tokens: int) -> str:
    return f"{counted(count, 'sequence')} of {counted(tokens, 'token')}"


def _on_which(rank: Rank, allocation: Allocation) -> str:
    """Where the spare bytes are, in words; empty for a single accelerator."""
    alone = len(allocation.ranks) == 1 and rank.count == 1
    return "" if alone else f" on {rank.name}"


def _verdict(outcome: Outcome, deployment: Deployment, allocation: Allocation, engine: str) -> str:
    where = f"{_where(deployment)} under {engine}"
    asked = _sequences(deployment.concurrency, deployment.context)
    if outcome is Outcome.DOES_NOT_FIT:
        return f"Does not fit on {where}: {_what_is_missing(deployment, allocation)}"
    if outcome is Outcome.HOLDS_FEWER:
        return f"Starts on {where}, but {_fewer(deployment, allocation.capacity)}"
    if outcome is Outcome.TIGHT:
        rank = min(allocation.ranks, key=_at_worst)
        spare = f"{format_gib(rank.headroom)} to spare{_on_which(rank, allocation)}"
        if _at_worst(rank) >= 0:
            return f"Tight: {asked} on {where}, {spare}, but {allocation.at_worst}."
        band = format_gib(rank.band.above)
        return f"Tight: {asked} on {where}, {spare}, within the estimate's band of {band}."
    rank = min(allocation.ranks, key=lambda rank: rank.headroom)
    spare = f"{format_gib(rank.headroom)} to spare{_on_which(rank, allocation)}"
    return f"Fits: {asked} on {where}, {spare}."


def _at_worst(rank: Rank) -> int:
    """Bytes to spare at the far end of the band."""
    return rank.headroom - rank.band.above


def _fewer(deployment: Deployment, capacity: Capacity) -> str:
    if not capacity.sequences:
        return (
            f"not one sequence of {format_tokens(deployment.context)} tokens fits; the longest that"
            f" does has {format_tokens(capacity.longest_context)} tokens."
        )
    return (
        f"holds {capacity.sequences:,} of the {_sequences(deployment.concurrency, deployment.context)}"
        f" at once; the others wait (limited by {capacity.limited_by})."
    )


def _what_is_missing(deployment: Deployment, allocation: Allocation) -> str:
    """Why the engine does not start or does not serve one sequence, with the number if there is one."""

    def before_cache(rank: Rank) -> int:
        return rank.used - rank.of_kind(Kind.KV_CACHE, Kind.RECURRENT_STATE) - rank.usable

    longest, said = allocation.capacity.longest_context, allocation.refusal
    rank = max(allocation.ranks, key=before_cache)
    if before_cache(rank) > 0:
        largest = max(rank.terms, key=lambda term: term.nbytes)
        place = f" on {rank.name}" if len(allocation.ranks) > 1 else ""
        return (
            f"{format_gib(before_cache(rank))} over{place} before any cache; the largest term is"
            f" {largest.name}, {format_gib(largest.nbytes)} of {format_gib(rank.usable)} usable."
        )
    short = format_gib(allocation.shortfall)
    if said and (not allocation.shortfall or not 0 < longest < deployment.context):
        missing = f" ({short} missing)" if allocation.shortfall else ""
        return f"{said.rstrip('.')}{missing}."
    return (
        f"{short} short of the cache for one sequence of this length; the longest that fits is"
        f" {format_tokens(longest)} tokens."
    )

"""A plan as plain data: the versioned JSON document and its schema."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, field, replace
from typing import TYPE_CHECKING, Any

from hardware_db.records import frozen
from planner.costing import Cost, CostDocument, cost_document
from planner.held import held_of
from planner.memory.breakdown import Rank, Term
from planner.planning import SCHEMA_VERSION, Plan
from planner.speed import speed_of, speed_words
from planner.throughput import NoEstimate, SpeedEstimate
from planner.throughput.answer import Banded
from planner.version import package_version

if TYPE_CHECKING:
    from planner.search import Advice


@frozen
class BandDocument:
    """How far the truth may lie off, in bytes."""

    below: int
    above: int


@frozen
class TermDocument:
    """One contribution to memory, in bytes."""

    name: str
    kind: str
    bytes: int
    confidence: str
    band: BandDocument | None
    formula: str
    values: dict[str, int | float | str]
    substituted: str
    source: str
    source_date: str | None


@frozen
class RankDocument:
    """One accelerator, or the host; bytes."""

    name: str
    count: int
    total: int
    usable: int
    used: int
    headroom: int
    band: BandDocument
    terms: list[TermDocument]


@frozen
class ModelDocument:
    """What is served."""

    id: str
    revision: str | None
    model_type: str
    precision: str
    precision_title: str
    hypothetical: bool
    source: str
    checkpoint_bytes: int


@frozen
class HardwareDocument:
    """Where it is served; bytes per accelerator."""

    id: str
    name: str
    accelerator: str
    accelerators: int
    nodes: int
    total_bytes: int
    total_bytes_source: str


@frozen
class WorkloadDocument:
    """What is asked of it; tokens."""

    context: int
    concurrency: int
    kv_cache_dtype: str
    yarn: bool


@frozen
class LayoutDocument:
    """Degrees of parallelism."""

    tensor_parallel: int
    pipeline_parallel: int
    data_parallel: int
    expert_parallel: bool
    context_parallel: int


@frozen
class CapacityDocument:
    """How far the memory goes; tokens."""

    sequences: int
    tokens: int
    longest_context: int
    limited_by: str
    blocks: int | None
    block_size: int | None


@frozen
class RefusalDocument:
    """Why it cannot run."""

    reason: str
    engine_message: str | None
    remedy: str | None
    source: str


@frozen
class LaunchDocument:
    """What to type, first in a `program` that runs the engine inside; absent where none would start."""

    program: list[str]
    command: str
    argv: list[str]
    environment: dict[str, str]
    further_nodes: list[list[str]]
    notes: list[str]


@frozen
class RateDocument:
    """An estimate with the band that the truth is claimed to lie in."""

    value: float
    low: float
    high: float


@frozen
class SpeedDocument:
    """How fast it is, to first order; tokens per second and seconds.

    `estimate` is false where nothing is known; `words` then says why. `concurrency` is how many
    sequences the rates are for: those asked for that are resident at once.
    """

    estimate: bool
    words: list[str]
    concurrency: int | None = None
    decode_per_user: RateDocument | None = None
    decode_total: RateDocument | None = None
    prefill_seconds: RateDocument | None = None
    binding: str | None = None
    rough: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)


@frozen
class AdviceDocument:
    """One change and its command; `gained_bytes` is null where it could not run before."""

    title: str
    loses: str
    enough: bool
    outcome: str
    verdict: str
    gained_bytes: int | None
    command: str | None


@frozen
class PlanDocument:
    """The whole answer; `cost` and `alternatives` (a recommendation's) only where asked for.

    `planned_for` is how many requests at once ranks, launch, log, first boot, settings, figures, warnings
    and notes are for: all of `workload`; where fewer are held, `capacity.sequences`.
    """

    schema_version: int
    qwenplan_version: str
    outcome: str
    fits: bool
    verdict: str
    model: ModelDocument
    hardware: HardwareDocument
    engine: str
    engine_version: str
    layout: LayoutDocument
    workload: WorkloadDocument
    planned_for: int
    ranks: list[RankDocument]
    capacity: CapacityDocument | None
    speed: SpeedDocument | None
    refusals: list[RefusalDocument]
    launch: LaunchDocument | None
    advice: list[AdviceDocument]
    expected_log: list[str]
    warnings: list[str]
    notes: list[str]
    first_boot_bytes: list[int] | None
    resolved: dict[str, Any]
    details: dict[str, Any]
    cost: CostDocument | None = None
    alternatives: list[dict[str, Any]] = field(default_factory=list)


def plan_document(
    plan: Plan,
    speed: SpeedEstimate | NoEstimate | None = None,
    *,
    advice: Iterable[Advice] = (),
    cost: Cost | None = None,
    alternatives: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """`plan` as JSON-ready data; its shape is `schema()`.

    Args:
        plan: the answer.
        speed: how fast it is; estimated if not given.
        advice: what to change, the best first.
        cost: what it costs, where that was asked.
        alternatives: what else there is, where that was asked.
    """
    speed = speed if speed is not None else speed_of(plan)
    document = replace(
        _document(plan, speed, tuple(advice)),
        cost=None if cost is None else cost_document(cost),
        alternatives=list(alternatives),
    )
    return asdict(document)


def schema() -> dict[str, Any]:
    """The JSON Schema of `plan_document`."""
    from pydantic import TypeAdapter

    return TypeAdapter(PlanDocument).json_schema()


def _advice(advice: Advice) -> AdviceDocument:
    return AdviceDocument(
        title=advice.title,
        loses=advice.loses,
        enough=advice.enough,
        outcome=advice.plan.outcome.value,
        verdict=advice.plan.verdict,
        gained_bytes=advice.gained,
        command=advice.command,
    )


def _document(
    plan: Plan, speed: SpeedEstimate | NoEstimate | None, advice: tuple[Advice, ...]
) -> PlanDocument:
    deployment, held = plan.deployment, held_of(plan)
    allocation, launch = held.allocation, held.launch
    boot = allocation.first_boot if allocation else None
    checkpoint, system, layout = deployment.checkpoint, deployment.system, deployment.layout
    return PlanDocument(
        schema_version=SCHEMA_VERSION,
        qwenplan_version=package_version(),
        outcome=plan.outcome.value,
        fits=plan.fits,
        verdict=plan.verdict,
        model=ModelDocument(
            id=checkpoint.id,
            revision=checkpoint.revision,
            model_type=checkpoint.model.model_type,
            precision=checkpoint.scheme.name,
            precision_title=checkpoint.scheme.title,
            hypothetical=checkpoint.hypothetical,
            source=checkpoint.source,
            checkpoint_bytes=checkpoint.nbytes(),
        ),
        hardware=HardwareDocument(
            id=system.id,
            name=system.name,
            accelerator=system.accelerator.id,
            accelerators=system.count,
            nodes=system.nodes,
            total_bytes=system.accelerator.total_bytes,
            total_bytes_source=system.accelerator.total_bytes_source.source,
        ),
        engine=plan.engine,
        engine_version=plan.release,
        layout=LayoutDocument(**asdict(layout)),
        workload=WorkloadDocument(
            context=deployment.context,
            concurrency=deployment.concurrency,
            kv_cache_dtype=allocation.kv_cache_dtype if allocation else deployment.kv_cache_dtype,
            yarn=deployment.yarn,
        ),
        planned_for=held.deployment.concurrency,
        ranks=[_rank(rank) for rank in held.ranks],
        capacity=CapacityDocument(**asdict(plan.capacity)) if plan.capacity else None,
        speed=_speed(speed),
        refusals=[
            RefusalDocument(
                reason=refusal.reason,
                engine_message=refusal.engine_message,
                remedy=refusal.remedy,
                source=refusal.source.where,
            )
            for refusal in plan.refusals
        ],
        launch=LaunchDocument(
            program=list(launch.program),
            command=launch.command,
            argv=list(launch.argv),
            environment=dict(launch.environment),
            further_nodes=[list(argv) for argv in launch.per_node],
            notes=list(launch.notes),
        )
        if launch
        else None,
        advice=[_advice(entry) for entry in advice],
        expected_log=list(held.expected_log),
        warnings=list(held.warnings),
        notes=list(held.notes),
        first_boot_bytes=list(boot) if boot else None,
        resolved=held.settings,
        details=held.figures,
    )


def _speed(speed: SpeedEstimate | NoEstimate | None) -> SpeedDocument | None:
    if speed is None:
        return None
    words = list(speed_words(speed))
    if isinstance(speed, NoEstimate):
        return SpeedDocument(estimate=False, words=words)
    prompt = speed.prefill
    return SpeedDocument(
        estimate=True,
        words=words,
        concurrency=speed.workload.concurrency,
        decode_per_user=_rate(speed.per_user),
        decode_total=_rate(speed.total),
        prefill_seconds=_rate(prompt.seconds) if prompt else None,
        binding=speed.binding,
        rough=[*speed.rough, *speed.thin, *(prompt.rough if prompt else ())],
        assumptions=[
            *speed.assumptions,
            *speed.slower,
            *((*prompt.notes, *prompt.slower) if prompt else ()),
        ],
    )


def _rate(rate: Banded) -> RateDocument:
    return RateDocument(value=rate.value, low=rate.low, high=rate.high)


def _rank(rank: Rank) -> RankDocument:
    return RankDocument(
        name=rank.name,
        count=rank.count,
        total=rank.total,
        usable=rank.usable,
        used=rank.used,
        headroom=rank.headroom,
        band=BandDocument(below=rank.band.below, above=rank.band.above),
        terms=[_term(term) for term in rank.terms],
    )


def _term(term: Term) -> TermDocument:
    band = BandDocument(below=term.band.below, above=term.band.above) if term.band else None
    return TermDocument(
        name=term.name,
        kind=term.kind.value,
        bytes=term.nbytes,
        confidence=term.confidence.value,
        band=band,
        formula=term.formula,
        values=dict(term.values),
        substituted=term.substituted,
        source=term.source.where,
        source_date=term.source.when,
    )

"""Many plans along one axis: memory against context, and how far several systems reach.

Every point is a plan of its own; nothing is extrapolated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.engines import ENGINES
from planner.engines.yarn import LONGEST
from planner.errors import PlannerError
from planner.memory.breakdown import Kind, Rank
from planner.model.spec import ModelSpec
from planner.question import Question

SHORTEST = 4096
"""Tokens of the shortest context that is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The tightest accelerator at one context.

    Attributes:
        context: tokens per sequence.
        rank: its terms.
        every_layer: the same with the KV cache that it would keep if all layers were full
            attention: the mistake that plain calculators make. None where that cannot be planned.
        yarn: the context is beyond the native one.
    """

    context: int
    rank: Rank
    every_layer: Rank | None
    yarn: bool


def stops() -> tuple[int, ...]:
    """Contexts from 4k to the longest, two per doubling."""
    found = {LONGEST}
    tokens = SHORTEST
    while tokens < LONGEST:
        found |= {tokens, *(t for t in (tokens * 3 // 2,) if t < LONGEST)}
        tokens *= 2
    return tuple(sorted(found))


def memory_curve(asked: Question) -> tuple[Point, ...]:
    """The question at every stop, everything else as it is."""
    native = asked.checkpoint.model.max_position_embeddings
    ghosts = _without_linear(asked)
    points = []
    for context in stops():
        beyond = context > native
        rank = _tightest(replace(asked, context=context, yarn=beyond))
        if rank is None:
            continue
        other = next(
            filter(
                None, (_tightest(replace(ghost, context=context, yarn=beyond)) for ghost in ghosts)
            ),
            None,
        )
        points.append(
            Point(
                context=context,
                rank=rank,
                every_layer=_with_cache_of(rank, other) if other is not None else None,
                yarn=beyond,
            )
        )
    return tuple(points)


def all_full_attention(model: ModelSpec) -> ModelSpec:
    """The model as those see it who think that every layer keeps a KV cache."""
    return model.with_layers(mixer=model.attention)


def _without_linear(question: Question) -> tuple[Question, ...]:
    """The question for such a model: under its own engine, then under any that takes it."""
    if question.checkpoint.model.linear is None:
        return ()
    model = all_full_attention(question.checkpoint.model)
    own = replace(question, checkpoint=replace(question.checkpoint, model=model))
    others = (
        replace(own, engine=engine, options=None, kv_cache_dtype="auto")
        for engine in ENGINES.values()
        if engine is not question.engine
    )
    return (own, *others)


def _with_cache_of(rank: Rank, other: Rank) -> Rank:
    """`rank` with the KV cache of `other` in place of its own cache and state."""
    kept = [t for t in rank.terms if t.kind not in (Kind.KV_CACHE, Kind.RECURRENT_STATE)]
    cache = [term for term in other.terms if term.kind is Kind.KV_CACHE]
    return replace(rank, terms=(*kept, *cache))


def _tightest(question: Question) -> Rank | None:
    try:
        ranks = question.plan().ranks
    except PlannerError:
        return None
    return ranks[0] if ranks else None


def frontier(question: Question) -> tuple[tuple[int, int], ...]:
    """(context, sequences held at once) at every stop at which at least one is held."""
    native = question.checkpoint.model.max_position_embeddings
    reached = []
    for context in stops():
        try:
            plan = question.plan(context=context, concurrency=1, yarn=context > native)
        except PlannerError:
            continue
        if plan.capacity is not None and plan.capacity.sequences:
            reached.append((context, plan.capacity.sequences))
    return tuple(reached)

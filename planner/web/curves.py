"""Plans along one axis: memory against context, and how far several systems reach.

Where three plans lie on one straight line, what is between them is read off it; everywhere else each
point is a plan of its own. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.engines import ENGINES
from planner.engines.yarn import LONGEST
from planner.errors import PlannerError
from planner.memory.breakdown import Kind, Rank
from planner.model.spec import ModelSpec
from planner.question import Question

SHORTEST = 4096

STRAIGHT = 2**21
"""Bytes by which a plan may lie off the line of its neighbours: less than a pixel of any figure."""

Sizes = Mapping[Kind, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The tightest accelerator at one context.

    Attributes:
        context: tokens per sequence.
        sizes: bytes by kind.
        every_layer: bytes in all if every layer kept a KV cache: the mistake that plain calculators
            make. None where that cannot be planned.
    """

    context: int
    sizes: Sizes
    every_layer: int | None

    @property
    def used(self) -> int:
        """Bytes in all."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Memory against context.

    Attributes:
        points: by context.
        usable: bytes that the engine may use of the tightest accelerator.
        total: bytes that the driver lets programs allocate there.
        native: tokens of the longest context without YaRN.
    """

    points: tuple[Point, ...]
    usable: int
    total: int
    native: int


def stops(native: int) -> tuple[int, ...]:
    """Return contexts from 4k to the longest: two per doubling, one beyond the native length."""
    found = {native, max(native, LONGEST)}
    tokens = SHORTEST
    while tokens < LONGEST:
        found |= {tokens, *(() if tokens >= native else (tokens * 3 // 2,))}
        tokens *= 2
    return tuple(sorted(found))


def memory_curve(asked: Question) -> Curve | None:
    """Return the question at every stop, everything else as it is; None where nothing can be planned."""
    native = asked.checkpoint.model.max_position_embeddings
    all_stops = tuple(sorted({*stops(native), asked.context}))
    own: dict[int, Sizes] = {}
    plain: dict[int, Sizes] = {}
    ends: list[Rank] = []
    ghosts = _without_linear(asked)
    for part in (
        [tokens for tokens in all_stops if tokens <= native],
        [tokens for tokens in all_stops if tokens > native],
    ):
        yarn = bool(part) and part[-1] > native

        def at(tokens: int, yarn: bool = yarn) -> Sizes | None:
            rank = _tightest(replace(asked, context=tokens, yarn=yarn))
            if rank is None:
                return None
            ends.append(rank)
            return _sizes(rank)

        def ghost(tokens: int, yarn: bool = yarn) -> Sizes | None:
            ranks = (_tightest(replace(other, context=tokens, yarn=yarn)) for other in ghosts)
            rank = next(filter(None, ranks), None)
            return None if rank is None else {Kind.KV_CACHE: rank.of_kind(Kind.KV_CACHE)}

        own |= dict(_along(part, at))
        plain |= dict(_along([tokens for tokens in part if tokens in own], ghost))
    if not own:
        return None
    kept = (Kind.KV_CACHE, Kind.RECURRENT_STATE)
    points = tuple(
        Point(
            context=tokens,
            sizes=sizes,
            every_layer=sum(size for kind, size in sizes.items() if kind not in kept)
            + plain[tokens][Kind.KV_CACHE]
            if tokens in plain
            else None,
        )
        for tokens, sizes in sorted(own.items())
    )
    return Curve(points=points, usable=ends[0].usable, total=ends[0].total, native=native)


def _along(tokens: Sequence[int], at: Callable[[int], Sizes | None]) -> Iterator[tuple[int, Sizes]]:
    """Yield the sizes at each of `tokens`, with as few questions as straight lines allow."""
    known: dict[int, Sizes | None] = {}

    def ask(place: int) -> Sizes | None:
        if place not in known:
            known[place] = at(tokens[place])
        return known[place]

    def fill(first: int, last: int) -> None:
        low, high = ask(first), ask(last)
        if last - first < 2:
            return
        middle = (first + last) // 2
        seen = ask(middle)
        if low is not None and high is not None and seen is not None:
            line = _between(tokens[first], low, tokens[last], high)
            guess = line(tokens[middle])
            if all(abs(guess[kind] - seen[kind]) <= STRAIGHT for kind in seen):
                for place in range(first + 1, last):
                    known.setdefault(place, line(tokens[place]))
                return
        fill(first, middle)
        fill(middle, last)

    if tokens:
        fill(0, len(tokens) - 1)
    for place, count in enumerate(tokens):
        sizes = known.get(place)
        if sizes is not None:
            yield count, sizes


def _between(first: int, low: Sizes, last: int, high: Sizes) -> Callable[[int], Sizes]:
    def line(tokens: int) -> Sizes:
        share = (tokens - first) / (last - first)
        return {kind: round(low[kind] + share * (high[kind] - low[kind])) for kind in low}

    return line


def _sizes(rank: Rank) -> Sizes:
    return {kind: rank.of_kind(kind) for kind in Kind}


def all_full_attention(model: ModelSpec) -> ModelSpec:
    """Return the model as those see it who think that every layer keeps a KV cache."""
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


def _tightest(question: Question) -> Rank | None:
    try:
        ranks = question.plan().ranks
    except PlannerError:
        return None
    return ranks[0] if ranks else None


def frontier(question: Question) -> tuple[tuple[int, int], ...]:
    """Return (context, sequences held at once) by doublings, as far as at least one is held."""
    native = question.checkpoint.model.max_position_embeddings
    reached = []
    for context in stops(native):
        if context < native and context.bit_count() > 1:
            continue
        try:
            plan = question.plan(context=context, concurrency=1, yarn=context > native)
        except PlannerError:
            continue
        if plan.capacity is not None and plan.capacity.sequences:
            reached.append((context, plan.capacity.sequences))
    return tuple(reached)

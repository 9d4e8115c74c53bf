"""Plans along one axis: memory against context, and how far several systems reach.

Where three plans lie on one straight line, what is between them is read off it; everywhere else each
point is a plan of its own. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from hardware_db.records import frozen
from planner.engines import ENGINES
from planner.engines.yarn import LONGEST
from planner.errors import PlannerError
from planner.memory.breakdown import Kind, Rank
from planner.model.spec import ModelSpec
from planner.planning import Plan
from planner.question import Question

SHORTEST = 4096

STRAIGHT = 2**21
"""Bytes by which a plan may lie off the line of its neighbours: less than a pixel of any figure."""

Sizes = Mapping[Kind, int]


@frozen
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


@frozen
class Curve:
    """Memory against context.

    Attributes:
        points: by context.
        usable: bytes that the engine may use of the tightest accelerator.
        total: bytes that the driver lets programs allocate there.
        native: tokens of the longest context without YaRN.
        from_ram: tokens of the shortest context of which more weights lie in host memory than at
            the first point; None where there is none.
        in_ram: weights lie in host memory at the first point already.
    """

    points: tuple[Point, ...]
    usable: int
    total: int
    native: int
    from_ram: int | None = None
    in_ram: bool = False


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
    in_ram: dict[int, int] = {}
    shares: dict[int, float] = {}
    ghosts = _without_linear(asked)
    for part in (
        [tokens for tokens in all_stops if tokens <= native],
        [tokens for tokens in all_stops if tokens > native],
    ):
        yarn = bool(part) and part[-1] > native

        def at(tokens: int, yarn: bool = yarn) -> Sizes | None:
            plan = _planned(replace(asked, context=tokens, yarn=yarn))
            if plan is None:
                return None
            ends.append(plan.ranks[0])
            in_ram[tokens] = weights_in_ram(plan)
            shares[tokens] = plan.ranks[0].of_kind(Kind.KV_CACHE) / max(1, _cache_in_all(plan))
            return _sizes(plan.ranks[0])

        def ghost(tokens: int, yarn: bool = yarn) -> Sizes | None:
            plans = (_planned(replace(other, context=tokens, yarn=yarn)) for other in ghosts)
            plan = next(filter(None, plans), None)
            return None if plan is None else {Kind.KV_CACHE: _cache_in_all(plan)}

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
            + round(plain[tokens][Kind.KV_CACHE] * _nearest(shares, tokens))
            if tokens in plain
            else None,
        )
        for tokens, sizes in sorted(own.items())
    )
    more = (tokens for tokens in sorted(in_ram) if in_ram[tokens] > in_ram[min(in_ram)])
    return Curve(
        points=points,
        usable=ends[0].usable,
        total=ends[0].total,
        native=native,
        from_ram=next(more, None),
        in_ram=in_ram[min(in_ram)] > 0,
    )


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


def _planned(question: Question) -> Plan | None:
    try:
        plan = question.plan()
    except PlannerError:
        return None
    return plan if plan.ranks else None


def _cache_in_all(plan: Plan) -> int:
    """Bytes of KV cache wherever they lie: an engine puts layers that do not fit, and theirs, into RAM."""
    return sum(rank.of_kind(Kind.KV_CACHE) * rank.count for rank in plan.ranks)


def _nearest(shares: Mapping[int, float], tokens: int) -> float:
    return shares[min(shares, key=lambda known: abs(known - tokens))]


def weights_in_ram(plan: Plan) -> int:
    """Return the bytes of weights that lie in host memory and take part in every step."""
    if plan.allocation is None:
        return 0
    return plan.allocation.placement.host_computed + plan.allocation.placement.host_streamed


def frontier(question: Question) -> tuple[tuple[int, int], ...]:
    """Return (context, sequences held at once) by doublings, as far as at least one is held.

    Where the question leaves the layout open, it is the one that holds the most.
    """
    native = question.checkpoint.model.max_position_embeddings
    reached = []
    for context in stops(native):
        if context < native and context.bit_count() > 1:
            continue
        asked = replace(question, context=context, concurrency=1, yarn=context > native)
        try:
            plans = tuple(asked.plans())
        except PlannerError:
            continue
        held = max((plan.capacity.sequences for plan in plans if plan.capacity), default=0)
        if held:
            reached.append((context, held))
    return tuple(reached)

"""Alternatives to the pick: at most six, each better in something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import inf

from planner.engines.elsewhere import has_hbm
from planner.model import catalog
from planner.model.parameters import count_parameters
from planner.recommending.choice import CLEARLY, Choice
from planner.recommending.wish import PICTURES, Wish
from planner.registry import Word, rank_of, uses
from planner.throughput.answer import two_digits

MOST = 6
MANY = 2
"""Times as many requests at once, or as fast, that are a reason for something much smaller."""

SMALLER = 1
"""Models of lower tiers that are set beside a pick."""

WITH_RAM = 1
"""Models that are set beside a pick for machines with more RAM than was named."""


def front(
    pick: Choice, others: Sequence[Choice], wish: Wish, *, named: bool = True
) -> tuple[Choice, ...]:
    """Return the alternatives, each with what it is better in.

    Args:
        pick: what is recommended.
        others: every candidate that was planned, the best first.
        wish: what decides between equals.
        named: somebody named the model, so that its own checkpoints come before other models.
    """
    held = [
        choice
        for choice in others
        if choice is not pick
        and is_shown(choice, loss=pick.word >= Word.LARGE)
        and choice.is_for_few <= pick.is_for_few
    ]
    own = [choice for choice in held if choice.entry.base == pick.entry.base]
    ready = [choice for choice in own if choice.needs_ram is None]
    models = list(_of_other_models(pick, held, wish))
    if named:
        lines = [*_with_more_ram(pick, own), *_quicker(pick, ready, wish)]
        lines += [*_elsewhere(pick, ready), *models]
        lines += [*_busier(pick, ready), *_same_elsewhere(pick, ready)]
    else:
        lines = [*models, *islice(_elsewhere(pick, ready), 1), *_quicker(pick, ready, wish)]
        for more in (_of_other_servers, _lighter):
            lines += [choice for model in models for choice in more(pick, model, held)]
        lines += _busier(pick, ready)
    chosen: dict[tuple[str, str, str], Choice] = {}
    for choice in lines:
        chosen.setdefault(_identity(choice), choice)
    chosen.pop(_identity(pick), None)
    return tuple(chosen.values())[:MOST]


def is_shown(choice: Choice, *, loss: bool = False) -> bool:
    """Say whether a candidate holds the workload; `loss`: even where it loses much."""
    held = choice.plan.fits and (choice.plan.headroom or 0) >= 0
    return held and (loss or choice.word < Word.LARGE)


def _with_more_ram(pick: Choice, own: Sequence[Choice]) -> Iterator[Choice]:
    """The checkpoint of the pick's model that loses less, with RAM that nobody named."""
    assumed = [choice for choice in own if choice.needs_ram is not None and choice.loses_less(pick)]
    for choice in assumed[:WITH_RAM]:
        yield replace(choice, better=f"less loss, with {choice.needs_ram} GiB of RAM")


def _quicker(pick: Choice, ready: Sequence[Choice], wish: Wish) -> Iterator[Choice]:
    """Checkpoints of the pick's model that are better, faster, or reach further."""
    finer = [choice for choice in ready if choice.loses_less(pick)]
    if finer:
        finest = min(finer, key=lambda choice: (choice.holding(wish), int(choice.word)))
        slow = _is_slower(finest, pick)
        yield replace(finest, better="better quality, slower" if slow else "better quality")
    if pick.said is Word.EIGHT_BITS:
        for choice in ready:
            if choice.loss.basis == "original" and choice.plan.engine == pick.plan.engine:
                costs = ", slower" if _is_slower(choice, pick) else ""
                yield replace(choice, better=f"the original's 16 bits{costs}")
    sound = [choice for choice in ready if choice.is_above_floor]
    if pick.per_user is not None:
        fast = [choice for choice in sound if (choice.per_user or 0) >= CLEARLY * pick.per_user]
        if fast:
            yield _faster(_fastest(fast), pick)
    far = [choice for choice in sound if choice.longest >= CLEARLY * max(1, pick.longest)]
    if far:
        farther = min(far, key=lambda choice: (int(choice.word), -choice.longest))
        yield replace(farther, better="longer context")


def _busier(pick: Choice, ready: Sequence[Choice]) -> Iterator[Choice]:
    """The checkpoint of the pick's model that holds the most requests."""
    many = [
        choice
        for choice in ready
        if choice.is_above_floor
        and choice.plan.engine == pick.plan.engine
        and choice.users >= MANY * max(1, pick.users)
    ]
    if many:
        most = max(many, key=lambda choice: choice.users)
        yield replace(most, better=f"{most.users:,} at once instead of {pick.users:,}")


def _elsewhere(pick: Choice, ready: Sequence[Choice]) -> Iterator[Choice]:
    """Other checkpoints of the pick's model in other servers."""
    seen = {pick.entry.name}
    for engine in dict.fromkeys(choice.plan.engine for choice in ready):
        other = next(choice for choice in ready if choice.plan.engine == engine)
        if engine == pick.plan.engine or other.entry.name in seen:
            continue
        if other.turn > pick.turn and has_hbm(pick.plan.deployment.system.accelerator):
            continue  # a server with HBM has its first choice
        seen.add(other.entry.name)
        yield _in_another_server(other, pick)


def _same_elsewhere(pick: Choice, ready: Sequence[Choice]) -> Iterator[Choice]:
    """The pick's own checkpoint in another server."""
    for choice in ready:
        if choice.entry.name == pick.entry.name and choice.plan.engine != pick.plan.engine:
            yield _in_another_server(choice, pick)
            return


def _in_another_server(choice: Choice, pick: Choice) -> Choice:
    gain = _gain(choice, pick)
    if gain is None and choice.users >= CLEARLY * max(1, pick.users):
        gain = "holds more at once"
    return replace(choice, better=gain or "another server")


def _of_other_servers(pick: Choice, model: Choice, held: Sequence[Choice]) -> Iterator[Choice]:
    """Another model that is listed, in a server that loads other files of it and is worth it."""
    if model.tier > pick.tier:
        return
    for choice in held:
        ready = choice.needs_ram is None and choice.is_above_floor
        served = choice.turn <= model.turn or not has_hbm(choice.plan.deployment.system.accelerator)
        if not (ready and served) or choice.entry.base != model.entry.base:
            continue
        if choice.entry.container == model.entry.container:
            continue
        times = (choice.per_user or 0.0) / (model.per_user or inf)
        busier = choice.users >= MANY * max(1, model.users)
        if times >= 1 or busier:
            gain = "holds more at once" if busier else "another server"
            if times >= CLEARLY:
                gain = f"{two_digits(times)} times as fast as in {model.plan.engine_title}"
            yield replace(choice, better=_gain(choice, pick) or gain)
            return


def _lighter(pick: Choice, model: Choice, held: Sequence[Choice]) -> Iterator[Choice]:
    """Another model that is listed, in a file that is faster than the one listed and loses little."""
    for choice in held:
        same = choice.entry.base == model.entry.base and choice.plan.engine == model.plan.engine
        if not same or choice.word > Word.SMALL or choice.needs_ram is not None:
            continue
        fast = choice.per_user or 0.0
        if fast >= CLEARLY * max(model.per_user or 0.0, pick.per_user or 0.0):
            yield _faster(choice, pick)
            return


def _of_other_models(pick: Choice, held: Sequence[Choice], wish: Wish) -> Iterator[Choice]:
    """The best candidate of each other model, where it has something to offer."""
    newest: dict[tuple[int, int], int] = {shape_of(pick.entry.base): pick.released}
    for choice in held:
        shape = shape_of(choice.entry.base)
        newest[shape] = max(choice.released, newest.get(shape, 0))
    smaller = in_ram = 0
    fastest = pick.per_user or 0.0
    for base in dict.fromkeys(choice.entry.base for choice in held):
        other = next(choice for choice in held if choice.entry.base == base)
        if other.released < newest[shape_of(base)] or base == pick.entry.base:
            continue  # an older release of a size that is listed
        lower, assumed = other.tier > pick.tier, other.needs_ram is not None
        if not other.is_above_floor or smaller + lower > SMALLER or in_ram + assumed > WITH_RAM:
            continue
        if other.tier > pick.tier + 1:
            continue  # the next smaller model that has a reason is close enough
        rescue = other.word < pick.word and pick.word > Word.SMALL
        quick = (other.per_user or 0.0) >= MANY * fastest
        far = wish.best == "context" and other.longest >= MANY * max(1, pick.longest)
        if lower and not (rescue or quick or far):
            continue  # a better model that is listed is about as fast
        if other.place >= pick.place and other.in_ram and other.needs_ram is None:
            other = _quickest(other, held)
        gain = _gain_of_model(other, pick, wish)
        if gain is not None:
            smaller, in_ram = smaller + lower, in_ram + assumed
            fastest = max(fastest, other.per_user or 0.0)
            yield replace(other, better=gain)


def _quickest(choice: Choice, held: Sequence[Choice]) -> Choice:
    """A model that is taken for its speed: its fastest candidate that loses little."""
    mine = (other for other in held if other.entry.base == choice.entry.base)
    sound = [other for other in mine if other.word <= max(Word.SMALL, choice.word)]
    return max([choice, *sound], key=lambda other: other.per_user or 0.0)


def _gain_of_model(other: Choice, pick: Choice, wish: Wish) -> str | None:
    """What another model is better in; None: in nothing."""
    if other.needs_ram is not None:
        quicker = (other.per_user or 0.0) >= CLEARLY * (pick.per_user or 0.0)
        better = other.place < pick.place or other.word < pick.word or quicker
        return f"with {other.needs_ram} GiB of RAM" if better and not other.flaws(wish) else None
    if not pick.is_above_floor:
        return _gain(other, pick) or "more bits a weight"
    if other.place < pick.place:
        return "better scores, slower" if _is_slower(other, pick) else "better scores"
    gain = _gain(other, pick)
    if gain is None and other.tier <= pick.tier:
        return _ahead(other, pick, wish) or _as_good(other, pick, wish)
    return gain


def _gain(other: Choice, pick: Choice) -> str | None:
    """What a candidate of another model is better in, its scores aside; None: in nothing."""
    if pick.per_user and other.per_user and other.per_user >= CLEARLY * pick.per_user:
        return _faster(other, pick).better
    if other.loses_less(pick):
        return "less loss, slower" if _is_slower(other, pick) else "less loss"
    if other.longest >= CLEARLY * max(1, pick.longest):
        return "longer context"
    return None


def _ahead(other: Choice, pick: Choice, wish: Wish) -> str | None:
    """Say for what another model is in a better class, the wished use aside; None: for nothing.

    Pictures are no gain where nobody asked for them: the commands leave them out.
    """
    for use in uses().values():
        if use.name == wish.use or (use.name == PICTURES and not wish.pictures):
            continue
        mine, theirs = rank_of(other.entry.base, use.name), rank_of(pick.entry.base, use.name)
        if mine is not None and (theirs is None or mine < theirs):
            return f"better at {use.title}"
    return None


def _as_good(other: Choice, pick: Choice, wish: Wish) -> str | None:
    """Say that another model is of the same class, neither slower nor with more to be wished."""
    alike = other.place == pick.place and other.word <= pick.word
    if alike and other.flaws(wish) <= pick.flaws(wish) and not _is_slower(other, pick):
        return "scores as good"
    return None


def shape_of(base: str) -> tuple[int, int]:
    """Return the size of a model: releases of one size take each other's place."""
    known = catalog.find(base)
    counts = count_parameters(known[0].model) if known is not None else None
    return (counts.text, counts.active_body) if counts is not None else (0, 0)


def _fastest(fast: Sequence[Choice]) -> Choice:
    """Of what is about as fast as the fastest, what loses least; then the fastest."""
    most = max(choice.per_user or 0.0 for choice in fast)
    alike = [choice for choice in fast if CLEARLY * (choice.per_user or 0.0) >= most]
    return min(alike, key=lambda choice: (int(choice.word), -(choice.per_user or 0.0)))


def _faster(choice: Choice, pick: Choice) -> Choice:
    times = (choice.per_user or 0.0) / (pick.per_user or 1.0)
    return replace(choice, better=f"{two_digits(times)} times as fast")


def _is_slower(choice: Choice, pick: Choice) -> bool:
    if choice.per_user is None or pick.per_user is None:
        return choice.in_ram and not pick.in_ram
    return choice.per_user * CLEARLY < pick.per_user


def _identity(choice: Choice) -> tuple[str, str, str]:
    return choice.entry.name, choice.plan.engine, choice.plan.deployment.kv_cache_dtype

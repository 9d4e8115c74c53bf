"""Choose: the pick, the front beside it, and the nearest misses where nothing holds the workload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from math import inf

from planner.planning import Outcome
from planner.recommending.answer import Miss, Recommendation
from planner.recommending.candidate import size_of
from planner.recommending.choice import A_FEW, CLEARLY, Choice, in_order, models_in_order
from planner.recommending.choosing import Search, best_of
from planner.recommending.drafting import with_drafts
from planner.recommending.front import front, is_shown, shape_of
from planner.recommending.machines import (
    by_price,
    fewer_of,
    raised_system,
    seeing_only,
    without_slower_kinds,
)
from planner.recommending.room import needed_bytes
from planner.recommending.siblings import is_quicker, released, siblings
from planner.recommending.wanted import Wanted
from planner.recommending.wish import Wish
from planner.registry import Word, checkpoint_of, classes, entries_of, loss_of
from planner.speed import speed_of
from planner.units import format_tokens

BESIDE = 2
"""Other models that are set beside a named one."""

BELOW = 2
"""Classes of models below the first that holds the workload that are looked at: they are faster."""

SHORTEST = 2048
"""Tokens of context below which nothing is offered."""

MOST_USERS = 0.25
"""Share of the users who must be held at once for a better model to be set beside the pick: requests
that wait are served when others end, and few are at the end of their context."""

MACHINES = 6
"""Machines that are tried where the asked one is too small, the cheapest first."""


def recommend(wanted: Wanted) -> Recommendation:
    """Return what to run: every line of the answer is a plan that was made.

    Args:
        wanted: the question.

    Raises:
        InputError: an unknown wish or use.
    """
    search = Search(wanted)
    choices = _of_any_model(search) if wanted.base is None else _of_named(search, wanted.base)
    own = (choice for choice in choices if wanted.base in (None, choice.entry.base))
    pick = next((choice for choice in own if choice.holds), None)
    if pick is None:
        return Recommendation(
            wanted=wanted, pick=None, front=(), misses=tuple(_misses(search, choices))
        )
    smaller = search.smaller_cache(pick)
    beside = [*choices, *([smaller] if smaller is not None else [])]
    return Recommendation(
        wanted=wanted,
        pick=pick,
        front=front(pick, beside, wanted.wish, named=wanted.base is not None),
        misses=(
            *with_drafts(wanted, pick),
            *_with_limit_raised(wanted, pick),
            *_with_fewer(search, pick),
            *_left_out(wanted, pick),
            *_better_for_fewer(wanted, pick, choices),
        ),
    )


def _of_named(search: Search, base: str) -> list[Choice]:
    """Candidates of one model, then one each of models to set beside it."""
    found = search.of_model(base)
    if search.wanted.fixed.precision is not None:
        return found
    beside = 0
    for other in siblings(search.wanted, base):
        there = in_order(search.on_what_is_there(other, thorough=False), search.wanted.wish)
        more = [choice for choice in there if choice.plan.fits]
        found += more[:1]
        beside += bool(more)
        if beside == BESIDE:
            break
    wish = search.wanted.wish
    sound = [choice for choice in found if choice.holds and choice.is_above_floor]
    if all(choice.is_below(wish) for choice in sound):
        smaller = _other_model(search, quicker=bool(sound))
        found += [smaller] if smaller is not None else []
    return found


def _of_any_model(search: Search) -> list[Choice]:
    """Candidates of the best model, in their order, then those of each other one, likewise."""
    models: list[list[Choice]] = []
    wish, below = search.wanted.wish, None
    for group in classes(search.wanted.wish.use):
        left = [base for base in group if not _is_replaced(base, models)]
        of_group = list[list[Choice]]()
        for base in left:
            # an older release of a size is not set beside one that runs: not even with more RAM
            newer = _newer(base, [*models, *of_group])
            newest = not any(is_shown(choice) for found in newer for choice in found)
            if found := search.of_model(base, thorough=False, assume_ram=newest):
                of_group.append(found)
        models += of_group
        if below is not None:
            below -= any(of_group) or len(left) < len(group)
        elif any(not any(found[0].holding(wish)) for found in models):
            below = BELOW
        if below == 0:
            break
    models = models_in_order(list(_newest(models)), wish)
    first = next((found[0].entry.base for found in models if found[0].holds), None)
    if first is not None:
        others = (found for found in models if found[0].entry.base != first)
        models = [search.of_model(first), *others]
    return [choice for found in models for choice in found]


def _newest(models: list[list[Choice]]) -> Iterator[list[Choice]]:
    """Yield models without older releases of a size whose newer one holds the workload as well."""
    for found in models:
        if not _is_replaced(found[0].entry.base, models):
            yield found


def _is_replaced(base: str, models: list[list[Choice]]) -> bool:
    """Say whether a newer release of a model's size holds the workload and loses little enough."""
    newer = (found[0] for found in _newer(base, models))
    return any(other.holds and other.word <= Word.NOTICEABLE for other in newer)


def _newer(base: str, models: Iterable[list[Choice]]) -> Iterator[list[Choice]]:
    """Yield the candidates of newer releases of a model's size."""
    for found in models:
        of = found[0]
        if of.released > released(base) and shape_of(of.entry.base) == shape_of(base):
            yield found


def _misses(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What would have to change for something to hold the workload, the least change first."""
    wanted = search.wanted
    yield from _with_limit_raised(wanted, None)
    yield from _in_another_engine(wanted)
    choices = [choice for choice in choices if wanted.base in (None, choice.entry.base)]
    fewer = list(_fewer(search, choices))
    if not fewer and wanted.concurrency > 1:
        # so many that no server holds a part of them: what one user gets tells how many would
        alone = _held(replace(wanted, concurrency=1))
        choices = choices or alone
        fewer = list(_fewer(search, alone))
    yield from fewer
    yield from _shorter(search, choices)
    for choice in choices:
        if choice.needs_ram is not None and choice.plan.fits:
            yield Miss(change=f"with {choice.needs_ram} GiB of RAM", choice=choice)
            break
    if wanted.base is not None and wanted.fixed.precision is None:
        other = _other_model(search)
        if other is not None:
            yield Miss(change=f"use {other.entry.base.rpartition('/')[2]}", choice=other)
    machine = _other_machine(search, choices)
    if machine is not None:
        where = machine.plan.deployment.system.short_name
        how = "" if machine.word >= Word.LARGE else " without a large loss"
        change = f"on {where}, the cheapest of the common machines that does it{how}"
        yield Miss(change=change, choice=machine)


def _left_out(wanted: Wanted, pick: Choice) -> Iterator[Miss]:
    """The pick's model on the machine without its slower accelerators, where that is faster."""
    if wanted.layout is not None:
        return
    for names, places, system in without_slower_kinds(wanted.system):
        other = best_of(replace(wanted, base=pick.entry.base, system=system))
        faster = other is not None and (other.per_user or 0.0) >= CLEARLY * (pick.per_user or inf)
        if other is None or not faster or other.word > pick.word:
            continue
        plan = seeing_only(other.plan, places, wanted.system)
        if plan is not None:
            change = f"leave the {names} out (counted in the order in which they are named)"
            yield Miss(change=change, choice=replace(other, plan=plan))
            return


def _with_fewer(search: Search, pick: Choice) -> Iterator[Miss]:
    """The pick on so few of several equal accelerators that it is held as well, and fast enough."""
    wanted, system = search.wanted, search.wanted.system
    if wanted.layout is not None or system.is_mixed or pick.in_ram:
        return
    used, number = pick.plan.deployment.layout.accelerators, 1
    while number < used:
        fewer = fewer_of(system, number)
        plan = search.plan(
            pick.entry,
            pick.plan.engine,
            kv_cache_dtype=pick.plan.deployment.kv_cache_dtype,
            system=fewer,
        )
        if plan is not None and plan.outcome is Outcome.FITS:
            other = replace(pick, plan=plan, speed=speed_of(plan), savings=(), reach=0)
            if (other.per_user or 0.0) >= wanted.wish.enough:
                these = "one of them is" if number == 1 else f"{number} of them are"
                slow = CLEARLY * (other.per_user or 0.0) < (pick.per_user or 0.0)
                how = "slower" if slow else "about as fast"
                if plan.launch == pick.plan.launch:  # the engine takes what it sees
                    hidden = seeing_only(plan, range(number), system)
                    other = replace(other, plan=hidden or plan)
                yield Miss(change=f"{these} enough, {how}", choice=other)
                return
        number *= 2


def _better_for_fewer(wanted: Wanted, pick: Choice, choices: list[Choice]) -> Iterator[Miss]:
    """The best model of a better tier for so many at once that most are served without a wait."""
    if wanted.base is not None or wanted.concurrency <= A_FEW:
        return
    for choice in choices:
        better = choice.tier < pick.tier and choice.is_above_floor and choice.needs_ram is None
        if not better or choice.users < MOST_USERS * wanted.concurrency:
            continue
        chosen = _most_held(wanted, choice)
        if chosen is not None and not any(chosen.holding(wanted.wish)):
            yield Miss(change=_serve_fewer(wanted, chosen) + ", the others wait", choice=chosen)
            return


def _serve_fewer(wanted: Wanted, choice: Choice) -> str:
    users = choice.plan.deployment.concurrency
    return f"serve {users:,} at once instead of {wanted.concurrency:,}"


def _with_limit_raised(wanted: Wanted, pick: Choice | None) -> Iterator[Miss]:
    """What the machine holds once its owner raises the limit, where that is better than the pick."""
    raised = raised_system(wanted.system)
    unified = wanted.system.accelerator.unified
    if raised is None or unified is None or unified.raisable is None:
        return
    if pick is not None and pick.place == 0 and pick.word == Word.ORIGINAL:
        return
    held = next(iter(_held(replace(wanted, system=raised))), None)
    if held is None or needed_bytes(held.plan) <= wanted.system.accelerator.usable_bytes:
        return
    if pick is None or _is_clearly_better(held, pick, wanted.wish):
        yield Miss(
            change=f"raise {unified.raisable.name}",
            limit=unified.raisable,
            choice=held,
        )


def _is_clearly_better(choice: Choice, pick: Choice, wish: Wish) -> bool:
    """Say whether it has better scores without a flaw more, or is the same model with less loss."""
    if choice.entry.base == pick.entry.base:
        return choice.word < pick.word
    return choice.place < pick.place and choice.flaws(wish) <= pick.flaws(wish)


def _held(wanted: Wanted) -> list[Choice]:
    """Candidates that hold the workload, the best first; of the named model alone, if one is."""
    search = Search(wanted)
    found = _of_any_model(search) if wanted.base is None else search.of_model(wanted.base)
    return [choice for choice in found if choice.holds]


def _in_another_engine(wanted: Wanted) -> Iterator[Miss]:
    """The named model in another engine, where one was named."""
    if wanted.fixed.engine is None or wanted.base is None:
        return
    open_ = replace(wanted, options=None, kept=(), kv_cache_dtype="auto", notes=())
    open_ = replace(open_, fixed=replace(wanted.fixed, engine=None))
    pick = best_of(open_)
    if pick is not None:
        same = pick.plan.engine == wanted.fixed.engine
        change = "leave {}'s options as they are" if same else "let {} serve it"
        yield Miss(change=change.format(pick.plan.engine_title), choice=pick)


def _fewer(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the most users that one of the candidates holds at the asked context."""
    sound = [choice for choice in choices if choice.is_above_floor and choice.needs_ram is None]
    held = [choice for choice in sound if 0 < choice.users < search.wanted.concurrency]
    for choice in sorted(held, key=lambda choice: -choice.users):
        chosen = _most_held(search.wanted, choice)
        if chosen is not None:
            yield Miss(change=_serve_fewer(search.wanted, chosen), choice=chosen)
            return


def _most_held(wanted: Wanted, choice: Choice) -> Choice | None:
    """What is chosen of a candidate's model for as many users as it holds, fewer than were asked."""
    named, most = replace(wanted, base=choice.entry.base), wanted.concurrency - 1
    return _farthest(
        lambda users: replace(named, concurrency=users),
        min(choice.users, most),
        lambda found: min(found.users, most),
    )


def _shorter(search: Search, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the longest context that one of the candidates holds."""
    wanted = search.wanted
    for choice in sorted(choices, key=lambda choice: (not choice.is_above_floor, -choice.longest)):
        tokens = choice.longest // 1024 * 1024
        if not SHORTEST <= tokens < wanted.context or choice.needs_ram is not None:
            continue

        def at(length: int, base: str = choice.entry.base) -> Wanted:
            return replace(wanted, base=base, context=length)

        chosen = _farthest(
            at,
            tokens,
            lambda found: min(found.longest, wanted.context - 1) // 1024 * 1024,
        )
        if chosen is not None:
            yield _limit_context(chosen)
            return
    yield from _much_shorter(wanted, choices)


def _much_shorter(wanted: Wanted, choices: list[Choice]) -> Iterator[Miss]:
    """What is chosen for the first half, quarter, ... of the context that is held for all users."""
    one = [choice for choice in choices if choice.is_above_floor and choice.longest >= SHORTEST]
    bases = dict.fromkeys(choice.entry.base for choice in one)
    tokens = wanted.context // 2
    while tokens >= SHORTEST and wanted.concurrency > 1:
        for base in bases:
            chosen = best_of(replace(wanted, base=base, context=tokens))
            if chosen is not None:
                yield _limit_context(chosen)
                return
        tokens //= 2


def _limit_context(choice: Choice) -> Miss:
    told = format_tokens(choice.plan.deployment.context)
    return Miss(change=f"limit the context to {told} tokens", choice=choice)


def _farthest(
    asked: Callable[[int], Wanted], number: int, reach: Callable[[Choice], int]
) -> Choice | None:
    """What is chosen for a number that is held, or for the larger one that this choice reaches."""
    chosen = best_of(asked(number))
    if chosen is None or reach(chosen) <= number:
        return chosen
    return best_of(asked(reach(chosen))) or chosen


def _other_model(search: Search, *, quicker: bool = False) -> Choice | None:
    """The best other model that holds the workload; one that computes much less, where that is asked."""
    for group in classes(search.wanted.wish.use):
        for base in group:
            if base == search.wanted.base or (quicker and not is_quicker(base, search.wanted.base)):
                continue
            for choice in search.of_model(base, thorough=False):
                if choice.holds and not any(choice.holding(search.wanted.wish)):
                    return best_of(replace(search.wanted, base=base)) or choice
    return None


def _other_machine(search: Search, choices: list[Choice]) -> Choice | None:
    """What is chosen on the cheapest machine of those that people own that holds it."""
    small = min(
        (choice for choice in choices if choice.needs_ram is None and choice.is_above_floor),
        key=lambda choice: checkpoint_of(choice.entry).nbytes(),
        default=None,
    )
    if small is None:
        return None
    least = min(checkpoint_of(small.entry).nbytes("text"), _least_bytes(small.entry.base))
    large = (system for system in by_price() if system.total_bytes >= least)
    lossy = None
    for system in islice(large, MACHINES):
        chosen = best_of(replace(search.wanted, base=small.entry.base, system=system))
        if chosen is None or chosen.plan.outcome is not Outcome.FITS:
            continue  # nobody buys a machine for what its estimate's band may exceed
        if chosen.word < Word.LARGE:
            return chosen
        lossy = lossy or chosen
    return lossy


def _least_bytes(base: str) -> int:
    """Return the bytes of the smallest checkpoint of a model that loses no large part."""
    rows = (row for row in entries_of(base) if row.recommendable)
    return min((size_of(row) for row in rows if loss_of(row).word < Word.LARGE), default=1 << 60)
